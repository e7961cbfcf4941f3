"""A recorded decision in words: what decided, where, under which version, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import Any

import msgspec

from kintsugi.cli.output import harmless
from kintsugi.errors import InvalidInput
from kintsugi.model.decision import Evaluation, Mode
from kintsugi.model.event import DecisionEvent, ExchangeStatus
from kintsugi.policy.reasons import REASONS, Reason
from kintsugi.replay.reports.words import finding_line


def read_event(answer: Any) -> DecisionEvent:
    """The event in the control plane's answer; fields of a newer server are passed over.

    Raises:
        InvalidInput: it is no decision event.
    """
    try:
        return msgspec.convert(answer, DecisionEvent, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the control plane's answer is no decision event: {error}") from error


def explain(event: DecisionEvent, *, columns: int = 100) -> str:
    """The whole story of one decision, for a terminal so many characters wide."""
    reason = REASONS.get(event.reason_code)
    facts = [
        ("decided by", _decider(event, reason)),
        ("reason", event.reason_code + (f": {reason.title}" if reason else "")),
        ("meaning", reason.meaning if reason else ""),
        ("what to do", reason.help if reason else ""),
        ("time", _time(event)),
        ("outcome", _outcome(event)),
        ("ended while", event.unfinished.doing if event.unfinished else ""),
        ("model", _model(event)),
        ("MCP server", _mcp(event)),
        ("who", _who(event)),
        ("configuration", event.config_version),
        ("revision", event.revision),
        ("gateway", f"{event.gateway_id}/{event.worker_id}, engine {event.engine_version}"),
        ("trace", event.trace_id),
        ("masked", _masked(event)),
        ("content", _content(event)),
    ]
    width = max(len(name) for name, _ in facts)
    lines = [f"{_headline(event).upper()}  {event.id}"]
    for name, value in facts:
        if value:
            lines += _hanging(f"  {name:<{width}}  ", harmless(value), columns)
    lines += ["", "chain"]
    lines += list(_chain(event, columns)) or ["  no policy ran"]
    if event.attempts:
        lines += ["", "Calls of targets", *_attempts(event, columns)]
    return "\n".join(lines)


def _headline(event: DecisionEvent) -> str:
    """The verdict, except where the exchange ended in a way that made it meaningless."""
    if event.status in (ExchangeStatus.REJECTED, ExchangeStatus.INTERRUPTED):
        return str(event.status.value)
    return event.verdict.past


def _decider(event: DecisionEvent, reason: Reason | None) -> str:
    if reason is not None and reason.policy == "gateway":
        return "the gateway"
    return event.policy_name or "no policy"


def _chain(event: DecisionEvent, columns: int) -> Iterator[str]:
    width = max((len(e.policy_name) for e in event.evaluations), default=0)
    for number, evaluation in enumerate(event.evaluations, 1):
        mark = "  ← decided" if _decided(event, evaluation) else ""
        head = f"  {number:>2}  {evaluation.policy_name:<{width}}  {evaluation.phase.value:<6}  "
        yield from _hanging(head, harmless(f"{_result(evaluation)}{mark}"), columns)
        for finding in evaluation.findings:
            yield from _hanging(" " * 8, harmless(finding_line(finding)), columns)


def _attempts(event: DecisionEvent, columns: int) -> Iterator[str]:
    width = max(len(attempt.target_id) for attempt in event.attempts)
    for number, attempt in enumerate(event.attempts, 1):
        outcome = attempt.error or f"answered {attempt.status}"
        took = f"after {attempt.started_ms:.1f} ms, took {attempt.duration_ms:.1f} ms"
        head = f"  {number:>2}  {harmless(attempt.target_id):<{width}}  "
        yield from _hanging(head, harmless(f"{outcome} ({took})"), columns)


def _hanging(head: str, text: str, columns: int) -> list[str]:
    """Text behind a head, its further lines indented as far."""
    width = max(columns - len(head), 30)
    first, *rest = wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
    return [head + first, *(" " * len(head) + line for line in rest)]


def _decided(event: DecisionEvent, evaluation: Evaluation) -> bool:
    return (
        evaluation.policy_name == event.policy_name
        and evaluation.outcome in ("matched", "error")
        and evaluation.effective is event.verdict
    )


def _result(evaluation: Evaluation) -> str:
    """``enforce: matched, block (prompt_injection.detected)``."""
    words = f"{evaluation.mode.value}: {evaluation.outcome}"
    if evaluation.outcome in ("matched", "error"):
        words += f", {evaluation.verdict.value} ({evaluation.reason_code})"
        if evaluation.mode is Mode.MONITOR and evaluation.effective is not evaluation.verdict:
            words += f", acted as {evaluation.effective.value}"
    return f"{words}: {evaluation.why}" if evaluation.why else words


def _time(event: DecisionEvent) -> str:
    admitted = event.timestamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return (
        f"{admitted}, {event.latency_ms:.1f} ms in all, "
        f"{event.overhead_ms:.1f} ms of them in the gateway"
    )


def _outcome(event: DecisionEvent) -> str:
    parts = [event.status.value]
    if event.http_status:
        parts.append(f"HTTP {event.http_status}")
    if event.streamed:
        mode = f" ({event.streaming_mode})" if event.streaming_mode else ""
        parts.append(f"streamed{mode}")
    if event.error:
        parts.append(event.error)
    if event.fail_open:
        parts.append("a failed rule let it through")
    return ", ".join(parts)


def _model(event: DecisionEvent) -> str:
    if not event.model:
        return ""
    if event.status is ExchangeStatus.BLOCKED and not event.upstream_status:
        return f"{event.model}, never called"
    return f"{event.model} at {event.target_id}" if event.target_id else event.model


def _mcp(event: DecisionEvent) -> str:
    asked = f"{event.mcp_method} {event.tool_name}".strip()
    return f"{event.target_id}: {asked}" if asked else ""


def _who(event: DecisionEvent) -> str:
    fields = {
        "user": event.user_id,
        "team": event.team_id,
        "tenant": event.tenant_id,
        "session": event.session_id,
        "agent": event.agent_id,
        "workflow": event.workflow,
        "key": event.key_name,
    }
    return ", ".join(f"{name} {value}" for name, value in fields.items() if value)


def _masked(event: DecisionEvent) -> str:
    masked = event.payload.masked
    return f"{masked} span{'' if masked == 1 else 's'} of the recorded payload" if masked else ""


def _content(event: DecisionEvent) -> str:
    """Why nothing of it can be read, where that is so."""
    payload = event.payload
    if payload.expired is not None:
        return f"{payload.expired} (run {payload.expired.run_id})"
    if payload.erased is not None:
        at = payload.erased.at.isoformat(timespec="seconds").replace("+00:00", "Z")
        return f"erased at {at} by erasure {payload.erased.erasure_id}"
    return f"unreadable: {payload.unreadable}" if payload.unreadable else ""
