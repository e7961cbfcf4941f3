"""What can happen to an exchange, as told by the shell.

Every event carries ``at_ns``, a monotonic time in nanoseconds: nothing in the core reads a clock.
The names of headers arrive in lower case.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from kintsugi.model.event import UsedApproval
from kintsugi.model.facts import Counter, RemoteAnswer

Headers = list[tuple[bytes, bytes]]


class RequestReceived(msgspec.Struct, frozen=True, gc=False):
    """A client's whole request. The first event of every exchange, unless it was refused.

    Attributes:
        event_id: a fresh UUIDv7 whose time is ``now`` to the millisecond.
        now: wall-clock time, aware UTC.
        target: the request target as sent, never decoded: ``/v1/chat/completions?x=1``.
        source: the client's address, without the port; empty where there is none.
    """

    at_ns: int
    event_id: str
    now: datetime
    method: bytes
    target: bytes
    headers: Headers
    body: bytes
    source: str = ""


class RequestRefused(msgspec.Struct, frozen=True, gc=False):
    """The shell could not or would not take the request in; takes the place of RequestReceived.

    Attributes:
        code: ``request.too_large`` (413), ``request.timeout`` (408), ``request.malformed`` (400),
            ``overloaded`` and ``draining`` (503 with Retry-After; these two leave no record,
            because an overload must not be able to fill the journal).
        body: what had arrived; may be empty.
    """

    at_ns: int
    event_id: str
    now: datetime
    method: bytes
    target: bytes
    headers: Headers
    code: str
    body: bytes = b""


class AdmissionDurable(msgspec.Struct, frozen=True, gc=False):
    """The journal made the Admission durable (as durable as the configuration asks)."""

    at_ns: int


class AdmissionFailed(msgspec.Struct, frozen=True, gc=False):
    """The journal could not take the Admission."""

    at_ns: int


class UpstreamHead(msgspec.Struct, frozen=True, gc=False):
    """Status and headers of upstream's answer, and what else the same read brought: a short answer
    comes whole.

    Attributes:
        called_at_ns: when the request had been written to upstream: from there on the wait was
            upstream's, not ours. 0 when not told.
        ended: the answer is complete.
    """

    at_ns: int
    status: int
    headers: Headers
    data: bytes = b""
    ended: bool = False
    called_at_ns: int = 0

    @property
    def is_encoded(self) -> bool:
        """Whether the body is compressed, so that nobody here can read it."""
        for name, value in self.headers:
            if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
                return True
        return False

    @property
    def is_event_stream(self) -> bool:
        """Whether the body is a stream of server-sent events."""
        for name, value in self.headers:
            if name == b"content-type" and value.lower().startswith(b"text/event-stream"):
                return True
        return False


class UpstreamData(msgspec.Struct, frozen=True, gc=False):
    """Body bytes of upstream's answer, all that one read delivered joined together.

    Attributes:
        ended: the answer is complete.
    """

    at_ns: int
    data: bytes
    ended: bool = False


class UpstreamEnd(msgspec.Struct, frozen=True, gc=False):
    """Upstream's answer is complete, which no byte of its body told."""

    at_ns: int


class UpstreamFailed(msgspec.Struct, frozen=True, gc=False):
    """No answer, or the rest of it is missing.

    Attributes:
        code: ``upstream.connect_failed``, ``upstream.timeout``, ``upstream.reset``,
            ``upstream.invalid_response`` or ``upstream.too_large``.
        called_at_ns: see ``UpstreamHead``.
    """

    at_ns: int
    code: str
    called_at_ns: int = 0


class PauseOver(msgspec.Struct, frozen=True, gc=False):
    """The time of a ``Pause`` has passed."""

    at_ns: int


class Gathered(msgspec.Struct, frozen=True, gc=False):
    """What a ``Gather`` brought; what could not be had is missing.

    Attributes:
        reservation: number to settle the counters under; 0 when nothing was reserved.
    """

    at_ns: int
    counters: dict[str, Counter] = {}
    remote: dict[str, RemoteAnswer] = {}
    reservation: int = 0


class Redeemed(msgspec.Struct, frozen=True, gc=False):
    """Whether the approval was still good; if so, it is used up now."""

    at_ns: int
    approval: UsedApproval | None = None


class HoldOver(msgspec.Struct, frozen=True, gc=False):
    """A reviewer decided about a held answer, or nobody did in time.

    Attributes:
        approved: None when nobody did.
    """

    at_ns: int
    approved: bool | None = None


class ListeningOver(msgspec.Struct, frozen=True, gc=False):
    """A stream that only listens shall end: another configuration is in force, or the gateway
    shuts down."""

    at_ns: int


class ClientAborted(msgspec.Struct, frozen=True, gc=False):
    """The client's connection is gone."""

    at_ns: int


class RecordDurable(msgspec.Struct, frozen=True, gc=False):
    """The journal made the DecisionEvent durable."""

    at_ns: int


class RecordFailed(msgspec.Struct, frozen=True, gc=False):
    """The journal could not make the DecisionEvent durable."""

    at_ns: int


class GatewayFailed(msgspec.Struct, frozen=True, gc=False):
    """The gateway cannot go on with it: the exchange ends closed, and is recorded.

    Attributes:
        code: ``gateway.internal``: ``step`` itself raised, a defect; ``draining``: the process
            stops and can wait no longer.
    """

    at_ns: int
    code: str = "gateway.internal"


Event = (
    RequestReceived
    | RequestRefused
    | AdmissionDurable
    | AdmissionFailed
    | UpstreamHead
    | UpstreamData
    | UpstreamEnd
    | UpstreamFailed
    | PauseOver
    | Gathered
    | Redeemed
    | HoldOver
    | ListeningOver
    | ClientAborted
    | RecordDurable
    | RecordFailed
    | GatewayFailed
)
