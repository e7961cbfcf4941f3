"""Regression cases as files of other tools, over the API and from the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.model.config import Case
from kintsugi.model.custody import CustodyFilter
from kintsugi.model.regression import CaseSource, KeptSensitive, Regression
from kintsugi.model.stores import Stores
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import revision
from kintsugi.policy.suites import read_fragment
from tests.control_plane import NOON, bearer, make_token

AT = "/v1/regressions/export"
CONFIG = """
pack: {name: demo, version: 1.0.0}
policies: {chain: [dlp-filter]}
policy: {dlp-filter: {action: block, blocked_terms: [borealis]}}
"""


def case(said: str, verdict: str = "block") -> Case:
    messages = [{"role": "user", "content": said}]
    document = {"name": said, "input": {"messages": messages}, "expected": {"verdict": verdict}}
    return msgspec.convert(document, Case)


def declared(client: TestClient) -> tuple[str, str]:
    told = client.post("/v1/incidents", json={"title": "A leak"}).json()["data"]
    return told["id"], told["reference"]


def keep(stores: Stores, incident: str, cases: Sequence[Case], **changes: Any) -> list[str]:
    new = [
        msgspec.structs.replace(
            Regression(
                id="",
                version=1,
                kind="case",
                state="approved",
                incident_id=incident,
                config_id="demo",
                case=one,
                source=CaseSource("event", ""),
                created_at=NOON,
                created_by="ada",
                changed_at=NOON,
                changed_by="ada",
            ),
            **changes,
        )
        for one in cases
    ]
    return [one.id for one in stores.regressions.add(new, now=NOON)]


def exported(client: TestClient, written: str, **asked: str) -> dict[str, Any]:
    answer = client.get(AT, params={"format": written, **asked})
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["data"])


@pytest.fixture
def published(stores: Stores) -> Stores:
    stores.configurations.put(
        config_id="demo",
        content=CONFIG,
        revision=revision(parse_config(CONFIG)),
        author="ada",
        note="",
        pack_version="1.0.0",
        now=NOON,
    )
    return stores


def test_approved_cases_leave_as_suites_and_custody_says_whose(
    client: TestClient, published: Stores
) -> None:
    incident, reference = declared(client)
    keep(published, incident, [case("borealis"), case("hello", "allow")])
    keep(published, incident, [case("not decided")], state="proposed")
    told = exported(client, "suites", incident=reference)
    assert (told["cases"], told["left_out"]) == (2, 0)
    [file] = told["files"]
    read, _ = read_fragment(file["text"], file=file["name"], chain=("dlp-filter",))
    assert read is not None
    assert [suite.name for suite in read.suites] == [f"{reference} cases"]
    assert [one.name for one in read.suites[0].cases] == [
        "REG-000001 borealis",
        "REG-000002 hello",
    ]
    where = CustodyFilter(object=f"incident:{incident}", action="transfer")
    [entry], _ = published.custody.page(where, limit=5)
    assert entry.reason == "2 regression cases as suites"


@pytest.mark.parametrize("written", ["promptfoo", "inspect", "openai-evals", "deepeval"])
def test_cases_leave_for_other_tools_with_what_asks_the_gateway(
    client: TestClient, published: Stores, written: str
) -> None:
    incident, _ = declared(client)
    keep(published, incident, [case("borealis")])
    told = exported(client, written)
    assert told["cases"] == 1
    assert "kintsugi_gateway.py" in [file["name"] for file in told["files"]]


def test_results_are_of_a_run_on_the_version_that_was_named(
    client: TestClient, published: Stores
) -> None:
    incident, reference = declared(client)
    keep(published, incident, [case("borealis"), case("aurora")])
    keep(published, incident, [case("of another configuration")], config_id="other")
    for version in ("demo@1", "demo@latest"):
        [file] = exported(client, "tap", **{"with": version})["files"]
        assert f"ok 1 - {reference}/REG-000001 borealis\nnot ok 2 - " in file["text"]
        assert "1..2" in file["text"]
    findings = exported(client, "sarif", **{"with": "demo@1"})
    [run] = json.loads(findings["files"][0]["text"])["runs"]
    assert len(run["results"]) == 1
    assert [loss["cases"] for loss in findings["losses"] if loss["field"] == "case"] == [
        ["REG-000001"]
    ]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"format": "csv"}, 422),
        ({"format": "junit"}, 422),
        ({"format": "junit", "with": "demo"}, 422),
        ({"format": "suites", "with": "demo@1"}, 422),
        ({"format": "junit", "with": "demo@9"}, 404),
        ({"format": "suites", "incident": "INC-99"}, 404),
    ],
)
def test_what_cannot_be_exported_is_refused(
    client: TestClient, published: Stores, asked: dict[str, str], status: int
) -> None:
    assert client.get(AT, params=asked).status_code == status


def test_what_was_let_in_in_spite_of_the_gate_stays_masked(
    client: TestClient, published: Stores
) -> None:
    incident, _ = declared(client)
    kept = (KeptSensitive("pii.us_ssn", 1, "ada", "the parser fails on it"),)
    keep(published, incident, [case("my number is 536-90-4399")], kept=kept)
    told = exported(client, "suites")
    assert "536-90-4399" not in json.dumps(told)
    assert "input" in [loss["field"] for loss in told["losses"]]


def test_an_export_is_bounded(
    client: TestClient, published: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident, _ = declared(client)
    keep(published, incident, [case(str(number)) for number in range(3)])
    monkeypatch.setattr("kintsugi.api.regression_exports.CASES_MAX", 2)
    answer = client.get(AT, params={"format": "suites"})
    assert answer.status_code == 422
    assert "more than 2 such cases" in answer.json()["detail"]


def test_cases_of_an_incident_that_the_caller_does_not_see_stay(
    client: TestClient, published: Stores
) -> None:
    incident, reference = declared(client)
    keep(published, incident, [case("borealis")])
    client.post(f"/v1/incidents/{reference}/restrict", json={"reason": "personnel"})
    token = make_token(published, Scope.REGRESSIONS_READ, name="otto")
    answer = client.get(AT, params={"format": "suites"}, headers=bearer(token))
    assert answer.json()["data"]["cases"] == 0
