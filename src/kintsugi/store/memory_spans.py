"""Spans in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import msgspec

from kintsugi.errors import NotFound
from kintsugi.model.custody import CustodyEntry, CustodyStore
from kintsugi.model.event import DecisionEvent
from kintsugi.model.seen_parts import of_spans
from kintsugi.model.span import Span, SpansStored, TraceFilter, TraceSummary
from kintsugi.model.vault import Subject
from kintsugi.model.workflow import WorkflowStore
from kintsugi.store.cursors import decode_cursor, paged
from kintsugi.store.event_rows import column_text
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.trace_summary import begun, label, with_decisions, with_spans


class MemorySpans:
    """The same promises as ``PostgresSpans``."""

    def __init__(
        self, custody: CustodyStore, workflows: WorkflowStore, now: Callable[[], datetime]
    ) -> None:
        self._custody = custody
        self._workflows = workflows
        self._now = now
        self._spans: dict[str, dict[str, Span]] = {}
        self._traces: dict[str, TraceSummary] = {}

    def append(self, spans: Sequence[Span]) -> SpansStored:
        stored = 0
        new: list[Span] = []
        with LOCK:
            for span in spans:
                known = self._spans.setdefault(span.trace_id, {})
                if span.span_id in known:
                    continue
                known[span.span_id] = span
                stored += 1
                new.append(span)
                before = self._traces.get(span.trace_id) or begun(span.trace_id, span.started_at)
                self._traces[span.trace_id] = with_spans(before, [span])
        told = of_spans((span.started_at, span.attributes) for span in new)
        self._workflows.note(told, now=self._now())
        return SpansStored(stored=stored, duplicates=len(spans) - stored)

    def note_events(self, events: Iterable[DecisionEvent]) -> None:
        """Add stored decisions to their traces."""
        with LOCK:
            for event in events:
                if event.trace_id:
                    key = column_text(event.trace_id)
                    before = self._traces.get(key) or begun(key, event.timestamp)
                    self._traces[key] = with_decisions(before, [event])

    def trace(self, trace_id: str) -> TraceSummary | None:
        return self._traces.get(column_text(trace_id))

    def spans(self, trace_id: str, *, limit: int, content: bool = False) -> list[Span]:
        found = sorted(
            self._spans.get(trace_id, {}).values(), key=lambda span: (span.started_at, span.span_id)
        )[:limit]
        if content:
            return found
        return [msgspec.structs.replace(span, content=None) for span in found]

    def span(self, trace_id: str, span_id: str) -> Span:
        try:
            return self._spans[trace_id][span_id]
        except KeyError:
            raise NotFound(
                f'trace "{trace_id}" has no span "{span_id}" that was reported'
            ) from None

    def reveal(self, trace_id: str, span_id: str, entry: CustodyEntry) -> Span:
        span = self.span(trace_id, span_id)
        if span.content is None:
            raise NotFound(
                f'nothing of the content of span "{span_id}" is left, or it cannot be opened'
            )
        self._custody.add(entry)
        return span

    def unexpired(self) -> list[TraceSummary]:
        """Traces that retention has not been through, earliest first."""
        return sorted(
            (one for one in self._traces.values() if one.expired_at is None and one.spans),
            key=_key,
        )

    def expire(self, trace_ids: Sequence[str], *, at: datetime, under: str) -> None:
        """Remove what was reported of these traces."""
        with LOCK:
            for trace_id in trace_ids:
                self._spans.pop(trace_id, None)
                self._traces[trace_id] = msgspec.structs.replace(
                    self._traces[trace_id], spans=0, failed=0, expired_at=at, expired_under=under
                )

    def forget_expired(self, *, before: datetime) -> None:
        """Remove what is left of traces that ended before then and hold nothing."""
        with LOCK:
            for trace in list(self._traces.values()):
                if trace.ended_at < before and not trace.spans:
                    del self._traces[trace.trace_id]

    def contents_of(self, subject: Subject, *, until: datetime | None = None) -> int:
        return sum(
            span.content is not None and (until is None or span.started_at <= until)
            for span in self._touched(subject)
        )

    def erase_contents(self, subject: Subject, *, until: datetime | None = None) -> int:
        with LOCK:
            found = [
                span
                for span in self._touched(subject)
                if span.content is not None and (until is None or span.started_at <= until)
            ]
            for span in found:
                bare = msgspec.structs.replace(span, content=None, holds=())
                self._spans[span.trace_id][span.span_id] = bare
        return len(found)

    def _touched(self, subject: Subject) -> list[Span]:
        wanted = label(subject.kind, subject.id)
        return [
            span
            for trace in self._traces.values()
            if wanted in trace.labels
            and (subject.kind == "user" or not any(one.startswith("user:") for one in trace.labels))
            for span in self._spans.get(trace.trace_id, {}).values()
        ]

    def page(
        self, where: TraceFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[TraceSummary], str | None]:
        before = decode_cursor(cursor) if cursor else None
        found = sorted(self._matching(where), key=_key, reverse=True)
        found = [trace for trace in found if before is None or _key(trace) < before]
        return paged(found, limit, _key)

    def count(self, where: TraceFilter, *, ceiling: int) -> int:
        return min(len(self._matching(where)), ceiling)

    def _matching(self, where: TraceFilter) -> list[TraceSummary]:
        wanted = {label(name, value) for name, value in where.labels}
        return [
            trace
            for trace in self._traces.values()
            if (where.since is None or trace.started_at >= where.since)
            and (where.until is None or trace.started_at <= where.until)
            and (where.verdict is None or trace.verdict is where.verdict)
            and (where.failed is None or (trace.failed > 0) is where.failed)
            and wanted <= set(trace.labels)
        ]


def _key(trace: TraceSummary) -> tuple[datetime, str]:
    return trace.started_at, trace.trace_id
