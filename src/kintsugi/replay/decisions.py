"""Judges recorded exchanges again, with the gateway's own ``Exchange`` and nothing else.

Everything that the gateway saw is served from the record: the request, what was counted and asked,
who approved, and the answer, a stream in the pieces that it came in. Nothing goes out. What the
record does not hold cannot be made up, so an exchange is judged the same, differently, or said to
be not reproducible, with everything that is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

import msgspec

from kintsugi.gateway.account import digest_of
from kintsugi.gateway.dialects import BY_PATH
from kintsugi.gateway.events import Headers, RequestReceived
from kintsugi.gateway.in_force import InForce
from kintsugi.gateway.mcp_session import Session, SessionSeal
from kintsugi.gateway.recovery import INTERRUPTED
from kintsugi.model.config import MCP_ENDPOINT, Config
from kintsugi.model.content import Identity
from kintsugi.model.decision import Phase
from kintsugi.model.event import Chunking, DecisionEvent, ExchangeStatus, Payload
from kintsugi.policy.containment import Contained
from kintsugi.replay.differences import ReplayDifference, differences
from kintsugi.replay.driver import drive
from kintsugi.replay.recorded_wire import (
    EVIDENCE_UNAVAILABLE,
    RecordedAnswer,
    RecordedWire,
    judged_answer,
    quarantined_source,
    surroundings,
)
from kintsugi.replay.streams import reads_again

__all__ = ["ReplayDifference", "Replayed", "Result", "missing_of", "replay"]

Result = Literal["same", "differs", "not_reproducible"]

#: How the answer was served: in the pieces that it came in, or whole; empty where it was no
#: stream, or none was served.
Served = Literal["", "recorded", "whole"]

_PATHS: Final = {dialect.name: path for path, dialect in BY_PATH.items()}
_MCP: Final = "mcp"
_BEFORE_ANSWERS: Final = frozenset({Phase.ROUTE, Phase.INPUT})
# What was decided about an answer that did not come whole hangs on where it broke off.
_LEFT: Final = frozenset({ExchangeStatus.CLIENT_ABORTED, ExchangeStatus.INTERRUPTED})
_NOT_WHOLE: Final = _LEFT | {ExchangeStatus.STREAM_BROKEN}
# Answers of these were not judged, or not to their end.
_UNJUDGED: Final = _NOT_WHOLE | {ExchangeStatus.UPSTREAM_FAILED, ExchangeStatus.REJECTED}


class Replayed(msgspec.Struct, frozen=True):
    """What became of one recorded exchange.

    Attributes:
        result: ``not_reproducible`` where ``missing`` says why.
        config_version, revision: what it was judged by now.
        same_engine: whether configuration and detectors mean the same as when it was recorded;
            where not, a difference may come from that alone.
        missing: what the record lacks. Beside differences: why what came after them was not
            judged.
        verdict, reason_code, policy_name: now; empty where it was not reproduced.
        chunking: how the answer of a stream was served: in the pieces that it came in, or whole;
            empty where there was none.
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
    chunking: Served = ""


def replay(
    event: DecisionEvent,
    payload: Payload,
    in_force: InForce,
    *,
    revision: str,
    contained: Sequence[Contained] = (),
    recorded_by: Config | None = None,
) -> Replayed:
    """Judge a recorded exchange again.

    Args:
        payload: what was recorded, unredacted where that was kept.
        in_force: the configuration to judge by, from ``driver.put_in_force``.
        revision: of what judges: that configuration, or the version that a containment pins.
        contained: the containments that it was under.
        recorded_by: the configuration that it was judged by then, where another judges now: it is
            asked which of its settings were others.
    """
    # A containment may pin the policies of another version.
    judged_by = in_force.under(tuple(contained)) if contained else in_force
    base = Replayed(
        event_id=event.id,
        result="not_reproducible",
        config_version=judged_by.config_version,
        revision=revision,
        same_engine=revision == event.revision,
    )
    target = _target(event)
    missing = list(missing_of(event, payload))
    if missing or target is None:
        return msgspec.structs.replace(base, missing=tuple(missing))
    answer = _answered(event, payload)
    if event.streamed and answer.reads is None and _says_more(answer.body):
        missing = ["in which pieces it was streamed, and some of it stands beside the answer"]
        return msgspec.structs.replace(base, missing=tuple(missing))
    wire = RecordedWire(event, answer, same_engine=base.same_engine)
    received = _received(event, payload, target, in_force)
    around = surroundings(in_force, event, contained)
    drive(around, received, wire)
    again = wire.event
    if again is None:
        missing.append("the gateway leaves no record of such an exchange")
    missing += wire.missing
    if again is None or missing:
        return msgspec.structs.replace(base, missing=tuple(missing))
    told = "" if answer.reads is not None else _unknown_end(event)
    unjudged = [one for one in (wire.unanswered, wire.cut_short, told) if one]
    found = differences(
        event,
        again,
        set(_BEFORE_ANSWERS if unjudged else Phase),
        ended=not unjudged,
        before=recorded_by,
        now=judged_by.config,
    )
    return _result(base, event, again, tuple(found), wire, answer)


