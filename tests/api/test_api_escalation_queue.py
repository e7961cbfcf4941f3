"""The queue over HTTP: what is shown, decided together, proved, and counted."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.model.content import Identity
from kintsugi.model.event import Payload
from kintsugi.model.oversight import HeldEscalation
from kintsugi.model.stores import Stores
from kintsugi.notify.watch import Watch
from tests.contract.test_override_store import report
from tests.control_plane import NOON, bearer, make_token

PAYLOAD = Payload("Refund [masked]", "Done.", 1)


def raised(stores: Stores, *numbers: int, **more: Any) -> list[str]:
    return [stores.oversight.raise_escalation(report(n, **more)).id for n in numbers]


def held(client: TestClient, number: int = 1) -> str:
    told = report(number)
    fields = {name: getattr(told, name) for name in told.__struct_fields__}
    body = msgspec.json.encode(HeldEscalation(**fields, payload=PAYLOAD))
    headers = {"content-type": "application/json"}
    answer = client.post("/v1/escalations", content=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return told.id


def test_what_is_held_is_shown_redacted_and_proves_what_was_seen(client: TestClient) -> None:
    one = held(client)
    shown = client.get(f"/v1/escalations/{one}").json()["data"]
    assert (shown["held"], shown["request"], shown["masked"]) == (True, "Refund [masked]", 1)
    stale = {"reason": "fine", "seen": "sha256:other"}
    assert client.post(f"/v1/escalations/{one}/approve", json=stale).status_code == 409
    body = {"reason": "fine", "seen": shown["shown_digest"], "classification": "false_positive"}
    assert client.post(f"/v1/escalations/{one}/approve", json=body).status_code == 200
    [kept] = client.get("/v1/overrides").json()["data"]
    assert kept["seen"]["digest"] == shown["shown_digest"]
    assert {"request", "response", "user_id", "policy_name"} <= set(kept["seen"]["fields"])
    [proposal] = client.get("/v1/overrides/proposals").json()["data"]
    assert (proposal["event_id"], proposal["proposes"]) == (one, "allow")


def test_who_may_not_read_events_decides_without_the_content(
    client: TestClient, stores: Stores
) -> None:
    one = held(client)
    scopes = (Scope.ESCALATIONS_READ, Scope.ESCALATIONS_RESOLVE)
    client.headers.update(bearer(make_token(stores, *scopes, name="rita")))
    shown = client.get(f"/v1/escalations/{one}").json()["data"]
    assert shown["request"] == ""
    assert client.post(f"/v1/escalations/{one}/reveal", json={"reason": "x"}).status_code == 403


def test_revealing_what_is_held_is_on_record(client: TestClient) -> None:
    one = held(client)
    assert client.post(f"/v1/escalations/{one}/reveal", json={"reason": " "}).status_code == 422
    revealed = client.post(f"/v1/escalations/{one}/reveal", json={"reason": "the customer asked"})
    assert revealed.json()["data"]["response"] == "Done."
    [entry] = client.get("/v1/custody?action=reveal").json()["data"]
    assert (entry["object"], entry["reason"]) == (f"escalation:{one}", "the customer asked")


def test_many_with_one_cause_are_decided_one_by_one(client: TestClient, stores: Stores) -> None:
    wanted = raised(stores, 1, 2, 3)
    [own] = raised(stores, 4, identity=Identity(user_id="test"))
    [other] = raised(stores, 5, reason_code="other.reason")
    stores.oversight.claim(wanted[2], by="otto", now=NOON)
    declared = client.post("/v1/incidents", json={"title": "A rule went wild"})
    reference = declared.json()["data"]["reference"]
    body = {
        "cause": {"reason_code": "oversight.required", "config_version": "support@7"},
        "decision": "reject",
        "reason": "the rule of version 7 is wrong",
        "classification": "false_positive",
        "incident": reference,
    }
    preview = client.post("/v1/escalations/resolve?dry_run=true", json=body).json()["data"]
    assert (preview["decided"], preview["refused"], preview["bulk_id"]) == (2, 2, "")
    assert {item["why"] for item in preview["items"] if item["outcome"] == "refused"} == {
        "Nobody may decide about their own request.",
        '"otto" has claimed it',
    }
    assert client.get("/v1/overrides").json()["data"] == []
    done = client.post("/v1/escalations/resolve", json=body).json()["data"]
    assert (done["decided"], done["refused"]) == (2, 2)
    kept = client.get("/v1/overrides").json()["data"]
    assert {one["escalation_id"] for one in kept} == set(wanted[:2])
    assert {one["bulk_id"] for one in kept} == {done["bulk_id"]}
    told = client.get(f"/v1/incidents/{reference}/timeline").text
    assert "2 escalations rejected together" in told
    statuses = [stores.oversight.escalation(one).status for one in (own, other)]
    assert statuses == ["pending", "pending"]


def test_a_bulk_without_a_cause_or_an_incident_that_is_none_is_refused(client: TestClient) -> None:
    body: dict[str, Any] = {"cause": {}, "decision": "reject", "reason": "x"}
    assert "body.cause" in client.post("/v1/escalations/resolve", json=body).text
    body |= {"cause": {"user_id": "ada"}, "incident": "INC-000999"}
    assert client.post("/v1/escalations/resolve", json=body).status_code == 404


def test_the_backlog_is_a_signal_at_twenty_and_at_fifty(client: TestClient, stores: Stores) -> None:
    watch = Watch(stores)
    seen = []
    for count in (20, 21, 51):
        raised(stores, *range(count))
        watch.look(now=NOON)
        found = client.get("/v1/signals?kind=escalation_backlog").json()["data"]
        seen.append(sorted(one["severity"] for one in found))
    assert seen == [[], ["high"], ["critical", "high"]]
    assert 'kintsugi_escalations{status="pending"} 51.0' in client.get("/metrics").text
    body = {"cause": {"user_id": "ada"}, "decision": "reject", "reason": "a drill"}
    client.headers.update(bearer(make_token(stores, name="rita")))
    assert client.post("/v1/escalations/resolve", json=body).json()["data"]["decided"] == 51
    watch.look(now=NOON)
    assert client.get("/v1/signals?kind=escalation_backlog&status=unresolved").json()["data"] == []
    told = [one["type"] for one in client.get("/v1/notices?type=signal.raised").json()["data"]]
    assert len(told) == 2


def test_load_is_told(client: TestClient, stores: Stores) -> None:
    for one in raised(stores, 1, 2):
        client.post(f"/v1/escalations/{one}/reject", json={"reason": "no"})
    load = client.get("/v1/overrides/load?since=2h").json()["data"]
    [reviewer] = load["reviewers"]
    assert (reviewer["decided"], reviewer["unseen"], reviewer["override_rate"]) == (2, 2, 0.0)
