"""What packages are made of, from PostgreSQL: batches of the log with their chosen events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple
from uuid import UUID

from psycopg.sql import SQL

from kintsugi.model.event_filter import EventFilter
from kintsugi.model.packages import PackedBatch, PackedEvent
from kintsugi.store.cold import NO_CONTENT, Cold
from kintsugi.store.connections import Connection, Database
from kintsugi.store.contents import CONTENT_COLUMNS, ContentRow, Opener
from kintsugi.store.event_rows import column_text
from kintsugi.store.event_search import condition_for
from kintsugi.store.log import expired_hashes
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("packages")
_ROWS_PER_FETCH: Final = 1000
# So many records are held at once; a single batch may have more.
_RECORDS_AT_ONCE: Final = 2000

_CHOSEN: Final = SQL(
    """
    SELECT b.leaf, b.first_event, b.last_event, m.position, m.id
    FROM (SELECT e.position, e.id FROM {tables} WHERE {where}) AS m
    CROSS JOIN LATERAL (
        SELECT leaf, first_event, last_event
        FROM kintsugi.log_batches
        WHERE last_event >= m.position
        ORDER BY last_event
        LIMIT 1
    ) AS b
    WHERE b.first_event <= m.position
    ORDER BY m.position
    """
)


_CONTENTS: Final = SQL(
    "SELECT p.id, "  # noqa: S608 - columns that we name
    + CONTENT_COLUMNS
    + """
    FROM kintsugi.event_payloads AS p
    LEFT JOIN kintsugi.data_keys AS k ON k.id = p.data_key
    WHERE p.id = ANY(%s::uuid[])
    """
)


class _Batch(NamedTuple):
    leaf: int
    first: int
    last: int


class _Wanted(NamedTuple):
    """A batch, and the positions and ids of the events that are wanted of it."""

    batch: _Batch
    events: dict[int, UUID]


class PostgresPackages:
    """The package store of the protocol in ``model/packages.py``."""

    def __init__(self, database: Database, opener: Opener, cold: Cold) -> None:
        self._database = database
        self._cold = cold
        self._opener = opener

    def batches(
        self, where: EventFilter, *, unredacted: bool, up_to: int | None = None
    ) -> Iterator[PackedBatch]:
        condition = condition_for(where, positions=True)
        if up_to is not None:
            condition = condition.also("e.position <= %s", up_to)
        statement = condition.fill(_CHOSEN)
        with (
            self._database.transaction() as connection,
            connection.cursor(name="packed") as cursor,
        ):
            cursor.itersize = _ROWS_PER_FETCH
            rows = cursor.execute(statement, condition.values)
            grouped = groupby(rows, key=lambda row: _Batch(*row[:3]))
            wanted = (_Wanted(batch, {row[3]: row[4] for row in some}) for batch, some in grouped)
            for some in _in_bounds(wanted):
                yield from self._read(connection, some, unredacted=unredacted)

    def _read(
        self, connection: Connection, wanted: list[_Wanted], *, unredacted: bool
    ) -> Iterator[PackedBatch]:
        batches = [one.batch for one in wanted]
        identifiers = [identifier for one in wanted for identifier in one.events.values()]
        leaves: dict[int, str] = dict(
            connection.execute(_SQL["leaves"], [[batch.leaf for batch in batches]]).fetchall()
        )
        bounds = [[batch.first for batch in batches], [batch.last for batch in batches]]
        rows = connection.execute(_SQL["records"], bounds).fetchall()
        missing = {identifier: position for _, position, identifier, record in rows if not record}
        cold = self._cold.find(missing, contents=True)
        records: dict[int, dict[int, str]] = {batch.first: {} for batch in batches}
        for first, position, identifier, record in rows:
            if record or identifier in cold:
                records[first][position] = record or cold[identifier].record
        contents = {
            row[0]: ContentRow(*row[1:])
            for row in connection.execute(_CONTENTS, [identifiers]).fetchall()
        } | {identifier: found.content for identifier, found in cold.items()}
        for batch, chosen in wanted:
            stored = records[batch.first]
            expired = expired_hashes(connection, batch.first, batch.last, stored=len(stored))
            kept: dict[int, str | bytes] = {**expired, **stored}
            whole = tuple(kept[position] for position in sorted(kept))
            packed = tuple(
                PackedEvent(
                    position - batch.first,
                    stored[position],
                    self._opener.event(
                        stored[position],
                        contents.get(identifier, NO_CONTENT),
                        unredacted=unredacted,
                    ),
                )
                for position, identifier in chosen.items()
            )
            yield PackedBatch(batch.leaf, leaves[batch.leaf], whole, packed)

    def reported(self, trace_ids: Sequence[str]) -> list[str]:
        columns = [column_text(trace_id) for trace_id in trace_ids]
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["reported"], [columns]).fetchall()
        found = {column for (column,) in rows}
        return [one for one, column in zip(trace_ids, columns, strict=True) if column in found]

    def leaves_of(self, data: list[str]) -> dict[str, int]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["leaves_of"], [data]).fetchall()
        return dict(rows)


def _in_bounds(wanted: Iterable[_Wanted]) -> Iterator[list[_Wanted]]:
    """Batches by the handful, so that a query serves many and none reads too much."""
    some: list[_Wanted] = []
    records = 0
    for one in wanted:
        some.append(one)
        records += one.batch.last - one.batch.first + 1
        if records >= _RECORDS_AT_ONCE:
            yield some
            some, records = [], 0
    if some:
        yield some
