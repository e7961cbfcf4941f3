"""Decision events in memory; see ``events``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from kintsugi.ledger.journal_continuity import (
    SeriesState,
    catch_up,
    continue_series,
    missing_of,
)
from kintsugi.model.archive import month_of
from kintsugi.model.custody import CustodyEntry
from kintsugi.model.event import DecisionEvent, Payload
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.events import EventPage, Ingested, MinuteCount, StoredEvent
from kintsugi.model.journal import CheckedRange, JournalHead, MissingLines
from kintsugi.model.retention import ExpiredMonth
from kintsugi.model.seen_parts import of_events
from kintsugi.model.workflow import WorkflowStore
from kintsugi.store.admissible import check_admissible
from kintsugi.store.cursors import decode_cursor, encode_cursor
from kintsugi.store.expired import no_event, time_of
from kintsugi.store.memory_archives import MemoryShelf
from kintsugi.store.memory_changes import MemoryChanges
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.memory_log import MemoryLog
from kintsugi.store.memory_oversight import MemoryOversight
from kintsugi.store.memory_signals import MemorySignals
from kintsugi.store.memory_spans import MemorySpans
from kintsugi.store.memory_vault import MemoryVault
from kintsugi.store.search_text import parse_search, payload_words


class MemoryEvents:
    """Events in the order of their arrival; every read walks all of them."""

    def __init__(
        self,
        changes: MemoryChanges,
        log: MemoryLog,
        oversight: MemoryOversight,
        signals: MemorySignals,
        spans: MemorySpans,
        vault: MemoryVault,
        workflows: WorkflowStore,
        tied: Callable[[str], frozenset[str]],
        shelf: MemoryShelf,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._changes = changes
        self._log = log
        self._oversight = oversight
        self._signals = signals
        self._series: dict[str, SeriesState] = {}
        self._spans = spans
        self._vault = vault
        self._tied = tied
        self._workflows = workflows
        self._shelf = shelf
        self._now = now
        self.expired_months: Callable[[datetime], list[ExpiredMonth]] = lambda _: []
        self._stored: list[StoredEvent] = []
        self._by_id: dict[str, DecisionEvent] = {}

    def append(
        self, events: Sequence[DecisionEvent], journals: Sequence[CheckedRange] = ()
    ) -> Ingested:
        for event in events:
            check_admissible(event, now=self._now())
        with LOCK:
            new = {event.id: event for event in reversed(events) if event.id not in self._by_id}
            added = []
            for event in reversed(new.values()):
                position = len(self._stored) + 1
                record = self._vault.take(event, position=position)
                self._by_id[event.id] = record
                self._stored.append(StoredEvent(position, record))
                added.append(record)
            if added:
                spans = tuple(one.span for one in journals)
                after = len(self._stored) - len(added)
                self._log.add_events(added, spans, after=after, now=self._now())
            missing = self._take_ranges(journals)
        if new:
            self._oversight.note_events(new.values())
            self._spans.note_events(new.values())
            self._workflows.note(of_events(new.values()), now=self._now())
            self._changes.announce("events")
        return Ingested(len(new), len(events) - len(new), missing)

    def _take_ranges(self, journals: Sequence[CheckedRange]) -> tuple[MissingLines, ...]:
        now = self._now()
        touched: dict[str, SeriesState] = {}
        for one in journals:
            series = one.range.series
            continued = continue_series(self._series.get(series, SeriesState()), one)
            self._series[series] = touched[series] = continued.state
            for seen in continued.seen:
                self._signals.observe(seen, now=now)
            for key, resolution in continued.over:
                self._signals.over(key, resolution=resolution, now=now)
        return missing_of(touched)

    def behind(self, heads: Sequence[JournalHead]) -> tuple[MissingLines, ...]:
        touched: dict[str, SeriesState] = {}
        with LOCK:
            for head in heads:
                before = self._series.get(head.series, SeriesState())
                continued = catch_up(before, head)
                self._series[head.series] = touched[head.series] = continued.state
                for seen in continued.seen:
                    self._signals.observe(seen, now=self._now())
        return missing_of(touched)

    def get(self, event_id: str) -> DecisionEvent:
        try:
            record = self._by_id[event_id.lower()]
        except KeyError:
            raise no_event(event_id, self.months_of(event_id)) from None
        return self._vault.open(self._shelf.read(record))

    def reveal(self, event_id: str, entry: CustodyEntry) -> Payload:
        self.get(event_id)
        return self._vault.reveal(self._by_id[event_id.lower()], entry)

    def page(self, where: EventFilter, *, limit: int, cursor: str | None = None) -> EventPage:
        before = decode_cursor(cursor) if cursor else None
        found = [
            event for event in reversed(self._matching(where)) if not before or _key(event) < before
        ]
        shown = tuple(self._shelf.read(event) for event in found[:limit])
        more = len(found) > limit and bool(shown)
        return EventPage(
            shown,
            encode_cursor(*_key(shown[-1])) if more else None,
            from_archive=tuple(sorted({self._shelf.month(event.id) for event in shown} - {""})),
            not_searched=self._not_searched(where) if where.q else (),
        )

    def _not_searched(self, where: EventFilter) -> tuple[str, ...]:
        first = month_of(where.since) if where.since else ""
        last = month_of(where.until) if where.until else "9999-12"
        archived = {self._shelf.month(event_id) for event_id in self._shelf.held_in}
        return tuple(sorted(month for month in archived if first <= month <= last))

    def count(self, where: EventFilter, *, ceiling: int) -> int:
        return min(len(self._matching(where)), ceiling)

    def tail(self, *, after: int, where: EventFilter, limit: int) -> list[StoredEvent]:
        found = (
            stored
            for stored in self._stored
            if stored.position > after
            and stored.event.id in self._by_id
            and self._matches(stored.event, where)
        )
        some = [stored for stored, _ in zip(found, range(limit), strict=False)]
        return [StoredEvent(one.position, self._shelf.read(one.event)) for one in some]

    def last_position(self) -> int:
        return len(self._stored)

    def scan(self, where: EventFilter, *, payload: bool) -> Iterator[DecisionEvent]:
        for record in self._matching(where):
            event = self._shelf.read(record)
            yield self._vault.open(event) if payload else event

    def per_minute(self, *, since: datetime, until: datetime) -> list[MinuteCount]:
        counts = Counter(
            (_minute(event.timestamp), event.verdict) for event in self._by_id.values()
        )
        return [
            MinuteCount(minute, verdict, count)
            for (minute, verdict), count in sorted(
                counts.items(), key=lambda item: (item[0][0], item[0][1].strictness)
            )
            if _minute(since) <= minute <= until
        ]

    def stored_by_gateway(self) -> dict[str, int]:
        return dict(Counter(event.gateway_id for event in self._by_id.values()))

    def index_pending(self, *, limit: int) -> int:  # noqa: ARG002 - nothing is ever pending
        """Searches read the payloads themselves."""
        return 0

    def archived_in(self, event_id: str) -> str:
        """The file that an event was moved to; empty where it was not."""
        return self._shelf.held_in.get(event_id, "")

    def all_stored(self) -> list[StoredEvent]:
        """Every event with its position."""
        return list(self._stored)

    def holds(self, event_id: str) -> bool:
        """Whether there is an event with this id."""
        return event_id.lower() in self._by_id

    def months_of(self, event_id: str) -> list[ExpiredMonth]:
        """The months of an id's time that have expired; set where retention is made."""
        at = time_of(event_id)
        return [] if at is None else self.expired_months(at)

    def covered(self, where: EventFilter) -> list[DecisionEvent]:
        """Records that a filter lets through, full text aside."""
        return self._matching(msgspec.structs.replace(where, q=""))

    def drop(self, event_ids: Sequence[str]) -> None:
        """Remove records whose time is over; their places in the log stay."""
        with LOCK:
            for event_id in event_ids:
                del self._by_id[event_id]
        self._vault.drop(event_ids)
        self._log.drop_records(event_ids)

    def _matches(self, event: DecisionEvent, where: EventFilter) -> bool:
        named = not where.incident or event.incident_id == where.incident
        if not named and event.id not in self._tied(where.incident):
            return False
        if where.q and self._shelf.month(event.id):
            return False
        return _matches(self._vault.open(event), where)

    def _matching(self, where: EventFilter) -> list[DecisionEvent]:
        with LOCK:
            found = [event for event in self._by_id.values() if self._matches(event, where)]
        return sorted(found, key=_key)


def _key(event: DecisionEvent) -> tuple[datetime, str]:
    return event.timestamp, event.id


def _minute(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


_EQUAL = {
    "verdict": "verdict",
    "gateway": "gateway_id",
    "user": "user_id",
    "team": "team_id",
    "tenant": "tenant_id",
    "workflow": "workflow",
    "agent": "agent_id",
    "session": "session_id",
    "model": "model",
    "policy": "policy_name",
    "reason_code": "reason_code",
    "config_version": "config_version",
    "trace": "trace_id",
}


def _matches(event: DecisionEvent, where: EventFilter) -> bool:
    if where.since is not None and event.timestamp < where.since:
        return False
    if where.until is not None and event.timestamp > where.until:
        return False
    for field, attribute in _EQUAL.items():
        wanted = getattr(where, field)
        if wanted and getattr(event, attribute) != wanted:
            return False
    if where.event and event.id != where.event.lower():
        return False
    return not where.q or _says(event.payload, where.q)


def _says(payload: Payload, q: str) -> bool:
    words = payload_words(payload)
    phrases = parse_search(q)
    return bool(phrases) and all(
        any(words[at : at + len(phrase)] == phrase for at in range(len(words)))
        for phrase in phrases
    )
