"""Similar incidents: suggested with a reason, once rejected never again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.incidents.similar import resembling
from kintsugi.model.incident import Incident
from kintsugi.model.stores import Stores
from tests.control_plane import NOON, bearer, make_token


def declare(client: TestClient, title: str, **more: Any) -> str:
    answer = client.post("/v1/incidents", json={"title": title, **more})
    reference: str = answer.json()["data"]["reference"]
    return reference


def suggested(client: TestClient, reference: str, **options: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/incidents/{reference}/similar", **options)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def test_what_resembles_is_suggested_with_what_it_shares(client: TestClient) -> None:
    old = declare(client, "Refund promised against the policy", summary="retrieval index stale")
    declare(client, "Something else entirely")
    new = declare(client, "A refund was promised", summary="the policy index again")
    [found] = suggested(client, new)
    assert found["reference"] == old
    assert found["why"] == ["word:index", "word:policy", "word:promised", "word:refund"]
    assert [one["reference"] for one in suggested(client, old)] == [new]


def test_a_rejected_suggestion_is_not_made_again_from_either_side(client: TestClient) -> None:
    first, second = (declare(client, "Refund promised by mistake") for _ in range(2))
    body = {"to": second, "kind": "not_similar", "reason": "another cause"}
    assert client.post(f"/v1/incidents/{first}/link", json=body).status_code == 200
    assert suggested(client, first) == suggested(client, second) == []
    entries = client.get(f"/v1/incidents/{second}/timeline").json()["data"]
    assert any(one["text"].startswith(f"not similar {first}") for one in entries)
    again = client.post(f"/v1/incidents/{second}/link", json={**body, "to": first})
    assert again.status_code == 409


def test_what_was_merged_or_tied_is_not_suggested(client: TestClient) -> None:
    one, two, three = (declare(client, "Refund promised by mistake") for _ in range(3))
    client.post(f"/v1/incidents/{two}/merge", json={"into": one, "reason": "same"})
    assert [each["reference"] for each in suggested(client, three)] == [one]
    client.post(f"/v1/incidents/{three}/link", json={"to": one})
    assert suggested(client, three) == []


def test_a_restricted_incident_is_not_suggested_to_others(
    client: TestClient, anonymous: TestClient, stores: Stores
) -> None:
    hidden = declare(client, "Refund promised by mistake")
    new = declare(client, "Refund promised once more by mistake")
    client.post(f"/v1/incidents/{hidden}/restrict", json={"reason": "x", "visibility": "hidden"})
    assert [one["reference"] for one in suggested(client, new)] == [hidden]
    other = bearer(make_token(stores, Scope.INCIDENTS_READ, name="eve"))
    assert suggested(anonymous, new, headers=other) == []


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["x", "y", "z", "self"]))))
def test_suggestions_share_at_least_two_terms_and_are_never_the_incident_itself(
    pairs: list[tuple[str, str]],
) -> None:
    incident = Incident("self", "t", "reported", NOON, "ana/1", NOON)
    found = resembling(incident, [(f"word:{term}", other) for term, other in set(pairs)])
    assert all(one.incident_id != "self" and len(one.shared) > 1 for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
