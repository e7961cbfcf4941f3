"""Clients' connections: bytes to requests, answers to bytes.

llhttp parses, strictly. One request of a connection is served at a time: bytes that arrive
meanwhile are held unparsed up to a limit, and then no longer read.

A connection is in one of six states, each with its own deadline, looked at by the shell's tick:

===========  ==========================================  =====================================
state        what happens                                time limit
===========  ==========================================  =====================================
IDLE         between requests                            ``client_idle_timeout_seconds``
HEAD         a head has begun to arrive                  ``client_header_timeout_seconds``
BODY         the head is complete, the body is not       ``client_body_timeout_seconds``, and one
                                                         second more for each KiB that came
BUSY         an exchange runs                            upstream's; while the client does not
                                                         read, ``client_body_timeout_seconds``
LINGERING    refused; what still comes is thrown away    2 s
CLOSED       gone
===========  ==========================================  =====================================
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from enum import Enum
from typing import cast

import httptools
import msgspec
import structlog

from kintsugi.gateway import metrics, wire
from kintsugi.gateway.answers import own_headers
from kintsugi.gateway.carrier import Carrier
from kintsugi.gateway.events import Headers, RequestReceived, RequestRefused
from kintsugi.gateway.mcp_answers import refusal_body
from kintsugi.gateway.mcp_requests import MCP_PATH
from kintsugi.gateway.shell import Shell
from kintsugi.model.verdict import Verdict

log = structlog.get_logger(__name__)

HEADERS_MAX = 128
HEAD_BYTES_MAX = 65_536
_HELD_BYTES_MAX = 65_536
_PIPELINED_MAX = 64
_LINGER_SECONDS = 2.0
_BODY_BYTES_PER_SECOND_MIN = 1024
_WRITE_BUFFER_BYTES = 262_144

_FRAMING = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect", b"upgrade"))
_OFFER = frozenset((b"upgrade", b"connection", b"http2-settings"))
# Answered here; every other path is the exchange's, whose table of routes is closed.
_OWN = frozenset((b"/health", b"/healthz", b"/readyz", b"/metrics"))


class State(Enum):
    """What a connection is doing; see the table at the top."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    BUSY = "busy"
    LINGERING = "lingering"
    CLOSED = "closed"


