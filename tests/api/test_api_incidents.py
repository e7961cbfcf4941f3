"""``/v1/incidents``: declared with a title, moved by verbs, refused with everything in the way."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.model.stores import Stores
from tests.control_plane import Clock, bearer, make_event, make_token


def declare(client: TestClient, title: str = "It lied", **more: Any) -> dict[str, Any]:
    answer = client.post("/v1/incidents", json={"title": title, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def do(client: TestClient, key: str, verb: str, **body: Any) -> dict[str, Any]:
    answer = client.post(f"/v1/incidents/{key}/{verb}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def test_declaring_needs_a_title_only(client: TestClient) -> None:
    made = declare(client)
    assert (made["state"], made["reference"], made["severity"]) == ("declared", "INC-000001", None)
    assert made["moves"] == ["contain", "investigate"]
    assert client.get("/v1/incidents/INC-1").json()["data"] == made
    assert client.get(f"/v1/incidents/{made['id']}").headers["etag"] == '"1"'
    assert client.post("/v1/incidents", json={}).status_code == 422
    assert client.post("/v1/incidents", json={"title": "  "}).status_code == 422
    assert client.get("/v1/incidents/INC-9").status_code == 404


def test_anybody_may_report_and_declare_but_only_responders_go_on(
    client: TestClient, anonymous: TestClient, stores: Stores
) -> None:
    reporter = bearer(make_token(stores, Scope.INCIDENTS_REPORT))
    answer = anonymous.post(
        "/v1/incidents", json={"title": "odd", "state": "reported"}, headers=reporter
    )
    assert answer.json()["data"]["state"] == "reported"
    path = f"/v1/incidents/{answer.json()['data']['id']}"
    assert anonymous.post(f"{path}/triage", json={}, headers=reporter).status_code == 403
    assert anonymous.get(path, headers=reporter).status_code == 403
    assert anonymous.post(f"{path}/declare", json={}, headers=reporter).status_code == 200


def test_a_refusal_lists_everything_that_stands_in_the_way(
    anonymous: TestClient, client: TestClient, stores: Stores
) -> None:
    made = declare(client)
    responder = bearer(make_token(stores, Scope.INCIDENTS_RESPOND))
    answer = anonymous.post(f"/v1/incidents/{made['id']}/close", json={}, headers=responder)
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["code"] == "blocked"
    found = {error["where"] for error in problem["errors"]}
    assert found >= {"state", "actor", "gate.commander", "gate.learning", "gate.verdicts"}
    assert all(error["message"] for error in problem["errors"])


def test_an_incident_is_worked_from_declaring_to_closing(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    stores.events.append([make_event(1), make_event(2)])
    made = declare(client, "Refunds invented", event_ids=[make_event(1).id])
    key = made["reference"]
    do(client, key, "assign", role="commander", person="ana")
    do(
        client,
        key,
        "assess",
        factors={
            "impact": 0,
            "uncertainty": 0,
            "blast_radius": 0,
            "reversibility": 0,
            "exposure": 0,
            "data_sensitivity": 0,
            "autonomy": 0,
            "recurrence": 0,
        },
    )
    do(client, key, "contain", reason="the workflow is stopped")
    do(client, key, "classify", categories=["correctness"], labels=["owasp_llm:LLM09:2025"])
    do(client, key, "judge", enforcement="missed", harm="harm")
    do(client, key, "investigate")
    do(client, key, "explain", part="mechanism", text="retrieval of 2023", confidence="known")
    do(client, key, "tie-events", filter={"user": make_event(2).user_id})
    do(client, key, "remediate")
    do(client, key, "monitor", reason="index rebuilt")
    review = do(client, key, "review")
    assert (review["severity"], review["event_count"], review["commander"]) == ("low", 2, "ana")
    gates = client.get(f"/v1/incidents/{key}/gates").json()["data"]
    assert {one["gate"] for one in gates if one["status"] == "missing"} == {"decision"}
    do(client, key, "describe", decision="pay the refunds")
    closed = do(client, key, "close")
    assert closed["state"] == "closed"
    assert client.get("/v1/incidents").json()["data"] == []
    assert len(client.get("/v1/incidents", params={"state": "all"}).json()["data"]) == 1
    timeline = client.get(f"/v1/incidents/{key}/timeline").json()["data"]
    texts = [one["text"] for one in timeline]
    assert {"declared", "contained", "closed", "1 decision event tied to it"} <= set(texts)
    assert all(one["by_system"] for one in timeline)
    events = client.get("/v1/events", params={"incident": key}).json()
    assert events["meta"]["total"] == 2
    of = client.get("/v1/incidents", params={"event": make_event(1).id}).json()["data"]
    assert [one["reference"] for one in of] == [key]


def test_a_change_to_a_version_that_is_gone_is_refused(client: TestClient) -> None:
    made = declare(client)
    path = f"/v1/incidents/{made['id']}/timeline"
    first = client.post(path, json={"text": "one"}, headers={"If-Match": '"1"'})
    assert (first.status_code, first.headers["etag"]) == (200, '"2"')
    stale = client.post(path, json={"text": "two"}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    dry = client.post(
        path, json={"text": "two"}, params={"dry_run": True}, headers={"If-Match": '"1"'}
    )
    assert dry.status_code == 412
    assert client.post(path, json={"text": "two"}).status_code == 200


def test_a_dry_run_decides_and_stores_nothing(client: TestClient) -> None:
    made = declare(client)
    path = f"/v1/incidents/{made['id']}"
    answer = client.post(f"{path}/contain", json={"reason": "x"}, params={"dry_run": True})
    assert answer.json()["data"]["state"] == "contained"
    assert client.get(path).json()["data"]["state"] == "declared"
    refused = client.post(f"{path}/close", json={}, params={"dry_run": True})
    assert refused.status_code == 409


def test_triage_takes_up_answers_and_dismisses(client: TestClient) -> None:
    made = declare(client, state="reported")
    assert do(client, made["id"], "triage")["state"] == "triage"
    answered = do(client, made["id"], "triage", systematic="no", scales_silently="no")
    assert answered["triage"]["systematic"] == "no"
    answer = client.post(
        f"/v1/incidents/{made['id']}/dismiss", json={"outcome": "near_miss", "reason": "caught"}
    )
    assert {one["where"] for one in answer.json()["errors"]} == {
        *("caught_by", "caught_how", "triage.regulated_or_vulnerable"),
    }
    do(client, made["id"], "triage", regulated_or_vulnerable="no")
    done = do(
        client,
        made["id"],
        "dismiss",
        outcome="near_miss",
        reason="caught",
        caught_by="chance",
        caught_how="the mail bounced",
    )
    assert (done["state"], done["verdicts"]["harm"]) == ("not_an_incident", "near_miss")


def test_timeline_entries_are_written_promoted_pinned_and_annotated(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    stores.events.append([make_event(1)])
    made = declare(client)
    path = f"/v1/incidents/{made['id']}/timeline"
    clock.advance(hours=1)
    assert do(client, made["id"], "timeline", event_id=make_event(1).id)["event_count"] == 1
    noted = do(client, made["id"], "timeline", text="calm", update=True, at="30m")
    assert noted["update_due_at"] == "2026-04-23T14:00:00Z"
    entries = client.get(path).json()["data"]
    assert [one["kind"] for one in entries] == ["update", "event", "transition"]
    assert entries[1]["at"] == "2026-04-23T12:00:01Z"
    do(client, made["id"], f"timeline/{entries[1]['id']}/pin")
    do(client, made["id"], f"timeline/{entries[1]['id']}/annotate", text="the first one")
    [pinned] = client.get(path, params={"pinned": True}).json()["data"]
    assert [one["text"] for one in pinned["annotations"]] == ["the first one"]
    do(client, made["id"], f"timeline/{entries[1]['id']}/unpin")
    assert client.get(path, params={"pinned": True}).json()["data"] == []
    page = client.get(path, params={"limit": 2, "order": "recorded_at"}).json()
    assert (len(page["data"]), page["meta"]["next_cursor"] is None) == (2, False)
    assert client.post(f"{path}/nope/pin", json={}).status_code == 404


def test_incidents_are_merged_split_and_linked(client: TestClient, stores: Stores) -> None:
    stores.events.append([make_event(1), make_event(2)])
    one = declare(client, "one", event_ids=[make_event(1).id, make_event(2).id])
    two = declare(client, "two")
    merged = do(client, two["id"], "merge", into=one["reference"], reason="same")
    assert (merged["state"], merged["merged_into"]) == ("merged", one["id"])
    assert do(client, two["id"], "unmerge", reason="not the same")["state"] == "declared"
    part = do(
        client, one["id"], "split", title="part", event_ids=[make_event(2).id], reason="other cause"
    )
    assert (part["reference"], part["event_count"]) == ("INC-000003", 1)
    do(client, one["id"], "link", to=two["id"])
    links = client.get(f"/v1/incidents/{two['id']}").json()["data"]["links"]
    assert [link["kind"] for link in links] == ["related"]
    untied = do(
        client, one["id"], "untie-events", event_ids=[make_event(1).id], reason="by mistake"
    )
    assert untied["event_count"] == 0


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("assess", {"factors": {"impact": 7}}),
        ("assess", {"factors": {"mood": 1}}),
        ("classify", {"labels": ["nist:1"]}),
        ("explain", {"part": "mechanism", "text": "it hallucinated", "confidence": "known"}),
        ("attest", {"gate": "learning", "reference": "x"}),
        ("waive", {"gate": "learning", "owner": "bo", "expires_at": "soon", "reason": "x"}),
        ("tie-events", {"event_ids": ["nope"]}),
        ("tie-events", {"filter": {"user": "nobody"}}),
        ("timeline", {"text": " "}),
        ("contain", {"reason": "x", "at": "2027-01-01T00:00:00Z"}),
        ("merge", {}),
    ],
)
def test_bad_input_gets_a_problem(client: TestClient, verb: str, body: dict[str, Any]) -> None:
    made = declare(client)
    answer = client.post(f"/v1/incidents/{made['id']}/{verb}", json=body)
    assert answer.status_code == 422, answer.text
    assert client.get(f"/v1/incidents/{made['id']}").json()["data"]["version"] == 1


def test_gates_are_vouched_for_and_waived_and_show_as_relaxed(client: TestClient) -> None:
    made = declare(client)
    do(client, made["id"], "override-severity", severity="critical", reason="press")
    do(client, made["id"], "attest", gate="review", reference="https://wiki/1")
    waived = do(
        client,
        made["id"],
        "waive",
        gate="learning",
        owner="bo",
        reason="stage 5",
        expires_at="2026-06-01T00:00:00Z",
    )
    assert waived["relaxed"] == ["learning"]
    gates = {
        one["gate"]: one["status"]
        for one in client.get(f"/v1/incidents/{made['id']}/gates").json()["data"]
    }
    assert (gates["review"], gates["learning"], gates["roles"]) == ("passed", "relaxed", "missing")


def test_the_words_are_told(client: TestClient) -> None:
    words = client.get("/v1/incidents/vocabulary").json()["data"]
    assert {row["verb"] for row in words["transitions"]} >= {"declare", "close"}
    assert len(words["taxonomies"]) == 8
    assert words["duties"]["critical"]["update_minutes"] == 30
