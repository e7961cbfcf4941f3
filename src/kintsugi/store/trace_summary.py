"""What is kept of a trace beside its spans and decisions; the same for every store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

import msgspec

from kintsugi.model.event import DecisionEvent
from kintsugi.model.span import Span, TraceSummary
from kintsugi.model.verdict import Verdict
from kintsugi.store.event_rows import column_text

_LABELS_MAX: Final = 64
_SUBJECTS_MAX: Final = 10_000
_LATENCY_MS_MAX: Final = 86_400_000.0  # a day; whoever says more is mistaken


def begun(trace_id: str, at: datetime) -> TraceSummary:
    """A trace of which nothing is known but a moment."""
    return TraceSummary(trace_id, at, at)


def with_spans(before: TraceSummary, spans: Iterable[Span]) -> TraceSummary:
    """A trace once these of its spans are stored."""
    summary = before
    for span in spans:
        summary = msgspec.structs.replace(
            summary,
            started_at=min(summary.started_at, span.started_at),
            ended_at=max(summary.ended_at, span.ended_at),
            spans=summary.spans + 1,
            expired_at=None,
            expired_under="",
            failed=summary.failed + (span.status == "error"),
            labels=_with(summary.labels, _labels_of_span(span)),
        )
    return summary


def with_decisions(before: TraceSummary, events: Iterable[DecisionEvent]) -> TraceSummary:
    """A trace once these of its decisions are stored."""
    summary = before
    for event in events:
        took = min(max(0.0, event.latency_ms), _LATENCY_MS_MAX)
        ended_at = event.timestamp + timedelta(milliseconds=took)
        summary = msgspec.structs.replace(
            summary,
            started_at=min(summary.started_at, event.timestamp),
            ended_at=max(summary.ended_at, ended_at),
            decisions=summary.decisions + 1,
            verdict=_strictest(summary.verdict, event.verdict),
            labels=_with(summary.labels, _labels_of_event(event)),
        )
    return summary


def label(name: str, value: str) -> str:
    """One label, in a form that can be stored and compared."""
    return column_text(f"{name}:{value}")


def _labels_of_span(span: Span) -> Iterator[str]:
    yield label("step", span.step.value)
    told = {
        "service": span.service,
        "session": span.attributes.get("gen_ai.conversation.id"),
        "user": span.attributes.get("user.id"),
        "agent": span.attributes.get("gen_ai.agent.name") or span.attributes.get("gen_ai.agent.id"),
    }
    yield from (label(name, str(value)) for name, value in told.items() if value)


def _labels_of_event(event: DecisionEvent) -> Iterator[str]:
    told = {"session": event.session_id, "user": event.user_id, "agent": event.agent_id}
    yield from (label(name, value) for name, value in told.items() if value)


def _with(labels: tuple[str, ...], more: Iterable[str]) -> tuple[str, ...]:
    found = dict.fromkeys(labels)
    for each in more:
        # An erasure finds contents by these two, so they have far more room.
        room = _SUBJECTS_MAX if each.startswith(("user:", "session:")) else _LABELS_MAX
        if len(found) < room:
            found.setdefault(each)
    return labels if len(found) == len(labels) else tuple(sorted(found))


def _strictest(one: Verdict | None, other: Verdict) -> Verdict:
    return other if one is None or other.strictness > one.strictness else one
