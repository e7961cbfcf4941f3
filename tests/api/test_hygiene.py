"""The outer edge and idempotency: hostile bytes, headers, repeated requests."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from kintsugi.api.hygiene import JSON_DEPTH_MAX, SECURITY_HEADERS, decode_json
from kintsugi.api.relative_time import parse_time
from kintsugi.errors import InvalidInput
from kintsugi.model.stores import Stores
from tests.control_plane import NOON, Clock, bearer, make_token


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'"\\ud800"',
        b'"\\u0000"',
        b'{"\\u0000": 1}',
        b"NaN",
        b"1e999",
        nested(JSON_DEPTH_MAX + 1),
        nested(100_000),
        b'{"a":' * 100_000,
    ],
)
def test_what_databases_and_logs_choke_on_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode_json(body)


def test_ordinary_depth_is_fine() -> None:
    assert decode_json(nested(JSON_DEPTH_MAX - 1))


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    try:
        decode_json(body)
    except InvalidInput:
        return


@pytest.mark.parametrize(
    ("method", "address"),
    [("GET", "/v1/events?q=%00"), ("GET", "/v1/events/%00"), ("POST", "/v1/sql?a=%00")],
)
def test_a_nul_in_an_address_is_refused_everywhere(
    client: TestClient, method: str, address: str
) -> None:
    assert client.request(method, address).status_code == 422


def test_security_headers_stand_on_every_answer(client: TestClient) -> None:
    for address in ("/v1/events", "/nope", "/sign-in", "/v1/events?x=%00", "/openapi.json"):
        headers = client.get(address).headers
        for name, value in SECURITY_HEADERS.items():
            assert headers[name] == value, (address, name)


def test_no_inline_script_or_style_is_ever_allowed() -> None:
    policy = SECURITY_HEADERS["content-security-policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'self'")


def test_other_origins_learn_nothing(client: TestClient) -> None:
    answer = client.options(
        "/v1/events",
        headers={"origin": "https://evil.example", "access-control-request-method": "GET"},
    )
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_no_answer_is_built_from_the_host_header(client: TestClient) -> None:
    host = {"host": "evil.example"}
    for address in ("/", "/v1/events/", "/openapi.json", "/sign-in", "/nope"):
        answer = client.get(address, headers={**host, "accept": "text/html"})
        assert "evil.example" not in answer.text
        assert "evil.example" not in str(answer.headers)


def test_a_body_that_is_no_json_is_told_which_media_type_to_send(client: TestClient) -> None:
    answer = client.post("/v1/tokens", content=b"name=x", headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (415, "media_type.unsupported")


def make(client: TestClient, key: str, **changes: Any) -> Any:
    body = {"name": "n", "scopes": ["events:read"], **changes}
    return client.post("/v1/tokens", json=body, headers={"idempotency-key": key})


def test_the_same_key_with_another_body_is_refused(client: TestClient) -> None:
    assert make(client, "k").status_code == 201
    other = make(client, "k", name="other")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency.mismatch")


def test_every_caller_has_its_own_keys(client: TestClient, stores: Stores) -> None:
    make(client, "k")
    client.headers.update(bearer(make_token(stores)))
    assert make(client, "k", name="other").status_code == 201


def test_a_key_is_forgotten_after_a_day(client: TestClient, clock: Clock) -> None:
    make(client, "k")
    clock.advance(hours=24)
    assert make(client, "k", name="other").status_code == 201


def test_a_failure_is_not_kept(client: TestClient) -> None:
    assert make(client, "k", scopes=[]).status_code == 422
    assert make(client, "k").status_code == 201


@pytest.mark.parametrize("key", ["", "k" * 201, "\x7f", "tab\there"])
def test_a_key_that_cannot_be_one_is_refused(client: TestClient, key: str) -> None:
    assert make(client, key).status_code == 422


def test_a_repetition_that_overtakes_the_first_request_waits_for_its_answer(
    client: TestClient, stores: Stores
) -> None:
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(make(client, "k").json()["data"]["id"]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(answers)) == 1
    assert [token.name for token in stores.tokens.list()].count("n") == 1


@given(
    st.datetimes(
        min_value=datetime(2, 1, 1),  # noqa: DTZ001 - the zone is drawn beside it
        max_value=datetime(9998, 1, 1),  # noqa: DTZ001
        timezones=st.timezones(),
    ),
    st.sampled_from(["T", " "]),
)
def test_every_time_with_a_zone_is_read_as_itself(moment: datetime, separator: str) -> None:
    # Compared in UTC: Python calls no two zones equal in the hour that a clock repeats.
    assert parse_time(moment.isoformat(separator), now=NOON) == moment.astimezone(UTC)


@given(st.text(max_size=30))
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    try:
        assert parse_time(text, now=NOON).tzinfo is not None
    except ValueError:
        return


def test_so_long_ago_counts_back_from_now() -> None:
    assert parse_time("90s", now=NOON) == NOON - timedelta(seconds=90)
    assert parse_time("2w", now=NOON) == NOON - timedelta(days=14)
