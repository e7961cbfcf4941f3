"""Sessions: given for a token, gone with it, never usable from another site."""

from __future__ import annotations

from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.console.sessions import COOKIE
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


def test_a_session_ends_after_twelve_hours(client: TestClient, clock: Clock) -> None:
    clock.now += timedelta(hours=11, minutes=59)
    assert client.get("/").status_code == 200
    clock.now += timedelta(minutes=1)
    assert client.get("/").status_code == 303


@pytest.mark.parametrize("change", ["0", "x", ".", "deadbeef"])
def test_a_cookie_that_was_changed_is_none(client: TestClient, change: str) -> None:
    genuine = client.cookies[COOKIE]
    for forged in (genuine + change, change + genuine, change, genuine.replace(".", f".{change}")):
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
