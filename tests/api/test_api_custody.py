"""``/v1/custody``: what callers see of it, and what they may add."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.errors import StoreUnavailable
from kintsugi.model.stores import Stores
from tests.api.test_api_exports import finished
from tests.control_plane import Clock, bearer, make_event, make_token

DIGEST = "sha256:" + "c" * 64


def listed(client: TestClient, **where: str) -> list[dict[str, Any]]:
    answer = client.get("/v1/custody", params=where)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    assert answer.json()["meta"]["total"] == len(found)
    return found


def test_an_export_and_each_download_of_it_are_recorded(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    stores.events.append([make_event(1)])
    job = finished(client, {"type": "events", "format": "jsonl", "reason": "asked by the auditor"})
    clock.advance(seconds=1)
    client.get(job["content"])
    transfer, export = listed(client, object=f"export:{job['id']}")
    assert (export["action"], export["reason"]) == ("export", "asked by the auditor")
    assert (export["digest_before"], export["digest_after"]) == ("", f"sha256:{job['sha256']}")
    assert transfer["action"] == "transfer"
    assert transfer["digest_before"] == transfer["digest_after"] == f"sha256:{job['sha256']}"
    name, _, token_id = export["actor"].rpartition("/")
    assert export["actor"] == transfer["actor"]
    assert (name, token_id) == (stores.tokens.list()[0].name, stores.tokens.list()[0].id)


def test_a_download_that_cannot_be_recorded_does_not_happen(
    client: TestClient, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = finished(client, {"type": "events", "format": "jsonl"})
    assert client.get("/v1/exports/nope/content").status_code == 404

    def refuse(_: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(stores.custody, "add", refuse)
    assert client.get(job["content"]).status_code == 503
    assert len(listed(client)) == 1  # the export alone


def test_what_happened_elsewhere_is_reported_with_who_and_when_from_the_server(
    client: TestClient,
) -> None:
    told = {
        "action": "verify",
        "object": "package:0199",
        "reason": "holds",
        "digest_before": DIGEST,
        "digest_after": DIGEST,
    }
    made = client.post("/v1/custody", json=told)
    assert made.status_code == 201, made.text
    (entry,) = listed(client, action="verify")
    assert entry == made.json()["data"]
    assert entry["at"].startswith("2026-04-23")


def test_only_what_the_server_cannot_see_may_be_reported(client: TestClient) -> None:
    for wrong in (
        {"action": "reveal", "object": "event:1"},
        {"action": "verify", "object": "no kind"},
        {"action": "verify", "object": "package:1", "actor": "somebody/else"},
        {"action": "verify", "object": "package:1", "digest_after": "md5:1"},
    ):
        assert client.post("/v1/custody", json=wrong).status_code == 422, wrong
    assert client.get("/v1/custody", params={"action": "eat"}).status_code == 422
    assert listed(client) == []


def test_pages_and_totals(client: TestClient, clock: Clock) -> None:
    for number in range(3):
        clock.advance(seconds=1)
        client.post("/v1/custody", json={"action": "verify", "object": f"package:{number}"})
    answer = client.get("/v1/custody", params={"limit": 2}).json()
    assert [one["object"] for one in answer["data"]] == ["package:2", "package:1"]
    rest = client.get("/v1/custody", params={"limit": 2, "cursor": answer["meta"]["next_cursor"]})
    assert [one["object"] for one in rest.json()["data"]] == ["package:0"]
    none = client.get("/v1/custody", params={"limit": 0}).json()
    assert (none["data"], none["meta"]["total"]) == ([], 3)


def test_reading_and_reporting_are_two_scopes(anonymous: TestClient, stores: Stores) -> None:
    reader = bearer(make_token(stores, Scope.CUSTODY_READ))
    body = {"action": "verify", "object": "package:1"}
    assert anonymous.get("/v1/custody", headers=reader).status_code == 200
    assert anonymous.post("/v1/custody", headers=reader, json=body).status_code == 403
