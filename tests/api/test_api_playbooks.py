"""``/v1/playbooks`` and the playbooks of an incident."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

PLAYBOOKS = "/v1/incidents/INC-1/playbooks"
OWN: dict[str, Any] = {
    "id": "our-own",
    "version": 1,
    "title": "Our own",
    "applies_to": "us",
    "steps": [{"id": "call", "phase": "detect", "title": "Call the duty officer"}],
}


@pytest.fixture
def declared(client: TestClient) -> None:
    assert client.post("/v1/incidents", json={"title": "It sent mail"}).is_success


def test_a_playbook_is_attached_and_ticked(client: TestClient, declared: None) -> None:
    listed = client.get("/v1/playbooks").json()["data"]
    assert len(listed) == 4
    assert client.get("/v1/playbooks/tool-using").json()["data"]["version"] == 1
    dry = client.post(PLAYBOOKS, json={"playbook": "tool-using"}, params={"dry_run": "true"})
    assert dry.json()["data"]["open"] == 14
    assert client.get(PLAYBOOKS).json()["data"] == []
    made = client.post(PLAYBOOKS, json={"playbook": "tool-using"}).json()["data"]
    assert (made["version"], made["newest_version"]) == (1, 1)
    disable = next(one for one in made["steps"] if one["id"] == "disable")
    assert "--incident INC-000001" in disable["command"]
    steps = f"{PLAYBOOKS}/tool-using/steps"
    assert client.post(f"{steps}/disable/done", json={}).json()["data"]["open"] == 13
    refused = client.post(f"{steps}/undo/skip", json={})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "reason")
    skipped = client.post(f"{steps}/undo/skip", json={"reason": "nothing was written"})
    assert skipped.json()["data"]["open"] == 12
    client.post(f"{steps}/command/assign", json={"owner": "bo"})
    client.post(f"{steps}/disable/reopen", json={"reason": "it came back"})
    [shown] = client.get(PLAYBOOKS).json()["data"]
    assert (shown["open"], shown["steps"][0]["owner"]) == (13, "bo")
    again = client.post(PLAYBOOKS, json={"playbook": "tool-using"})
    assert (again.status_code, "nothing would change" in again.json()["detail"]) == (422, True)
    timeline = client.get("/v1/incidents/INC-1/timeline").json()["data"]
    assert sum(one["kind"] == "playbook" for one in timeline) == 5


def test_one_of_your_own_is_applied_again_in_a_newer_version(
    client: TestClient, declared: None
) -> None:
    made = client.post(PLAYBOOKS, json={"content": OWN}).json()["data"]
    assert (made["playbook"], made["newest_version"]) == ("our-own", 0)
    client.post(f"{PLAYBOOKS}/our-own/steps/call/done", json={})
    newer = OWN | {
        "version": 2,
        "steps": [{"id": "log", "phase": "preserve", "title": "Keep logs"}, *OWN["steps"]],
    }
    after = client.post(PLAYBOOKS, json={"content": newer}).json()["data"]
    assert [(one["id"], one["state"]) for one in after["steps"]] == [
        ("log", "open"),
        ("call", "done"),
    ]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"playbook": "tool-using", "content": OWN}, 422),
        ({"playbook": "none"}, 404),
        ({"content": OWN | {"id": "tool-using"}}, 422),
        ({"content": OWN | {"steps": [{"id": "call"}]}}, 422),
        ({"content": OWN | {"colour": "red"}}, 422),
    ],
)
def test_what_is_wrong_is_named(
    client: TestClient, declared: None, body: dict[str, Any], status: int
) -> None:
    assert client.post(PLAYBOOKS, json=body).status_code == status


def test_what_is_not_attached_is_not_found(client: TestClient, declared: None) -> None:
    assert client.post(f"{PLAYBOOKS}/tool-using/steps/undo/done", json={}).status_code == 404
    client.post(PLAYBOOKS, json={"playbook": "tool-using"})
    assert client.post(f"{PLAYBOOKS}/tool-using/steps/none/done", json={}).status_code == 404
