"""What every governed exchange is held to, whatever it speaks: it is recorded exactly once, however
it ends, and nothing leaves before its evidence is durable.

The order of truth:

* the Admission is appended before upstream is called; its commit overlaps the call;
* no byte of a stream leaves before the Admission is durable, and its end not before the
  DecisionEvent is; a whole answer leaves only after the DecisionEvent is durable.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, ClassVar

import msgspec

from kintsugi.gateway.account import Account
from kintsugi.gateway.answers import own_headers
from kintsugi.gateway.commands import (
    AbortUpstream,
    Admit,
    Answer,
    Command,
    Correct,
    DropClient,
    EndStream,
    Record,
    Reply,
    SendData,
    StartStream,
)
from kintsugi.gateway.events import (
    AdmissionDurable,
    AdmissionFailed,
    ClientAborted,
    Event,
    GatewayFailed,
    Headers,
    RecordDurable,
    RecordFailed,
    UpstreamHead,
)
from kintsugi.gateway.facts import settle
from kintsugi.gateway.in_force import InForce
from kintsugi.gateway.judgement import judge_audit
from kintsugi.model.content import ExchangeView
from kintsugi.model.decision import Phase
from kintsugi.model.event import DecisionEvent, ExchangeStatus, Unfinished
from kintsugi.model.verdict import Verdict

# Answered without a record: an overload must not be able to fill the journal.
OVERLOAD = frozenset(("overloaded", "draining"))


class Ending(msgspec.Struct, frozen=True):
    """The last bytes of a started stream; cut off without an end when it broke."""

    data: bytes = b""
    broken: bool = False


class State(Enum):
    """Where an exchange stands."""

    WAITING = "waiting"  # for the request
    GATHERING = "gathering"  # counters and other machines were asked before a decision
    HOLDING = "holding"  # a reviewer was asked
    CALLING = "calling"  # upstream was called; its head has not come
    PAUSING = "pausing"  # an attempt failed; the next one begins after a pause
    READING = "reading"  # upstream's answer is coming
    RECORDING = "recording"  # the record was handed over; the end of the answer waits for it
    FINISHED = "finished"


CALLED = (State.CALLING, State.READING)
_UNDER_WAY = (*CALLED, State.PAUSING, State.GATHERING, State.HOLDING)

Steps = Mapping[type[Event], Callable[[Any, Any], list[Command]]]


class RecordedExchange(ABC):
    """One exchange. It finishes on the ``InForce`` it began with, whatever is loaded meanwhile."""

    # What takes in which event.
    _steps: ClassVar[Steps]

    _account: Account  # made by the event that begins the exchange

    # What holds until something happens; most of it never does in most exchanges.
    state = State.WAITING
    _recorded = True  # whether this exchange leaves a record whatever its policies say
    _admitted = False
    _durable = False  # the Admission is
    _started = False  # the head of a stream left
    _head: UpstreamHead | None = None
    _chunks: list[bytes] | None = None  # of an answer that is not streamed
    _outbox: list[bytes] | None = None  # stream bytes that wait for the Admission
    _last: Reply | Ending | None = None  # what leaves once the record is durable
    _waits = 0  # for facts and people, since it came or since upstream was last called

    def __init__(self, in_force: InForce) -> None:
        self._in_force = in_force

    @property
    def finished(self) -> bool:
        """Whether no command will follow any more."""
        return self.state is State.FINISHED

    def step(self, event: Event) -> list[Command]:
        """Take one event in; return what is to be done about it, in order.

        An event that has no meaning in the present state (the rest of an answer whose client
        left) is passed over.
        """
        return self._steps[type(event)](self, event)

    # What a kind of exchange says for itself

    @abstractmethod
    def _refusal(self, code: str, *, message: str = "", param: str = "") -> Reply:
        """A refusal in the words of the caller's protocol."""

    @abstractmethod
    def _stream_head(self) -> tuple[int, Headers]:
        """Status and headers of an answer that is streamed, without our own headers."""

    @abstractmethod
    def _settled_views(self) -> dict[Phase, ExchangeView]:
        """What the phases that may have reserved something saw."""

    @abstractmethod
    def _left(self, at_ns: int) -> list[Command]:
        """The client left before its answer was complete."""

    def _comment(self, at_ns: int) -> bytes:  # noqa: ARG002
        """What is said after the last byte of a stream."""
        return b""

    # The record

    def _admit(self) -> list[Command]:
        """The record that comes before anybody else hears of the exchange; once."""
        if self._admitted:
            return []
        self._admitted = True
        return [Admit(self._account.admission())]

    def _record(
        self,
        status: ExchangeStatus,
        last: Reply | Ending | None,
        at_ns: int,
        *,
        error: str = "",
    ) -> list[Command]:
        """Hand over the record; what is left to send waits for it."""
        account = self._account
        self._last = last
        aborts = self.state in CALLED and not account.upstream_ended
        commands: list[Command] = [AbortUpstream()] if aborts else []
        if not self._recorded and account.decision.verdict is Verdict.ALLOW:
            commands += self._say_last(at_ns)
            self.state = State.FINISHED
            return commands
        if not self._admitted:
            commands = self._admit() + commands
        if status is not ExchangeStatus.REJECTED:
            judge_audit(account)
        if account.reservations:
            commands += self._settle(status)
        if isinstance(last, tuple):
            http_status = last[0]
        else:
            begun = self._head is not None and (self._started or last is not None)
            http_status = self._stream_head()[0] if begun else 0
        event = account.event(status, at_ns=at_ns, http_status=http_status, error=error)
        commands.append(Record(event, at_ns))
        self.state = State.RECORDING
        return commands

    def _settle(self, status: ExchangeStatus) -> list[Command]:
        """End the reservations on counters."""
        account = self._account
        answered = 200 <= account.upstream_status < 300
        # A client that left while upstream worked has cost what was reserved.
        left = status is ExchangeStatus.CLIENT_ABORTED and account.called_at_ns > 0
        delivered = status is ExchangeStatus.ANSWERED
        views = self._settled_views()
        return [*settle(account, views, called=answered or left, delivered=delivered)]

    def _reject(
        self, code: str, at_ns: int, *, message: str = "", param: str = ""
    ) -> list[Command]:
        """Refuse what no policy saw."""
        reply = self._refusal(code, message=message, param=param)
        return self._record(ExchangeStatus.REJECTED, reply, at_ns, error=code)

    def _fail(self, code: str, at_ns: int) -> list[Command]:
        """Say that upstream gave no answer that could be passed on."""
        self._recorded = True
        return self._record(ExchangeStatus.UPSTREAM_FAILED, self._refusal(code), at_ns, error=code)

    def _answer_now(self, reply: Reply) -> list[Command]:
        """Answer what leaves no record."""
        self.state = State.FINISHED
        status, headers, body = reply
        at_ns = self._account.received_at_ns
        return [Answer(status, headers + self._own_headers(at_ns), body)]

    # Sending

    def _send(self, out: bytes, at_ns: int) -> list[Command]:
        """Send bytes of a stream, or its head alone; they wait while the Admission is not
        durable."""
        if not self._durable:
            self._outbox = self._outbox or []
            self._outbox.append(out)
            return []
        if self._started:
            return [SendData(out)] if out else []
        self._started = True
        status, headers = self._stream_head()
        start = StartStream(status, headers + self._own_headers(at_ns))
        return [start, SendData(out)] if out else [start]

    def _say_last(self, at_ns: int) -> list[Command]:
        last = self._last
        if last is None:
            return []
        if isinstance(last, tuple):
            status, headers, body = last
            return [Answer(status, headers + self._own_headers(at_ns), body)]
        if last.broken:
            return [DropClient()]
        if not self._started:
            # All of it was held, so it has a length and leaves like any other answer.
            status, headers = self._stream_head()
            body = b"".join([*(self._outbox or ()), last.data])
            return [Answer(status, headers + self._own_headers(at_ns), body)]
        data = last.data + self._comment(at_ns)
        return [SendData(data), EndStream()] if data else [EndStream()]

    def _own_headers(self, at_ns: int) -> Headers:
        account = self._account
        return own_headers(
            event_id=account.event_id,
            verdict=account.decision.verdict,
            config_version=self._in_force.config_version,
            overhead_ms=account.overhead_ms(at_ns),
        )

    # Evidence that became durable, or did not

    def _on_admission_durable(self, event: AdmissionDurable) -> list[Command]:
        self._durable = True
        if self.state is not State.READING or not self._outbox:
            return []
        out, self._outbox = b"".join(self._outbox), None
        return self._send(out, event.at_ns)

    def _on_record_durable(self, event: RecordDurable) -> list[Command]:
        if self.state is not State.RECORDING:
            return []
        commands = self._say_last(event.at_ns)
        self.state = State.FINISHED
        return commands

    def _on_admission_failed(self, event: AdmissionFailed) -> list[Command]:
        if self.state in _UNDER_WAY:
            # The journal writes the Admission once it can, so it must get the record that ends it.
            code = "evidence_unavailable"
            self._note_unfinished()
            commands = self._record(ExchangeStatus.REJECTED, None, event.at_ns, error=code)
            return commands + self._answer_unrecorded(event.at_ns)
        return self._on_record_failed(event)

    def _on_record_failed(self, event: RecordFailed | AdmissionFailed) -> list[Command]:
        if self.state is not State.RECORDING:
            return []
        if self._last is None:
            self.state = State.FINISHED
            return []
        told = self._account_of_failure(event.at_ns)
        return [Correct(told), *self._answer_unrecorded(event.at_ns)]

    def _account_of_failure(self, at_ns: int) -> DecisionEvent:
        """What became of an exchange whose record failed: its answer never left."""
        status, http_status = ExchangeStatus.REJECTED, 503
        if self._started:
            status, http_status = ExchangeStatus.STREAM_BROKEN, self._stream_head()[0]
        return self._account.event(
            status, at_ns=at_ns, http_status=http_status, error="evidence_unavailable"
        )

    def _answer_unrecorded(self, at_ns: int) -> list[Command]:
        """Say that the evidence failed, and nothing of the answer."""
        self.state = State.FINISHED
        if self._started:
            return [DropClient()]
        status, headers, body = self._refusal("evidence_unavailable")
        return [Answer(status, headers + self._own_headers(at_ns), body)]

    # Ends that nobody asked for

    def _on_client_aborted(self, event: ClientAborted) -> list[Command]:
        if self.state is State.RECORDING:
            self._last = None
            return []
        if self.state not in _UNDER_WAY:
            self.state = State.FINISHED
            return []
        self._note_unfinished()
        return self._left(event.at_ns)

    def _on_gateway_failed(self, event: GatewayFailed) -> list[Command]:
        if self.state is State.FINISHED:
            return []
        if not hasattr(self, "_account") or self.state is State.RECORDING:
            self.state = State.FINISHED
            return [DropClient()]
        self._recorded = True
        self._note_unfinished()
        last = Ending(broken=True) if self._started else self._refusal(event.code)
        return self._record(ExchangeStatus.INTERRUPTED, last, event.at_ns, error=event.code)

    def _note_unfinished(self) -> None:
        self._account.unfinished = Unfinished(self.state.value, self._waits)

    # What is there by now

    def _known_head(self) -> UpstreamHead:
        """The head of an answer that has begun."""
        if self._head is None:
            raise RuntimeError(f"the exchange is {self.state.value} and has no answer yet")
        return self._head

    def _now(self, at_ns: int) -> datetime:
        account = self._account
        return account.now + timedelta(microseconds=(at_ns - account.received_at_ns) / 1000)


RECORDED_STEPS: Steps = {
    AdmissionDurable: RecordedExchange._on_admission_durable,
    AdmissionFailed: RecordedExchange._on_admission_failed,
    RecordDurable: RecordedExchange._on_record_durable,
    RecordFailed: RecordedExchange._on_record_failed,
    ClientAborted: RecordedExchange._on_client_aborted,
    GatewayFailed: RecordedExchange._on_gateway_failed,
}
