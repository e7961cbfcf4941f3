"""How far incidents reach, in memory, for unit tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from kintsugi.model.event import DecisionEvent
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.events import EventStore
from kintsugi.model.reach import (
    DIMENSIONS,
    NAMED_MAX,
    Dimension,
    Extent,
    Judged,
    Named,
    Spread,
    Traffic,
)
from kintsugi.model.span import Span, SpanStore, Step
from kintsugi.store.event_rows import evaluation_result

_ALL_SPANS = 1_000_000


class MemoryReach:
    """The same promises as ``PostgresReach``, by walking through everything."""

    def __init__(self, events: EventStore, spans: SpanStore) -> None:
        self._events = events
        self._spans = spans

    def extent(self, incident_id: str) -> Extent:
        events = self._of(incident_id)
        times = [event.timestamp for event in events]
        return Extent(
            len(events),
            min(times, default=None),
            max(times, default=None),
            tuple(_spread(dimension, events) for dimension in DIMENSIONS),
        )

    def judged(self, incident_id: str) -> list[Judged]:
        counts = Counter(
            (
                found.policy_name,
                found.phase.value,
                found.mode.value,
                found.outcome,
                evaluation_result(found.outcome, found.effective),
            )
            for event in self._of(incident_id)
            for found in event.evaluations
        )
        return [Judged(*key, count) for key, count in sorted(counts.items())]

    def traffic(
        self,
        incident_id: str,
        *,
        since: datetime,
        until: datetime,
        onset: datetime,
        others_max: int,
    ) -> list[Traffic]:
        tied = self._of(incident_id)
        ids = {event.id for event in tied}
        mine = [event for event in tied if event.timestamp >= onset]
        window = list(self._events.scan(EventFilter(since=since, until=until), payload=False))
        others = [event for event in tied if event.timestamp < onset]
        others += [event for event in window[-others_max:] if event.id not in ids]
        found = []
        for dimension in ("configuration", "gateway", "model", "provider"):
            names = {_value(event, dimension) for event in (*mine, *others)} - {""}
            found += [_traffic(dimension, name, mine, others) for name in sorted(names)]
        return found

    def tied_among(self, incident_id: str, event_ids: Sequence[str]) -> frozenset[str]:
        return frozenset(event.id for event in self._of(incident_id)) & frozenset(event_ids)

    def changing_steps(self, trace_ids: Sequence[str], *, limit: int) -> list[Span]:
        found = [
            span
            for trace_id in trace_ids
            for span in self._spans.spans(trace_id, limit=_ALL_SPANS)
            if span.step is Step.WRITE or "kintsugi.records" in span.attributes
        ]
        return sorted(found, key=lambda span: (span.started_at, span.span_id))[:limit]

    def _of(self, incident_id: str) -> list[DecisionEvent]:
        return list(self._events.scan(EventFilter(incident=incident_id), payload=False))


def _spread(dimension: Dimension, events: Sequence[DecisionEvent]) -> Spread:
    times: dict[str, list[datetime]] = {}
    for event in events:
        times.setdefault(_value(event, dimension), []).append(event.timestamp)
    unnamed = len(times.pop("", []))
    named = [Named(name, len(at), min(at), max(at)) for name, at in times.items()]
    named.sort(key=lambda one: (-one.events, one.name))
    return Spread(dimension, len(named), unnamed, tuple(named[:NAMED_MAX]))


def _traffic(
    dimension: Dimension, name: str, mine: Sequence[DecisionEvent], others: Sequence[DecisionEvent]
) -> Traffic:
    affected = [event for event in mine if _value(event, dimension) == name]
    rest = [event for event in others if _value(event, dimension) == name]
    first_at = min(event.timestamp for event in (*affected, *rest))
    return Traffic(dimension, name, len(affected), len(rest), first_at)


def _value(event: DecisionEvent, dimension: Dimension) -> str:
    return {
        "user": event.user_id,
        "team": event.team_id,
        "tenant": event.tenant_id,
        "workflow": event.workflow,
        "agent": event.agent_id,
        "session": event.session_id,
        "model": event.model,
        "provider": event.provider,
        "gateway": event.gateway_id,
        "configuration": event.config_version,
        "verdict": event.verdict.past,
        "policy": event.policy_name,
        "reason_code": event.reason_code,
    }[dimension]
