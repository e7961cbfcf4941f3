"""One POST to an address that somebody configured: where it may go, how long it may take, how much
may come back.

The address that was checked is the one that is connected to (no DNS rebinding), redirects are not
followed, and proxies of the environment are not used: the rules that hold for upstreams.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import Final
from urllib.parse import urlsplit

from kintsugi.errors import InvalidInput
from kintsugi.gateway.resolve import refusal
from kintsugi.model.notify import Try

TIMEOUT_SECONDS: Final = 15.0
_ANSWER_BYTES_MAX: Final = 16_384
_URL_CHARS_MAX: Final = 2000
_GONE: Final = 410


class Refused(Exception):
    """It may not go there."""


def check_url(text: str) -> str:
    """A webhook's address, as it is stored.

    Raises:
        InvalidInput: not http or https, no host, or it holds a name and password, which would be
            shown wherever the address is.
    """
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        port = 0
    wrong = ""
    if parts.scheme not in ("https", "http"):
        wrong = "begin it with https:// (or http:// inside your own network)"
    elif not parts.hostname or port == 0:
        wrong = "name a host, and a port from 1 to 65535 if any"
    elif parts.username is not None or parts.password is not None:
        wrong = "leave name and password out; receivers check the signature"
    elif (
        parts.fragment or len(text) > _URL_CHARS_MAX or not text.isascii() or not text.isprintable()
    ):
        wrong = f"at most {_URL_CHARS_MAX} ASCII characters, without a fragment"
    elif " " in text:
        wrong = "write spaces as %20"
    if wrong:
        raise InvalidInput(f"body.url: {wrong}")
    return text


def post(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    allow_private_network: bool,
    now: datetime,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Try:
    """Send it once; whatever happens is in the answer."""
    began = time.monotonic()
    status, error, retry_after = 0, "", 0
    try:
        status, retry_after = _exchange(
            url, headers, body, allow_private_network=allow_private_network, seconds=timeout_seconds
        )
    except Refused as refused:
        error = str(refused)
    except ssl.SSLCertVerificationError as failed:
        error = f"the certificate was refused: {failed.verify_message}"
    except TimeoutError:
        error = f"no answer within {timeout_seconds:g} seconds"
    except (OSError, http.client.HTTPException) as failed:
        error = f"no answer: {type(failed).__name__}"
    if status and not 200 <= status < 300:
        hint = "; redirects are not followed" if 300 <= status < 400 else ""
        error = f"answered {status}{hint}"
    return Try(
        at=now,
        status=status,
        error=error,
        duration_ms=round((time.monotonic() - began) * 1000),
        retry_after_seconds=retry_after,
        gone=status == _GONE,
    )


def _exchange(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    allow_private_network: bool,
    seconds: float,
) -> tuple[int, int]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = pinned(host, port, allow_private_network=allow_private_network)
    deadline = time.monotonic() + seconds
    sock = socket.create_connection((address, port), timeout=seconds)
    over = threading.Event()
    # Time-outs of sockets are for one read; who sends a byte now and then would hold us for ever.
    watch = threading.Timer(max(deadline - time.monotonic(), 0.01), _end, (sock, over))
    watch.daemon = True
    watch.start()
    try:
        if parts.scheme == "https":
            sock = _context().wrap_socket(sock, server_hostname=host)
        connection = http.client.HTTPConnection(host, port, timeout=seconds)
        connection.sock = sock
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, dict(headers))
        answer = connection.getresponse()
        answer.read(_ANSWER_BYTES_MAX)
        wait = answer.getheader("retry-after", "")
        return answer.status, int(wait) if wait.isascii() and wait.isdigit() else 0
    except (OSError, http.client.HTTPException) as error:
        if over.is_set():
            raise TimeoutError from error
        raise
    finally:
        watch.cancel()
        sock.close()


def pinned(host: str, port: int, *, allow_private_network: bool) -> str:
    """The number to connect to.

    Raises:
        Refused: the name does not resolve, or any of its addresses is forbidden.
    """
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused(f"{host} does not resolve") from error
    found = [str(answer[4][0]) for answer in answers]
    for address in found:
        if reason := refusal(address, allow_private_network=allow_private_network):
            allow = "; allow it with --allow-private-network if this is meant"
            raise Refused(
                f"{host} is at {address}, a {reason} address{allow if reason == 'private' else ''}"
            )
    return found[0]


def _end(sock: socket.socket, over: threading.Event) -> None:
    over.set()
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()