class Request(msgspec.Struct, frozen=True, gc=False):
    """A whole request, waiting for the one before it."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes
    keep_alive: bool
    http_1_0: bool
    refusal: str


class _RefusedError(Exception):
    """Stops the parser in the middle; the refusal is in ``ClientConnection._refusal``."""


class ClientConnection(asyncio.Protocol):
    """One client's connection, see the module's text."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_carrier",
        "_close_after",
        "_deadline",
        "_head_bytes",
        "_head_complete",
        "_headers",
        "_held",
        "_http_1_0",
        "_keep_alive",
        "_method",
        "_parser",
        "_read_bytes",
        "_reading_paused",
        "_refusal",
        "_requests",
        "_shell",
        "_source",
        "_state",
        "_target",
        "_transport",
        "_write_paused",
        "head_only",
    )

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._state = State.IDLE
        self._deadline = 0.0
        self._read_bytes = 0
        self._carrier: Carrier | None = None
        self._requests: deque[Request] = deque()
        self._held: list[bytes] = []
        self._reading_paused = False
        self._write_paused = False
        self._close_after = False
        self._refusal = ""
        self._keep_alive = True
        self._http_1_0 = False
        self.head_only = False
        self._forget_request()

    def _forget_request(self) -> None:
        self._method = b""
        self._target = b""
        self._headers: Headers = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._head_complete = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        shell = self._shell
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(_WRITE_BUFFER_BYTES)
        peer = transport.get_extra_info("peername")
        self._source = peer[0] if isinstance(peer, tuple) else ""
        shell.connections.add(self)
        # The first request must begin soon; only later ones may take the idle time.
        self._deadline = shell.now + shell.gateway.client_header_timeout_seconds
        if len(shell.connections) > shell.connections_max:
            shell.metrics.rejected("overloaded")
            self._refuse_here(503, "overloaded", "too many connections; try again shortly")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 asyncio's name
        self._state = State.CLOSED
        self._shell.held_body_bytes -= self._body_bytes
        self._body_bytes = 0
        for request in self._requests:
            self._release(request)
        self._requests.clear()
        self._held.clear()
        carrier, self._carrier = self._carrier, None
        if carrier is not None:
            carrier.client_gone()
        self._shell.closed(self)

    def eof_received(self) -> bool:
        return False  # a client that ends its side has left: nobody half-closes HTTP on purpose

    def pause_writing(self) -> None:
        self._write_paused = True
        self._deadline = self._shell.now + self._shell.gateway.client_body_timeout_seconds
        if self._carrier is not None:
            self._carrier.pause()

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._carrier is not None:
            self._carrier.resume()

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state is State.BUSY:
            self._hold(data)
        elif state is not State.LINGERING and state is not State.CLOSED:
            self._parse(data)

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        if sum(map(len, self._held)) > _HELD_BYTES_MAX and not self._reading_paused:
            # From here on a client that leaves is only noticed when something is written to it.
            self._reading_paused = True
            self._transport.pause_reading()

    def _parse(self, data: bytes) -> None:
        shell = self._shell
        if self._state is State.IDLE:
            self._state = State.HEAD
            self._deadline = shell.now + shell.gateway.client_header_timeout_seconds
        elif self._state is State.HEAD:
            # The read that a head began in is not counted: it may hold the end of a body too.
            self._head_bytes += len(data)
        self._read_bytes = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._pass_over_upgrade(data[offer.args[0] :])
        except httptools.HttpParserError:
            self._refusal = self._refusal or "request.malformed"
        if self._state is State.BODY:
            timeout_seconds = shell.gateway.client_body_timeout_seconds
            earned = self._deadline + len(data) / _BODY_BYTES_PER_SECOND_MIN
            self._deadline = min(earned, shell.now + timeout_seconds)
        elif self._state is State.HEAD and self._head_bytes > HEAD_BYTES_MAX:
            self._refusal = self._refusal or "headers_too_large"
        if self._refusal:
            self._requests.append(self._take_request(self._refusal))
        if self._requests and self._carrier is None:
            self._serve_next()

    def _pass_over_upgrade(self, rest: bytes) -> None:
        """Read a request that offered HTTP/2, as Java's client does by default, as HTTP/1.1.

        The offer may be ignored (RFC 9110 §7.8). The parser stops at it and would leave the body
        out, so another one reads the head again, without the offer, and then what follows.
        """
        kept = [header for header in self._headers if header[0] not in _OFFER]
        if not self._keep_alive:
            kept.append((b"connection", b"close"))
        head = b"%b %b HTTP/1.1\r\n%b\r\n" % (
            self._method,
            self._target,
            wire.header_lines(kept),
        )
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(head + rest)
        except httptools.HttpParserUpgrade:
            self._refusal = "request.malformed"  # a second offer in one read
        except httptools.HttpParserError:
            self._refusal = self._refusal or "request.malformed"

    # httptools callbacks

    def on_message_begin(self) -> None:
        if len(self._requests) >= _PIPELINED_MAX:
            self._refusal = "request.malformed"
            raise _RefusedError
        self._forget_request()
        self._state = State.HEAD

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # What comes later is a trailer: read and forgotten, or it would pass for a header
        # (RFC 9110 §6.5).
        if not self._head_complete:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        shell = self._shell
        headers = self._headers
        found = dict(headers)
        self._head_complete = True
        self._state = State.BODY
        self._deadline = shell.now + shell.gateway.client_body_timeout_seconds
        self._method = parser.get_method()
        self._keep_alive = parser.should_keep_alive()
        self._http_1_0 = parser.get_http_version() != "1.1"
        length = found.get(b"content-length", b"0")
        encoding = found.get(b"transfer-encoding")
        if (
            (len(found) < len(headers) and _frames_twice(headers))
            or (b"host" not in found and not self._http_1_0)
            or (encoding is not None and not self._chunks_are_clear(found))
            or not length.isdigit()
            or (parser.should_upgrade() and found.get(b"upgrade", b"").lower() != b"h2c")
        ):
            self._refuse("request.malformed")
        if len(headers) > HEADERS_MAX or self._head_too_large():
            self._refuse("headers_too_large")
        if len(length) > 18 or int(length) > shell.gateway.request_body_bytes_max:
            self._refuse("request.too_large")
        if b"expect" in found:
            self._answer_expectation(found[b"expect"], has_body=bool(encoding) or int(length) > 0)

    def _chunks_are_clear(self, headers: dict[bytes, bytes]) -> bool:
        """Whether no other hop could see another end of this body (RFC 9112 §6.1, §11.2)."""
        plain = headers[b"transfer-encoding"].strip().lower() == b"chunked"
        return plain and b"content-length" not in headers and not self._http_1_0

    def _head_too_large(self) -> bool:
        if self._head_bytes + self._read_bytes <= HEAD_BYTES_MAX:
            return False  # an upper bound is enough, nearly always
        size = len(self._target) + sum(len(name) + len(value) for name, value in self._headers)
        return size > HEAD_BYTES_MAX

    def _answer_expectation(self, value: bytes, *, has_body: bool) -> None:
        if value.lower() != b"100-continue":
            self._refuse("request.malformed")
        in_turn = self._carrier is None and not self._requests
        if has_body and in_turn and not self._http_1_0:
            self._transport.write(wire.CONTINUE)

    def on_body(self, data: bytes) -> None:
        self._body_bytes += len(data)
        shell = self._shell
        shell.held_body_bytes += len(data)
        if self._body_bytes > shell.gateway.request_body_bytes_max:
            self._refuse("request.too_large")
        if shell.held_body_bytes > shell.held_body_bytes_max:
            self._refuse("overloaded")
        self._body.append(data)

    def on_message_complete(self) -> None:
        if not self._parser.should_upgrade():  # else see ``_pass_over_upgrade``
            self._requests.append(self._take_request(""))

    def _refuse(self, code: str) -> None:
        self._refusal = code
        raise _RefusedError

    def _take_request(self, refusal: str) -> Request:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        # What is passed on stays on the shell's account until the exchange has ended.
        self._shell.held_body_bytes -= self._body_bytes - len(body)
        self._body_bytes = 0
        return Request(
            self._method,
            self._target,
            self._headers,
            body,
            self._keep_alive,
            self._http_1_0,
            refusal,
        )

    # Requests

    def _serve_next(self) -> None:
        """Serve requests until one takes time or none is left."""
        while self._requests and self._carrier is None and self._state is not State.CLOSED:
            request = self._requests.popleft()
            self._close_after = (
                not request.keep_alive or bool(request.refusal) or self._shell.draining
            )
            self._http_1_0 = request.http_1_0
            self.head_only = request.method == b"HEAD"
            self._state = State.BUSY
            self._deadline = 0.0
            if request.refusal == "headers_too_large":
                self._shell.metrics.rejected("headers_too_large")
                self._release(request)
                self._refuse_here(431, "headers_too_large", "the request's headers are too large")
            else:
                self._route(request)

    def _release(self, request: Request) -> None:
        self._shell.held_body_bytes -= len(request.body)

    def _route(self, request: Request) -> None:
        path = wire.path_of(request.target)
        if path is None and not request.refusal:
            request = msgspec.structs.replace(request, refusal="request.malformed")
            self._close_after = True
        if path in _OWN and not request.refusal:
            self._release(request)
            self._own(path, request.method)
        else:
            self._exchange(request)

    def _own(self, path: bytes, method: bytes) -> None:
        shell = self._shell
        if method not in (b"GET", b"HEAD"):
            body = wire.error_body("method_not_allowed", "use GET here")
            self._reply(405, body, extra=[(b"allow", b"GET, HEAD")])
        elif path == b"/metrics":
            self._reply(200, metrics.render(shell.metrics.directory), metrics.CONTENT_TYPE)
        else:
            status = 503 if path == b"/readyz" and not shell.ready else 200
            self._reply(status, msgspec.json.encode(shell.health()))

    def _exchange(self, request: Request) -> None:
        shell = self._shell
        in_force = shell.in_force
        if in_force is None:
            self._release(request)
            shell.metrics.rejected("not_ready")
            message = "no configuration is in force yet; try again shortly"
            self._refuse_here(503, "not_ready", message, request.target)
            return
        if not shell.journal.healthy:
            self._release(request)
            shell.metrics.rejected("journal_unhealthy")
            message = "evidence cannot be recorded at the moment, so nothing is let through"
            self._refuse_here(503, "evidence_unavailable", message, request.target)
            return
        event = self._event(request)
        carrier = Carrier(
            shell,
            self,
            shell.new_mcp_exchange(in_force)
            if request.target.startswith(MCP_PATH)
            else shell.new_exchange(in_force),
            body_bytes=len(request.body),
            started_ns=event.at_ns,
        )
        self._carrier = carrier
        shell.began()
        carrier.feed(event)

    def _event(self, request: Request) -> RequestReceived | RequestRefused:
        shell = self._shell
        refusal = request.refusal
        if not refusal and shell.in_flight >= shell.concurrency_max:
            refusal = "overloaded"
        event_id, now = shell.stamp()
        at_ns = time.monotonic_ns()
        if not refusal:
            return RequestReceived(
                at_ns,
                event_id,
                now,
                request.method,
                request.target,
                request.headers,
                request.body,
                self._source,
            )
        shell.metrics.rejected(refusal.rpartition(".")[2])
        return RequestRefused(
            at_ns,
            event_id,
            now,
            request.method,
            request.target,
            request.headers,
            refusal,
            request.body,
        )

    # carrier.Client

    def send(self, data: bytes) -> None:
        """Write bytes of the answer."""
        self._transport.write(data)

    def chunked(self) -> bool:
        """Whether a stream to this client is chunked; HTTP/1.0 does not know chunks."""
        return not self._http_1_0

    def answer_head(self, status: int, headers: Headers, body_bytes: int | None) -> bytes:
        """The head of an answer; ``body_bytes`` is None for a stream."""
        if self._shell.draining:
            self._close_after = True
        if body_bytes is not None:
            framing = b"content-length: %d\r\n" % body_bytes
        elif self._http_1_0:
            framing = b""
            self._close_after = True
        else:
            framing = b"transfer-encoding: chunked\r\n"
        if self._close_after:
            framing += b"connection: close\r\n"
        elif self._http_1_0:
            framing += b"connection: keep-alive\r\n"
        return b"%b%b%b%b\r\n" % (
            wire.status_line(status),
            wire.header_lines(headers),
            self._shell.date,
            framing,
        )

    def answer_ended(self) -> None:
        """The answer is out: close, or serve what was held back, or wait."""
        self._carrier = None
        if self._state is not State.BUSY:
            return
        shell = self._shell
        if self._close_after or shell.draining:  # a stream's head may have left before that
            self._linger()
            return
        self._state = State.IDLE
        self._deadline = shell.now + shell.gateway.client_idle_timeout_seconds
        if self._requests or self._held:
            # Not here: the exchange that has just ended is still on the stack.
            shell.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._carrier is not None or self._state is not State.IDLE:
            return
        if self._requests:
            self._serve_next()
        elif self._held:
            data = b"".join(self._held)
            self._held.clear()
            if self._reading_paused:
                self._reading_paused = False
                self._transport.resume_reading()
            self._parse(data)

    def drop(self) -> None:
        """Cut the connection so that the client sees a broken answer."""
        self._carrier = None
        self._state = State.LINGERING
        self._transport.abort()

    # Answers of the shell's own

    def _reply(
        self,
        status: int,
        body: bytes,
        content_type: bytes = b"application/json",
        *,
        extra: Headers | None = None,
    ) -> None:
        headers = [(b"content-type", content_type), (b"cache-control", b"no-store")]
        headers += extra or []
        head = self.answer_head(status, headers, len(body))
        self._transport.write(head if self.head_only else head + body)
        self.answer_ended()

    def _refuse_here(self, status: int, code: str, message: str, target: bytes = b"") -> None:
        """Refuse what never became an exchange, and close."""
        self._close_after = True
        self._state = State.BUSY
        kind = "server_error" if status >= 500 else "invalid_request_error"
        in_force = self._shell.in_force
        extra = own_headers(
            event_id=self._shell.stamp()[0],
            verdict=Verdict.ALLOW,
            config_version=in_force.config_version if in_force else "",
            overhead_ms=0.0,
        )
        if status == 503:
            extra.append((b"retry-after", b"1"))
        write = refusal_body if target.startswith(MCP_PATH) else wire.error_body
        self._reply(status, write(code, message, kind=kind), extra=extra)

    def _linger(self) -> None:
        """End our side and read on a little.

        Closing at once while the client still sends makes the kernel answer with a reset, and a
        reset can take back the answer before the client has read it (RFC 9112 §9.6).
        """
        self._requests.clear()
        self._held.clear()
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        self._state = State.LINGERING
        self._deadline = self._shell.now + _LINGER_SECONDS
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    # shell.Swept

    def sweep(self, now: float) -> None:
        """Act when the state's time is over."""
        state = self._state
        if now <= self._deadline or state is State.CLOSED:
            return
        if state is State.BUSY:
            if self._write_paused:
                self._transport.abort()  # connection_lost tells the exchange
        elif state is State.LINGERING:
            self._transport.abort()
        elif state is State.IDLE:
            self._close_idle()
        else:
            self._requests.append(self._take_request("request.timeout"))
            self._serve_next()

    def _close_idle(self) -> None:
        if self._transport.get_write_buffer_size():
            self._transport.abort()  # it never read its last answer; waiting for that has no end
        else:
            self._transport.close()

    def drain(self) -> None:
        """Close if nothing is going on; else close after the present answer."""
        if self._state is State.IDLE:
            self._transport.close()

    def interrupt(self) -> None:
        """End the exchange that is going on, if there is one."""
        if self._carrier is not None:
            self._carrier.interrupt()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()


def _frames_twice(headers: Headers) -> bool:
    """Whether a header that says where a message ends, or for whom it is, stands there twice."""
    names = [name for name, _ in headers]
    return any(names.count(name) > 1 for name in _FRAMING)
