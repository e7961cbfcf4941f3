"""Containments over the API: what is refused and why, what it would hit, where it is in force."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.model.gateways import GatewayReport, WorkerReport
from kintsugi.model.stores import Stores
from tests.control_plane import NOON, Clock, bearer, make_event, make_token

AT = "/v1/containments"
STOP: dict[str, Any] = {
    "lever": {"name": "stop"},
    "scope": {"workflow": "triage"},
    "reason": "a note leaked",
}


def worker(name: str, *contained: str) -> WorkerReport:
    return WorkerReport(name, 1, "support@1", "sha256:r", NOON, contained=contained)


def test_one_is_made_shown_listed_and_released(client: TestClient, clock: Clock) -> None:
    made = client.post(AT, json={**STOP, "expires_in_seconds": 600, "owner": "ada"})
    assert made.status_code == 201, made.text
    found = made.json()["data"]["containment"]
    assert (found["owner"], found["lever"]) == ("ada", {"name": "stop"})
    assert found["created_by"]
    at = f"{AT}/{found['id']}"
    assert client.get(at).json()["data"]["status"] == "in_force"
    assert [one["id"] for one in client.get(AT).json()["data"]] == [found["id"]]
    clock.now += timedelta(minutes=1)
    ended = client.post(f"{at}/release", json={"reason": "template rolled back"}).json()["data"]
    assert ended["status"] == "released"
    assert ended["containment"]["release_reason"] == "template rolled back"
    assert client.get(AT).json()["data"] == []
    assert len(client.get(f"{AT}?status=ended").json()["data"]) == 1


def test_one_expires_by_itself(client: TestClient, clock: Clock) -> None:
    found = client.post(AT, json={**STOP, "expires_in_seconds": 60}).json()["data"]
    clock.now += timedelta(minutes=1)
    shown = client.get(f"{AT}/{found['containment']['id']}").json()["data"]
    assert shown["status"] == "expired"
    assert client.get(AT).json()["data"] == []


def test_a_dry_run_counts_and_does_nothing(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    clock.now += timedelta(minutes=30)
    stores.events.append(
        [
            msgspec.structs.replace(make_event(number), workflow="triage" if number else "other")
            for number in range(3)
        ]
    )
    told = client.post(f"{AT}?dry_run=true", json=STOP).json()["data"]
    assert told["status"] == "dry_run"
    assert told["preview"]["exchanges"] == 2
    assert told["preview"]["not_counted"] == []
    wild = {**STOP, "scope": {"workflow": "tri*", "region": "eu", "tenant": "nobody"}}
    told = client.post(f"{AT}?dry_run=true", json=wild).json()["data"]
    assert (told["preview"]["exchanges"], told["preview"]["not_counted"]) == (
        0,
        ["workflow", "region"],
    )
    assert client.get(f"{AT}?status=all").json()["data"] == []


def test_what_it_does_is_read_from_traffic(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    identifier = client.post(AT, json=STOP).json()["data"]["containment"]["id"]
    at = f"{AT}/{identifier}"
    clock.advance(minutes=1)
    stores.events.append(
        [
            make_event(1, workflow="triage"),
            make_event(2, workflow="triage", policy_name=f"containment/{identifier}"),
            make_event(3, workflow="billing"),
        ]
    )
    traffic = client.get(at).json()["data"]["traffic"]
    assert (traffic["in_scope"], traffic["decided"], traffic["at_least"]) == (2, 1, False)
    client.post(f"{at}/release", json={"reason": "mended"})
    clock.advance(minutes=9)
    stores.events.append([make_event(500, workflow="triage")])
    assert client.get(at).json()["data"]["traffic"]["in_scope"] == 2


def test_where_it_is_in_force_is_what_gateways_say(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    identifier = client.post(AT, json=STOP).json()["data"]["containment"]["id"]
    at = f"{AT}/{identifier}"
    assert client.get(at).json()["data"]["everywhere"] is False
    here = GatewayReport("gw-1", "support", "h:1", "1", (worker("w0", identifier), worker("w1")))
    stores.gateways.put(here, now=NOON)
    shown = client.get(at).json()["data"]
    assert shown["gateways"] == [
        {"gateway_id": "gw-1", "connected": True, "workers": 2, "contained_workers": 1}
    ]
    assert shown["everywhere"] is False
    both = (worker("w0", identifier), worker("w1", "another", identifier))
    stores.gateways.put(msgspec.structs.replace(here, workers=both), now=NOON)
    assert client.get(at).json()["data"]["everywhere"] is True
    clock.now += timedelta(minutes=1)
    away = client.get(at).json()["data"]
    assert (away["everywhere"], away["gateways"][0]["connected"]) == (False, False)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"reason": " "}, "reason"),
        ({"lever": {"name": "explode"}}, "lever"),
        ({"lever": {"name": "disable-tools"}}, "lever.tools"),
        ({"lever": {"name": "add-filter", "patterns": ["("]}}, "lever.patterns"),
        ({"lever": {"name": "rate-limit", "requests": -1}}, "requests"),
        ({"expires_in_seconds": 10**9}, "expires_in_seconds"),
        ({"scope": {"planet": "mars"}}, "planet"),
    ],
)
def test_what_cannot_be_put_in_force_is_refused_with_its_field(
    client: TestClient, change: dict[str, Any], names: str
) -> None:
    refused = client.post(AT, json={**STOP, **change})
    assert refused.status_code == 422, refused.text
    assert names in refused.text
    assert client.get(f"{AT}?status=all").json()["data"] == []


def test_many_may_stop_and_few_may_release(anonymous: TestClient, stores: Stores) -> None:
    applier = bearer(make_token(stores, Scope.CONTAINMENTS_APPLY))
    reader = bearer(make_token(stores, Scope.CONTAINMENTS_READ))
    assert anonymous.post(AT, json=STOP, headers=reader).status_code == 403
    found = anonymous.post(AT, json=STOP, headers=applier).json()["data"]["containment"]
    at = f"{AT}/{found['id']}"
    assert anonymous.get(at, headers=reader).status_code == 200
    why = {"reason": "fixed"}
    assert anonymous.post(f"{at}/release", json=why, headers=applier).status_code == 403
    releaser = bearer(make_token(stores, Scope.CONTAINMENTS_RELEASE))
    assert anonymous.post(f"{at}/release", json=why, headers=releaser).status_code == 200


def test_what_is_not_there_is_not_found(client: TestClient) -> None:
    assert client.get(f"{AT}/none").status_code == 404
