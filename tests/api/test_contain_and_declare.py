"""An incident that is declared together with a containment; containing never waits for it."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.model.stores import Stores
from tests.control_plane import bearer, make_token

AT = "/v1/containments"
STOP: dict[str, Any] = {
    "lever": {"name": "stop"},
    "scope": {"workflow": "triage"},
    "reason": "a note leaked",
}


def incident_of(client: TestClient, reference: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/incidents/{reference}").json()["data"]
    return found


def test_one_call_contains_and_declares(client: TestClient, stores: Stores) -> None:
    made = client.post(AT, json={**STOP, "declare": "Notes leak"})
    assert made.status_code == 201, made.text
    found = made.json()["data"]
    reference = found["declared"]["reference"]
    assert (found["status"], found["declared"]["status"]) == ("in_force", "declared")
    assert found["containment"]["incident_id"] == incident_of(client, reference)["id"]
    assert found["snapshot"]["status"] == "queued"
    incident = incident_of(client, reference)
    assert (incident["title"], incident["state"]) == ("Notes leak", "declared")
    timeline = client.get(f"/v1/incidents/{reference}/timeline").json()["data"]
    assert "containment" in {one["kind"] for one in timeline}


def test_without_a_title_the_reason_is_the_title(client: TestClient) -> None:
    found = client.post(AT, json={**STOP, "declare": " "}).json()["data"]
    reference = found["declared"]["reference"]
    incident = incident_of(client, reference)
    assert incident["title"] == "a note leaked"


def test_who_may_not_declare_contains_all_the_same(anonymous: TestClient, stores: Stores) -> None:
    applier = bearer(make_token(stores, Scope.CONTAINMENTS_APPLY))
    made = anonymous.post(AT, json={**STOP, "declare": "Notes leak"}, headers=applier)
    assert made.status_code == 201, made.text
    found = made.json()["data"]
    assert found["status"] == "in_force"
    assert found["declared"] == {
        "status": "not_attempted",
        "reference": "",
        "why": "declaring takes the scope incidents:report",
    }


def test_a_bypass_belongs_to_the_incident_that_is_declared_with_it(client: TestClient) -> None:
    bypass = {**STOP, "lever": {"name": "bypass"}, "declare": "Half of all traffic is blocked"}
    found = client.post(AT, json=bypass).json()["data"]
    assert (found["status"], found["declared"]["status"]) == ("waiting", "declared")


def test_a_dry_run_declares_nothing(client: TestClient) -> None:
    body = {**STOP, "declare": "Notes leak"}
    told = client.post(AT, json=body, params={"dry_run": "true"}).json()["data"]
    assert told["declared"] == {"status": "not_attempted", "reference": "", "why": "dry run"}
    assert client.get("/v1/incidents").json()["data"] == []
    both = client.post(AT, json={**body, "incident_id": "INC-1"})
    assert (both.status_code, "body.declare" in both.text) == (422, True)
