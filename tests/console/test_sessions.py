"""Sessions: given for a token, gone with it, never usable from another site."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Access, Scope
from kintsugi.console.attempts import PER_ACCOUNT, PER_ADDRESS, WINDOW, Attempts, keys_of
from kintsugi.console.sessions import COOKIE
from kintsugi.model.audit import AuditFilter
from kintsugi.model.stores import Stores
from tests.control_plane import Clock, make_token

PAGES = ("/", "/events/x", "/live")


@pytest.mark.parametrize("address", PAGES)
def test_a_page_without_a_session_leads_to_the_sign_in_form(
    anonymous: TestClient, address: str
) -> None:
    answer = anonymous.get(address, headers={"accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")
    assert anonymous.get(address).status_code == 401  # a program gets the problem


def test_signing_in_goes_on_to_the_page_that_was_asked_for(
    anonymous: TestClient, stores: Stores
) -> None:
    text = make_token(stores)
    anonymous.headers["accept"] = "text/html"
    form = anonymous.get("/?verdict=block").headers["location"]
    assert 'value="/?verdict=block"' in anonymous.get(form).text
    answer = anonymous.post("/sign-in", data={"token": text, "next": "/?verdict=block"})
    assert answer.headers["location"] == "/?verdict=block"


def test_the_cookie_is_closed_to_scripts_and_other_sites_and_holds_no_token(
    anonymous: TestClient, stores: Stores
) -> None:
    text = make_token(stores)
    cookie = anonymous.post("/sign-in", data={"token": text}).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert text.rpartition("_")[2] not in cookie


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\r\nx: y",
    ],
)
def test_signing_in_never_leads_to_another_site(
    anonymous: TestClient, stores: Stores, address: str
) -> None:
    answer = anonymous.post("/sign-in", data={"token": make_token(stores), "next": address})
    assert answer.headers["location"] == "/"
    page = anonymous.get("/sign-in", params={"next": address})
    assert 'name="next" value="/"' in page.text


@pytest.mark.parametrize("text", ["", "kt_x_y", "kt_abc_" + "0" * 64, "<script>"])
def test_a_wrong_token_gives_no_session_and_says_why(anonymous: TestClient, text: str) -> None:
    answer = anonymous.post("/sign-in", data={"token": text})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text
    assert "<script>" not in answer.text


def test_a_token_that_may_not_read_events_is_told_so(anonymous: TestClient, stores: Stores) -> None:
    text = make_token(stores, Scope.EVENTS_WRITE)
    answer = anonymous.post("/sign-in", data={"token": text}, headers={"accept": "text/html"})
    assert answer.status_code == 403
    assert "events:read" in answer.text


def test_a_session_ends_with_its_token(client: TestClient, stores: Stores, clock: Clock) -> None:
    assert client.get("/").status_code == 200
    for token in stores.tokens.list():
        stores.tokens.revoke(token.id, now=clock.now)
    client.app.state.control.authenticator.forget()  # type: ignore[attr-defined]
    assert client.get("/").status_code == 303


def test_a_session_ends_after_twelve_hours_however_busy(client: TestClient, clock: Clock) -> None:
    for _ in range(11):
        clock.now += timedelta(hours=1)
        look_again(client)
        assert client.get("/").status_code == 200
    clock.now += timedelta(hours=1)
    assert client.get("/").status_code == 303


def test_an_idle_session_ends_after_two_hours(client: TestClient, clock: Clock) -> None:
    clock.now += timedelta(hours=1, minutes=59)
    assert client.get("/").status_code == 200
    clock.now += timedelta(hours=1, minutes=59)
    look_again(client)
    assert client.get("/").status_code == 200
    clock.now += timedelta(hours=2)
    look_again(client)
    assert client.get("/").status_code == 303


def look_again(client: TestClient) -> None:
    """What was remembered for less than a second is forgotten; the tests' clock does not count."""
    client.app.state.control.authenticator.forget()  # type: ignore[attr-defined]


@pytest.mark.parametrize("change", ["0", "x", ".", "deadbeef"])
def test_a_cookie_that_was_changed_is_none(client: TestClient, change: str) -> None:
    genuine = client.cookies[COOKIE]
    for forged in (genuine + change, change + genuine, change, genuine[::-1]):
        client.cookies.clear()
        client.cookies.set(COOKIE, forged)
        assert client.get("/").status_code == 303, forged


def test_signing_out_takes_the_session(client: TestClient) -> None:
    assert client.post("/sign-out").headers["location"] == "/sign-in"
    assert client.get("/").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
