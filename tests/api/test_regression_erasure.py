"""Erasing a person's data reaches the regression cases that were made of it."""

from __future__ import annotations

from starlette.testclient import TestClient

from kintsugi.api.erasure_places import RegressionCases
from kintsugi.model.stores import Stores
from kintsugi.model.vault import Subject
from tests.api.test_api_regressions import NUMBER, added, declared, published, stored
from tests.control_plane import NOON

__all__ = ["published"]

ADA = Subject("user", "ada.lovelace")


def test_a_clean_case_loses_its_tie_and_one_with_something_kept_its_content(
    client: TestClient, published: Stores
) -> None:
    clean = stored(published, f"my number is {NUMBER}")
    kept = stored(published, f"and mine is {NUMBER}", 2)
    declared(client, clean, kept)
    added(client, **{"from": clean.id})
    added(client, **{"from": kept.id, "keep": {"pii.us_ssn": "it hangs on this number"}})
    place = RegressionCases(published, lambda: NOON)
    assert place.holds(ADA) == 2
    assert place.erase(ADA, erasure_id="e").removed == 2
    assert (place.left(ADA, erasure_id="e"), place.erase(ADA, erasure_id="e").removed) == (0, 0)
    first, second = (published.regressions.get(f"REG-{number}") for number in (1, 2))
    assert (first.state, first.lost, first.source.event_id) == ("proposed", "", "")
    assert (second.state, second.source.id, NUMBER in repr(second)) == ("erased", "", False)
    shown = client.get("/v1/regressions/REG-2").json()["data"]
    assert (shown["case"], shown["text"], shown["digest"]) == (None, "", second.digest)
    assert clean.id not in client.get("/v1/regressions").text
    assert client.post("/v1/regressions/run", json={"ids": ["REG-2"]}).status_code == 422
