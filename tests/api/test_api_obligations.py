"""``/v1/obligations``: opened, started, drafted, met."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.control_plane import Clock


def post(client: TestClient, path: str, **body: Any) -> dict[str, Any]:
    answer = client.post(f"/v1/{path}", json=body)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def test_a_clock_runs_from_awareness_to_the_report(client: TestClient, clock: Clock) -> None:
    post(client, "incidents", title="Records leaked", summary="Who saw what.")
    opened = post(
        client,
        "incidents/INC-1/obligations",
        triggers={"personal_data_breach": "yes"},
        roles={"data_processor": "no"},
    )
    assert opened["owed"] == 1
    [waiting] = client.get("/v1/obligations").json()["data"]
    assert (waiting["rule"], waiting["status"], waiting["due_at"]) == ("gdpr_33", "waiting", None)
    clock.advance(hours=2)
    post(client, "incidents/INC-1/moments", kind="aware", moment_at="1h", reason="the log shows it")
    path = f"obligations/{waiting['id']}"
    running = client.get(f"/v1/{path}").json()["data"]
    assert (running["status"], running["due_at"]) == ("running", "2026-04-26T13:00:00Z")
    assert "not legal advice" in running["reminder"]
    post(client, "incidents/INC-1/facts", facts={"affected_persons": {"value": "about 40"}})
    draft = client.get(f"/v1/{path}/draft").json()["data"]
    fields = {field["name"]: field["status"] for field in draft["fields"]}
    assert (fields["affected_persons"], fields["description_plain"]) == ("have", "have")
    assert "about 40" in draft["text"]
    clock.advance(hours=80)
    assert client.get(f"/v1/{path}").json()["data"]["status"] == "overdue"
    met = post(client, f"{path}/meet", reference="DPA 7", at="10m", reason="late: holidays")
    assert met["status"] == "met"
    assert client.get("/v1/obligations").json()["data"] == []
    assert len(client.get("/v1/obligations", params={"status": "ended"}).json()["data"]) == 1
    timeline = client.get("/v1/incidents/INC-1/timeline").json()["data"]
    assert {entry["kind"] for entry in timeline} >= {"moment", "obligation", "fact"}


def test_clocks_are_tolled_set_aside_and_reinstated(client: TestClient, clock: Clock) -> None:
    post(client, "incidents", title="x")
    post(client, "incidents/INC-1/obligations", rules=["sec_8k_105"])
    [one] = client.get("/v1/incidents/INC-1/obligations").json()["data"]
    path = f"obligations/{one['id']}"
    assert client.post(f"/v1/{path}/resume", json={}).status_code == 409
    tolled = post(client, f"{path}/toll", evidence="letter", reason="Attorney General")
    assert tolled["status"] == "tolled"
    assert post(client, f"{path}/resume")["status"] == "waiting"
    assert client.post(f"/v1/{path}/set-aside", json={}).status_code == 409
    assert post(client, f"{path}/set-aside", reason="not listed")["status"] == "set_aside"
    assert post(client, f"{path}/reinstate", reason="we are")["status"] == "waiting"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("incidents/INC-1/obligations", {"rules": ["gdpr_99"]}),
        ("incidents/INC-1/obligations", {"triggers": {"mood": "yes"}}),
        ("incidents/INC-1/moments", {"kind": "aware", "moment_at": "soon", "reason": "x"}),
        ("incidents/INC-1/moments", {"kind": "aware", "moment_at": "2099-01-01T00:00:00Z"}),
        ("incidents/INC-1/facts", {"facts": {}}),
        ("incidents/INC-1/facts", {"facts": {"mood": {"value": "x"}}}),
        ("incidents/INC-1/facts", {"facts": {"contact": {}}}),
    ],
)
def test_bad_input_gets_a_problem(client: TestClient, path: str, body: dict[str, Any]) -> None:
    post(client, "incidents", title="x")
    assert client.post(f"/v1/{path}", json=body).status_code == 422


def test_the_rules_are_told_with_their_sources(client: TestClient) -> None:
    told = client.get("/v1/obligations/rules").json()["data"]
    assert len(told["catalogue"]["rules"]) == 51
    assert told["catalogue"]["retrieved_on"] == "2026-11-21"
    assert client.get("/v1/obligations/nope").status_code == 404