def _result(
    base: Replayed,
    event: DecisionEvent,
    again: DecisionEvent,
    found: tuple[ReplayDifference, ...],
    wire: RecordedWire,
    answer: RecordedAnswer,
) -> Replayed:
    """What is told of an exchange that was judged again."""
    why = tuple(one for one in (wire.unanswered, wire.cut_short) if one)
    if why and again.verdict is not event.verdict and not any(o.field == "verdict" for o in found):
        change = ReplayDifference("verdict", event.verdict.value, again.verdict.value)
        found = (change, *found)
    if why and not found:
        return msgspec.structs.replace(base, missing=why)
    served: Served = ""
    if event.streamed and again.upstream_status and answer.body:
        served = "recorded" if answer.reads is not None else "whole"
    return msgspec.structs.replace(
        base,
        result="differs" if found else "same",
        missing=why,
        differences=found,
        verdict=again.verdict.value,
        reason_code=again.reason_code,
        policy_name=again.policy_name,
        chunking=served,
    )


def _says_more(answer: bytes) -> bool:
    """Whether a streamed answer had frames whose texts have no place in a whole one."""
    return b'"frames":' in answer or b'"events":' in answer


def _unknown_end(event: DecisionEvent) -> str:
    """Why the decision on an answer cannot be compared: it did not come whole, and where it broke
    off is not on record."""
    unknown = event.status in _NOT_WHOLE and event.streamed
    return "where the answer broke off is not on record" if unknown else ""


def missing_of(event: DecisionEvent, payload: Payload) -> Iterator[str]:
    """What the record lacks that a decision hangs on; nothing where all is there."""
    if event.reason_code == INTERRUPTED:
        yield "no policy's word on it is known: the gateway was killed before it could record one"
        return
    if event.error == "gateway.internal":
        yield "no policy judged it to the end: the gateway itself failed at it"
        return
    judged = event.evaluations and event.error == EVIDENCE_UNAVAILABLE
    if event.status is ExchangeStatus.REJECTED and not judged:
        yield f"no policy judged it: it was refused ({event.error})"
        return
    if event.status in _LEFT and event.unfinished is None:
        yield "where it stood when it broke off: the release that recorded it did not keep that"
    if _target(event) is None:
        yield f'the dialect "{event.dialect}" is not known here'
    if payload.erased is not None:
        yield "its content was erased"
    elif payload.expired is not None:
        yield f"its content {payload.expired}"
    elif payload.unreadable:
        yield f"its content cannot be opened: {payload.unreadable}"
    elif payload.truncated:
        yield "its content was cut at gateway.payload_bytes_max"
    elif event.request_bytes and not _request(payload):
        yield "its content was not kept (gateway.payload: none)"
    elif digest_of(_request(payload)) != event.request_digest:
        yield _masked_request(payload)
    elif _is_judged(event, payload) and (lacks := _answer_lacks(event, payload)):
        yield lacks


def _masked_request(payload: Payload) -> str:
    if not payload.masked:
        return "its request is no UTF-8 text, and was not kept as it came"
    return f"{payload.masked} spans of its content are masked; {_FULL}"


_FULL: Final = "gateway.payload: full keeps what is needed"


def _is_judged(event: DecisionEvent, payload: Payload) -> bool:
    """Whether anything that was decided hangs on the answer.

    Args:
        payload: nothing of its request is masked.
    """
    if event.dialect != _MCP:
        return judged_answer(event)
    if not event.request_bytes:  # nobody asked: whatever was judged, the server had said
        return any(one.phase is not Phase.AUDIT for one in event.evaluations)
    # A call is judged in the phase of tools too, and what a server returns as input; but what was
    # judged of it is kept.
    return payload.masked > 0 or bool(_answer(payload))


