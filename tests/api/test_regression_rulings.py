"""One word on several cases: each is decided by itself, and all that is in its way is told."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from kintsugi.errors import StoreUnavailable
from kintsugi.model.stores import Stores
from tests.api.test_api_proofs import OLD, add_case, declared, publish

AT = "/v1/regressions"


@pytest.fixture
def cases(client: TestClient, stores: Stores) -> list[str]:
    """One that fails on the configuration of its time, and one that cannot."""
    publish(client, OLD)
    key = declared(client)
    made = [
        add_case(stores, client, key, text, approve=False)
        for text in ("the aurora papers", "a zebra")
    ]
    return [one.id for one in made]


def ruled(client: TestClient, verb: str, *ids: str, dry_run: bool = False, **body: Any) -> Any:
    answer = client.post(f"{AT}/{verb}", json={"ids": ids, **body}, params={"dry_run": dry_run})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def outcomes(told: Any) -> list[tuple[str, str]]:
    return [(one["regression_id"], one["outcome"]) for one in told["cases"]]


def states(stores: Stores, *ids: str) -> list[str]:
    return [stores.regressions.get(one).state for one in ids]


def test_what_can_count_counts_and_the_rest_is_refused_with_what_is_in_its_way(
    client: TestClient, stores: Stores, cases: list[str]
) -> None:
    told = ruled(client, "approve", *cases, "REG-9", cases[0], reason="seen")
    assert outcomes(told) == [(cases[0], "done"), (cases[1], "refused"), ("REG-9", "refused")]
    assert (told["done"], told["refused"], told["not_attempted"]) == (1, 2, 0)
    assert [one["code"] for one in told["cases"][1]["blockers"]] == ["never_red"]
    assert "REG-9" in told["cases"][2]["why"]
    assert told["cases"][0]["regression"]["red"]["met"] is False
    assert states(stores, *cases) == ["approved", "proposed"]
    again = ruled(client, "approve", cases[0])["cases"][0]
    assert "only what is proposed is approved" in again["why"]


def test_a_dry_run_says_what_would_become_of_each_and_keeps_nothing(
    client: TestClient, stores: Stores, cases: list[str]
) -> None:
    told = ruled(client, "approve", *cases, dry_run=True)
    assert told["dry_run"] is True
    assert [outcome for _, outcome in outcomes(told)] == ["done", "refused"]
    assert states(stores, *cases) == ["proposed"] * 2


def test_several_are_set_aside_with_one_reason(
    client: TestClient, stores: Stores, cases: list[str]
) -> None:
    body = {"ids": cases}
    assert client.post(f"{AT}/reject", json=body).status_code == 422
    assert client.post(f"{AT}/reject", json={"ids": [], "reason": "x"}).status_code == 422
    told = ruled(client, "reject", *cases, reason="not ours")
    assert told["done"] == 2
    assert [stores.regressions.get(one).reason for one in cases] == ["not ours"] * 2


def test_what_was_not_attempted_is_told_from_what_was_refused(
    client: TestClient, stores: Stores, cases: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    change = stores.regressions.change
    left = iter([True])

    def lost(*given: Any, **more: Any) -> Any:
        if next(left, False):
            return change(*given, **more)
        raise StoreUnavailable("The database cannot be reached.")

    monkeypatch.setattr(stores.regressions, "change", lost)
    told = ruled(client, "reject", cases[0], cases[1], "REG-9", reason="not ours")
    assert [outcome for _, outcome in outcomes(told)] == ["done", *["not_attempted"] * 2]
    assert f"kt regressions show {cases[1]}" in told["cases"][2]["why"]
    body = {"ids": cases[1:], "reason": "not ours"}
    assert client.post(f"{AT}/reject", json=body).status_code == 503
