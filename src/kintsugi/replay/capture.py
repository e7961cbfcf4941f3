"""A recorded exchange as a test case: the same request, the same facts, the same answer, so that it
gives the recorded decision on the configuration of that time. Pure.

What a decision does not hang on is left out: facts that nobody asks for any more would make a case
fail on a later configuration for a reason of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.gateway.dialects import BY_PATH
from kintsugi.gateway.in_force import InForce
from kintsugi.model.config import (
    CASE_ENDPOINT,
    MCP_ENDPOINT,
    Case,
    CaseAnswer,
    CaseCounter,
    CaseExpected,
    CaseFacts,
    CaseInput,
)
from kintsugi.model.event import DecisionEvent, ExchangeStatus, Payload
from kintsugi.model.verdict import Verdict
from kintsugi.replay.driver import carry
from kintsugi.replay.made_up import candidates

_PATHS: Final = {dialect.name: path for path, dialect in BY_PATH.items()}
_MESSAGES: Final = (CASE_ENDPOINT, "/v1/messages", "/v1/messages/count_tokens")
# Said where upstream was not called: it says nothing that a policy could mind.
_NEUTRAL_ANSWER: Final = "OK"
_MARKER: Final = re.compile(r"\[REDACTED:([A-Z0-9_]+)\]")


class Reproduced(msgspec.Struct, frozen=True):
    """What a case gives on the configuration that decided.

    Attributes:
        why: why not, and what to do; empty where it is the recorded decision.
    """

    yes: bool
    verdict: str = ""
    reason_code: str = ""
    why: str = ""


def texts_chars(case: Case) -> int:
    """How long all texts of a case's input are together."""
    wanted = case.input
    return sum(map(len, _texts([list(wanted.messages), wanted.request, wanted.upstream_response])))


def case_of(event: DecisionEvent, payload: Payload, *, name: str, facts: bool) -> Case:
    """The case of a recorded exchange; it expects what was decided.

    Where what was recorded is masked, a made-up value of the same kind stands for each marker.

    Args:
        payload: what was recorded, unredacted where that was kept.
        facts: state what was counted and asked.

    Raises:
        InvalidInput: the record does not hold what a case is made of.
    """
    endpoint = _endpoint(event)
    request = _document(event, payload)
    streamed = request.get("stream") is True
    messages: tuple[dict[str, Any], ...] = ()
    if endpoint in _MESSAGES and _is_conversation(request.get("messages")):
        messages = tuple(request.pop("messages"))
    answer = _answer(event, payload)
    if streamed and (endpoint == CASE_ENDPOINT or not isinstance(answer, dict)):
        request.pop("stream")
    elif streamed:
        # A whole answer cannot be streamed there; what is decided is the same in any chunking.
        request.pop("stream")
        streamed = False
    return Case(
        name,
        CaseInput(
            messages=messages,
            headers=_headers(event),
            request=request or None,
            upstream_response=answer,
            stream=streamed and not endpoint.startswith(MCP_ENDPOINT),
            facts=_facts(event) if facts else CaseFacts(),
            endpoint=endpoint,
        ),
        CaseExpected(verdict=event.verdict.value, reason_code=event.reason_code or None),
    )


def reproduced(event: DecisionEvent, case: Case, in_force: InForce) -> Reproduced:
    """Whether a case gives the recorded decision on the configuration that decided."""
    try:
        again = carry(in_force, case, 1).event
    except Exception as error:  # noqa: BLE001  # outer edge: a case that cannot run is an answer
        return Reproduced(False, why=f"it cannot be run: {error}")
    if again is None or again.status is ExchangeStatus.REJECTED:
        code = again.error if again is not None else "no record"
        return Reproduced(False, why=f"the gateway refuses the request now: {code}")
    if (again.verdict, again.reason_code) == (event.verdict, event.reason_code):
        return Reproduced(True, again.verdict.value, again.reason_code)
    return Reproduced(
        False,
        again.verdict.value,
        again.reason_code,
        f"it was {_said(event)} then and is {_said(again)} now; {_reason(event)}",
    )


def that_matter(
    events: Sequence[DecisionEvent], tied: frozenset[str], verdict: str
) -> list[DecisionEvent]:
    """Of a run, oldest first, the exchanges that a case is made of: those that the incident is
    about; where none of them is tied to it, those whose decision has to be another one."""
    if about := [one for one in events if one.id in tied]:
        return about
    allow = verdict == Verdict.ALLOW.value
    wrong = [one for one in events if one.verdict.stops is allow]
    if allow:
        return wrong
    acts = [one for one in wrong if one.mcp_method == "tools/call"]
    return acts or wrong[-1:]


