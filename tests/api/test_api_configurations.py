"""Configurations: linted versions, optimistic locking, rollback, and what gateways make of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.model.gateways import GatewayReport
from kintsugi.model.stores import Stores
from tests.control_plane import CONFIGURATION, Clock, make_event, make_report

ADDRESS = "/v1/configurations/support-prod"
CHANGED = CONFIGURATION.replace("1.4.0", "1.5.0")


def put(client: TestClient, content: str = CONFIGURATION, **options: Any) -> Any:
    body = {"content": content, **options.pop("body", {})}
    return client.put(ADDRESS, json=body, **options)


def test_a_version_exists_only_when_it_lints(client: TestClient, stores: Stores) -> None:
    broken = CONFIGURATION.replace("prompt-injection: {}", "prompt-injection: {acton: block}")
    problem = put(client, broken).json()
    assert (problem["status"], problem["code"]) == (422, "configuration.invalid")
    (error,) = problem["errors"]
    assert error["code"] == "E002"
    assert error["diagnostic"]["position"]["line"] == 8
    assert stores.configurations.list() == []


def test_versions_count_up_and_equal_content_makes_none(client: TestClient) -> None:
    first = put(client, body={"note": "start", "author": "ana"}).json()["data"]
    again = put(client).json()["data"]
    second = put(client, CHANGED).json()["data"]
    assert (first["version"], first["created"], first["author"]) == (1, True, "ana")
    assert (again["version"], again["created"], again["diff"]) == (1, False, "")
    assert (second["version"], second["created"], second["author"]) == (2, True, "test")
    assert "-pack: {name: support-prod, version: 1.4.0, enabled: true}" in second["diff"]


def test_a_version_is_read_back_as_it_was_written(client: TestClient) -> None:
    put(client)
    put(client, CHANGED)
    assert client.get(f"{ADDRESS}/versions/1").json()["data"]["content"] == CONFIGURATION
    assert client.get(ADDRESS).json()["data"]["content"] == CHANGED
    versions = client.get(f"{ADDRESS}/versions").json()
    assert [version["version"] for version in versions["data"]] == [2, 1]
    assert [found["id"] for found in client.get("/v1/configurations").json()["data"]] == [
        "support-prod"
    ]


@pytest.mark.parametrize("path", ["", "/versions", "/versions/1", "/diff?from=1&to=2"])
def test_an_unknown_configuration_is_not_found(client: TestClient, path: str) -> None:
    assert client.get(ADDRESS + path).status_code == 404


def test_a_change_made_from_an_older_version_is_refused(client: TestClient) -> None:
    etag = put(client).headers["etag"]
    assert client.get(ADDRESS).headers["etag"] == etag
    assert put(client, CHANGED, headers={"if-match": etag}).status_code == 200
    late = put(client, CONFIGURATION, headers={"if-match": etag})
    assert (late.status_code, late.json()["code"]) == (412, "version_conflict")
    assert put(client, CONFIGURATION, headers={"if-match": "*"}).status_code == 200
    assert put(client, CONFIGURATION, headers={"if-match": "3"}).status_code == 422


def test_a_dry_run_says_what_would_happen_and_changes_nothing(
    client: TestClient, stores: Stores
) -> None:
    put(client)
    would = put(client, CHANGED, params={"dry_run": "true"}).json()["data"]
    assert (would["version"], would["created"], would["dry_run"]) == (2, False, True)
    assert would["diff"]
    assert len(stores.configurations.versions("support-prod")) == 1
    late = put(client, CHANGED, params={"dry_run": "true"}, headers={"if-match": '"7"'})
    assert late.status_code == 412


def test_two_versions_are_compared(client: TestClient) -> None:
    put(client)
    put(client, CHANGED)
    shown = client.get(f"{ADDRESS}/diff?from=1&to=2").json()["data"]
    assert (shown["from"], shown["to"]) == (1, 2)
    assert shown["diff"].startswith("--- support-prod@1\n+++ support-prod@2\n")
    assert client.get(f"{ADDRESS}/diff?from=1").status_code == 422


def test_a_rollback_makes_the_old_content_the_newest_version(client: TestClient) -> None:
    put(client)
    put(client, CHANGED)
    back = client.post(f"{ADDRESS}/rollback", json={"version": 1}).json()["data"]
    assert (back["version"], back["content"], back["note"]) == (
        3,
        CONFIGURATION,
        "roll back to version 1",
    )
    assert client.post(f"{ADDRESS}/rollback", json={"version": 9}).status_code == 404


def test_the_rollback_runbook_of_the_documents_works(client: TestClient) -> None:
    """Seed 001: content read with jq, written back with one newline more or less."""
    put(client)
    put(client, CHANGED)
    content = client.get(f"{ADDRESS}/versions/1").json()["data"]["content"]
    applied = put(client, content.rstrip("\n") + "\n")
    assert applied.status_code == 200
    assert client.get(ADDRESS).json()["data"]["version"] == 3


def test_the_emergency_file_may_become_a_version_of_another_configuration(
    client: TestClient,
) -> None:
    put(client)
    emergency = (
        "gateway:\n  port: 41002\n  secret_key_ref:\n    env: OPENAI_API_KEY\n"
        "policies:\n  - name: emergency-passthrough\n"
        "    input:\n      - type: content_safety\n        action: flag\n"
        "    output:\n      - type: content_safety\n        action: flag\n"
    )
    assert put(client, emergency).json()["data"]["version"] == 2


def test_a_file_with_only_tests_is_no_configuration(client: TestClient) -> None:
    answer = put(client, "testing:\n  suites: []\n")
    assert answer.status_code == 422


@pytest.mark.parametrize("content", ["", "\t", "a: [", "x" * 1_000_001, "a: &a [*a]", "{" * 5000])
def test_no_content_breaks_the_server(client: TestClient, content: str) -> None:
    assert put(client, content).status_code == 422


def report(client: TestClient, sent: GatewayReport) -> Any:
    return client.put(
        f"/v1/gateways/{sent.id}",
        content=msgspec.json.encode(sent),
        headers={"content-type": "application/json"},
    )


def test_a_gateway_shows_what_each_worker_really_runs(client: TestClient, clock: Clock) -> None:
    for content in (CONFIGURATION, CHANGED, CHANGED + "# 3\n"):
        put(client, content)
    assert report(client, make_report(now=clock.now, version=2)).status_code == 200
    clock.advance(seconds=2)
    (gateway,) = client.get("/v1/gateways").json()["data"]
    assert (gateway["state"], gateway["connected"], gateway["newest_version"]) == (
        "behind",
        True,
        3,
    )
    assert gateway["behind_seconds"] == 2.0
    assert [worker["versions_behind"] for worker in gateway["workers"]] == [1, 1]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "in force"),
        ({"load_error": "E001"}, "load failed"),
        ({"workers": ()}, "empty"),
    ],
)
def test_one_word_tells_how_a_gateway_does(
    client: TestClient, clock: Clock, changes: dict[str, Any], state: str
) -> None:
    assert report(client, make_report(now=clock.now, **changes)).json()["data"]["state"] == state
    clock.advance(seconds=8)
    assert client.get("/v1/gateways/gw-0a1b2c3d").json()["data"]["state"] == "away"


def test_a_report_under_another_name_or_with_impossible_counts_is_refused(
    client: TestClient, clock: Clock
) -> None:
    sent = make_report(now=clock.now)
    content = msgspec.json.encode(sent)
    headers = {"content-type": "application/json"}
    other = client.put("/v1/gateways/gw-other", content=content, headers=headers)
    assert other.json()["errors"][0]["where"] == "body.id"
    wrong = report(client, msgspec.structs.replace(sent, shipped=-1, waiting=2**63))
    assert [error["where"] for error in wrong.json()["errors"]] == ["body.shipped", "body.waiting"]
    assert client.put("/v1/gateways/gw-1", content=b"", headers=headers).status_code == 422


def test_status_reconciles_what_was_shipped_with_what_is_stored(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    stores.events.append([make_event(number) for number in range(94)])
    report(client, make_report(now=clock.now))
    (gateway,) = client.get("/v1/status").json()["data"]["gateways"]
    assert (gateway["admitted"], gateway["decided"], gateway["in_flight"]) == (100, 98, 2)
    assert (gateway["shipped"], gateway["waiting"]) == (96, 2)
    assert (gateway["stored"], gateway["gap"]) == (94, 2)


def test_an_away_gateway_comes_back_with_its_next_report(client: TestClient, clock: Clock) -> None:
    report(client, make_report(now=clock.now))
    clock.now += timedelta(minutes=5)
    assert report(client, make_report(now=clock.now)).json()["data"]["connected"] is True
