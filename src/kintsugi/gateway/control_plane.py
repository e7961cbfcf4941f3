"""The gateway's side of the control plane's HTTP API, for threads: small, kept alive, blocking.

The standard library's client on purpose: the supervisor holds a few such connections for its whole
life and nothing else, so it stays small in memory and quick to start.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import msgspec

from kintsugi.errors import ApiUnreachable

_ERROR_BODY_BYTES_MAX = 256 * 1024


class Answer(msgspec.Struct, frozen=True):
    """An answer that was read whole; ``headers`` has lower-case names."""

    status: int
    body: bytes
    headers: dict[str, str] = {}


class FieldProblem(msgspec.Struct, frozen=True):
    """One thing that the control plane found wrong."""

    where: str = ""
    message: str = ""


class Problem(msgspec.Struct, frozen=True):
    """The part of an RFC 9457 answer that the gateway uses."""

    detail: str = ""
    code: str = ""
    errors: tuple[FieldProblem, ...] = ()


def problem_of(answer: Answer) -> Problem:
    """What an answer says went wrong; whatever text it holds when it is no problem document."""
    try:
        return msgspec.json.decode(answer.body, type=Problem)
    except msgspec.DecodeError:
        return Problem(detail=answer.body[:200].decode("utf-8", "replace"))


class ControlPlane:
    """One connection to the control plane, opened when needed and kept. One thread at a time.

    Args:
        api_url: ``http://host:port``, a path prefix allowed.
        token: asked before every connection, so that a token file that appears or changes while
            the gateway runs is used. It goes into the Authorization header and nowhere else.
    """

    def __init__(
        self, api_url: str, token: Callable[[], str], *, timeout_seconds: float = 10.0
    ) -> None:
        address = urlsplit(api_url)
        if address.scheme not in {"http", "https"} or not address.hostname:
            raise ValueError(f'"{api_url}" is no address of a control plane; use http://HOST:PORT')
        self.api_url = api_url
        self._secure = address.scheme == "https"
        self._host = address.hostname
        self._port = address.port
        self._prefix = address.path.rstrip("/")
        self._token = token
        self._timeout_seconds = timeout_seconds
        self._connection: http.client.HTTPConnection | None = None
        # Kept beside the connection, which forgets it when the server will close after answering.
        self._socket: socket.socket | None = None
        # Guards only these two against ``abort`` from another thread.
        self._lock = threading.Lock()
        self._aborted = False

    def request(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> Answer:
        """Send one request and read the answer, whatever its status.

        A kept connection that turns out to be closed is opened again once, so every request
        made through here has to be one that may arrive twice.

        Raises:
            ApiUnreachable: no whole answer came.
        """
        headers = {"Content-Type": content_type} if body else {}
        reused = self._connection is not None
        try:
            response = self._send(method, path, body, headers)
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not reused or isinstance(error, TimeoutError):
                raise self._unreachable(error) from error
            return self.request(method, path, body, content_type)
        if response.will_close:
            self.close()
        return Answer(response.status, content, _headers(response))

    def open_stream(
        self, path: str, *, silence_seconds_max: float
    ) -> http.client.HTTPResponse | Answer:
        """Begin to read an endless answer; an ``Answer`` when the status is not 200.

        Args:
            silence_seconds_max: a read that gets nothing for so long raises ``TimeoutError``.

        Raises:
            ApiUnreachable: no answer came.
        """
        self.close()
        try:
            self._connected()
            if self._socket is not None:
                self._socket.settimeout(silence_seconds_max)
            response = self._send("GET", path, b"", {"Accept": "text/event-stream"})
            if response.status == http.client.OK:
                return response
            content = response.read(_ERROR_BODY_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unreachable(error) from error
        self.close()
        return Answer(response.status, content, _headers(response))

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        with self._lock:
            connection, self._connection = self._connection, None
            self._socket = None
        if connection is not None:
            connection.close()

    def abort(self) -> None:
        """Wake whoever reads from it, from any thread, and let nothing more through."""
        with self._lock:
            self._aborted = True
            opened = self._socket
        if opened is not None:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    def _send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        connection = self._connected()
        connection.request(
            method,
            self._prefix + path,
            body=body or None,
            headers={"Authorization": f"Bearer {self._token()}", **headers},
        )
        return connection.getresponse()

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is not None:
            return self._connection
        connection: http.client.HTTPConnection
        if self._secure:
            connection = http.client.HTTPSConnection(
                self._host,
                self._port,
                timeout=self._timeout_seconds,
                context=ssl.create_default_context(),
            )
        else:
            connection = http.client.HTTPConnection(
                self._host, self._port, timeout=self._timeout_seconds
            )
        connection.connect()
        with self._lock:
            if self._aborted:
                connection.close()
                raise ConnectionAbortedError("the gateway is stopping")
            self._connection = connection
            self._socket = connection.sock
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _unreachable(self, error: Exception) -> ApiUnreachable:
        return ApiUnreachable(
            f"no answer from {self.api_url}: {str(error) or type(error).__name__}"
        )


def _headers(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}


def backoff_seconds(attempt: int, *, noise: float, ceiling_seconds: float) -> float:
    """How long to wait before trying again: doubling from 0.1 s, half of it random.

    Args:
        attempt: failures in a row, from 1.
        noise: in [0, 1); spreads gateways that lost the same control plane.
    """
    full = min(ceiling_seconds, 0.1 * 2.0 ** min(attempt - 1, 16))
    return full * (0.5 + noise / 2)
