"""Connections to model providers: kept, checked and timed by hand.

One call uses one connection; connections are kept per origin and reused last in, first out, so
that surplus ones grow old and are closed. Everything happens in callbacks of the event loop; only
opening a connection takes a task.

When a call is repeated
    Never once any byte of an answer has arrived. Otherwise only on a reused connection, and then
    only when the method is safe (GET). A POST may have been acted upon even though the connection
    died without an answer, so it is not repeated. What is done instead: just before a kept
    connection is reused, it is asked whether the other side has closed it, which covers every
    close that reached this machine (RFC 9112 §9.3.1, §9.5).
"""

from __future__ import annotations

import asyncio
import select
import ssl
import sys
import time
from typing import Protocol, cast
from urllib.parse import urlsplit

import httptools
import msgspec

from kintsugi.gateway.events import Headers
from kintsugi.gateway.resolve import AddressRefusedError, NameUnknownError, Resolver

HEAD_BYTES_MAX = 65_536
_IDLE_SECONDS_MAX = 30.0
_IDLE_CONNECTIONS_MAX = 1024  # for one origin
# Up to here one copy is cheaper than a second write; a model's answer to a long prompt is above.
_JOIN_BYTES_MAX = 65_536
_clock_ns = time.monotonic_ns


class Origin(msgspec.Struct, frozen=True):
    """Where connections of one kind lead; calls with equal origins may share them."""

    host: str
    port: int
    tls: bool = False
    allow_private_network: bool = False


