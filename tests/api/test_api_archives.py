"""Archives over the API: asked for by month, done in the background, told of in full."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from kintsugi.api.archive_worker import ArchiveWorker
from kintsugi.api.feed import ChangeFeed
from kintsugi.model.stores import Stores
from kintsugi.store.memory_archives import MemoryArchives
from tests.control_plane import Clock, make_event

SEPTEMBER = datetime(2025, 9, 15, 12, tzinfo=UTC)
JANUARY = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def worker(stores: Stores, clock: Clock) -> ArchiveWorker:
    return ArchiveWorker(stores, ChangeFeed(stores.changes), clock, after_months=6)


def filled(stores: Stores) -> None:
    for base in (SEPTEMBER, JANUARY):
        stores.events.append([make_event(number, base=base) for number in range(4)])


def work(worker: ArchiveWorker) -> None:
    while worker.work_once():
        pass


def test_only_months_that_are_old_enough_are_archived(client: TestClient, stores: Stores) -> None:
    filled(stores)
    months = client.get("/v1/archives/months").json()["data"]
    assert [(one["month"], one["old_enough"]) for one in months] == [
        ("2025-09", True),
        ("2026-01", False),
    ]
    dry = client.post("/v1/archives", json={"dry_run": True})
    assert (dry.status_code, [one["month"] for one in dry.json()["data"]]) == (200, ["2025-09"])
    asked = client.post("/v1/archives", json={"reason": "time"})
    assert asked.status_code == 202
    (archive,) = asked.json()["data"]
    assert (archive["month"], archive["task"]) == ("2025-09", "write")
    stopped = client.post("/v1/archives", json={"months": ["2026-01", "2025-01"]})
    assert stopped.status_code == 409
    assert [one["where"] for one in stopped.json()["errors"]] == [
        "body.months[0]",
        "body.months[1]",
    ]
    wrong = client.post("/v1/archives", json={"months": ["January"]})
    assert wrong.status_code == 422


def done_of(client: TestClient, archive_id: str) -> dict[str, object]:
    found: dict[str, object] = client.get(f"/v1/archives/{archive_id}").json()["data"]["archive"]
    return found


def test_an_archive_is_written_verified_and_brought_back(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    # A worker of our own, so that nothing runs beside the test.
    filled(stores)
    quiet = ArchiveWorker(stores, ChangeFeed(stores.changes), clock)
    (archive,) = client.post("/v1/archives", json={}).json()["data"]
    wait_for(client, archive["id"], quiet)
    found = done_of(client, archive["id"])
    assert (found["in_force"], found["progress"], found["events"]) == (True, 1.0, 4)
    page = client.get("/v1/events?until=2025-10-01T00:00:00Z").json()
    assert (len(page["data"]), page["meta"]["from_archive"]) == (4, ["2025-09"])
    said = client.get("/v1/events?q=order").json()
    assert (len(said["data"]), said["meta"]["not_searched"]) == (4, ["2025-09"])
    verify = client.post(f"/v1/archives/{archive['id']}/verify")
    assert verify.status_code == 202
    wait_for(client, archive["id"], quiet)
    assert done_of(client, archive["id"])["verified_at"] is not None
    dry = client.post(f"/v1/archives/{archive['id']}/restore", json={"dry_run": True})
    assert dry.status_code == 200
    back = client.post(f"/v1/archives/{archive['id']}/restore", json={"reason": "case 7"})
    assert back.status_code == 202
    wait_for(client, archive["id"], quiet)
    assert done_of(client, archive["id"])["in_force"] is False
    assert client.get("/v1/events?q=order").json()["meta"]["not_searched"] == []
    again = client.post(f"/v1/archives/{archive['id']}/restore", json={"dry_run": True})
    assert again.status_code == 409


def wait_for(client: TestClient, archive_id: str, worker: ArchiveWorker) -> None:
    """The application's own worker may be the one that does it."""
    for _ in range(1000):
        if not worker.work_once() and done_of(client, archive_id)["state"] == "done":
            return
    raise AssertionError(done_of(client, archive_id))


def test_an_archive_that_is_away_is_named_instead_of_a_shorter_page(
    client: TestClient, stores: Stores, worker: ArchiveWorker
) -> None:
    filled(stores)
    (archive,) = client.post("/v1/archives", json={}).json()["data"]
    wait_for(client, archive["id"], worker)
    assert isinstance(stores.archives, MemoryArchives)
    assert client.get("/v1/archives/check").json()["data"] == []
    stores.archives.shelf.files.clear()
    refused = client.get("/v1/events")
    assert (refused.status_code, refused.json()["code"]) == (503, "archive.unavailable")
    assert "2025-09/" in refused.json()["detail"]
    assert client.get("/v1/events?since=2026-01-01T00:00:00Z").status_code == 200
    assert len(client.get("/v1/archives/check").json()["data"]) == 2
    checked = client.post(f"/v1/archives/{archive['id']}/verify")
    assert checked.status_code == 202
    wait_for(client, archive["id"], worker)
    assert len(done_of(client, archive["id"])["findings"]) == 2  # type: ignore[arg-type]


def test_what_becomes_old_enough_is_archived_on_schedule(
    stores: Stores, worker: ArchiveWorker, clock: Clock
) -> None:
    filled(stores)
    assert worker.schedule_once()
    work(worker)
    assert [one.month for one in stores.archives.in_force()] == ["2025-09"]
    assert not worker.schedule_once()
    clock.now = datetime(2026, 8, 2, tzinfo=UTC)
    assert worker.schedule_once()
    work(worker)
    assert [one.month for one in stores.archives.in_force()] == ["2025-09", "2026-01"]
    clock.now += timedelta(hours=2)
    assert not worker.schedule_once()


def test_statements_over_archives_need_one(client: TestClient) -> None:
    asked = {"statement": "SELECT 1", "archive": []}
    assert client.post("/v1/sql", json=asked).status_code == 404