def test_a_form_from_another_site_is_refused(
    client: TestClient, stores: Stores, headers: dict[str, str]
) -> None:
    text = make_token(stores)
    assert client.post("/sign-in", data={"token": text}, headers=headers).status_code == 403
    assert client.post("/sign-out", headers=headers).status_code == 403
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"origin": "http://testserver"},
    ],
)
def test_a_form_of_this_site_is_taken(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/sign-out", headers=headers).status_code == 303


def test_every_sign_in_begins_a_session_of_its_own_and_ends_the_one_before(
    client: TestClient, stores: Stores
) -> None:
    before = client.cookies[COOKIE]
    client.post("/sign-in", data={"token": make_token(stores)})
    assert client.cookies[COOKIE] != before
    client.cookies.clear()
    client.cookies.set(COOKIE, before)
    assert client.get("/").status_code == 303


def test_a_session_that_somebody_prepared_is_never_taken_over(
    anonymous: TestClient, stores: Stores
) -> None:
    prepared = "ab" * 32
    anonymous.cookies.set(COOKIE, prepared)
    answer = anonymous.post("/sign-in", data={"token": make_token(stores)})
    assert COOKIE in answer.headers["set-cookie"]
    assert prepared not in answer.headers["set-cookie"]


def test_signing_out_ends_the_session_for_whoever_copied_the_cookie(client: TestClient) -> None:
    copied = client.cookies[COOKIE]
    client.post("/sign-out")
    client.cookies.set(COOKIE, copied)
    assert client.get("/").status_code == 303


def test_the_store_keeps_no_cookie(client: TestClient, stores: Stores) -> None:
    assert stores.sessions.find(client.cookies[COOKIE]) is None


def test_every_form_of_the_console_is_refused_from_another_site_and_without_its_key(
    client: TestClient,
) -> None:
    for route in client.app.routes:  # type: ignore[attr-defined]
        if route.include_in_schema or "POST" not in route.methods:
            continue
        address = route.path
        for name in re.findall(r"{(\w+)}", address):
            address = address.replace(f"{{{name}}}", "x1")
        elsewhere = client.post(address, data={}, headers={"sec-fetch-site": "cross-site"})
        assert elsewhere.status_code == 403, address
        if route.guard.permission is not Access.PUBLIC:
            assert client.post(address, data={}).status_code == 403, address


def test_who_fails_to_sign_in_too_often_has_to_wait(
    anonymous: TestClient, stores: Stores, clock: Clock
) -> None:
    wrong = "kt_abc_" + "0" * 64
    for _ in range(PER_ACCOUNT):
        assert anonymous.post("/sign-in", data={"token": wrong}).status_code == 401
    for headers in ({}, {"accept": "text/html"}):
        refused = anonymous.post("/sign-in", data={"token": wrong}, headers=headers)
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 301
    # Another account of the same address may still try.
    assert anonymous.post("/sign-in", data={"token": make_token(stores)}).status_code == 303
    clock.now += WINDOW
    assert anonymous.post("/sign-in", data={"token": wrong}).status_code == 401


def test_one_address_cannot_try_one_account_after_another(anonymous: TestClient) -> None:
    for number in range(PER_ADDRESS):
        text = f"kt_{number}_" + "0" * 64
        assert anonymous.post("/sign-in", data={"token": text}).status_code == 401
    for path, field in (("/sign-in", "token"), ("/invitation", "code")):
        assert anonymous.post(path, data={field: "x"}).status_code == 429


def test_failures_are_remembered_in_bounded_memory(clock: Clock) -> None:
    attempts = Attempts(keys_max=3)
    for number in range(9):
        attempts.failed(keys_of(f"10.0.0.{number}"), clock.now)
    assert len(attempts._failed) == 3


def test_of_an_ipv6_address_the_network_counts() -> None:
    assert keys_of("2001:db8::1") == keys_of("2001:db8::ffff:1") == ["address 2001:db8::/64"]
    assert keys_of("10.0.0.1", "abc") == ["address 10.0.0.1", "account abc"]
    assert keys_of("testclient") == ["address testclient"]


def test_signing_in_and_out_is_written_down(anonymous: TestClient, stores: Stores) -> None:
    text = make_token(stores, name="ana")
    anonymous.post("/sign-in", data={"token": text})
    anonymous.post("/sign-out")
    anonymous.post("/sign-in", data={"token": "kt_abc_" + "0" * 64})
    found = stores.audit.page(AuditFilter(), limit=9)[0]
    assert [(one.operation, one.actor.partition("/")[0], one.status) for one in found] == [
        ("sign_in", "", 401),
        ("sign_out", "ana", 303),
        ("sign_in", "ana", 303),
    ]
    assert text.rpartition("_")[2] not in repr(found)
