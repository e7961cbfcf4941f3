"""Carries one exchange: executes what it commands and tells it what came of that.

Decides nothing about content. An event that occurs while a command is executed waits its turn, so
the exchange is never entered twice, and everything that one event makes it send leaves in one
write.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, cast

import msgspec
import structlog

from kintsugi.gateway import wire
from kintsugi.gateway.account import milliseconds
from kintsugi.gateway.commands import (
    AbortUpstream,
    Admit,
    Answer,
    AnyExchange,
    CallUpstream,
    Command,
    Correct,
    DropClient,
    EndStream,
    Freeze,
    Gather,
    Hold,
    Pause,
    Record,
    Redeem,
    SendData,
    Settle,
    StartStream,
)
from kintsugi.gateway.events import (
    AdmissionDurable,
    AdmissionFailed,
    ClientAborted,
    Event,
    GatewayFailed,
    Gathered,
    Headers,
    HoldOver,
    ListeningOver,
    PauseOver,
    RecordDurable,
    RecordFailed,
    Redeemed,
    UpstreamData,
    UpstreamEnd,
    UpstreamFailed,
    UpstreamHead,
)
from kintsugi.gateway.gathering import Gathering
from kintsugi.gateway.shell import Shell
from kintsugi.gateway.upstream import FAILURES, Call
from kintsugi.model.event import DecisionEvent, UsedApproval
from kintsugi.model.facts import Counter, RemoteAnswer

log = structlog.get_logger(__name__)

_encode = msgspec.json.Encoder().encode
_clock_ns = time.monotonic_ns
_set = msgspec.structs.force_setattr


class Client(Protocol):
    """Where the answer goes: ``gateway.server.ClientConnection``.

    Attributes:
        head_only: the request was a HEAD, whose answer has no body.
    """

    head_only: bool

    def send(self, data: bytes) -> None:
        """Write bytes of the answer."""

    def answer_head(self, status: int, headers: Headers, body_bytes: int | None) -> bytes:
        """The head of the answer; ``body_bytes`` is None for a stream."""

    def chunked(self) -> bool:
        """Whether a stream to this client is chunked (HTTP/1.1) or ends with the connection."""

    def answer_ended(self) -> None:
        """The answer is out; the next request may come."""

    def drop(self) -> None:
        """Cut the connection."""


class Carrier:
    """One exchange under way. Begins with ``feed(RequestReceived)``."""

    # What holds until something happens.
    _call: Call | None = None
    _cancel: Callable[[], None] | None = None  # ends the wait for facts or for a reviewer
    _event: DecisionEvent | None = None
    _correction: bytes | None = None
    _executing = False
    _admitted = False
    _owes_record = False
    _answered = False
    _finished = False
    _listens = False

    def __init__(
        self,
        shell: Shell,
        client: Client,
        exchange: AnyExchange,
        *,
        body_bytes: int,
        started_ns: int,
    ) -> None:
        self._shell = shell
        self._client: Client | None = client
        self._exchange = exchange
        self._body_bytes = body_bytes
        self._started_ns = started_ns
        self._waiting: list[Event] = []
        self._out: list[bytes] = []

    def feed(self, event: Event) -> None:
        """Tell the exchange of an event and do what it commands."""
        if self._executing:
            self._waiting.append(event)
            return
        self._executing = True
        try:
            while True:
                for command in self._step(event):
                    _EXECUTE[type(command)](self, command)
                if not self._waiting:
                    break
                event = self._waiting.pop(0)
        finally:
            self._executing = False
        if self._out or self._answered:
            self._flush()

    def _step(self, event: Event) -> list[Command]:
        try:
            return self._exchange.step(event)
        except Exception:  # a defect must end this exchange closed, and only this one
            log.exception("exchange.failed", event_type=type(event).__name__)
            if isinstance(event, GatewayFailed):
                self._give_up()
                return []
            return self._step(GatewayFailed(_clock_ns()))

    def _give_up(self) -> None:
        """The exchange cannot even end itself: say nothing more to anybody."""
        if self._call is not None:
            self._call.abort()
            self._call = None
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        if self._admitted and self._owes_record:
            self._owes_record = False
            self._shell.metrics.dropped()
        if not self._answered:
            self._drop_client(DropClient())

    def _flush(self) -> None:
        out = self._out
        client = self._client
        if out:
            if client is not None:
                client.send(out[0] if len(out) == 1 else b"".join(out))
            out.clear()
        if self._answered:
            if client is not None:
                self._client = None
                self._shell.metrics.answered((_clock_ns() - self._started_ns) * 1e-9)
                client.answer_ended()
            if not self._owes_record and self._call is None and not self._finished:
                self._finished = True
                if self._listens:
                    self._shell.listening.discard(self)
                self._shell.finished(self._body_bytes)

    # What the client's connection reports

    def client_gone(self) -> None:
        """The client left before its answer was complete."""
        self._client = None
        self._shell.metrics.add("kintsugi_client_aborts_total")
        self._answered = True
        if self._call is not None:
            self._call.resume()  # a paused read would never end; the exchange decides what to drop
        self.feed(ClientAborted(_clock_ns()))

    def pause(self) -> None:
        """The client does not keep up: stop reading from upstream."""
        if self._call is not None:
            self._call.pause()

    def resume(self) -> None:
        """The client has caught up."""
        if self._call is not None:
            self._call.resume()

    def interrupt(self) -> None:
        """The process stops and can wait no longer."""
        self.feed(GatewayFailed(_clock_ns(), "draining"))

    def stop_listening(self) -> None:
        """End an answer that only listens; the client comes back for another."""
        self.feed(ListeningOver(_clock_ns()))

    # Commands

    def _admit(self, command: Admit) -> None:
        self._count_admission()
        self._owes_record = True
        self._shell.journal.append(_encode(command.admission), self._admission_ended)

    def _count_admission(self) -> None:
        if not self._admitted:
            self._admitted = True
            self._shell.metrics.admitted()

    def _record(self, command: Record) -> None:
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        self._count_admission()
        event = self._event = command.event
        self._owes_record = True
        # Nobody else has seen this value yet, so it is still being made rather than changed.
        spent_ns = _clock_ns() - command.at_ns
        _set(event, "latency_ms", milliseconds(round(event.latency_ms * 1e6) + spent_ns))
        _set(event, "overhead_ms", milliseconds(round(event.overhead_ms * 1e6) + spent_ns))
        self._shell.journal.append(_encode(event), self._record_ended)

    def _correct(self, command: Correct) -> None:
        self._correction = _encode(command.event)

    def _call_upstream(self, command: CallUpstream) -> None:
        origin, host = self._shell.origin(command.origin, command.allow_private_network)
        head = wire.request_head(
            command.method, command.path, host, command.headers, len(command.body)
        )
        limits = self._shell.limits
        if command.first_byte_timeout_seconds or command.total_timeout_seconds:
            limits = limits.within(
                command.first_byte_timeout_seconds, command.total_timeout_seconds
            )
        if command.idle_timeout_seconds:
            limits = limits.waiting(command.idle_timeout_seconds)
        if command.listens:
            limits = limits.without_size()
            self._listens = True
            self._shell.listening.add(self)
        self._call = self._shell.pool.call(origin, head, command.body, self, limits)

    def _pause(self, command: Pause) -> None:
        self._shell.loop.call_later(command.seconds, self._pause_over)

    def _pause_over(self) -> None:
        self.feed(PauseOver(_clock_ns()))

    def _gather(self, command: Gather) -> None:
        self._cancel = Gathering(self._shell, command, self._gathered).cancel

    def _gathered(
        self, counters: dict[str, Counter], remote: dict[str, RemoteAnswer], reservation: int
    ) -> None:
        self._cancel = None
        self.feed(Gathered(_clock_ns(), counters, remote, reservation))

    def _settle(self, command: Settle) -> None:
        if self._shell.link is not None:
            self._shell.link.settle(command.reservation, command.used)

    def _redeem(self, command: Redeem) -> None:
        if self._shell.link is None:
            self._waiting.append(Redeemed(_clock_ns()))
        else:
            self._shell.link.redeem(command, self._redeemed)

    def _redeemed(self, approval: UsedApproval | None) -> None:
        self.feed(Redeemed(_clock_ns(), approval))

    def _hold(self, command: Hold) -> None:
        if self._shell.link is None:
            self._waiting.append(HoldOver(_clock_ns()))
        else:
            self._cancel = self._shell.link.hold(command.report, command.seconds, self._hold_over)

    def _hold_over(self, approved: bool | None) -> None:
        self._cancel = None
        self.feed(HoldOver(_clock_ns(), approved))

    def _freeze(self, command: Freeze) -> None:
        if self._shell.link is not None:
            self._shell.link.freeze(command)

    def _abort_upstream(self, _command: AbortUpstream) -> None:
        if self._call is not None:
            self._call.abort()
            self._call = None

    def _answer(self, command: Answer) -> None:
        if self._client is not None:
            head = self._client.answer_head(command.status, command.headers, len(command.body))
            self._out.append(head)
            if not self._client.head_only:
                self._out.append(command.body)
        self._answered = True

    def _start_stream(self, command: StartStream) -> None:
        if self._client is not None:
            self._out.append(self._client.answer_head(command.status, command.headers, None))

    def _send_data(self, command: SendData) -> None:
        if self._client is not None:
            chunked = self._client.chunked()
            self._out.append(wire.chunk(command.data) if chunked else command.data)

    def _end_stream(self, _command: EndStream) -> None:
        if self._client is not None and self._client.chunked():
            self._out.append(wire.LAST_CHUNK)
        self._answered = True

    def _drop_client(self, _command: DropClient) -> None:
        client, self._client = self._client, None
        if client is not None:
            if self._out:
                client.send(b"".join(self._out))
                self._out.clear()
            client.drop()
        self._answered = True

    # What the journal reports

    def _admission_ended(self, error: Exception | None) -> None:
        if error is None:
            self.feed(AdmissionDurable(_clock_ns()))
        else:
            self._shell.metrics.add("kintsugi_evidence_failures_total")
            self._owes_record = False
            self.feed(AdmissionFailed(_clock_ns()))
            if not self._owes_record and self._event is None:
                self._shell.metrics.dropped()

    def _record_ended(self, error: Exception | None) -> bytes | None:
        event = cast("DecisionEvent", self._event)  # set by the command that is answered here
        self._owes_record = False
        self._shell.metrics.decided(event.verdict, event.overhead_ms * 1e-3)
        if event.fail_open:
            self._shell.metrics.add("kintsugi_fail_open_total")
        for evaluation in event.evaluations:
            if evaluation.outcome == "error":
                self._shell.metrics.add("kintsugi_policy_errors_total")
        if error is None:
            self.feed(RecordDurable(_clock_ns()))
        else:
            # Counted as decided all the same: the journal keeps a record and writes it later.
            self._shell.metrics.add("kintsugi_evidence_failures_total")
            self.feed(RecordFailed(_clock_ns()))
        return self._correction

    # upstream.Sink

    def upstream_head(self, status: int, headers: Headers, data: bytes, *, ended: bool) -> None:
        called_at_ns = self._called_at_ns()
        if ended:
            self._call = None
        self.feed(UpstreamHead(_clock_ns(), status, headers, data, ended, called_at_ns))

    def upstream_data(self, data: bytes, *, ended: bool) -> None:
        if ended:
            self._call = None
        self.feed(UpstreamData(_clock_ns(), data, ended))

    def upstream_ended(self) -> None:
        self._call = None
        self.feed(UpstreamEnd(_clock_ns()))

    def upstream_failed(self, kind: str, detail: str) -> None:
        called_at_ns = self._called_at_ns()
        self._call = None
        self._shell.metrics.upstream_failed(kind)
        log.warning("upstream.failed", kind=kind, detail=detail)
        self.feed(UpstreamFailed(_clock_ns(), FAILURES[kind], called_at_ns))

    def _called_at_ns(self) -> int:
        return self._call.called_at_ns if self._call is not None else 0


_EXECUTE: dict[type, Callable[[Carrier, Any], None]] = {
    Admit: Carrier._admit,
    CallUpstream: Carrier._call_upstream,
    Gather: Carrier._gather,
    Settle: Carrier._settle,
    Redeem: Carrier._redeem,
    Hold: Carrier._hold,
    Freeze: Carrier._freeze,
    Pause: Carrier._pause,
    AbortUpstream: Carrier._abort_upstream,
    Record: Carrier._record,
    Correct: Carrier._correct,
    Answer: Carrier._answer,
    StartStream: Carrier._start_stream,
    SendData: Carrier._send_data,
    EndStream: Carrier._end_stream,
    DropClient: Carrier._drop_client,
}
