"""Where a POST may go, how long it may take, what may come back."""

from __future__ import annotations

import socket
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from kintsugi.errors import InvalidInput
from kintsugi.model.notify import Try
from kintsugi.notify import egress
from kintsugi.notify.egress import Refused, check_url, pinned, post
from tests.databases import NOON
from tests.notify.made import receiving


def sent(url: str, *, allowed: bool = True, seconds: float = 5.0) -> Try:
    return post(
        url, {"x-a": "b"}, b"{}", allow_private_network=allowed, now=NOON, timeout_seconds=seconds
    )


def test_a_receiver_gets_it_whole() -> None:
    with receiving() as receiver:
        tried = sent(f"{receiver.url}?a=1")
    assert (tried.arrived, tried.status) == (True, 200)
    [came] = receiver.came
    assert (came.path, came.body, came.headers["x-a"]) == ("/hook?a=1", b"{}", "b")
    assert came.headers["host"].startswith("127.0.0.1:")


def test_a_private_address_is_refused_before_anything_is_sent() -> None:
    with receiving() as receiver:
        tried = sent(receiver.url, allowed=False)
    assert "private" in tried.error
    assert "--allow-private-network" in tried.error
    assert receiver.came == []


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "::1", "::ffff:192.168.1.1", "64:ff9b::7f00:1", "0.0.0.0"],
)
def test_every_spelling_of_a_private_address_is_refused(address: str) -> None:
    with pytest.raises(Refused, match="private"):
        pinned(address, 80, allow_private_network=False)


def test_metadata_services_are_refused_even_where_the_own_network_is_allowed() -> None:
    with pytest.raises(Refused, match="link-local"):
        pinned("169.254.169.254", 80, allow_private_network=True)


def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(*_: Any, **__: Any) -> list[Any]:
        return [(2, 1, 6, "", (one, 80)) for one in ("93.184.216.34", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    with pytest.raises(Refused, match=r"10\.0\.0\.1"):
        pinned("rebinding.example", 80, allow_private_network=False)


def test_redirects_are_not_followed() -> None:
    def redirect(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(307)
        handler.send_header("location", "/elsewhere")
        handler.send_header("content-length", "0")
        handler.end_headers()

    with receiving() as receiver:
        receiver.answer = redirect
        tried = sent(receiver.url)
    assert tried.error == "answered 307; redirects are not followed"
    assert len(receiver.came) == 1


@pytest.mark.alone
def test_who_answers_byte_by_byte_is_cut_off() -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        try:
            for _ in range(200):
                handler.wfile.write(b"H")
                handler.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass

    with receiving() as receiver:
        receiver.answer = drip
        began = time.monotonic()
        tried = sent(receiver.url, seconds=0.5)
    assert tried.error == "no answer within 0.5 seconds"
    assert time.monotonic() - began < 3


def test_an_endless_answer_is_not_read() -> None:
    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            pass

    with receiving() as receiver:
        receiver.answer = flood
        assert sent(receiver.url).arrived


def test_nobody_there_is_told_without_details() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert sent(f"http://127.0.0.1:{port}/").error == "no answer: ConnectionRefusedError"
    assert "does not resolve" in sent("http://no-such-host.invalid/").error


def test_what_the_receiver_asks_for_is_kept() -> None:
    def busy(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(503)
        handler.send_header("retry-after", "120")
        handler.send_header("content-length", "0")
        handler.end_headers()

    with receiving() as receiver:
        receiver.answer = busy
        tried = sent(receiver.url)
        receiver.answer = 410
        assert sent(receiver.url).gone
    assert (tried.status, tried.retry_after_seconds) == (503, 120)


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with receiving() as receiver:
        assert sent(receiver.url).arrived


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.com/",
        "https://",
        "https://user:pass@example.com/",
        "https://example.com/#part",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com/a b",
        "https://exämple.com/",
        "https://example.com/\r\nx: y",
        f"https://example.com/{'a' * 2000}",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"body\.url"):
        check_url(url)


def test_the_certificates_name_is_that_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []

    class Context:
        def wrap_socket(self, _: socket.socket, server_hostname: str) -> socket.socket:
            named.append(server_hostname)
            raise OSError

    monkeypatch.setattr(egress, "_context", Context)
    with receiving() as receiver:
        sent(receiver.url.replace("http://127.0.0.1", "https://localhost"))
    assert named == ["localhost"]
