"""Errors on the wire."""

from __future__ import annotations

import http

import pytest
import structlog
from starlette.testclient import TestClient

from kintsugi import errors
from kintsugi.api.permissions import Scope
from kintsugi.api.problems import HTTP_STATUS, FieldError, Invalid, did_you_mean, status_of
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.stores import Stores
from tests.control_plane import bearer, make_token


def all_subclasses(kind: type[errors.KintsugiError]) -> set[type[errors.KintsugiError]]:
    below = {found for child in kind.__subclasses__() for found in all_subclasses(child)}
    return {kind} | below


def test_every_error_of_the_tree_has_an_http_status() -> None:
    declared = {
        kind
        for kind in all_subclasses(errors.KintsugiError)
        if kind.__module__ == "kintsugi.errors"
    }
    assert set(HTTP_STATUS) == declared


def test_an_error_below_a_listed_one_has_the_listed_status() -> None:
    assert status_of(Invalid([FieldError("query.q", "is wrong")])) == 422


def test_every_status_is_one_that_http_knows() -> None:
    assert all(http.HTTPStatus(status) for status in HTTP_STATUS.values())


@pytest.mark.parametrize("address", ["/v1/nope", "/v1/events/", "/v2/events", "/nope"])
def test_an_unknown_address_is_a_problem(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] in {"route.unknown", "not_found"}


def test_a_wrong_method_names_the_right_ones(client: TestClient) -> None:
    answer = client.delete("/v1/status")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.json()["code"] == "method.not_allowed"


def test_everything_wrong_with_a_query_is_listed_at_once(client: TestClient) -> None:
    problem = client.get("/v1/events?verdikt=block&since=yesterday&limit=-1").json()
    assert problem["status"] == 422
    assert problem["type"] == "urn:kintsugi:problem:input.invalid"
    found = {error["where"]: error for error in problem["errors"]}
    assert set(found) == {"query.verdikt", "query.since", "query.limit"}
    assert found["query.verdikt"]["help"] == 'did you mean "verdict"?'


def test_a_misspelt_parameter_is_named_with_its_neighbour_where_a_dependency_takes_it(
    client: TestClient,
) -> None:
    problem = client.post("/v1/incidents/INC-1/assess?dryrun=1", json={"factors": {}}).json()
    [found] = problem["errors"]
    assert (found["where"], found["help"]) == ("query.dryrun", 'did you mean "dry_run"?')


def test_a_misspelt_field_deep_in_a_body_is_named_with_its_neighbour(client: TestClient) -> None:
    body = {"type": "events", "filter": {"start_tme": "2026-04-23T14:00:00Z"}}
    problem = client.post("/v1/exports", json=body).json()
    assert problem["errors"] == [
        {
            "where": "body.filter.start_tme",
            "message": "unknown field",
            "code": "input.unknown",
            "help": 'did you mean "start_time"?',
        }
    ]


def test_a_parameter_of_a_route_without_any_is_refused(client: TestClient) -> None:
    problem = client.get("/v1/gateways?verbose=1").json()
    assert problem["errors"][0]["where"] == "query.verbose"


def test_an_unforeseen_error_gives_the_caller_a_reference_and_the_log_the_details(
    client: TestClient, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(where: EventFilter, *, ceiling: int) -> int:
        raise ZeroDivisionError("the secret detail")

    monkeypatch.setattr(stores.events, "count", fail)
    with structlog.testing.capture_logs() as logged:
        answer = client.get("/v1/events")
    problem = answer.json()
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert [entry["reference"] for entry in logged] == [problem["reference"]]


def test_a_store_that_cannot_be_reached_says_when_to_come_back(
    client: TestClient, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise errors.StoreUnavailable

    monkeypatch.setattr(stores.events, "last_position", fail)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_a_token_without_the_scope_is_told_which_one(anonymous: TestClient, stores: Stores) -> None:
    text = make_token(stores, Scope.EVENTS_READ)
    problem = anonymous.get("/v1/tokens", headers=bearer(text)).json()
    assert problem["code"] == "auth.forbidden"
    assert "tokens:admin" in problem["detail"]


def test_near_words_are_proposed_and_far_ones_are_not() -> None:
    assert did_you_mean("untill", ["since", "until"]) == 'did you mean "until"?'
    assert did_you_mean("zzz", ["since", "until"]) == "known: since, until"
