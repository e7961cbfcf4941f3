"""Drives one ``Exchange`` to its end with both ends of the wire played here.

Nothing leaves the process. The clock, the identifiers and the model's answer are the case's own,
so that the same case gives the same event, byte for byte.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Protocol

import msgspec

from kintsugi import __version__
from kintsugi.gateway.commands import (
    AbortUpstream,
    Admit,
    Answer,
    CallUpstream,
    Command,
    DropClient,
    EndStream,
    Gather,
    Hold,
    Pause,
    Record,
    Redeem,
    SendData,
    Settle,
    StartStream,
)
from kintsugi.gateway.counters import CounterBook
from kintsugi.gateway.events import (
    AdmissionDurable,
    Event,
    Gathered,
    Headers,
    HoldOver,
    PauseOver,
    RecordDurable,
    Redeemed,
    RequestReceived,
    UpstreamData,
    UpstreamEnd,
    UpstreamHead,
)
from kintsugi.gateway.exchange import Exchange
from kintsugi.gateway.in_force import InForce, Secret
from kintsugi.gateway.mcp_exchange import McpExchange
from kintsugi.model.config import MCP_ENDPOINT, Case, CaseAnswer, CaseCounter, Config, Target
from kintsugi.model.event import DecisionEvent
from kintsugi.model.facts import Counter, CounterNeed, RemoteAnswer
from kintsugi.model.ids import uuid7
from kintsugi.policy.names import Names
from kintsugi.policy.plan import compile_plan
from kintsugi.replay.endpoints import reply_to, request_of

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
_STEP_NS = 1_000_000
_SECRET = Secret("not-a-secret")
_FINGERPRINT_KEY = b"kt policy test"
# Stand in where a configuration has no target: its policies can be tested all the same.
_STAND_IN = Target(id="case", provider="simulator")
_STAND_INS = {
    family: Target(id=f"case-{family}", provider=family, base_url="http://127.0.0.1:1")
    for family in ("openai", "anthropic")
}
_OWNER = "case"
_SIMULATOR_URL = "http://127.0.0.1:1/v1"


class FactsUnused(Exception):
    """A case states facts that no policy asked for: it does not test what it seems to test."""


class Carried(msgspec.Struct, frozen=True):
    """What went over the wires while one case ran.

    Attributes:
        event: the record; None when the gateway left none.
        sent: body that upstream got; empty when it was not called.
        status, body: what the caller got; 0 when the connection was cut.
        streamed: whether the body is server-sent events.
    """

    event: DecisionEvent | None
    sent: bytes
    status: int
    body: bytes
    streamed: bool


def put_in_force(config: Config) -> InForce:
    """A configuration compiled for cases.

    It is switched on and has a target, whatever the file says: cases are about its policies. Of a
    gateway key only the digest is in the file, so here its name is the key.
    """
    keys = tuple(
        msgspec.structs.replace(key, sha256=sha256(key.name.encode()).hexdigest())
        for key in config.gateway.keys
    )
    surroundings = msgspec.structs.replace(
        config,
        pack=msgspec.structs.replace(config.pack, enabled=True),
        gateway=msgspec.structs.replace(config.gateway, keys=keys),
        targets=_with_stand_ins(config.targets),
    )
    plan = compile_plan(surroundings)
    return InForce(
        plan=plan,
        config_version=f"{config.pack.id}@{config.pack.version}",
        gateway_id="gw-case",
        worker_id="w0",
        engine_version=__version__,
        fingerprint_key=_FINGERPRINT_KEY,
        simulator_url=_SIMULATOR_URL,
        secrets=dict.fromkeys(
            (
                *(target.id for target in surroundings.targets),
                *(f"mcp/{server.id}" for server in surroundings.mcp.servers),
            ),
            _SECRET,
        ),
    )


def carry(in_force: InForce, case: Case, number: int) -> Carried:
    """Drive one exchange to its end.

    Args:
        number: of the case in its run; makes its identifiers differ from its neighbours'.

    Raises:
        FactsUnused: the case states a fact that nobody asked for.
        CaseUnusable, BadRequest: its endpoint has no use for what it states or sends.
    """
    request = request_of(case.input, in_force.config.targets)
    wire = _Wire(case, streamed=request.get("stream") is True or case.input.stream)
    drive(in_force, _received(case, request, number, in_force), wire)
    if wire.unused:
        raise FactsUnused(f"no policy asks for {', '.join(sorted(wire.unused))}")
    return Carried(wire.event, wire.sent, wire.status, bytes(wire.body), wire.streamed)


class Wire(Protocol):
    """Both ends of the gateway, played."""

    def perform(self, command: Command) -> Iterable[Event]:
        """Do what a command says; the events that follow at once."""

    def next_upstream_event(self) -> Iterable[Event]:
        """What upstream says next, if it has more to say."""


def drive(in_force: InForce, received: RequestReceived, wire: Wire) -> None:
    """Play one exchange from its request until nothing follows any more."""
    exchange: Exchange | McpExchange = Exchange(in_force)
    if received.target.startswith(MCP_ENDPOINT.encode()):
        exchange = McpExchange(in_force, lambda: 0)
    events: deque[Event] = deque([received])
    at_ns = 0
    while events:
        event = msgspec.structs.replace(events.popleft(), at_ns=at_ns)
        at_ns += _STEP_NS
        for command in exchange.step(event):
            events.extend(wire.perform(command))
        if not events:
            events.extend(wire.next_upstream_event())


def _with_stand_ins(targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """The targets, and one for every dialect that none of them speaks."""
    if not targets:
        return (_STAND_IN,)
    spoken = {target.provider for target in targets}
    if "simulator" in spoken:
        return targets
    return targets + tuple(one for family, one in _STAND_INS.items() if family not in spoken)


class _Wire:
    """Both ends of the gateway: performs commands, and plays upstream."""

    def __init__(self, case: Case, *, streamed: bool) -> None:
        self._case = case
        self._streams = streamed
        self._upstream: Iterator[Event] = iter(())
        self._counters = CounterBook()
        self._reservations = 0
        facts = case.input.facts
        self._stated_counters = {key: (Names((key,)), one) for key, one in facts.counters.items()}
        self._stated_remote = {key: (Names((key,)), one) for key, one in facts.remote.items()}
        self.unused = {*facts.counters, *facts.remote}
        self.event: DecisionEvent | None = None
        self.sent = b""
        self.status = 0
        self.body = bytearray()
        self.streamed = False

    def perform(self, command: Command) -> Iterable[Event]:
        """Do what a command says; the events that follow at once."""
        match command:
            case Admit():
                return (AdmissionDurable(0),)
            case CallUpstream(body=body):
                self.sent = body
                self._upstream = self._answer(body)
            case Pause():
                return (PauseOver(0),)
            case Gather():
                return (self._gather(command),)
            case Settle(reservation=reservation, used=used):
                self._counters.settle(_OWNER, reservation, used, NOW.timestamp())
            case Redeem():
                return (Redeemed(0),)  # nobody has approved of anything yet
            case Hold():
                return (HoldOver(0),)  # and nobody is there to ask
            case AbortUpstream():
                self._upstream = iter(())
            case Record(event=event):
                self.event = event
                return (RecordDurable(0),)
            case Answer(status=status, headers=headers, body=body):
                self._begin(status, headers)
                self.body += body
            case StartStream(status=status, headers=headers):
                self._begin(status, headers)
            case SendData(data=data):
                self.body += data
            case DropClient():
                self.status = 0
            case EndStream():
                pass
        return ()

    def _gather(self, wish: Gather) -> Gathered:
        """What a case states; where it says nothing, counters that nobody used before, and nobody
        to ask."""
        self._reservations += 1
        told = self._counters.reserve(_OWNER, self._reservations, wish.counters, NOW.timestamp())
        for need in wish.counters:
            for key, (names, stated) in self._stated_counters.items():
                if need.key in names:
                    self.unused.discard(key)
                    told[need.key] = _counter(need, stated)
        asked = {call.key: self._told(call.key) for call in wish.remote}
        return Gathered(0, told, asked, self._reservations if wish.counters else 0)

    def _told(self, asked: str) -> RemoteAnswer:
        for key, (names, stated) in self._stated_remote.items():
            if asked in names:
                self.unused.discard(key)
                return _answer(stated)
        return RemoteAnswer(error="not_asked")

    def _begin(self, status: int, headers: Headers) -> None:
        self.status = status
        # Not told by the command: a stream that was buffered leaves as one answer.
        self.streamed = any(
            name == b"content-type" and value.startswith(b"text/event-stream")
            for name, value in headers
        )

    def next_upstream_event(self) -> Iterable[Event]:
        """What upstream says next, if it has more to say."""
        event = next(self._upstream, None)
        return () if event is None else (event,)

    def _answer(self, sent: bytes) -> Iterator[Event]:
        """Upstream answers the request as it arrived there: redacted, if it was."""
        wanted = self._case.input
        reply = reply_to(wanted.endpoint, sent, wanted.upstream_response, streamed=self._streams)
        yield UpstreamHead(0, reply.status, [(b"content-type", reply.content_type)])
        for piece in reply.pieces:
            yield UpstreamData(0, piece)
        yield UpstreamEnd(0)


def _counter(need: CounterNeed, stated: CaseCounter) -> Counter:
    granted = stated.granted
    if granted is None:
        granted = stated.used + need.amount <= need.limit
    return Counter(stated.used, granted, stated.retry_after_seconds)


def _answer(stated: CaseAnswer) -> RemoteAnswer:
    if stated.error:
        return RemoteAnswer(stated.status if stated.status != 200 else 0, error=stated.error)
    body = stated.body
    text = body if isinstance(body, str) else msgspec.json.encode(body).decode()
    return RemoteAnswer(stated.status, text)


def _received(
    case: Case, request: dict[str, Any], number: int, in_force: InForce
) -> RequestReceived:
    headers = [(b"content-type", b"application/json")]
    if case.input.endpoint.startswith(MCP_ENDPOINT):
        headers.append((b"accept", b"application/json, text/event-stream"))
    headers += [(k.lower().encode(), v.encode()) for k, v in case.input.headers.items()]
    shown = any(name in (b"authorization", b"x-api-key") for name, _ in headers)
    if in_force.gateway.keys and not shown:
        headers.append((b"authorization", b"Bearer " + in_force.gateway.keys[0].name.encode()))
    return RequestReceived(
        at_ns=0,
        event_id=uuid7(int(NOW.timestamp() * 1000), number.to_bytes(10, "big")),
        now=NOW,
        method=b"POST",
        target=case.input.endpoint.encode(),
        headers=headers,
        body=msgspec.json.encode(request),
    )
