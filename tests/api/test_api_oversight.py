"""Escalations and quarantines over the API: who may decide, what is refused and why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.model.decision import Phase
from kintsugi.model.event import DecisionEvent, Quarantine, RaisedEscalation
from kintsugi.model.oversight import EscalationReport
from kintsugi.model.stores import Stores
from kintsugi.model.verdict import Verdict
from tests.control_plane import NOON, Clock, bearer, make_event, make_token

HOUR = timedelta(hours=1)


def escalated(**changes: Any) -> DecisionEvent:
    made = make_event(1, verdict=Verdict.ESCALATE, policy_name="human-oversight", **changes)
    raised = RaisedEscalation(made.id, Phase.INPUT, "sha256:action", NOON + HOUR)
    return msgspec.structs.replace(made, escalation=raised)


def frozen() -> DecisionEvent:
    made = make_event(2, verdict=Verdict.QUARANTINE, policy_name="agent-firewall")
    return msgspec.structs.replace(made, quarantine=Quarantine(made.id, "agent", "bot"))


def test_an_escalation_is_claimed_approved_used_and_shows_all_of_it(
    client: TestClient, stores: Stores
) -> None:
    event = escalated()
    stores.events.append([event])
    at = f"/v1/escalations/{event.id}"
    shown = client.get(at).json()["data"]
    assert (shown["status"], shown["approvable"], shown["phase"]) == ("pending", True, "input")
    assert client.post(f"{at}/claim").json()["data"]["status"] == "claimed"
    assert client.get("/v1/escalations?status=pending&limit=0").json()["meta"]["total"] == 0
    approved = client.post(f"{at}/approve", json={"reason": "it is expected"}).json()["data"]
    assert (approved["status"], approved["reason"]) == ("approved", "it is expected")
    assert approved["resolved_by"]
    used = {"action_digest": "sha256:action", "revision": event.revision, "event_id": "e-9"}
    assert client.post(f"{at}/use", json=used).json()["data"]["used_by"] == "e-9"
    refused = client.post(f"{at}/use", json={**used, "event_id": "e-10"})
    assert refused.status_code == 409
    assert "used" in refused.json()["detail"]


def test_a_decision_needs_a_reason_and_comes_in_time(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    event = escalated()
    stores.events.append([event])
    at = f"/v1/escalations/{event.id}"
    assert client.post(f"{at}/reject", json={}).status_code == 422
    assert client.post(f"{at}/reject", json={"reason": "  "}).status_code == 422
    clock.advance(hours=2)
    assert client.get("/v1/escalations?status=expired").json()["meta"]["total"] == 1
    assert client.post(f"{at}/reject", json={"reason": "late"}).status_code == 409


def test_nobody_approves_their_own(anonymous: TestClient, stores: Stores) -> None:
    token = make_token(stores, Scope.ESCALATIONS_RESOLVE, name="ada")
    event = escalated(user_id="ada")
    stores.events.append([event])
    answer = anonymous.post(
        f"/v1/escalations/{event.id}/approve", json={"reason": "me"}, headers=bearer(token)
    )
    assert answer.status_code == 403


def test_a_gateway_reports_what_it_holds_and_may_not_decide(
    anonymous: TestClient, stores: Stores
) -> None:
    gateway = bearer(make_token(stores, Scope.GATEWAYS_WRITE))
    event = escalated()
    report = EscalationReport(
        id=event.id,
        created_at=NOON,
        expires_at=NOON + HOUR,
        action_digest="sha256:action",
        revision="sha256:plan",
        phase=Phase.TOOL,
        policy_name="custom",
        reason_code="custom.matched",
        gateway_id="gw-1",
        config_version="demo@1",
        held_until=NOON + timedelta(seconds=30),
    )
    body = msgspec.json.encode(report)
    json = {**gateway, "content-type": "application/json"}
    told = anonymous.post("/v1/escalations", content=body, headers=json)
    assert told.status_code == 201
    assert told.json()["data"]["held_until"].startswith("2026-04-23T12:00:30")
    at = f"/v1/escalations/{event.id}"
    refused = anonymous.post(f"{at}/approve", json={"reason": "mine"}, headers=gateway)
    assert refused.status_code == 403
    for bad in (b"{}", b"null", body.replace(event.id.encode(), b"no-id")):
        assert anonymous.post("/v1/escalations", content=bad, headers=json).status_code == 422


def test_many_may_see_a_quarantine_and_few_release_it(
    anonymous: TestClient, stores: Stores
) -> None:
    event = frozen()
    stores.events.append([event])
    reader = bearer(make_token(stores, Scope.QUARANTINES_READ))
    (record,) = anonymous.get("/v1/quarantines", headers=reader).json()["data"]
    assert (record["scope"], record["subject"]) == ("agent", "bot")
    at = f"/v1/quarantines/{event.id}"
    reason = {"reason": "the agent was fixed"}
    assert anonymous.post(f"{at}/release", json=reason, headers=reader).status_code == 403
    releaser = bearer(make_token(stores, Scope.QUARANTINES_RELEASE, name="rita"))
    assert anonymous.post(f"{at}/release", json={}, headers=releaser).status_code == 422
    released = anonymous.post(f"{at}/release", json=reason, headers=releaser).json()["data"]
    assert (released["released_by"], released["release_reason"]) == ("rita", reason["reason"])
    assert anonymous.get("/v1/quarantines", headers=reader).json()["data"] == []
    shown = anonymous.get("/v1/quarantines?status=released", headers=reader).json()["data"]
    assert [one["id"] for one in shown] == [event.id]


@pytest.mark.parametrize("at", ["/v1/escalations/none", "/v1/quarantines/none"])
def test_what_is_not_there_is_not_found(client: TestClient, at: str) -> None:
    assert client.get(at).status_code == 404
