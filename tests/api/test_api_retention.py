"""How long evidence is kept: set with an owner below the floor, previewed, run, and told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.api.retention_worker import Retention
from kintsugi.ledger.completeness import completeness
from kintsugi.model.event import ExpiredNote, Payload
from kintsugi.model.evidence import State
from kintsugi.model.retention import DEFAULTS, Relaxation, RetentionPolicy, changed
from kintsugi.model.stores import Stores
from tests.contract.test_retention_store import exported, hold, said
from tests.control_plane import Clock, bearer, make_token
from tests.databases import NOON

DAY = timedelta(days=1)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def worker(stores: Stores, clock: Clock, tmp_path: Path) -> Retention:
    """Drives runs by hand; the application's own thread may help."""
    return Retention(stores, clock, tmp_path)


def settled(client: TestClient, worker: Retention, run_id: str) -> Any:
    for _ in range(200):
        worker.work_once()
        run = client.get(f"/v1/retention/runs/{run_id}").json()["data"]
        if run["state"] not in ("queued", "running"):
            return run
    raise AssertionError(f"not through: {run}")


def run_now(client: TestClient, worker: Retention) -> Any:
    """A run that somebody asked for, once the daily one is through."""
    for _ in range(200):
        worker.work_once()
        answer = client.post("/v1/retention/runs", json={"reason": "tidy"})
        if answer.status_code == 202:
            return settled(client, worker, answer.json()["data"]["id"])
    raise AssertionError(answer.text)


def put(client: TestClient, version: int | str | None = None, **policies: Any) -> Any:
    headers = {} if version is None else {"if-match": f'"{version}"'}
    body = {"policies": policies, "reason": "decided"}
    return client.put("/v1/retention", json=body, headers=headers)


def test_every_class_is_shown_with_its_period(client: TestClient) -> None:
    answer = client.get("/v1/retention")
    view = answer.json()["data"]
    assert answer.headers["etag"] == '"0"'
    days = {one["name"]: (one["days"], one["floor_days"]) for one in view["policies"]}
    assert days["payloads"] == days["traces"] == days["exports"] == (183, 183)
    assert days["events"] == days["packages"] == (1827, 183)
    assert days["custody"] == days["log"] == days["incidents"] == (None, None)


def test_a_period_is_set_by_who_read_the_newest_version(client: TestClient) -> None:
    assert put(client, 0, payloads={"days": 365}).json()["data"]["version"] == 1
    assert put(client, 0, payloads={"days": 400}).status_code == 412
    assert put(client, 1, signals={"days": None}).json()["data"]["version"] == 2
    shown = client.get("/v1/retention").json()["data"]
    assert {one["name"]: one["days"] for one in shown["policies"]}["signals"] is None


def test_a_dry_run_changes_nothing(client: TestClient) -> None:
    body = {"policies": {"payloads": {"days": 365}}, "reason": "x"}
    answer = client.put("/v1/retention?dry_run=true", json=body)
    assert answer.json()["data"]["dry_run"] is True
    assert client.get("/v1/retention").json()["data"]["version"] == 0


