"""``/v1/actions``: agreed, given to somebody, moved, ended; and the gate that asks for them."""

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


@pytest.fixture
def declared(client: TestClient) -> str:
    return str(post(client, "incidents", title="Records leaked")["reference"])


def test_an_action_goes_from_agreement_to_its_end(
    client: TestClient, clock: Clock, declared: str
) -> None:
    made = post(client, "actions", incident=declared, title="Rebuild it", kind="fix")
    assert (made["due_at"], made["due_by_default"]) == ("2026-04-30T12:00:00Z", True)
    path = f"actions/{made['id']}"
    assert post(client, f"{path}/assign", owner="bo")["owner"] == "bo"
    moved = post(client, f"{path}/reschedule", due_at="2026-04-24", reason="sooner")
    assert (moved["due_at"], moved["due_by_default"]) == ("2026-04-24T23:59:59Z", False)
    assert client.get("/v1/actions", params={"state": "overdue"}).json()["data"] == []
    clock.advance(days=2)
    [late] = client.get("/v1/actions", params={"state": "overdue"}).json()["data"]
    assert (late["overdue"], late["age_days"]) == (True, 2.0)
    post(client, "incidents", title="Again")
    linked = post(client, f"{path}/link", incidents=["INC-2"], ticket="https://tracker.example/T-1")
    assert linked["incidents"] == ["INC-000001", "INC-000002"]
    assert len(client.get("/v1/incidents/INC-2/actions").json()["data"]) == 1
    ended = post(client, f"{path}/done", evidence=["sha256:00"])
    assert (ended["state"], ended["overdue"]) == ("done", False)
    assert client.get("/v1/actions", params={"owner": "bo"}).json()["data"] == []
    assert len(client.get("/v1/actions", params={"state": "all"}).json()["data"]) == 1
    assert post(client, f"{path}/reopen", reason="it came back")["state"] == "open"
    assert post(client, f"{path}/drop", reason="obsolete")["state"] == "dropped"
    kinds = [entry["kind"] for entry in client.get("/v1/incidents/INC-2/timeline").json()["data"]]
    assert kinds.count("action") == 4


def test_a_dry_run_agrees_on_nothing(client: TestClient, declared: str) -> None:
    body = {"incident": declared, "title": "Rebuild it", "kind": "fix"}
    answer = client.post("/v1/actions", json=body, params={"dry_run": "true"})
    assert (answer.status_code, answer.json()["data"]["version"]) == (200, 0)
    assert client.get("/v1/actions").json()["data"] == []
    made = post(client, "actions", **body)
    answer = client.post(
        f"/v1/actions/{made['id']}/drop", json={"reason": "no"}, params={"dry_run": "true"}
    )
    assert answer.json()["data"]["state"] == "dropped"
    assert client.get(f"/v1/actions/{made['id']}").json()["data"]["state"] == "open"


def test_if_match_names_the_version_of_the_action(client: TestClient, declared: str) -> None:
    made = client.post("/v1/actions", json={"incident": declared, "title": "x", "kind": "fix"})
    path, tag = f"/v1/actions/{made.json()['data']['id']}/assign", made.headers["etag"]
    assert client.post(path, json={"owner": "bo"}, headers={"if-match": tag}).is_success
    stale = client.post(path, json={"owner": "cy"}, headers={"if-match": tag})
    assert (stale.status_code, stale.json()["code"]) == (412, "version_conflict")


@pytest.mark.parametrize(
    ("verb", "body", "status"),
    [
        ("reschedule", {"due_at": "3d", "reason": "x"}, 422),
        ("reschedule", {"due_at": "2026-02-30", "reason": "x"}, 422),
        ("reschedule", {"due_at": "+3d"}, 409),
        ("drop", {}, 409),
        ("done", {}, 409),
        ("link", {}, 422),
        ("link", {"ticket": "javascript:alert(1)"}, 422),
        ("link", {"incidents": ["INC-9"]}, 404),
        ("assign", {"owner": " "}, 422),
        ("reopen", {"reason": "x"}, 409),
    ],
)
def test_what_is_wrong_is_named(
    client: TestClient, declared: str, verb: str, body: dict[str, Any], status: int
) -> None:
    made = post(client, "actions", incident=declared, title="x", kind="fix")
    answer = client.post(f"/v1/actions/{made['id']}/{verb}", json=body)
    assert answer.status_code == status, answer.text


def test_the_gate_of_actions_is_computed(client: TestClient, declared: str) -> None:
    def gate() -> Any:
        found = client.get(f"/v1/incidents/{declared}/gates").json()["data"]
        return next(one for one in found if one["gate"] == "actions")

    assert gate()["status"] == "missing"
    post(client, f"incidents/{declared}/no-actions", reason="a drill")
    assert gate()["status"] == "passed"
    made = post(client, "actions", incident=declared, title="x", kind="fix")
    assert gate()["missing"] == ['nobody owns the action "x"']
    answer = client.post(f"/v1/incidents/{declared}/no-actions", json={"reason": "a drill"})
    assert answer.status_code == 409
    post(client, f"actions/{made['id']}/assign", owner="bo")
    assert gate()["status"] == "passed"
