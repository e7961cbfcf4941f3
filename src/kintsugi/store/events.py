"""Events in PostgreSQL: ingest in one transaction per batch, and every way to read them back.

Ingest takes turns on one row, looks up which ids are stored already and copies the rest straight
into the tables. A staging table with INSERT ... ON CONFLICT writes every row twice and keeps no
order; here nothing is written twice, duplicates cost a lookup in one partition, and positions are
handed out in the order of commits. Lines are built before the turn begins, so that a second batch
is prepared while the database works on the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec
from psycopg.sql import SQL, Composed

from kintsugi.errors import InvalidInput, StoreUnavailable
from kintsugi.ledger.leaves import EventsLeaf, root_of
from kintsugi.ledger.merkle import leaf_hash
from kintsugi.model.custody import CustodyEntry
from kintsugi.model.event import DecisionEvent, Payload
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.events import EventPage, Ingested, MinuteCount, StoredEvent
from kintsugi.model.ids import uuid7_time
from kintsugi.model.journal import CheckedRange, JournalHead, JournalSpan, MissingLines
from kintsugi.model.seen_parts import of_events
from kintsugi.model.verdict import Verdict
from kintsugi.store.admissible import check_admissible
from kintsugi.store.cold import NO_CONTENT, Cold, Found
from kintsugi.store.connections import Connection, Database
from kintsugi.store.contents import CONTENT_COLUMNS, ContentRow, Opener, revealable
from kintsugi.store.cursors import decode_cursor, encode_cursor
from kintsugi.store.custody import add_custody
from kintsugi.store.event_rows import (
    COPY_EVALUATIONS,
    COPY_EVENTS,
    COPY_PAYLOADS,
    COPY_RECORDS,
    EventRows,
    column_text,
    decode_event,
    event_rows,
    minute_of,
)
from kintsugi.store.event_search import condition_for
from kintsugi.store.expired import no_event
from kintsugi.store.full_text import newest_saying
from kintsugi.store.journals import is_behind, take_heads, take_ranges
from kintsugi.store.log import add_batch, add_leaf
from kintsugi.store.oversight import note_events
from kintsugi.store.retention import expired_months_of
from kintsugi.store.sealer import (
    COPY_CONTENTS,
    COPY_DATA_KEYS,
    COPY_END,
    COPY_HEAD,
    Sealer,
    current_epoch,
)
from kintsugi.store.search_text import payload_words, to_tsvector
from kintsugi.store.spans import note_traces
from kintsugi.store.statements import load_statements
from kintsugi.store.workflows import note_workflows

_SQL: Final = load_statements("events")
_SCAN_ROWS_PER_FETCH: Final = 500
# As many as stand together in an archived file, so that each part of it is read once.
_COLD_ROWS_PER_FETCH: Final = 4000

# Records are joined from the outside: those that are not there may be archived (cold.py).
# The page is cut before the records are fetched: fifty lookups, whatever the filter.
_PAGE: Final = SQL(
    """
    SELECT page.timestamp, page.id::text, record, page.position
    FROM (
        SELECT e.id, e.timestamp, e.position
        FROM {tables}
        WHERE {where}
        ORDER BY e.timestamp DESC, e.id DESC
        LIMIT %s
    ) AS page
    LEFT JOIN kintsugi.event_records USING (id)
    ORDER BY page.timestamp DESC, page.id DESC
    """
)
_COUNT: Final = SQL("SELECT count(*) FROM (SELECT FROM {tables} WHERE {where} LIMIT %s) AS counted")
_TAIL: Final = SQL(
    """
    SELECT page.position, record, page.id
    FROM (
        SELECT e.id, e.position
        FROM {tables}
        WHERE {where}
        ORDER BY e.position
        LIMIT %s
    ) AS page
    LEFT JOIN kintsugi.event_records USING (id)
    ORDER BY page.position
    """
)
_SCAN: Final = SQL(
    """
    SELECT record, e.id, e.position
    FROM {tables} LEFT JOIN kintsugi.event_records AS r ON r.id = e.id
    WHERE {where}
    ORDER BY e.timestamp, e.id
    """
)
_SCAN_WITH_PAYLOAD: Final = SQL(
    "SELECT record, e.id, e.position, "  # noqa: S608 - columns that we name
    + CONTENT_COLUMNS
    + """
    FROM {tables}
    LEFT JOIN kintsugi.event_records AS r ON r.id = e.id
    LEFT JOIN kintsugi.event_payloads AS p ON p.id = e.id
    LEFT JOIN kintsugi.data_keys AS k ON k.id = p.data_key
    WHERE {where}
    ORDER BY e.timestamp, e.id
    """
)
# A batch was sealed under keys that were destroyed meanwhile; nearly always once is enough.
_TRIES_MAX: Final = 8
_BY_PAST = {verdict.past: verdict for verdict in Verdict}


def _utc_now() -> datetime:
    return datetime.now(UTC)


class PostgresEvents:
    """The event store of the protocol in ``model/events.py``."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        opener: Opener,
        cold: Cold,
        *,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Use these connections; ``now`` is the clock against which far-future events fall."""
        self._database = database
        self._cold = cold
        self._sealer = sealer
        self._opener = opener
        self._now = now

    def append(
        self, events: Sequence[DecisionEvent], journals: Sequence[CheckedRange] = ()
    ) -> Ingested:
        now = self._now()
        first: dict[str, DecisionEvent] = {}
        for event in events:
            check_admissible(event, now=now)
            first.setdefault(event.id, event)
        if not first and not journals:
            return Ingested(stored=0, duplicates=0)
        for _ in range(_TRIES_MAX):
            done = self._append_once(first, journals, given=len(events), now=now)
            if done is not None:
                return done
        raise StoreUnavailable("keys change faster than events can be sealed; try again")

    def _append_once(
        self,
        events: Mapping[str, DecisionEvent],
        journals: Sequence[CheckedRange],
        *,
        given: int,
        now: datetime,
    ) -> Ingested | None:
        """What became of a batch; None when it was sealed under keys that are no more."""
        new = dict(events)
        epoch = None
        if self._sealer.seals:
            epoch, sealed = self._sealer.seal(events.values(), now=now)
            rows = {name: event_rows(event, sealed[name]) for name, event in events.items()}
        else:
            rows = {name: event_rows(event) for name, event in events.items()}
        with self._database.transaction() as connection:
            last = int(_one(connection, _SQL["lock_ingest"]))
            if epoch is not None and current_epoch(connection) != epoch:
                return None
            known = connection.execute(_SQL["known_ids"], [list(rows)]).fetchall()
            for (identifier,) in known:
                del new[identifier], rows[identifier]
            if rows:
                _make_months(connection, rows)
                _copy(connection, rows.values(), after=last)
                _add_to_rollups(connection, new.values())
                note_events(connection, new.values())
                note_traces(connection, new.values())
                note_workflows(connection, of_events(new.values()), now=now)
                connection.execute(_SQL["advance_position"], [last + len(rows)])
            missing = take_ranges(connection, journals, now=now)
            if rows:  # last: the log's edge stays locked from here to the commit
                spans = tuple(one.span for one in journals)
                _add_to_log(connection, rows.values(), spans, after=last, now=now)
                connection.execute(_SQL["announce"])
        return Ingested(len(rows), given - len(rows), missing)

    def behind(self, heads: Sequence[JournalHead]) -> tuple[MissingLines, ...]:
        if not heads:
            return ()
        with self._database.transaction() as connection:
            behind, missing = is_behind(connection, heads)
        if not behind:
            return missing
        with self._database.transaction() as connection:
            connection.execute(_SQL["lock_ingest"])
            return take_heads(connection, heads, now=self._now())

    def get(self, event_id: str) -> DecisionEvent:
        return self._opener.event(*self._whole(event_id))

    def reveal(self, event_id: str, entry: CustodyEntry) -> Payload:
        payload = revealable(self._opener.event(*self._whole(event_id), unredacted=True))
        with self._database.transaction() as connection:
            add_custody(connection, entry, now=entry.at)
        return payload

    def _whole(self, event_id: str) -> tuple[str, ContentRow]:
        """The record and the content of an event, wherever they are."""
        identifier = _identifier(event_id)
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["get"], [identifier]).fetchone()
            if row is None:
                raise no_event(event_id, expired_months_of(connection, event_id))
        if row[1] is not None:
            return row[1], ContentRow(*row[2:])
        if identifier is not None:
            found = self._cold.find({identifier: row[0]}, contents=True)
            if identifier in found:
                return found[identifier].record, found[identifier].content
        raise no_event(event_id, ())

    def page(self, where: EventFilter, *, limit: int, cursor: str | None = None) -> EventPage:
        condition = condition_for(msgspec.structs.replace(where, q=""))
        if cursor:
            timestamp, identifier = decode_cursor(cursor)
            try:
                before = UUID(identifier)
            except ValueError:
                raise InvalidInput("the cursor is not one that this server gave out") from None
            condition = condition.also("(e.timestamp, e.id) < (%s, %s)", timestamp, before)
        with self._database.transaction() as connection:
            # One more than shown tells whether there is a next page.
            if where.q:
                rows = newest_saying(connection, where.q, condition, limit=limit + 1)
            else:
                statement = condition.fill(_PAGE)
                rows = connection.execute(statement, [*condition.values, limit + 1]).fetchall()
        shown = rows[:limit]
        more = len(rows) > limit and bool(shown)
        missing = {UUID(row[1]): row[3] for row in shown if row[2] is None}
        cold = self._cold.find(missing, contents=False)
        records = (row[2] or _record(cold, UUID(row[1])) for row in shown)
        return EventPage(
            tuple(decode_event(record) for record in records if record),
            encode_cursor(shown[-1][0], shown[-1][1]) if more else None,
            from_archive=tuple(sorted({found.month for found in cold.values() if found.month})),
            not_searched=self._cold.months(where.since, where.until) if where.q else (),
        )

    def count(self, where: EventFilter, *, ceiling: int) -> int:
        condition = condition_for(where)
        statement = condition.fill(_COUNT)
        with self._database.transaction() as connection:
            return _one(connection, statement, *condition.values, ceiling)

    def tail(self, *, after: int, where: EventFilter, limit: int) -> list[StoredEvent]:
        condition = condition_for(where, positions=True).also("e.position > %s", after)
        statement = condition.fill(_TAIL)
        with self._database.transaction() as connection:
            rows = connection.execute(statement, [*condition.values, limit]).fetchall()
        cold = self._cold.find({row[2]: row[0] for row in rows if row[1] is None}, contents=False)
        found = ((position, record or _record(cold, at)) for position, record, at in rows)
        return [StoredEvent(position, decode_event(record)) for position, record in found if record]

    def last_position(self) -> int:
        with self._database.transaction() as connection:
            return int(_one(connection, _SQL["last_position"]))

    def scan(self, where: EventFilter, *, payload: bool) -> Iterator[DecisionEvent]:
        condition = condition_for(where, positions=True)
        form = _SCAN_WITH_PAYLOAD if payload else _SCAN
        statement = condition.fill(form)
        with (
            self._database.transaction() as connection,
            connection.cursor(name="scan") as cursor,
        ):
            cursor.itersize = _SCAN_ROWS_PER_FETCH
            cursor.execute(statement, condition.values)
            size = _SCAN_ROWS_PER_FETCH
            while rows := cursor.fetchmany(size):
                missing = {row[1]: row[2] for row in rows if row[0] is None}
                size = _COLD_ROWS_PER_FETCH if missing else _SCAN_ROWS_PER_FETCH
                cold = self._cold.find(missing, contents=payload)
                for record, identifier, _, *content in rows:
                    if record is not None:
                        row = ContentRow(*content) if payload else NO_CONTENT
                    elif identifier in cold:
                        record, row, _ = cold[identifier]
                    else:
                        continue
                    yield self._opener.event(record, row) if payload else decode_event(record)

    def per_minute(self, *, since: datetime, until: datetime) -> list[MinuteCount]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["per_minute"], [minute_of(since), until]).fetchall()
        counts = [MinuteCount(minute, _BY_PAST[past], count) for minute, past, count in rows]
        return sorted(counts, key=lambda count: (count.minute, count.verdict.strictness))

    def stored_by_gateway(self) -> dict[str, int]:
        with self._database.transaction() as connection:
            return dict(connection.execute(_SQL["stored_by_gateway"]).fetchall())

    def index_pending(self, *, limit: int) -> int:
        with self._database.transaction() as connection:
            turn = connection.execute(_SQL["lock_search"]).fetchone()
            if turn is None:
                return 0
            rows = connection.execute(_SQL["not_yet_searchable"], [turn[0], limit]).fetchall()
            if not rows:
                return 0
            with connection.cursor().copy(_SQL["copy_texts"]) as copy:
                for _, identifier, timestamp, record, *content in rows:
                    if record is None:  # archived before its turn came
                        continue
                    payload = self._opener.event(record, ContentRow(*content)).payload
                    if words := payload_words(payload):
                        copy.write_row((identifier, timestamp, to_tsvector(words)))
            connection.execute(_SQL["advance_search"], [rows[-1][0]])
            return len(rows)


def _identifier(event_id: str) -> UUID | None:
    """An id as the database compares it; None, which equals nothing, where it is none."""
    try:
        identifier = UUID(event_id)
    except ValueError:
        return None
    return identifier if str(identifier) == event_id.lower() else None


def _record(cold: Mapping[UUID, Found], identifier: UUID) -> str:
    """An archived record; empty where it was lost rather than archived."""
    return cold[identifier].record if identifier in cold else ""


def _one(connection: Connection, statement: bytes | Composed, *values: object) -> int:
    row = connection.execute(statement, values or None).fetchone()
    if row is None:
        raise StoreUnavailable("a row that migrations make is missing; was this restored in part?")
    return int(row[0])


def _make_months(connection: Connection, identifiers: Iterable[str]) -> None:
    times = map(uuid7_time, identifiers)
    for year, month in {(time.year, time.month) for time in times}:
        connection.execute(_SQL["create_month"], [datetime(year, month, 1, tzinfo=UTC)])


def _copy(connection: Connection, rows: Collection[EventRows], *, after: int) -> None:
    events = b"".join(
        b"%d\t%b" % (position, row.columns) for position, row in enumerate(rows, start=after + 1)
    )
    for statement, lines in (
        (COPY_EVENTS, events),
        (COPY_RECORDS, b"".join(row.record for row in rows)),
        (COPY_PAYLOADS, b"".join(row.payload for row in rows)),
        (COPY_EVALUATIONS, b"".join(row.evaluations for row in rows)),
    ):
        if lines:
            with connection.cursor().copy(statement) as copy:
                copy.write(lines)
    for statement, lines in (
        (COPY_DATA_KEYS, b"".join(row.key for row in rows)),
        (COPY_CONTENTS, b"".join(row.content for row in rows)),
    ):
        if lines:
            with connection.cursor().copy(statement) as copy:
                copy.write(COPY_HEAD + lines + COPY_END)


def _add_to_log(
    connection: Connection,
    rows: Collection[EventRows],
    journals: tuple[JournalSpan, ...],
    *,
    after: int,
    now: datetime,
) -> None:
    first, last = after + 1, after + len(rows)
    hashes = [leaf_hash(row.stored) for row in rows]
    told = EventsLeaf(first, last, root_of(hashes), now, journals)
    leaf = add_leaf(connection, told, now=now)
    add_batch(connection, first_event=first, last_event=last, leaf=leaf, hashes=hashes)


def _add_to_rollups(connection: Connection, events: Iterable[DecisionEvent]) -> None:
    minutes = Counter(
        (minute_of(event.timestamp), column_text(event.gateway_id), event.verdict.past)
        for event in events
    )
    gateways: Counter[str] = Counter()
    for (_, gateway_id, _), count in minutes.items():
        gateways[gateway_id] += count
    columns = [list(column) for column in zip(*minutes, strict=True)]
    connection.execute(_SQL["add_to_minutes"], [*columns, list(minutes.values())])
    connection.execute(_SQL["add_to_gateways"], [list(gateways), list(gateways.values())])
