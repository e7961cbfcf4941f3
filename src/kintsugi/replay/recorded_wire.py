"""Both ends of the gateway, served from the record of one exchange. Nothing goes out.

Every call of a model, a server, a counter or a person has to be on the record: one that is not is
named in ``missing``, and the replay fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec

from kintsugi.gateway.account import digest_of
from kintsugi.gateway.commands import (
    AbortUpstream,
    Admit,
    CallUpstream,
    Command,
    Correct,
    Gather,
    Hold,
    Pause,
    Record,
    Redeem,
)
from kintsugi.gateway.events import (
    AdmissionDurable,
    ClientAborted,
    Event,
    GatewayFailed,
    Gathered,
    Headers,
    HoldOver,
    PauseOver,
    RecordDurable,
    RecordFailed,
    Redeemed,
    UpstreamData,
    UpstreamEnd,
    UpstreamFailed,
    UpstreamHead,
)
from kintsugi.gateway.in_force import InForce, Upstream
from kintsugi.gateway.oversight import Oversight
from kintsugi.gateway.recorded_exchange import State
from kintsugi.gateway.routing import Board
from kintsugi.model.config import Routing
from kintsugi.model.content import Identity, Part
from kintsugi.model.decision import Phase
from kintsugi.model.event import Attempt, DecisionEvent, ExchangeStatus, Quarantine
from kintsugi.model.facts import Counter, RemoteAnswer
from kintsugi.model.oversight import Resolution
from kintsugi.model.verdict import Verdict
from kintsugi.policy.containment import Contained

_RESERVATION: Final = 1
EVIDENCE_UNAVAILABLE: Final = "evidence_unavailable"
_UNREADABLE: Final = "upstream.unreadable"
_ENCODED: Final = "upstream.encoded"
# Two line ends, so that it is a frame; no dialect has a reading for it.
_GARBAGE: Final = b"data: {\n\n"
_LEFT: Final = (ExchangeStatus.CLIENT_ABORTED, ExchangeStatus.INTERRUPTED)
_OF_ANSWERS: Final = (Phase.TOOL, Phase.OUTPUT)


class RecordedAnswer(msgspec.Struct, frozen=True):
    """What upstream said, as the record has it.

    Attributes:
        reads: of a stream, what each read brought; None for an answer that is served whole.
        came_whole: it came to its end.
        lacks: why it is not to be had as it came; empty where it is.
        sent_digest: of the request that it answers, see ``Payload.sent_digest``.
    """

    body: bytes
    reads: Sequence[bytes] | None
    came_whole: bool
    lacks: str = ""
    sent_digest: str = ""


def surroundings(
    in_force: InForce, event: DecisionEvent, contained: Sequence[Contained]
) -> InForce:
    """What was in force around an exchange: containments, a quarantine, an approval, and which
    targets were tried."""
    people = _Decided(event, contained)
    return in_force.among(board=_Tried(event), oversight=people)


class _Decided(Oversight):
    """What people had decided by then, as far as it mattered here."""

    def __init__(self, event: DecisionEvent, contained: Sequence[Contained]) -> None:
        super().__init__()
        self.contained = tuple(contained)
        self._event = event
        if event.reason_code == "quarantine.in_force" and event.quarantine is not None:
            self.freeze(event.quarantine)

    def containing(
        self,
        identity: Identity,  # noqa: ARG002
        *,
        model: str,  # noqa: ARG002
        region: str,  # noqa: ARG002
        said: Sequence[Part],  # noqa: ARG002
        now: datetime,  # noqa: ARG002
    ) -> tuple[Contained, ...]:
        """Those that it was under: the record names them."""
        return self.contained

    def approval_for(self, action_digest: str, revision: str, now: object) -> Resolution | None:  # noqa: ARG002
        """The approval that was used; not for what a person was asked about in vain.

        Where it ended before all was judged, it may have ended while a person was waited for.
        """
        event = self._event
        asked = event.escalation
        if asked is not None and asked.action_digest == action_digest:
            return None
        if event.approval is None and event.unfinished is None:
            return None
        used = event.approval.escalation_id if event.approval is not None else ""
        return Resolution(used, action_digest, revision, event.timestamp, approved=True)


class _Tried(Board):
    """The targets in the order in which they were tried, and as often."""

    def __init__(self, event: DecisionEvent) -> None:
        super().__init__()
        self._tried = [one.target_id for one in _calls(event)]
        self._left = len(self._tried) - 1

    def order(
        self,
        upstreams: Sequence[Upstream],
        routing: Routing,  # noqa: ARG002
        *,
        draw: float,  # noqa: ARG002
        at_ns: int,  # noqa: ARG002
    ) -> Sequence[Upstream]:
        """See ``Board``."""
        known = {one.target.id: one for one in upstreams}
        tried = [known[name] for name in self._tried if name in known]
        return [*tried, *(one for one in upstreams if one not in tried)]

    def take_retry(self) -> bool:
        """See ``Board``."""
        self._left -= 1
        return self._left >= 0


def _calls(event: DecisionEvent) -> Sequence[Attempt]:
    """Every call of a target that there was, in order."""
    ended, error = event.unfinished, event.error
    if ended is not None and ended.state == State.CALLING.value:
        return (*event.attempts, Attempt(event.target_id, 0, 0))
    if event.attempts:
        return event.attempts
    unanswered = error.startswith("upstream.")
    if error == EVIDENCE_UNAVAILABLE and ended is None:
        # That its record failed is all that it says: not that nobody had answered.
        unanswered = not event.verdict.stops
    if event.upstream_status or unanswered:
        return (Attempt(event.target_id, 0, 0, event.upstream_status, error),)
    return ()


def judged_answer(event: DecisionEvent) -> bool:
    """Whether policies looked at the answer, as far as it came."""
    return any(one.phase in _OF_ANSWERS for one in event.evaluations)


class RecordedWire:
    """Both ends of the gateway.

    Args:
        same_engine: what could not be had then is not to be had now either; with another
            configuration it was never asked for.

    Attributes:
        missing: what was asked for and is not on the record.
        unanswered: why the answer was not judged: a model was asked now that was not asked then,
            or asked something else; empty where that is not so.
        cut_short: why the rest of the answer was not judged: it was stopped then, and would go on
            now; empty where that is not so.
    """

    def __init__(self, event: DecisionEvent, answer: RecordedAnswer, *, same_engine: bool) -> None:
        self._recorded = event
        self._answer = answer
        self._same_engine = same_engine
        self._calls = list(_calls(event))
        self._waits = 0  # since the beginning, or since upstream was last called
        self._upstream: Iterator[Event] = iter(())
        facts = event.facts
        self._counters = facts.counters if facts is not None else {}
        self._remote = facts.remote if facts is not None else {}
        self.missing: list[str] = []
        self.unanswered = ""
        self.cut_short = ""
        self.event: DecisionEvent | None = None

    def perform(self, command: Command) -> Iterable[Event]:
        """Do what a command says; the events that follow at once."""
        match command:
            case Admit():
                return (AdmissionDurable(0),)
            case CallUpstream():
                self._waits = 0
                self._upstream = self._played(command)
            case AbortUpstream():
                self._upstream = iter(())
            case Pause():
                return (PauseOver(0),)
            case Gather() | Redeem():
                return (self._waited(command),)
            case Hold():
                return (HoldOver(0),)
            case Record(event=event):
                self.event = event
                recorded = self._recorded
                failed = recorded.error == EVIDENCE_UNAVAILABLE and recorded.unfinished is None
                return (RecordFailed(0) if failed else RecordDurable(0),)
            case Correct(event=event):
                self.event = event
            case _:
                return ()
        return ()

    def next_upstream_event(self) -> Iterable[Event]:
        """What upstream said next, if it had more to say."""
        event = next(self._upstream, None)
        return () if event is None else (event,)

    def _waited(self, command: Gather | Redeem) -> Event:
        """What a wait brought, or the end if this was what was waited for then."""
        self._waits += 1
        ended = self._recorded.unfinished
        here = ended is not None and ended.waiting and ended.waits == self._waits
        if here and not self._calls:
            return self._broken()
        if isinstance(command, Gather):
            return self._gathered(command)
        return Redeemed(0, self._recorded.approval)

    def _broken(self) -> Event:
        """How it ended, where that was nobody's decision."""
        recorded = self._recorded
        if recorded.status in (ExchangeStatus.CLIENT_ABORTED, ExchangeStatus.ANSWERED):
            return ClientAborted(0)
        return GatewayFailed(0, recorded.error)

    def _gathered(self, wish: Gather) -> Event:
        counters: dict[str, Counter] = {}
        remote: dict[str, RemoteAnswer] = {}
        lacking: list[str] = []
        for need in wish.counters:
            if need.key in self._counters:
                counters[need.key] = self._counters[need.key]
            else:
                lacking.append(f"the counter {need.key} was not read then")
        for call in wish.remote:
            if call.key in self._remote:
                remote[call.key] = self._remote[call.key]
            else:
                lacking.append(f"{call.key} was not asked then")
        if not self._same_engine:
            self.missing += lacking
        return Gathered(0, counters, remote, _RESERVATION if wish.counters else 0)

    # Upstream

    def _played(self, call: CallUpstream) -> Iterator[Event]:
        if not self._calls:
            if self._recorded.unfinished is not None:
                yield self._broken()
                return
            self.unanswered = f"{call.target_id} was not asked then"
            yield UpstreamFailed(0, "upstream.reset")
            return
        recorded = self._calls.pop(0)
        unmatched = self._unmatched(call, recorded)
        if unmatched:
            self.unanswered = unmatched
            self._calls.clear()
            yield UpstreamFailed(0, "upstream.reset")
            return
        if self._calls:  # a failed attempt: others came after it
            if recorded.status:
                yield UpstreamHead(0, recorded.status, [], ended=True)
            else:
                yield UpstreamFailed(0, recorded.error)
            return
        yield from self._last_call()

    def _unmatched(self, call: CallUpstream, recorded: Attempt) -> str:
        """Why the answer on record is no answer to this call; empty where it is."""
        if recorded.target_id and call.target_id != recorded.target_id:
            return f"{call.target_id} was not asked then, {recorded.target_id} was"
        sent = self._answer.sent_digest
        if not sent and (self._same_engine or self._may_have_changed()):
            return ""
        if self._calls or digest_of(call.body) == (sent or self._recorded.request_digest):
            return ""
        return f"{call.target_id} was asked something else then"

    def _may_have_changed(self) -> bool:
        """Whether the request was sent on otherwise than it came, by a release that did not keep
        a digest of that."""
        recorded = self._recorded
        return bool(recorded.changes) or any(
            one.effective is Verdict.REDACT and one.phase in (Phase.INPUT, Phase.TOOL)
            for one in recorded.evaluations
        )

    def _last_call(self) -> Iterator[Event]:
        recorded, answer = self._recorded, self._answer
        if not recorded.upstream_status:
            ended = recorded.unfinished is not None
            yield self._broken() if ended else UpstreamFailed(0, recorded.error)
            return
        if answer.lacks and not self._ends_unread():
            self.missing.append(answer.lacks)
        streamed = answer.reads is not None
        head: Headers = [
            (b"content-type", b"text/event-stream" if streamed else b"application/json")
        ]
        if recorded.error == _ENCODED or (answer.lacks and not streamed):
            head.append((b"content-encoding", b"gzip"))
        yield UpstreamHead(0, recorded.upstream_status, head)
        reads = [*answer.reads] if answer.reads is not None else [answer.body]
        if recorded.error == _UNREADABLE and streamed:
            last = reads.pop() if reads else b""
            reads.append(last + _GARBAGE)
        for read in reads:
            yield UpstreamData(0, read)
        yield from self._ending()

    def _ends_unread(self) -> bool:
        """Whether nothing hangs on what the answer said: it was never read to its end."""
        recorded = self._recorded
        if recorded.unfinished is not None and recorded.unfinished.waiting:
            return False
        unread = (ExchangeStatus.UPSTREAM_FAILED, ExchangeStatus.REJECTED, *_LEFT)
        return recorded.status in unread or not judged_answer(recorded)

    def _ending(self) -> Iterator[Event]:
        recorded, answer = self._recorded, self._answer
        if recorded.unfinished is not None and not answer.came_whole:
            yield self._broken()
        elif recorded.error in (_UNREADABLE, _ENCODED):
            yield UpstreamEnd(0)
        elif recorded.error.startswith("upstream.") and not answer.came_whole:
            yield UpstreamFailed(0, recorded.error)
        elif answer.came_whole:
            yield UpstreamEnd(0)
        elif recorded.error == EVIDENCE_UNAVAILABLE:
            yield UpstreamFailed(0, "upstream.reset")  # what had broken it stands there no more
        elif recorded.status is ExchangeStatus.ANSWERED:
            yield ClientAborted(0)  # what listens is ended by leaving
        else:
            # It was stopped before its end. Who hears this now would let it go on.
            self.cut_short = "the rest of the answer was not heard then: it was stopped"
            yield ClientAborted(0)


def quarantined_source(quarantine: Quarantine | None) -> str:
    """The client's address, where a quarantine was of that."""
    return quarantine.subject if quarantine is not None and quarantine.scope == "source" else ""
