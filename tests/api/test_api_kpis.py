"""``/v1/kpis`` and ``kt kpis``' numbers."""

from __future__ import annotations

from starlette.testclient import TestClient

from kintsugi.model.stores import Stores
from tests.control_plane import Clock, make_event


def test_measures_of_a_time_are_told_by_group(
    client: TestClient, clock: Clock, stores: Stores
) -> None:
    old = client.post("/v1/incidents", json={"title": "long ago"})
    assert old.is_success
    clock.advance(days=200)
    event = make_event(1, at=clock.now, workflow="support")
    stores.events.append([event])
    for number in range(6):
        body = {
            "title": f"case {number}",
            "first_occurred_at": f"{number + 1}h",
            "detected_at": "1h",
        }
        made = client.post("/v1/incidents", json=body | {"event_ids": [event.id]})
        assert made.is_success, made.text
        client.post("/v1/actions", json={"incident": "INC-2", "title": "x", "kind": "prevent"})
    found = client.get("/v1/kpis", params={"by": "workflow"}).json()["data"]
    assert [(one["key"], one["incidents"]) for one in found["groups"]] == [
        ("all", 6),
        ("support", 6),
    ]
    detect = found["groups"][0]["times"]["time_to_detect"]
    assert (detect["n"], detect["p50"], detect["max"]) == (6, 2 * 3600, 5 * 3600)
    assert found["groups"][0]["times"]["action_age"]["n"] == 6
    assert (found["enough_from"], found["cut"]) == (5, [])
    everything = client.get("/v1/kpis", params={"since": "365d"}).json()["data"]
    assert everything["groups"][0]["incidents"] == 7
    wrong = client.get("/v1/kpis", params={"since": "1d", "until": "2d"})
    assert (wrong.status_code, "until" in wrong.json()["detail"]) == (422, True)
    assert client.get("/v1/kpis", params={"by": "phase"}).status_code == 422
