"""Revealing, erasing and rotating over the API."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api.feed import ChangeFeed
from kintsugi.api.permissions import Scope
from kintsugi.api.vault_worker import VaultWorker
from kintsugi.model.custody import CustodyFilter
from kintsugi.model.erasure import ErasureJob, PlaceReached, Receipt
from kintsugi.model.event import DecisionEvent, Payload, Unredacted
from kintsugi.model.stores import Stores
from kintsugi.model.vault import Subject
from kintsugi.vault.remembered import FILE, read
from tests.control_plane import NOON, Clock, bearer, make_event, make_token

RECORDED = Payload(
    request='{"messages":[{"role":"user","content":"call [PHONE]"}]}',
    masked=1,
    unredacted=Unredacted('{"messages":[{"role":"user","content":"call 555-0100"}]}', "fine"),
)


@pytest.fixture
def event(stores: Stores) -> DecisionEvent:
    one = make_event(1, payload=RECORDED, user_id="ada")
    stores.events.append([one])
    return one


def finished(client: TestClient, erasure_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        job: dict[str, Any] = client.get(f"/v1/erasures/{erasure_id}").json()["data"]
        if job["state"] in ("done", "failed"):
            return job
        time.sleep(0.02)
    raise AssertionError("the erasure did not end")


def erase(client: TestClient, subject: str, **more: Any) -> dict[str, Any]:
    answer = client.post("/v1/erasures", json={"subject": subject, **more})
    assert answer.status_code == 202, answer.text
    return finished(client, answer.json()["data"]["id"])


def test_nothing_shows_unredacted_content_but_reveal(
    client: TestClient, event: DecisionEvent
) -> None:
    for path in (f"/v1/events/{event.id}", "/v1/events", "/v1/events?q=call"):
        assert "555-0100" not in client.get(path).text
    assert client.get("/v1/events?q=0100").json()["meta"]["total"] == 0
    answer = client.post(f"/v1/events/{event.id}/reveal", json={"reason": "incident 12"})
    assert "555-0100" in answer.json()["data"]["payload"]["request"]


def test_revealing_leaves_who_saw_it_and_why(
    client: TestClient, stores: Stores, event: DecisionEvent
) -> None:
    revealed = client.post(f"/v1/events/{event.id}/reveal", json={"reason": " incident 12 "})
    (entry,), _ = stores.custody.page(CustodyFilter(action="reveal"), limit=9)
    assert entry.id == revealed.json()["data"]["custody_id"]
    assert (entry.object, entry.reason) == (f"event:{event.id}", "incident 12")
    assert entry.actor.startswith("test/")
    assert entry.digest_before == stores.events.get(event.id).payload_digest
    for body in ({}, {"reason": ""}, {"reason": "  "}):
        assert client.post(f"/v1/events/{event.id}/reveal", json=body).status_code == 422
    assert len(stores.custody.page(CustodyFilter(action="reveal"), limit=9)[0]) == 1


def test_revealing_needs_its_own_scope(
    anonymous: TestClient, stores: Stores, event: DecisionEvent
) -> None:
    path = f"/v1/events/{event.id}/reveal"
    reader = bearer(make_token(stores, Scope.EVENTS_READ))
    assert anonymous.post(path, json={"reason": "x"}, headers=reader).status_code == 403
    revealer = bearer(make_token(stores, Scope.PAYLOADS_REVEAL))
    assert anonymous.post(path, json={"reason": "x"}, headers=revealer).status_code == 200


def test_revealed_content_is_not_kept_for_a_repeated_request(
    client: TestClient, event: DecisionEvent
) -> None:
    path, headers = f"/v1/events/{event.id}/reveal", {"idempotency-key": "k1"}
    first = client.post(path, json={"reason": "x"}, headers=headers)
    again = client.post(path, json={"reason": "x"}, headers=headers)
    assert "555-0100" in first.text
    assert "555-0100" not in again.text
    assert again.json()["data"]["custody_id"] == first.json()["data"]["custody_id"]


def test_an_erasure_runs_to_its_end_and_is_verified(
    client: TestClient, stores: Stores, event: DecisionEvent
) -> None:
    other = make_event(2, user_id="bob")
    stores.events.append([other])
    job = erase(client, "ada", reason="asked to")
    assert (job["state"], job["progress"], job["events"], job["keys"]) == ("done", 1.0, 1, 1)
    shown = client.get(f"/v1/events/{event.id}").json()["data"]["payload"]
    assert shown["erased"]["erasure_id"] == job["id"]
    assert "request" not in shown
    assert client.get(f"/v1/events/{other.id}").json()["data"]["payload"]["request"]
    refused = client.post(f"/v1/events/{event.id}/reveal", json={"reason": "x"})
    assert refused.status_code == 409
    assert job["id"] in refused.json()["detail"]
    found = client.get(f"/v1/erasures/{job['id']}/verification").json()["data"]
    assert found["holds"] is True
    names = [check["name"] for check in found["checks"]]
    assert names[:4] == ["log", "data keys", "contents", "full text"]
    assert "exports" in names
    receipt = msgspec.convert(job["receipt"], Receipt)
    assert found["receipt_digest"] == receipt.digest
    assert receipt.digest in found["proof"]["data"]
    assert [one["id"] for one in client.get("/v1/erasures").json()["data"]] == [job["id"]]


def test_a_dry_run_erases_nothing(client: TestClient, event: DecisionEvent) -> None:
    answer = client.post("/v1/erasures", json={"subject": "ada", "dry_run": True})
    assert answer.status_code == 200
    preview = answer.json()["data"]
    assert (preview["subject"], preview["events"], preview["holds"]) == ("user:ada", 1, [])
    assert client.get(f"/v1/events/{event.id}").json()["data"]["payload"]["request"]
    assert client.get("/v1/erasures").json()["data"] == []


def test_whose_content_it_is_must_be_clear(
    client: TestClient, stores: Stores, event: DecisionEvent
) -> None:
    assert client.post("/v1/erasures", json={"subject": "nobody"}).status_code == 404
    assert client.post("/v1/erasures", json={"subject": "user:"}).status_code == 422
    owned = client.post("/v1/erasures", json={"subject": f"event:{event.id}"})
    assert owned.status_code == 422
    assert "user:ada" in owned.text
    alone = make_event(3, user_id="")
    stores.events.append([alone])
    assert erase(client, f"event:{alone.id}")["events"] == 1


def test_exports_that_hold_erased_content_are_withdrawn(
    client: TestClient, stores: Stores, event: DecisionEvent
) -> None:
    stores.events.append([make_event(2, user_id="bob")])

    def exported(**where: str) -> str:
        made = client.post("/v1/exports", json={"type": "events", "filter": where})
        identifier = str(made.json()["data"]["id"])
        deadline = time.monotonic() + 20
        while client.get(f"/v1/exports/{identifier}").json()["data"]["state"] != "done":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return identifier

    both, only_bob = exported(), exported(user="bob")
    preview = client.post("/v1/erasures", json={"subject": "ada", "dry_run": True}).json()["data"]
    assert {"name": "exports", "things": 1} in preview["places"]
    job = erase(client, "ada")
    assert [(p["name"], p["removed"]) for p in job["places"] if p["name"] == "exports"] == [
        ("exports", 1)
    ]
    gone = client.get(f"/v1/exports/{both}/content")
    assert gone.status_code == 404
    assert job["id"] in gone.json()["detail"]
    assert client.get(f"/v1/exports/{only_bob}/content").status_code == 200
    again = client.get(f"/v1/exports/{exported()}/content")
    assert "call" not in again.text
    assert job["id"] in again.text


def test_a_legal_hold_is_named_and_nothing_is_erased(
    client: TestClient, event: DecisionEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "kintsugi.api.control.Control.holding", lambda _self, _subject: ("case 7", "audit")
    )
    preview = client.post("/v1/erasures", json={"subject": "ada", "dry_run": True}).json()["data"]
    assert preview["holds"] == ["case 7", "audit"]
    refused = client.post("/v1/erasures", json={"subject": "ada"})
    assert refused.status_code == 409
    assert '"case 7", "audit"' in refused.json()["detail"]
    assert client.get(f"/v1/events/{event.id}").json()["data"]["payload"]["request"]


def test_a_hold_that_comes_before_the_keys_are_destroyed_stops_the_job(
    stores: Stores, clock: Clock, tmp_path: Path, event: DecisionEvent
) -> None:
    feed = ChangeFeed(stores.changes)
    worker = VaultWorker(stores, feed, tmp_path, clock, places=(), holds=lambda _: ("case 7",))
    job = ErasureJob("019d0000-0000-7000-8000-000000000001", "user:ada", "", "t", "queued", NOON)
    stores.erasures.request(job)
    assert worker.erase_once()
    ended = stores.erasures.erasure(job.id)
    assert (ended.state, ended.destroyed_at) == ("failed", None)
    assert 'legal hold "case 7"' in ended.error
    assert stores.events.get(event.id).payload.erased is None


class Shelf:
    """Somewhere else, which may be out of reach."""

    name = "regression cases"
    broken = True

    def holds(self, _subject: Subject) -> int:
        return 1

    def erase(self, _subject: Subject, *, erasure_id: str) -> PlaceReached:
        if self.broken:
            raise OSError("disk is away")
        return PlaceReached(self.name, "done", removed=1, detail=erasure_id)

    def left(self, _subject: Subject, *, erasure_id: str) -> int:
        return int(self.broken and bool(erasure_id))


def test_a_place_that_cannot_be_reached_fails_the_job_and_can_be_tried_again(
    stores: Stores, clock: Clock, tmp_path: Path, event: DecisionEvent
) -> None:
    feed, place = ChangeFeed(stores.changes), Shelf()
    worker = VaultWorker(stores, feed, tmp_path, clock, places=[place], holds=lambda _: ())
    job = ErasureJob("019d0000-0000-7000-8000-000000000001", "user:ada", "", "t", "queued", NOON)
    stores.erasures.request(job)
    assert worker.erase_once()
    failed = stores.erasures.erasure(job.id)
    assert failed.state == "failed"
    assert "regression cases: disk is away" in failed.error
    assert stores.events.get(event.id).payload.erased is not None
    place.broken = False
    stores.erasures.retry(job.id, now=clock())
    assert worker.erase_once()
    done = stores.erasures.erasure(job.id)
    assert (done.state, done.error, done.places[0].removed) == ("done", "", 1)
    assert [one.id for one in read(tmp_path / FILE)] == [job.id]


def test_keys_are_shown_and_rotated_but_never_told(
    client: TestClient, event: DecisionEvent
) -> None:
    (key,) = client.get("/v1/keys").json()["data"]["keys"]
    assert (key["state"], key["data_keys"]) == ("current", 1)
    rotated = client.post("/v1/keys/rotate")
    assert rotated.status_code == 202
    deadline = time.monotonic() + 20
    while True:
        newest, old = client.get("/v1/keys").json()["data"]["keys"]
        if old["state"] == "retired":
            break
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (newest["state"], newest["data_keys"], old["id"]) == ("current", 1, key["id"])
    assert client.get(f"/v1/events/{event.id}").json()["data"]["payload"]["request"]
