"""``/v1/workflows``: registered, changed from what was read, held against traffic."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.model.stores import Stores
from tests.control_plane import bearer, make_event, make_token

OWNERS = {"business_owner": "ada", "technical_owner": "bo"}


def register(client: TestClient, name: str = "support/refunds", **more: Any) -> dict[str, Any]:
    answer = client.post("/v1/workflows", json={"name": name, **OWNERS, **more})
    assert answer.status_code == 201, answer.text
    assert answer.headers["etag"] == '"1"'
    found: dict[str, Any] = answer.json()["data"]
    return found


def test_a_name_and_two_owners_are_enough(client: TestClient) -> None:
    made = register(client)
    assert made["risk_tier"] == "critical"
    assert {gap["where"] for gap in made["gaps"]} >= {"areas.autonomy", "playbook", "models"}
    shown = client.get("/v1/workflows/support/refunds").json()["data"]
    assert (shown["workflow"], shown["seen"]) == (made["workflow"], None)
    assert "Kill switch" in shown["required"]["autonomy"]
    again = client.post("/v1/workflows", json={"name": "support/refunds", **OWNERS})
    assert (again.status_code, again.json()["code"]) == (409, "state_conflict")
    assert client.get("/v1/workflows/other").status_code == 404


def test_bad_input_names_its_field(client: TestClient) -> None:
    for body, where in (
        ({"name": "w"}, "body.business_owner"),
        ({"name": "", **OWNERS}, "body.name"),
        ({"name": "unregistered", **OWNERS}, "body.name"),
        ({"name": "w", **OWNERS, "areas": {"autonomi": "low"}}, "body.areas.autonomi"),
        ({"name": "w", **OWNERS, "areas": {"autonomy": "some"}}, "body.areas.autonomy"),
        ({"name": "w", **OWNERS, "models": [{"nam": "x"}]}, "body.models.0.name"),
        ({"name": "w", **OWNERS, "tier_override": {"tier": "low"}}, "body.tier_override.reason"),
    ):
        answer = client.post("/v1/workflows", json=body)
        assert answer.status_code == 422
        assert where in answer.text, answer.text


def test_an_edit_is_made_from_what_was_read(client: TestClient) -> None:
    register(client)
    path = "/v1/workflows/support/refunds"
    body = {**OWNERS, "tier_override": {"tier": "low", "reason": "a pilot"}, "note": "pilot"}
    dry = client.put(path, json=body, params={"dry_run": "true"}).json()["data"]
    assert (dry["risk_tier"], dry["workflow"]["version"]) == ("low", 2)
    edited = client.put(path, json=body, headers={"if-match": '"1"'})
    assert (edited.status_code, edited.headers["etag"]) == (200, '"2"')
    assert edited.json()["data"]["workflow"]["override"]["by"].startswith("test/")
    for method, to in (("PUT", path), ("PUT", f"{path}?dry_run=true")):
        assert client.request(method, to, json=body, headers={"if-match": '"1"'}).status_code == 412
    versions = client.get(f"{path}/versions").json()["data"]
    assert [one["workflow"]["version"] for one in versions] == [2, 1]
    assert client.get(f"{path}/versions/1").json()["data"]["risk_tier"] == "critical"
    assert client.put("/v1/workflows/other", json=OWNERS).status_code == 404


def test_traffic_that_nobody_registered_is_seen(client: TestClient, stores: Stores) -> None:
    events = [make_event(number, workflow="triage") for number in range(2)]
    stores.events.append([*events, make_event(3, workflow="support/refunds"), make_event(4)])
    answer = client.get("/v1/workflows/unregistered", params={"limit": 1}).json()
    assert answer["meta"] == {"total": 2, "total_is_floor": False, "next_cursor": "support/refunds"}
    after = {"cursor": "support/refunds"}
    [found] = client.get("/v1/workflows/unregistered", params=after).json()["data"]
    assert (found["name"], found["events"]) == ("triage", 2)
    assert client.get("/v1/status").json()["data"]["unregistered_workflows"] == 2
    kinds = [one["kind"] for one in client.get("/v1/signals").json()["data"]]
    assert kinds == ["workflow_unregistered"] * 2
    register(client, models=[{"name": "other"}])
    shown = client.get("/v1/workflows/support/refunds").json()["data"]
    assert [(one["kind"], one["name"]) for one in shown["drift"]] == [("model", "sim-echo")]
    assert client.get("/v1/status").json()["data"]["unregistered_workflows"] == 1


def test_a_retired_workflow_leaves_the_list_and_can_come_back(client: TestClient) -> None:
    register(client)
    path = "/v1/workflows/support/refunds"
    assert client.post(f"{path}/retire", json={}).status_code == 422
    ended = client.post(f"{path}/retire", json={"reason": "replaced"}).json()["data"]["workflow"]
    assert (ended["status"], ended["note"]) == ("retired", "replaced")
    assert client.post(f"{path}/retire", json={"reason": "again"}).status_code == 409
    assert client.get("/v1/workflows").json()["meta"]["total"] == 0
    assert client.get("/v1/workflows", params={"status": "retired"}).json()["meta"]["total"] == 1
    assert client.put(path, json=OWNERS).json()["data"]["workflow"]["status"] == "active"


def test_reading_does_not_allow_changing(anonymous: TestClient, stores: Stores) -> None:
    reader = bearer(make_token(stores, Scope.WORKFLOWS_READ))
    assert anonymous.get("/v1/workflows/areas", headers=reader).status_code == 200
    body = {"name": "w", **OWNERS}
    assert anonymous.post("/v1/workflows", json=body, headers=reader).status_code == 403