@pytest.mark.parametrize(
    ("policies", "said"),
    [
        ({"payloads": {"days": 30}}, "below the floor of 183"),
        ({"payloads": {"days": 0}}, "use 1 to 36500"),
        ({"events": {"days": 183}, "payloads": {"days": 365}}, "as long as payloads"),
        ({"custody": {"days": 365}}, "cannot be set"),
        ({"nonsense": {"days": 365}}, "no class of evidence"),
        (
            {
                "payloads": {
                    "days": 30,
                    "relaxed": {"owner": "ana", "reason": "law", "expires": "2026-01-01"},
                }
            },
            "which is over",
        ),
        (
            {
                "payloads": {
                    "days": 365,
                    "relaxed": {"owner": "ana", "reason": "law", "expires": "2027-01-01"},
                }
            },
            "nothing is relaxed",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(
    client: TestClient, policies: Any, said: str
) -> None:
    answer = put(client, **policies)
    assert answer.status_code == 422
    assert said in answer.text
    assert client.get("/v1/retention").json()["data"]["version"] == 0


def test_less_than_the_floor_shows_as_relaxed_and_ends_by_itself(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    relaxed = {"owner": "ana", "reason": "GDPR request", "expires": "2026-05-01"}
    assert put(client, payloads={"days": 30, "relaxed": relaxed}).status_code == 200
    [shown] = client.get("/v1/status").json()["data"]["relaxed"]
    assert (shown["path"], shown["setting"], shown["state"]) == (
        "retention.payloads",
        "days: 30",
        "in_time",
    )
    assert (shown["owner"], shown["gateways"]) == ("ana", ["control plane"])
    assert 'kintsugi_api_relaxed_settings{state="in_time"} 1.0' in client.get("/metrics").text
    assert stores.retention.settings().before("payloads", clock()) == NOON - 30 * DAY
    clock.advance(days=30)
    [ended] = client.get("/v1/status").json()["data"]["relaxed"]
    assert (ended["state"], ended["gateways"]) == ("overdue", [])
    assert stores.retention.settings().before("payloads", clock()) == clock() - 183 * DAY


def test_a_run_tells_what_it_removed_and_who_kept_how_many(
    client: TestClient, stores: Stores, worker: Retention
) -> None:
    run_now(client, worker)
    stores.events.append([said(1, user_id="ada"), said(2, user_id="eve")])
    hold(stores, user="ada")
    preview = client.post("/v1/retention/runs?dry_run=true", json={}).json()["data"]
    told = {one["name"]: one for one in preview["classes"]}["payloads"]
    assert (told["removed"], told["kept"], told["is_floor"]) == (1, 1, False)
    assert [one["name"] for one in told["kept_by"]] == ["Doe"]
    run = run_now(client, worker)
    assert (run["state"], run["removed"], run["kept"], run["progress"]) == ("done", 1, 1, 1.0)
    gone = client.get(f"/v1/events/{said(2).id}").json()["data"]
    assert gone["payload"]["expired"]["policy"] == "payloads: 183 days"
    reveal = client.post(f"/v1/events/{said(2).id}/reveal", json={"reason": "why"})
    assert reveal.status_code == 409
    assert "expired on 2026-04-23" in reveal.text
    assert client.get(f"/v1/log/events/{said(2).id}/proof").status_code == 200
    listed = client.get("/v1/retention/runs").json()["data"]
    assert run["id"] in [one["id"] for one in listed]
    assert client.get(f"/v1/log/leaves/{run['leaf']}/proof").status_code == 200


def test_a_file_whose_time_is_over_leaves_the_disk_and_says_so(
    client: TestClient, stores: Stores, worker: Retention, tmp_path: Path
) -> None:
    job = exported(stores, 1)
    path = tmp_path / "exports" / f"{job.id}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}\n")
    run_now(client, worker)
    worker.work_once()
    assert not path.exists()
    shown = client.get(f"/v1/exports/{job.id}").json()["data"]
    assert (shown["state"], shown["content"]) == ("expired", None)
    answer = client.get(f"/v1/exports/{job.id}/content")
    assert answer.status_code == 410
    assert "expired on 2026-04-23 under policy exports: 183 days" in answer.text


def test_the_daily_run_comes_by_itself(
    client: TestClient, stores: Stores, worker: Retention, clock: Clock
) -> None:
    run_now(client, worker)
    before = len(stores.retention.runs(limit=99)[0])
    worker.work_once()
    assert len(stores.retention.runs(limit=99)[0]) == before
    clock.advance(days=1)
    while worker.work_once():
        pass
    [newest, *_] = stores.retention.runs(limit=9)[0]
    assert (newest.requested_by, newest.created_at) == ("system/retention", clock())


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        (Scope.RETENTION_READ, "GET", "/v1/retention", 200),
        (Scope.HOLDS_READ, "GET", "/v1/retention", 403),
        (Scope.RETENTION_READ, "POST", "/v1/retention/runs?dry_run=true", 403),
        (Scope.RETENTION_RUN, "POST", "/v1/retention/runs?dry_run=true", 200),
        (Scope.RETENTION_RUN, "PUT", "/v1/retention", 403),
    ],
)
def test_each_needs_its_own_scope(
    anonymous: TestClient,
    stores: Stores,
    scope: Scope,
    method: str,
    path: str,
    status: int,
) -> None:
    headers = bearer(make_token(stores, scope))
    body: dict[str, str] | None = None if method == "GET" else {}
    assert anonymous.request(method, path, json=body, headers=headers).status_code == status


def test_expired_content_is_told_apart_from_missing_content() -> None:
    whole = msgspec.structs.replace(said(1), payload=Payload('{"model":"m","messages":[]}', "yes"))
    note = ExpiredNote(NOON, "r", "payloads: 183 days")
    gone = msgspec.structs.replace(said(2), payload=Payload(expired=note))
    lost = msgspec.structs.replace(said(3), payload=Payload())
    by_key = {one.key: one for one in completeness([gone])}
    assert (by_key["prompt"].state, by_key["prompt"].missing) == (State.EXPIRED, ())
    by_key = {one.key: one for one in completeness([whole, gone, lost])}
    assert by_key["prompt"].state is State.PARTIAL
    assert by_key["prompt"].expired[0] == "prompt (1 of 3)"
    assert by_key["prompt"].missing[0] == "prompt (1 of 3)"


def test_records_stay_as_long_as_contents_whose_relaxation_has_ended() -> None:
    short, long = (Relaxation("ana", "law", NOON.date() + days * DAY) for days in (1, 100))
    policies = [RetentionPolicy("payloads", 30, short), RetentionPolicy("events", 30, long)]
    settings = changed(DEFAULTS, policies, by="ana", reason="", now=NOON)
    today, later = NOON.date(), NOON.date() + 2 * DAY
    assert [settings.in_force(name, today) for name in ("payloads", "events")] == [30, 30]
    assert [settings.in_force(name, later) for name in ("payloads", "events")] == [183, 183]
