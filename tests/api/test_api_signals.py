"""``/v1/signals``: seen, acknowledged, resolved."""

from __future__ import annotations

from starlette.testclient import TestClient

from kintsugi.model.signal import Observation
from kintsugi.model.stores import Stores
from tests.control_plane import Clock

GAP = Observation("journal_gap", "k", "high", "gateway:gw-1", "lines 4 to 6 are missing", {"n": 3})


def test_a_signal_lives_from_open_to_resolved(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    raised = stores.signals.observe(GAP, now=clock())
    [listed] = client.get("/v1/signals").json()["data"]
    assert (listed["id"], listed["status"], listed["detail"]) == (raised.id, "open", {"n": 3})
    path = f"/v1/signals/{raised.id}"
    taken = client.post(f"{path}/acknowledge", json={"note": "on it"}).json()["data"]
    assert (taken["status"], taken["note"]) == ("acknowledged", "on it")
    refused = client.post(f"{path}/resolve", json={"reason": " "})
    assert refused.status_code == 422
    done = client.post(f"{path}/resolve", json={"reason": "replaced"}).json()["data"]
    assert (done["status"], done["resolution"]) == ("resolved", "replaced")
    assert done["resolved_by"] == taken["acknowledged_by"] != ""
    answer = client.get("/v1/signals").json()
    assert (answer["data"], answer["meta"]["total"]) == ([], 0)
    assert client.get("/v1/signals", params={"status": "all"}).json()["data"] == [done]
    assert client.get(path).json()["data"] == done


def test_the_total_counts_what_is_not_resolved(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    stores.signals.observe(GAP, now=clock())
    answer = client.get("/v1/signals", params={"limit": 0}).json()
    assert (answer["data"], answer["meta"]["total"]) == ([], 1)


def test_a_signal_that_is_not_there_is_not_found(client: TestClient) -> None:
    assert client.get("/v1/signals/nope").status_code == 404
