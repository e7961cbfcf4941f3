"""Freezing evidence over the API, and what keeps it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from starlette.testclient import TestClient

from kintsugi.model.event_filter import EventFilter
from kintsugi.model.incident import IncidentFilter
from kintsugi.model.stores import Stores
from tests.control_plane import Clock, blocked_event, make_event


def declare(client: TestClient) -> str:
    made = client.post("/v1/incidents", json={"title": "It lied"}).json()["data"]
    return str(made["reference"])


def settled(client: TestClient, path: str) -> dict[str, Any]:
    """The freeze when nothing is under way any more."""
    for _ in range(200):
        found: dict[str, Any] = client.get(path).json()["data"]
        if found["status"] not in ("queued", "freezing", "verifying"):
            return found
        time.sleep(0.02)
    raise AssertionError(found)


@pytest.fixture
def reference(client: TestClient, stores: Stores) -> str:
    stores.events.append([*[make_event(number) for number in range(5)], blocked_event(6)])
    return declare(client)


def test_a_window_is_frozen_and_verified_and_opens_the_gate(
    client: TestClient, stores: Stores, clock: Clock, reference: str
) -> None:
    clock.advance(minutes=5)
    path = f"/v1/incidents/{reference}"
    gates = {one["gate"]: one for one in client.get(f"{path}/gates").json()["data"]}
    assert "no evidence is frozen" in gates["evidence"]["missing"]
    asked = client.post(f"{path}/freeze", json={"filter": {"since": "1h"}, "reason": "complaint"})
    assert asked.status_code == 202
    where = asked.headers["location"]
    frozen = settled(client, where)
    assert (frozen["status"], frozen["events"], frozen["late"]) == ("frozen", 6, 0)
    assert frozen["digest"].startswith("sha256:")
    assert "retrieval" not in frozen["missing"]
    assert "tools" not in frozen["missing"]
    again = client.post(f"{path}/freeze", json={"filter": {"since": "1h"}}).json()["data"]
    assert again["id"] == frozen["id"]
    gates = {one["gate"]: one for one in client.get(f"{path}/gates").json()["data"]}
    assert gates["evidence"]["missing"] == [f"freeze {frozen['id']} is not verified"]
    clock.advance(minutes=1)
    assert client.post(f"{where}/verify", json={}).status_code == 202
    verified = settled(client, where)
    assert (verified["status"], verified["verification"]["problems"]) == ("verified", [])
    gates = {one["gate"]: one for one in client.get(f"{path}/gates").json()["data"]}
    assert gates["evidence"]["status"] == "passed"
    told = [one["text"] for one in client.get(f"{path}/timeline").json()["data"]]
    assert any("6 decision events frozen" in text for text in told)
    custody = client.get("/v1/custody", params={"object": f"freeze:{frozen['id']}"}).json()["data"]
    assert [one["action"] for one in custody] == ["verify", "freeze"]
    assert custody[1]["digest_after"] == frozen["digest"]


def test_what_comes_later_is_late_until_it_is_frozen_as_well(
    client: TestClient, stores: Stores, clock: Clock, reference: str
) -> None:
    clock.advance(minutes=5)
    path = f"/v1/incidents/{reference}"
    window = {"filter": {"since": "1h", "until": "0m"}}
    first = settled(client, client.post(f"{path}/freeze", json=window).headers["location"])
    stores.events.append([make_event(9)])
    late = client.get(f"{path}/freezes/{first['id']}").json()["data"]
    assert (late["events"], late["late"]) == (6, 1)
    second = settled(client, client.post(f"{path}/freeze", json=window).headers["location"])
    assert (second["events"], second["late"]) == (7, 0)
    assert second["id"] != first["id"]


def test_nothing_said_is_what_is_tied(client: TestClient, stores: Stores, reference: str) -> None:
    path = f"/v1/incidents/{reference}"
    refused = client.post(f"{path}/freeze")
    assert refused.status_code == 422
    assert "nothing is tied" in refused.text
    event = stores.events.page(EventFilter(), limit=1).events[0]
    client.post(f"{path}/tie-events", json={"event_ids": [event.id]})
    asked = client.post(f"{path}/freeze?dry_run=true").json()["data"]
    assert (asked["status"], asked["total"]) == ("dry_run", 1)
    frozen = settled(client, client.post(f"{path}/freeze").headers["location"])
    assert frozen["events"] == 1


def test_a_hold_of_an_open_incident_is_not_released(
    client: TestClient, stores: Stores, reference: str
) -> None:
    path = f"/v1/incidents/{reference}"
    body = {"filter": {"since": "2h"}}
    frozen = settled(client, client.post(f"{path}/freeze", json=body).headers["location"])
    release = f"/v1/holds/{frozen['hold_id']}/release"
    refused = client.post(release, json={"reason": "over"})
    assert refused.status_code == 409
    assert [one["code"] for one in refused.json()["errors"]] == ["open"]
    [found] = stores.incidents.page(IncidentFilter(), limit=9)[0]
    assert found.state == "declared"
    other = client.post("/v1/incidents", json={"title": "The case"}).json()["data"]["reference"]
    client.post(f"{path}/merge", json={"into": other, "reason": "the same"})
    assert client.post(release, json={"reason": "over"}).status_code == 409


def test_a_changed_record_is_found(client: TestClient, stores: Stores, reference: str) -> None:
    path = f"/v1/incidents/{reference}"
    body = {"filter": {"since": "2h"}}
    frozen = settled(client, client.post(f"{path}/freeze", json=body).headers["location"])
    events: Any = stores.log
    for event_id, found in list(events._batches.items()):
        records = (found.records[0].replace("sim-echo", "sim-evil"), *found.records[1:])
        events._batches[event_id] = type(found)(found.leaf, found.index, records)
    where = f"{path}/freezes/{frozen['id']}"
    client.post(f"{where}/verify", json={})
    altered = settled(client, where)
    assert altered["status"] == "altered"
    assert "is not as it was recorded" in altered["verification"]["problems"][0]


def test_a_containment_of_an_incident_takes_a_snapshot_of_its_scope(
    client: TestClient, stores: Stores, clock: Clock, reference: str
) -> None:
    stores.events.append([make_event(7, workflow="refunds")])
    clock.advance(minutes=5)
    body = {
        "lever": {"name": "stop"},
        "scope": {"workflow": "refunds"},
        "reason": "it pays twice",
        "incident_id": reference,
    }
    made = client.post("/v1/containments", json=body).json()["data"]
    assert made["snapshot"]["status"] == "queued"
    path = f"/v1/incidents/{reference}/freezes/{made['snapshot']['freeze_id']}"
    frozen = settled(client, path)
    assert (frozen["events"], frozen["where"]["workflow"]) == (1, "refunds")
    assert frozen["origin"] == f"containment:{made['containment']['id']}"


def test_a_containment_is_in_force_though_no_snapshot_can_be_taken(client: TestClient) -> None:
    body = {"lever": {"name": "stop"}, "reason": "it pays twice", "incident_id": "INC-000099"}
    made = client.post("/v1/containments", json=body)
    assert made.status_code == 201
    assert made.json()["data"]["snapshot"]["status"] == "not_attempted"
    assert "INC-000099" in made.json()["data"]["snapshot"]["why"]
    assert client.get("/v1/containments").json()["meta"]["total"] == 1
