"""Judges recorded exchanges again, with the gateway's own ``Exchange`` and nothing else.

Everything that the gateway saw is served from the record: the request, what was counted and asked,
who approved, and the answer. Nothing goes out. What the record does not hold cannot be made up, so
an exchange is judged the same, differently, or said to be not reproducible, with everything that is
missing.

The answer of a stream is served whole: a decision is the same in any chunking, which the parity
tests hold every kind and dialect to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from typing import Final, Literal

import msgspec

from kintsugi.gateway.account import digest_of
from kintsugi.gateway.commands import (
    AbortUpstream,
    Admit,
    CallUpstream,
    Command,
    Gather,
    Hold,
    Pause,
    Record,
    Redeem,
)
from kintsugi.gateway.dialects import BY_PATH
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
    UpstreamEnd,
    UpstreamFailed,
    UpstreamHead,
)
from kintsugi.gateway.in_force import InForce
from kintsugi.gateway.oversight import Oversight
from kintsugi.model.config import MCP_ENDPOINT
from kintsugi.model.decision import Evaluation, Phase
from kintsugi.model.event import DecisionEvent, ExchangeStatus, Payload
from kintsugi.model.facts import Counter, RemoteAnswer
from kintsugi.model.oversight import Resolution
from kintsugi.policy.containment import Contained
from kintsugi.replay.driver import drive

Result = Literal["same", "differs", "not_reproducible"]

_PATHS: Final = {dialect.name: path for path, dialect in BY_PATH.items()}
_BEFORE_ANSWERS: Final = frozenset({Phase.ROUTE, Phase.INPUT})
# What was decided about an answer that did not come whole hangs on where it broke off.
_NOT_WHOLE: Final = frozenset(
    {ExchangeStatus.CLIENT_ABORTED, ExchangeStatus.INTERRUPTED, ExchangeStatus.STREAM_BROKEN}
)
_RESERVATION: Final = 1


class ReplayDifference(msgspec.Struct, frozen=True):
    """One thing that came out otherwise.

    Attributes:
        field: ``verdict``, ``reason_code``, ``policy_name``, or a policy in a phase:
            ``pii-detector (input)``.
    """

    field: str
    recorded: str
    replayed: str


class Replayed(msgspec.Struct, frozen=True):
    """What became of one recorded exchange.

    Attributes:
        result: ``not_reproducible`` where ``missing`` says why.
        config_version, revision: what it was judged by now.
        same_engine: whether configuration and detectors mean the same as when it was recorded;
            where not, a difference may come from that alone.
        verdict, reason_code, policy_name: now; empty where it was not reproduced.
    """

    event_id: str
    result: Result
    config_version: str
    revision: str
    same_engine: bool
    missing: tuple[str, ...] = ()
    differences: tuple[ReplayDifference, ...] = ()
    verdict: str = ""
    reason_code: str = ""
    policy_name: str = ""


def replay(
    event: DecisionEvent,
    payload: Payload,
    in_force: InForce,
    *,
    revision: str,
    contained: Sequence[Contained] = (),
) -> Replayed:
    """Judge a recorded exchange again.

    Args:
        payload: what was recorded, unredacted where that was kept.
        in_force: the configuration to judge by, from ``driver.put_in_force``.
        revision: of what judges: that configuration, or the version that a containment pins.
        contained: the containments that it was under.
    """
    surroundings = _surroundings(in_force, event, contained)
    base = Replayed(
        event_id=event.id,
        result="not_reproducible",
        config_version=surroundings.config_version,
        revision=revision,
        same_engine=revision == event.revision,
    )
    target = _target(event)
    missing = list(missing_of(event, payload))
    if missing or target is None:
        return msgspec.structs.replace(base, missing=tuple(missing))
    wire = _Record(event, _answer(payload))
    drive(surroundings, _received(event, payload, target), wire)
    again = wire.event
    if again is None:
        missing.append("the gateway leaves no record of such an exchange")
    missing += wire.missing
    if again is None or missing:
        return msgspec.structs.replace(base, missing=tuple(missing))
    differences = tuple(_differences(event, again, answered=not wire.unanswered))
    return msgspec.structs.replace(
        base,
        result="differs" if differences else "same",
        differences=differences,
        verdict=again.verdict.value,
        reason_code=again.reason_code,
        policy_name=again.policy_name,
    )


def missing_of(event: DecisionEvent, payload: Payload) -> Iterator[str]:
    """What the record lacks that a decision hangs on; nothing where all is there."""
    if event.status is ExchangeStatus.REJECTED:
        yield f"no policy judged it: it was refused ({event.error})"
        return
    if _target(event) is None:
        yield f'the dialect "{event.dialect}" is not known here'
    if payload.erased is not None:
        yield "its content was erased"
    elif payload.unreadable:
        yield f"its content cannot be opened: {payload.unreadable}"
    elif payload.truncated:
        yield "its content was cut at gateway.payload_bytes_max"
    elif event.request_bytes and not _request(payload):
        yield "its content was not kept (gateway.payload: none)"
    elif digest_of(_request(payload)) != event.request_digest:
        yield (
            f"{payload.masked} spans of its content are masked; gateway.payload: full keeps what "
            "is needed"
        )
    elif _is_masked_answer(event, payload):
        yield "its answer is masked; gateway.payload: full keeps what is needed"


def _is_masked_answer(event: DecisionEvent, payload: Payload) -> bool:
    """Of a stream only the masks tell: its digest is of the frames, not of what they say."""
    if not event.response_bytes:
        return False
    if event.streamed:
        return bool(payload.masked) and payload.unredacted is None
    return digest_of(_answer(payload)) != event.response_digest


def _request(payload: Payload) -> bytes:
    found = payload.unredacted.request if payload.unredacted is not None else payload.request
    return found.encode("utf-8", "surrogatepass")


def _answer(payload: Payload) -> bytes:
    found = payload.unredacted.response if payload.unredacted is not None else payload.response
    return found.encode("utf-8", "surrogatepass")


def _target(event: DecisionEvent) -> bytes | None:
    """Where the request went."""
    if event.dialect == "mcp":
        return f"{MCP_ENDPOINT}{event.target_id}".encode()
    return _PATHS.get(event.dialect)


def _received(event: DecisionEvent, payload: Payload, target: bytes) -> RequestReceived:
    facts = event.facts
    headers: Headers = [
        (b"content-type", b"application/json"),
        (b"accept", b"application/json, text/event-stream"),
    ]
    if event.key_name:
        # ``put_in_force`` makes a key's name the key.
        headers.append((b"authorization", b"Bearer " + event.key_name.encode()))
    identity = {
        b"x-user-id": event.user_id,
        b"x-team-id": event.team_id,
        b"x-session-id": event.session_id,
        b"x-agent-id": event.agent_id,
        b"x-workflow": event.workflow,
        b"x-request-id": event.request_id,
    }
    headers += [(name, value.encode()) for name, value in identity.items() if value]
    named = {name for name, _ in headers}
    headers += [
        (name.encode(), value.encode())
        for name, value in (facts.claims.items() if facts is not None else ())
        if name.encode() not in named
    ]
    return RequestReceived(
        at_ns=0,
        event_id=event.id,
        now=event.timestamp,
        method=b"POST",
        target=target,
        headers=headers,
        body=_request(payload),
    )


def _surroundings(
    in_force: InForce, event: DecisionEvent, contained: Sequence[Contained]
) -> InForce:
    """What was in force around it: containments, a quarantine, an approval."""
    found = copy(in_force.under(tuple(contained)) if contained else in_force)
    found.oversight = _Decided(event)
    return found


class _Decided(Oversight):
    """What people had decided by then, as far as it mattered here."""

    def __init__(self, event: DecisionEvent) -> None:
        super().__init__()
        self._event = event
        if event.reason_code == "quarantine.in_force" and event.quarantine is not None:
            self.freeze(event.quarantine)

    def approval_for(self, action_digest: str, revision: str, now: object) -> Resolution | None:  # noqa: ARG002
        """The approval that was used."""
        used = self._event.approval
        if used is None:
            return None
        return Resolution(
            used.escalation_id, action_digest, revision, self._event.timestamp, approved=True
        )


class _Record:
    """Both ends of the gateway, served from the record.

    Attributes:
        missing: what was asked for and is not in it.
        unanswered: a model was called now that was not called then.
    """

    def __init__(self, event: DecisionEvent, answer: bytes) -> None:
        self._recorded = event
        self._answer = answer
        self._upstream: Iterator[Event] = iter(())
        facts = event.facts
        self._counters = facts.counters if facts is not None else {}
        self._remote = facts.remote if facts is not None else {}
        self.missing: list[str] = []
        self.unanswered = False
        self.event: DecisionEvent | None = None

    def perform(self, command: Command) -> Iterable[Event]:
        """Do what a command says; the events that follow at once."""
        match command:
            case Admit():
                return (AdmissionDurable(0),)
            case CallUpstream():
                self._upstream = self._played()
            case AbortUpstream():
                self._upstream = iter(())
            case Pause():
                return (PauseOver(0),)
            case Gather():
                return (self._gather(command),)
            case Redeem():
                return (Redeemed(0, self._recorded.approval),)
            case Hold():
                return (HoldOver(0),)
            case Record(event=event):
                self.event = event
                return (RecordDurable(0),)
            case _:
                return ()
        return ()

    def next_upstream_event(self) -> Iterable[Event]:
        """What upstream said next, if it had more to say."""
        event = next(self._upstream, None)
        return () if event is None else (event,)

    def _gather(self, wish: Gather) -> Gathered:
        counters: dict[str, Counter] = {}
        remote: dict[str, RemoteAnswer] = {}
        for need in wish.counters:
            if need.key in self._counters:
                counters[need.key] = self._counters[need.key]
            else:
                self.missing.append(f"the counter {need.key} was not read then")
        for call in wish.remote:
            if call.key in self._remote:
                remote[call.key] = self._remote[call.key]
            else:
                self.missing.append(f"{call.key} was not asked then")
        return Gathered(0, counters, remote, _RESERVATION if wish.counters else 0)

    def _played(self) -> Iterator[Event]:
        event = self._recorded
        if not event.upstream_status:
            self.unanswered = not event.error.startswith("upstream.")
            yield UpstreamFailed(0, event.error if not self.unanswered else "upstream.reset")
            return
        head = [(b"content-type", b"application/json")]
        yield UpstreamHead(0, event.upstream_status, head, self._answer)
        yield UpstreamEnd(0)


def _differences(
    recorded: DecisionEvent, again: DecisionEvent, *, answered: bool
) -> Iterator[ReplayDifference]:
    """What came out otherwise.

    Args:
        answered: whether there was an answer to judge; phases after it are left out otherwise.
    """
    phases = set(Phase)
    if recorded.status in _NOT_WHOLE or not answered:
        phases = set(_BEFORE_ANSWERS)
    if phases == set(Phase) or _phase_of(recorded) in phases or not answered:
        for field, before, after in (
            ("verdict", recorded.verdict.value, again.verdict.value),
            ("reason_code", recorded.reason_code, again.reason_code),
            ("policy_name", recorded.policy_name, again.policy_name),
        ):
            if before != after:
                yield ReplayDifference(field, before or "none", after or "none")
    before_by, after_by = _by_place(recorded, phases), _by_place(again, phases)
    for place in {**before_by, **after_by}:
        before, after = before_by.get(place, ()), after_by.get(place, ())
        if [_outcome(one) for one in before] != [_outcome(one) for one in after]:
            yield ReplayDifference(place, _told(before), _told(after))


def _phase_of(event: DecisionEvent) -> Phase | None:
    """Where the verdict came from; None where nothing was found."""
    for one in event.evaluations:
        if one.policy_name == event.policy_name and one.effective is event.verdict:
            return one.phase
    return None


def _by_place(event: DecisionEvent, phases: set[Phase]) -> dict[str, tuple[Evaluation, ...]]:
    found: dict[str, tuple[Evaluation, ...]] = {}
    for one in event.evaluations:
        if one.phase in phases:
            place = f"{one.policy_name} ({one.phase.value})"
            found[place] = (*found.get(place, ()), one)
    return found


def _outcome(one: Evaluation) -> tuple[object, ...]:
    """What has to be the same: all but fingerprints, which are made with the gateway's own key."""
    findings = tuple(msgspec.structs.replace(finding, fingerprint="") for finding in one.findings)
    return one.mode, one.outcome, one.verdict, one.reason_code, findings


def _told(evaluations: Sequence[Evaluation]) -> str:
    if not evaluations:
        return "not there"
    return "; ".join(
        " ".join(
            word
            for word in (
                one.outcome,
                one.verdict.value if one.outcome == "matched" else "",
                one.reason_code if one.outcome == "matched" else "",
                f"{len(one.findings)} findings" if one.findings else "",
            )
            if word
        )
        for one in evaluations
    )
