"""What was decided, as it is stored and found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from kintsugi.model.custody import CustodyEntry
from kintsugi.model.event import DecisionEvent, Payload
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.journal import CheckedRange, JournalHead, MissingLines
from kintsugi.model.verdict import Verdict


class StoredEvent(msgspec.Struct, frozen=True):
    """An event and its place in the store's total order."""

    position: int
    event: DecisionEvent


class Ingested(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a batch: each event was stored or was there already.

    Attributes:
        missing: of the journals that it came from. Whoever still has these lines sends them again.
    """

    stored: int
    duplicates: int
    missing: tuple[MissingLines, ...] = ()


class EventPage(msgspec.Struct, frozen=True):
    """One page, newest first; ``next_cursor`` is None on the last one.

    Attributes:
        from_archive: months that some of it was read from an archive for.
        not_searched: archived months within the asked time that ``EventFilter.q`` says nothing
            about, because the index of their words is gone.
    """

    events: tuple[DecisionEvent, ...]
    next_cursor: str | None
    from_archive: tuple[str, ...] = ()
    not_searched: tuple[str, ...] = ()


class MinuteCount(msgspec.Struct, frozen=True):
    """Decisions of one minute by verdict."""

    minute: datetime
    verdict: Verdict
    count: int


class EventStore(Protocol):
    """Append-only, totally ordered record of decisions."""

    def append(
        self, events: Sequence[DecisionEvent], journals: Sequence[CheckedRange] = ()
    ) -> Ingested:
        """Store what is not there yet, all or nothing; idempotent by event id.

        Raises:
            InvalidInput: an id is not a UUIDv7 whose time is the timestamp's, or a timestamp lies
                before 2020 or more than a day ahead.
        """

    def get(self, event_id: str) -> DecisionEvent:
        """One event with evaluations and payload, redacted.

        Raises:
            NotFound: there is none with this id.
        """

    def reveal(self, event_id: str, entry: CustodyEntry) -> Payload:
        """What was recorded, unredacted, and the custody entry of who was shown it, or neither.

        Raises:
            NotFound: there is no such event, or nothing of it was recorded.
            StateConflict: its content was erased.
            KeyUnavailable: its content cannot be opened.
        """

    def page(self, where: EventFilter, *, limit: int, cursor: str | None = None) -> EventPage:
        """At most ``limit`` events, newest first by (timestamp, id), without payload.

        Raises:
            InvalidInput: the cursor is not one that this store gave out.
        """

    def count(self, where: EventFilter, *, ceiling: int) -> int:
        """How many match, counted up to ``ceiling`` so that cost does not grow with history."""

    def tail(self, *, after: int, where: EventFilter, limit: int) -> list[StoredEvent]:
        """At most ``limit`` events with position > ``after``, oldest first.

        A position once passed never gains an event later, so a reader that keeps its last
        position misses nothing.
        """

    def last_position(self) -> int:
        """The newest position; 0 when empty."""

    def scan(self, where: EventFilter, *, payload: bool) -> Iterator[DecisionEvent]:
        """Every matching event, oldest first, in constant memory."""

    def per_minute(self, *, since: datetime, until: datetime) -> list[MinuteCount]:
        """Counts for a chart, oldest first; read from rollups, whatever the traffic."""

    def stored_by_gateway(self) -> dict[str, int]:
        """Decision events stored, by gateway id; for reconciliation."""

    def behind(self, heads: Sequence[JournalHead]) -> tuple[MissingLines, ...]:
        """What is missing of these journals. Lines that a gateway saw acknowledged and that are not
        known here, as after a restore of an older state, count as missing from now on."""

    def index_pending(self, *, limit: int) -> int:
        """Make at most ``limit`` more events findable by ``EventFilter.q``.

        Called again and again by a background thread of the control plane, so that ingest does not
        pay for it; an event that it has not reached yet is not found by ``q``.

        Returns:
            How many events it worked through; 0 when none is pending or another process does it.
        """