def _endpoint(event: DecisionEvent) -> str:
    if event.status is ExchangeStatus.REJECTED:
        raise InvalidInput(
            f"event {event.id}: no policy judged it, it was refused ({event.error}); a case needs a"
            " decision"
        )
    if event.dialect == "mcp":
        return f"{MCP_ENDPOINT}{event.target_id}"
    path = _PATHS.get(event.dialect)
    if path is None:
        raise InvalidInput(f'event {event.id}: the dialect "{event.dialect}" is not known here')
    return path.decode()


def _document(event: DecisionEvent, payload: Payload) -> dict[str, Any]:
    missing = ""
    if payload.erased is not None:
        missing = "its content was erased"
    elif payload.expired is not None:
        missing = f"its content {payload.expired}"
    elif payload.unreadable:
        missing = f"its content cannot be opened: {payload.unreadable}"
    elif payload.truncated:
        missing = "its content was cut at gateway.payload_bytes_max"
    elif not payload.request:
        missing = "its content was not kept (gateway.payload: none)"
    if missing:
        raise InvalidInput(
            f"event {event.id}: {missing}; write the case yourself: kt regressions add --file FILE"
        )
    return _object(event, payload.request)


def _object(event: DecisionEvent, text: str) -> dict[str, Any]:
    try:
        # Half a surrogate pair, which JSON can escape, is in no text that could be sent again.
        found = msgspec.json.decode(_unmasked(text))
    except (msgspec.DecodeError, UnicodeError):
        found = None
    if not isinstance(found, dict):
        raise InvalidInput(
            f"event {event.id}: what was recorded is no JSON object, or what is masked in it broke "
            "it; keep payloads with gateway.payload: full, or write the case yourself: "
            "kt regressions add --file FILE"
        )
    return found


def _answer(event: DecisionEvent, payload: Payload) -> dict[str, Any] | str | None:
    if not 200 <= event.upstream_status < 300:
        return None if event.dialect.endswith("embeddings") else _NEUTRAL_ANSWER
    try:
        found = msgspec.json.decode(_unmasked(payload.response))
    except (msgspec.DecodeError, UnicodeError):
        return _unmasked(payload.response) or _NEUTRAL_ANSWER
    return found if isinstance(found, dict) else str(found)


def _unmasked(text: str) -> str:
    """Made-up values where a gateway masked what it found: the same label, the same value."""

    def value(found: re.Match[str]) -> str:
        word = found[1].lower()
        for kind in (f"pii.{word}", f"secret.{word}"):
            for one in candidates(kind, ""):
                return one
        return found[0]

    return _MARKER.sub(value, text)


def _headers(event: DecisionEvent) -> dict[str, str]:
    """What the gateway read of the caller; ``put_in_force`` makes a key's name the key."""
    headers = {
        "authorization": f"Bearer {event.key_name}" if event.key_name else "",
        "x-user-id": event.user_id,
        "x-team-id": event.team_id,
        "x-tenant-id": event.tenant_id,
        "x-session-id": event.session_id,
        "x-agent-id": event.agent_id,
        "x-workflow": event.workflow,
    }
    claims = event.facts.claims if event.facts is not None else {}
    return {name: value for name, value in {**claims, **headers}.items() if value}


def _facts(event: DecisionEvent) -> CaseFacts:
    facts = event.facts
    if facts is None:
        return CaseFacts()
    return CaseFacts(
        counters={
            key: CaseCounter(one.used, one.granted, one.retry_after_seconds)
            for key, one in facts.counters.items()
        },
        remote={
            key: CaseAnswer(one.status, one.body, one.error) for key, one in facts.remote.items()
        },
    )


def _is_conversation(messages: object) -> bool:
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(isinstance(one, dict) for one in messages)
    )


def _said(event: DecisionEvent) -> str:
    by = f" by {event.policy_name}" if event.policy_name else ""
    return f"{event.verdict.value} ({event.reason_code or 'no reason'}){by}"


def _reason(event: DecisionEvent) -> str:
    if event.containments:
        return "a containment was in force then, which no configuration holds"
    if event.reason_code == "quarantine.in_force":
        return "a quarantine stopped it, not what it says"
    if event.approval is not None:
        return "a person had approved of it then"
    if event.payload.masked:
        return (
            f"{event.payload.masked} stretches of the record are masked: put values of the same "
            "kind there (kt regressions edit), or keep payloads with gateway.payload: full"
        )
    return "compare both with kt policy explain, and edit the case (kt regressions edit)"


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list() | tuple():
            for item in value:
                yield from _texts(item)
