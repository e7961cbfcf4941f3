"""Hypotheses, changes and controls over the API."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from kintsugi.model.stores import Stores
from tests.api.test_api_freezes import declare
from tests.control_plane import CONFIGURATION, Clock, blocked_event, make_event


@pytest.fixture
def path(client: TestClient, stores: Stores, clock: Clock) -> str:
    stores.events.append([make_event(number) for number in range(5)])
    clock.advance(minutes=5)
    made = client.put("/v1/configurations/support-prod", json={"content": CONFIGURATION})
    assert made.status_code == 200
    clock.advance(minutes=5)
    late = [make_event(600 + number, config_version="support-prod@1") for number in range(3)]
    stores.events.append([*late, blocked_event(620, config_version="support-prod@1")])
    clock.advance(minutes=5)
    path = f"/v1/incidents/{declare(client)}"
    body = {"filter": {"config_version": "support-prod@1"}}
    assert client.post(f"{path}/tie-events", json=body).status_code == 200
    return path


def test_the_version_that_was_published_before_it_is_first(client: TestClient, path: str) -> None:
    found = client.get(f"{path}/changes").json()["data"]
    assert (found["onset_by"], found["compared_with"]) == ("first event", 5)
    [first, *_] = found["changes"]
    assert first["change"]["name"] == "support-prod@1"
    assert first["change"]["told_by"].startswith("configuration support-prod@1")
    assert (first["minutes_before"], first["affected_share"], first["other_share"]) == (
        5.0,
        1.0,
        0.0,
    )
    found = client.get(f"{path}/controls").json()["data"]
    assert (found["events"], found["went_through"]) == (4, 3)
    assert found["caught_in"]["input"] >= 1


def test_a_hypothesis_is_linked_to_what_is_there(client: TestClient, path: str) -> None:
    body = {"text": "the new configuration lets it through"}
    made = client.post(f"{path}/hypotheses", json=body).json()["data"]
    assert [one["number"] for one in made["hypotheses"]] == [1]
    link = {"reference": "event:019db9a0-0000-7000-8000-000000000001", "stance": "supports"}
    assert client.post(f"{path}/hypotheses/1/link", json=link).status_code == 404
    entry = client.get(f"{path}/timeline").json()["data"][0]["id"]
    link["reference"] = f"entry:{entry}"
    assert client.post(f"{path}/hypotheses/1/link", json=link).status_code == 200
    body = {"state": "confirmed", "reason": "replayed"}
    done = client.post(f"{path}/hypotheses/1/settle", json=body).json()["data"]
    assert done["hypotheses"][0]["state"] == "confirmed"
    cause = {"part": "trigger", "text": "a wide filter", "confidence": "known"}
    resting = {**cause, "hypotheses": [1], "evidence": [f"entry:{entry}"]}
    told = client.post(f"{path}/explain", json=resting)
    assert told.json()["data"]["cause"]["trigger"]["hypotheses"] == [1]


def test_a_waived_gate_shows_among_everything_relaxed(client: TestClient, path: str) -> None:
    waiver = {"gate": "cause", "owner": "bo", "expires_at": "2026-05-01T00:00:00Z"}
    done = client.post(f"{path}/waive", json={**waiver, "reason": "the vendor has not answered"})
    assert done.status_code == 200, done.text
    [shown] = client.get("/v1/status").json()["data"]["relaxed"]
    assert (shown["path"], shown["owner"], shown["state"]) == ("gates.cause", "bo", "in_time")
    assert shown["source"] == path.rpartition("/")[2]
    assert shown["days_left"] == 8
