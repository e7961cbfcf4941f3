"""Legal holds over the API: placed with a reason, named in refusals, released by few."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.model.stores import Stores
from tests.control_plane import bearer, make_event, make_token

AT = "/v1/holds"
CASE: dict[str, Any] = {
    "name": "Doe against us",
    "reason": "the court asks",
    "filter": {"team": "claims"},
}


def store(stores: Stores, user: str, team: str = "claims") -> None:
    made = msgspec.structs.replace(make_event(len(user)), user_id=user, team_id=team)
    stores.events.append([made])


def test_one_is_placed_shown_and_released(client: TestClient, stores: Stores) -> None:
    store(stores, "ada")
    store(stores, "bob2", team="sales")
    placed = client.post(AT, json=CASE)
    assert placed.status_code == 201, placed.text
    hold = placed.json()["data"]
    assert hold["where"] == {"team": "claims"}
    at = f"{AT}/{hold['id']}"
    assert client.get(at).json()["data"]["events"] == 1
    assert [one["id"] for one in client.get(AT).json()["data"]] == [hold["id"]]
    assert client.post(AT, json=CASE).status_code == 409
    ended = client.post(f"{at}/release", json={"reason": "settled"}).json()["data"]
    assert ended["release_reason"] == "settled"
    assert client.get(AT).json()["data"] == []
    assert len(client.get(f"{AT}?status=released").json()["data"]) == 1
    acts = client.get(f"/v1/custody?object=hold:{hold['id']}").json()["data"]
    assert {one["action"] for one in acts} == {"release", "hold"}


def test_an_erasure_is_refused_by_name_until_the_hold_ends(
    client: TestClient, stores: Stores
) -> None:
    store(stores, "ada")
    store(stores, "bob2", team="sales")
    hold = client.post(AT, json=CASE).json()["data"]
    refused = client.post("/v1/erasures", json={"subject": "ada", "reason": "asked"})
    assert refused.status_code == 409
    assert CASE["name"] in refused.json()["detail"]
    free = client.post("/v1/erasures", json={"subject": "bob2", "reason": "asked"})
    assert free.status_code < 300, free.text
    client.post(f"{AT}/{hold['id']}/release", json={"reason": "settled"})
    later = client.post("/v1/erasures", json={"subject": "ada", "reason": "asked"})
    assert later.status_code < 300, later.text


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"filter": {}}, "filter"),
        ({"reason": " "}, "reason"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"filter": {"planet": "mars"}}, "planet"),
    ],
)
def test_a_hold_that_cannot_be_meant_is_refused(
    client: TestClient, change: dict[str, Any], names: str
) -> None:
    refused = client.post(AT, json={**CASE, **change})
    assert refused.status_code == 422, refused.text
    assert names in refused.text


def test_everything_can_be_held_on_purpose(client: TestClient) -> None:
    assert client.post(AT, json={**CASE, "filter": {}, "everything": True}).status_code == 201


def test_few_may_release(anonymous: TestClient, stores: Stores) -> None:
    writer = bearer(make_token(stores, Scope.HOLDS_WRITE))
    placed = anonymous.post(AT, json=CASE, headers=writer).json()["data"]
    at = f"{AT}/{placed['id']}/release"
    why = {"reason": "settled"}
    assert anonymous.post(at, json=why, headers=writer).status_code == 403
    releaser = bearer(make_token(stores, Scope.HOLDS_RELEASE))
    assert anonymous.post(at, json=why, headers=releaser).status_code == 200
    assert anonymous.get(AT, headers=releaser).status_code == 403