def parse_origin(text: str, *, allow_private_network: bool) -> tuple[Origin, bytes]:
    """A configured origin as the pool's key, and the value of the Host header.

    Raises:
        ValueError: not ``http`` or ``https``, or no usable host or port.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f'"{text}" is no origin; write https://host or http://host:port')
    tls = parts.scheme == "https"
    origin = Origin(parts.hostname, parts.port or (443 if tls else 80), tls, allow_private_network)
    return origin, parts.netloc.rpartition("@")[2].encode("ascii")


class Limits(msgspec.Struct, frozen=True):
    """Time and size limits of calls, as in the ``gateway`` section of the configuration."""

    connect_timeout_seconds: float = 5.0
    first_byte_timeout_seconds: float = 120.0
    idle_timeout_seconds: float = 60.0
    total_timeout_seconds: float = 600.0
    body_bytes_max: int = 33_554_432

    def within(self, first_byte_seconds: float, total_seconds: float) -> Limits:
        """The same with other time-outs; 0 keeps one."""
        return msgspec.structs.replace(
            self,
            first_byte_timeout_seconds=first_byte_seconds or self.first_byte_timeout_seconds,
            total_timeout_seconds=total_seconds or self.total_timeout_seconds,
        )

    def waiting(self, idle_seconds: float) -> Limits:
        """The same with another time between reads."""
        return msgspec.structs.replace(self, idle_timeout_seconds=idle_seconds)

    def without_size(self) -> Limits:
        """The same for an answer that has no end of its own: whoever reads it looks at its size."""
        return msgspec.structs.replace(self, body_bytes_max=sys.maxsize)


class Sink(Protocol):
    """Whoever wants the answer. Called on the event loop, never after ``Call.abort``."""

    def upstream_head(self, status: int, headers: Headers, data: bytes, *, ended: bool) -> None:
        """The head of the final answer arrived, names in lower case, and with it this much of the
        body; ``ended`` when that is all of it."""

    def upstream_data(self, data: bytes, *, ended: bool) -> None:
        """More of the body; everything that one read brought at once."""

    def upstream_ended(self) -> None:
        """The answer is complete, which only the end of the connection told."""

    def upstream_failed(self, kind: str, detail: str) -> None:
        """There will be no (more) answer. ``kind`` is a key of ``FAILURES``."""


#: How a call can fail, and the code that the exchange knows it by.
FAILURES = {
    "address_refused": "upstream.connect_failed",  # a private or forbidden address
    "dns": "upstream.connect_failed",
    "connect": "upstream.connect_failed",  # refused, unreachable
    "connect_timeout": "upstream.timeout",
    "tls": "upstream.connect_failed",
    "reset": "upstream.reset",  # closed before the head of an answer was complete
    "first_byte_timeout": "upstream.timeout",
    "truncated": "upstream.reset",  # closed in the middle of a body
    "idle_timeout": "upstream.timeout",
    "total_timeout": "upstream.timeout",  # it came, but took too long altogether
    "protocol": "upstream.invalid_response",  # not HTTP/1.1, or more than it announced
    "too_large": "upstream.too_large",
}


class Call:
    """One request on its way, and the answer coming back.

    Attributes:
        called_at_ns: monotonic time at which the request had been written; 0 before.
    """

    called_at_ns = 0
    connection: Connection | None = None
    deadline = 0.0
    expires_at = 0.0
    done = False
    paused = False
    task: asyncio.Task[None] | None = None
    timeout_kind = ""

    def __init__(
        self, origin: Origin, request: tuple[bytes, bytes], sink: Sink, limits: Limits
    ) -> None:
        self.origin = origin
        self.request = request
        self.sink = sink
        self.limits = limits
        self.repeatable = request[0].startswith((b"GET ", b"HEAD "))

    def pause(self) -> None:
        """Read no more until ``resume``; the idle timeout stands still."""
        if not self.paused:
            self.paused = True
            if self.connection is not None:
                self.connection.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self.paused:
            self.paused = False
            if self.connection is not None:
                self.connection.resume_reading()

    def abort(self) -> None:
        """Give the call up and drop its connection; the sink hears nothing more."""
        if not self.done:
            self.done = True
            if self.task is not None:
                self.task.cancel()
            if self.connection is not None:
                self.connection.discard()

    def fail(self, kind: str, detail: str = "") -> None:
        """End the call from this side."""
        if not self.done:
            self.abort()
            self.sink.upstream_failed(kind, detail)


class Connection(asyncio.Protocol):
    """One connection to an origin; serves one call at a time."""

    __slots__ = (
        "body_bytes",
        "body_to_end",
        "call",
        "closed",
        "complete",
        "head_announced",
        "head_bytes",
        "head_complete",
        "headers",
        "idle_until",
        "interim",
        "keep",
        "loop",
        "origin",
        "parser",
        "parts",
        "poller",
        "pool",
        "spoilt",
        "status",
        "transport",
        "used_before",
    )

    def __init__(self, pool: Pool, origin: Origin) -> None:
        self.pool = pool
        self.loop = pool.loop
        self.origin = origin
        self.parser = httptools.HttpResponseParser(self)
        self.transport: asyncio.Transport
        self.poller = select.poll()
        self.call: Call | None = None
        self.closed = False
        self.used_before = False
        self.idle_until = 0.0
        self.parts: list[bytes] = []
        self._expect_head()

    def _expect_head(self) -> None:
        self.headers: Headers = []
        self.status = 0
        self.head_bytes = 0
        self.body_bytes = 0
        self.head_complete = False
        self.head_announced = False
        self.interim = False
        self.complete = False
        self.keep = False
        self.body_to_end = False
        self.spoilt = False

    # Calls

    def begin(self, call: Call) -> None:
        """Send a call's request."""
        self.call = call
        call.connection = self
        call.deadline = self.loop.time() + call.limits.first_byte_timeout_seconds
        call.timeout_kind = "first_byte_timeout"
        head, body = call.request
        if len(body) <= _JOIN_BYTES_MAX:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))
        if call.paused:
            self.transport.pause_reading()
        call.called_at_ns = _clock_ns()

    def quiet(self) -> bool:
        """Whether the other side has neither closed this idle connection nor spoken on it."""
        return not self.closed and not self.poller.poll(0)

    def discard(self) -> None:
        """Close at once; nobody is told."""
        self.call = None
        self.transport.abort()

    def pause_reading(self) -> None:
        """Let the kernel's buffer fill up, which slows the other side down."""
        if not self.closed:
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again, with the whole idle timeout ahead."""
        if not self.closed:
            self.transport.resume_reading()
            if self.call is not None:
                self._await_more(self.call)

    def _await_more(self, call: Call) -> None:
        if self.head_complete:
            call.deadline = self.loop.time() + call.limits.idle_timeout_seconds
            call.timeout_kind = "idle_timeout"

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        descriptor = transport.get_extra_info("socket").fileno()
        self.poller.register(descriptor, select.POLLIN | select.POLLHUP | select.POLLERR)

    def data_received(self, data: bytes) -> None:
        call = self.call
        if call is None:  # nobody asked: a farewell such as 408, or an attack
            self.discard()
            return
        if not self.head_complete:
            self.head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            call.fail("protocol", str(error))
            return
        if self.head_complete:
            self._await_more(call)
            self._deliver(call)
        elif self.head_bytes > HEAD_BYTES_MAX:
            call.fail("protocol", "the head of the answer is too large")

    def _deliver(self, call: Call) -> None:
        """Tell the sink what one read brought."""
        data = b""
        if self.parts:
            data = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
            self.parts.clear()
            self.body_bytes += len(data)
            if self.body_bytes > call.limits.body_bytes_max:
                call.fail("too_large", f"more than {call.limits.body_bytes_max} bytes")
                return
        ended = self.complete
        if ended:
            self._release(call)
        if not self.head_announced:
            self.head_announced = True
            call.sink.upstream_head(self.status, self.headers, data, ended=ended)
        elif data or ended:
            call.sink.upstream_data(data, ended=ended)

    def _release(self, call: Call) -> None:
        """The call is over; the connection may serve another."""
        call.done = True
        call.connection = None
        self.call = None
        self.pool.calls.discard(call)
        if self.keep and not self.spoilt and not self.closed:
            if call.paused:
                self.transport.resume_reading()
            self.pool.keep(self)
        else:
            self.transport.close()

    def eof_received(self) -> bool:
        return False  # close; connection_lost decides what that means

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.pool.open_connections -= 1
        call = self.call
        self.call = None
        if call is None or call.done:
            return
        if self.head_complete and self.body_to_end and exc is None:
            call.done = True
            self.pool.calls.discard(call)
            call.sink.upstream_ended()
        elif self.head_complete:
            call.fail("truncated", str(exc or "closed in the middle of the answer"))
        elif self.used_before and self.head_bytes == 0 and call.repeatable:
            call.repeatable = False
            call.connection = None
            self.pool.connect(call)
        else:
            call.fail("reset", str(exc or "closed without an answer"))

    # httptools callbacks

    def on_message_begin(self) -> None:
        if self.complete:
            self.spoilt = True  # a second answer to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head_complete:  # what comes later are trailers: read and forgotten
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self.spoilt:
            return
        status = self.parser.get_status_code()
        if 100 <= status < 200:
            if status == 101:
                raise ValueError("101 Switching Protocols was not asked for")
            self.interim = True
            self.headers = []
            return
        self.status = status
        self.head_complete = True
        names = {name for name, _ in self.headers}
        self.body_to_end = (
            b"content-length" not in names
            and b"transfer-encoding" not in names
            and status not in (204, 304)
        )

    def on_body(self, data: bytes) -> None:
        if not self.spoilt:
            self.parts.append(data)

    def on_message_complete(self) -> None:
        if self.interim:
            self.interim = False
            return
        self.complete = True
        self.keep = self.parser.should_keep_alive()


class Pool:
    """Every connection of one worker to every upstream."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.loop = loop
        self.calls: set[Call] = set()
        self.open_connections = 0
        self._idle: dict[Origin, list[Connection]] = {}
        self._resolver = resolver or Resolver(loop)
        self._tls = tls

    def call(self, origin: Origin, head: bytes, body: bytes, sink: Sink, limits: Limits) -> Call:
        """Send a request; the sink hears nothing before this has returned."""
        call = Call(origin, (head, body), sink, limits)
        call.expires_at = self.loop.time() + limits.total_timeout_seconds
        self.calls.add(call)
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.quiet():
                connection._expect_head()
                connection.used_before = True
                connection.begin(call)
                return call
            if not connection.closed:
                connection.discard()
        self.connect(call)
        return call

    def connect(self, call: Call) -> None:
        """Open a connection for a call."""
        call.deadline = self.loop.time() + call.limits.connect_timeout_seconds
        call.timeout_kind = "connect_timeout"
        call.task = self.loop.create_task(self._connect(call))

    async def _connect(self, call: Call) -> None:
        try:
            connection = await self._open(call.origin)
        except AddressRefusedError as error:
            call.fail("address_refused", str(error))
        except NameUnknownError as error:
            call.fail("dns", str(error))
        except ssl.SSLError as error:
            call.fail("tls", str(error))
        except OSError as error:
            call.fail("connect", str(error))
        else:
            call.task = None
            if connection.closed:
                call.fail("reset", "closed at once")
            else:
                connection.begin(call)

    async def _open(self, origin: Origin) -> Connection:
        addresses = await self._resolver.addresses(
            origin.host, origin.port, allow_private_network=origin.allow_private_network
        )
        for position, address in enumerate(addresses):
            try:
                _, connection = await self.loop.create_connection(
                    lambda: Connection(self, origin),
                    address,
                    origin.port,
                    ssl=self._context() if origin.tls else None,
                    server_hostname=origin.host if origin.tls else None,
                )
            except ssl.SSLError:
                raise
            except OSError:
                if position == len(addresses) - 1:
                    raise
            else:
                self.open_connections += 1
                return connection
        raise NameUnknownError(f"{origin.host} has no address")

    def _context(self) -> ssl.SSLContext:
        """The platform's trust; made at the first call over TLS, since it takes 10 ms."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def keep(self, connection: Connection) -> None:
        """Take a connection back after a call."""
        idle = self._idle.setdefault(connection.origin, [])
        if len(idle) >= _IDLE_CONNECTIONS_MAX:
            connection.transport.close()
            return
        connection.idle_until = self.loop.time() + _idle_seconds(connection.headers)
        idle.append(connection)

    def sweep(self, now: float) -> None:
        """End calls that are over time and close connections that nobody used for long."""
        for call in [call for call in self.calls if not call.paused]:
            if call.deadline < now:
                call.fail(call.timeout_kind)
            elif call.expires_at < now:
                call.fail("total_timeout")
        self.calls = {call for call in self.calls if not call.done}
        for origin, idle in self._idle.items():
            keep = [one for one in idle if not one.closed and one.idle_until > now]
            for connection in idle:
                if not connection.closed and connection.idle_until <= now:
                    connection.transport.close()
            self._idle[origin] = keep

    def close(self) -> None:
        """Drop everything; calls still running are aborted."""
        for call in list(self.calls):
            call.abort()
        for idle in self._idle.values():
            for connection in idle:
                connection.discard()
        self._idle.clear()


def _idle_seconds(headers: Headers) -> float:
    """How long a connection may be kept, a second less than the other side says it waits."""
    for name, value in headers:
        if name == b"keep-alive":
            for part in value.split(b","):
                key, _, number = part.strip().partition(b"=")
                if key.lower() == b"timeout" and number.isdigit():
                    return min(_IDLE_SECONDS_MAX, max(0.0, int(number) - 1.0))
    return _IDLE_SECONDS_MAX