def _answer_lacks(event: DecisionEvent, payload: Payload) -> str:
    """Why the answer is not to be had as it came; empty where it is.

    Of a stream only the masks tell: its digest is of the frames, not of what they say.
    """
    if not event.response_bytes:
        return ""
    kept = payload.unredacted is not None or not payload.masked
    stripped = event.dialect == _MCP and _lost_tools(event) and _chunking(payload) is None
    if event.streamed and not stripped:
        if kept and (_answer(payload) or not _is_judged(event, payload)):
            return ""
    elif digest_of(_answer(payload)) == event.response_digest:
        return ""
    if stripped:
        return f"something was taken out of its answer; {_FULL}"
    if not kept:
        return f"its answer is masked; {_FULL}"
    if not _answer(payload):
        return f"its answer was not kept, because nothing judged it; {_FULL}"
    return "its answer was compressed or is no UTF-8 text, and was not kept as it came"


def _lost_tools(event: DecisionEvent) -> bool:
    """Whether a list of tools may have gone on without some of them."""
    found = (finding.path for one in event.evaluations for finding in one.findings)
    return bool(event.changes) or any("/result/tools/" in path for path in found)


def _answered(event: DecisionEvent, payload: Payload) -> RecordedAnswer:
    """What upstream said, a stream in its pieces where they are on record."""
    body = _answer(payload)
    chunking = _chunking(payload)
    reads: list[bytes] | None = None
    # A stream to listen on counts as streamed though an error came in its place.
    streams = event.streamed and 200 <= event.upstream_status < 300
    if streams and chunking is not None:
        stopped = event.status in (ExchangeStatus.BLOCKED, ExchangeStatus.REJECTED)
        reads = reads_again(event.dialect, body, chunking, stopped=stopped)
    if streams and event.dialect == _MCP and chunking is None:
        lines = " ".join(f"0:{len(line)}" for line in body.split(b"\n") if line)
        reads = reads_again(_MCP, body, Chunking(reads=lines, whole=True), stopped=False)
    if chunking is not None:
        came_whole = chunking.whole
    elif event.unfinished is not None:
        came_whole = event.unfinished.waiting
    elif event.status is ExchangeStatus.REJECTED:
        came_whole = bool(body) if event.dialect == _MCP else judged_answer(event)
    else:
        came_whole = event.status not in _UNJUDGED
    return RecordedAnswer(
        body=body,
        reads=reads,
        came_whole=came_whole,
        lacks=_answer_lacks(event, payload),
        sent_digest=payload.sent_digest,
    )


def _chunking(payload: Payload) -> Chunking | None:
    hidden = payload.unredacted.chunking if payload.unredacted is not None else None
    return hidden or payload.chunking


def _request(payload: Payload) -> bytes:
    found = payload.unredacted.request if payload.unredacted is not None else payload.request
    return found.encode("utf-8", "surrogatepass")


def _answer(payload: Payload) -> bytes:
    found = payload.unredacted.response if payload.unredacted is not None else payload.response
    return found.encode("utf-8", "surrogatepass")


def _target(event: DecisionEvent) -> bytes | None:
    """Where the request went."""
    if event.dialect == _MCP:
        return f"{MCP_ENDPOINT}{event.target_id}".encode()
    return _PATHS.get(event.dialect)


def _method(event: DecisionEvent) -> bytes:
    """Of MCP, what has no body: a stream to listen on, or the end of a session."""
    if event.dialect == _MCP and not event.request_bytes:
        return b"GET" if event.streamed else b"DELETE"
    return b"POST"


def _received(
    event: DecisionEvent, payload: Payload, target: bytes, in_force: InForce
) -> RequestReceived:
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
        b"x-tenant-id": event.tenant_id,
        b"x-session-id": event.session_id,
        b"x-agent-id": event.agent_id,
        b"x-workflow": event.workflow,
        b"x-request-id": event.request_id,
    }
    headers += [(name, value.encode()) for name, value in identity.items() if value]
    if event.dialect == _MCP and event.upstream_status == 404 and not _answer(payload):
        headers.append((b"mcp-session-id", _session(event, in_force)))
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
        method=_method(event),
        target=target,
        headers=headers,
        body=_request(payload),
        source=quarantined_source(event.quarantine),
    )


def _session(event: DecisionEvent, in_force: InForce) -> bytes:
    """A session of the caller's: that it is over is told from whether there was one."""
    who = Identity(
        user_id=event.user_id,
        team_id=event.team_id,
        tenant_id=event.tenant_id,
        session_id=event.session_id,
        agent_id=event.agent_id,
        workflow=event.workflow,
        key_name=event.key_name,
    )
    return SessionSeal(in_force.fingerprint_key).seal(
        Session(event.session_id or "over"),
        server_id=event.target_id,
        caller=who,
        event_id=event.id,
    )
