"""What keeps evidence that is past its end: legal holds, and incidents that are open.

Asked in the transaction that removes, after the locks that whoever places a hold or ties an event
takes too: so what is kept when it is looked at is still kept when the rest is gone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, LiteralString
from uuid import UUID

import msgspec
from psycopg.sql import SQL, Identifier

from kintsugi.model.event_filter import EventFilter
from kintsugi.model.holds import Hold, narrowed_in_time
from kintsugi.model.incident_keys import number_in, uuid_in
from kintsugi.model.retention import COUNT_MAX, Keeper
from kintsugi.store.connections import Connection
from kintsugi.store.event_search import condition_for
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("retention")
_HOLD: Final = msgspec.json.Decoder(Hold)
_HELD: Final = SQL("SELECT DISTINCT e.{column}::text FROM {tables} WHERE {where}")
_HELD_COUNT: Final = SQL(
    "SELECT count(*) FROM (SELECT FROM {tables} WHERE {where} LIMIT %s) AS counted"
)
# Those that were tied, and those whose gateway had named an incident.
_TIED: Final = SQL(
    """
    SELECT e.{column}::text, t.incident_id, ''
    FROM {tables} JOIN kintsugi.incident_events AS t ON t.event_id = e.id
    WHERE {where}
    UNION
    SELECT e.{column}::text, NULL, e.incident_id FROM {tables} WHERE {where} AND e.incident_id <> ''
    LIMIT %s
    """
)

Column = Literal["id", "trace_id"]
_MINE: Final[Mapping[Column, LiteralString]] = {
    "id": "e.id = ANY(%s::uuid[])",
    "trace_id": "e.trace_id = ANY(%s) AND e.trace_id <> ''",
}
Keepers = Mapping[str, Sequence[Keeper]]


def lock_keepers(connection: Connection) -> None:
    """From here to the end of the transaction nobody places a hold or ties an event."""
    connection.execute(_SQL["hold_holds"])
    connection.execute(_SQL["hold_ties"])


def holds_in_force(connection: Connection) -> list[Hold]:
    """All of them, oldest first."""
    return [_HOLD.decode(record) for (record,) in connection.execute(_SQL["holds"]).fetchall()]


def of_hold(hold: Hold, things: int = 1) -> Keeper:
    """A hold as what keeps something."""
    return Keeper(f"hold:{hold.id}", hold.name, things)


def keepers_of(
    connection: Connection,
    column: Column,
    values: Sequence[Any],
    *,
    since: datetime,
    until: datetime,
) -> dict[str, list[Keeper]]:
    """What keeps events, or traces with events, of this time; those that nothing keeps are left
    out."""
    found: defaultdict[str, list[Keeper]] = defaultdict(list)
    named = Identifier(column)
    mine = _MINE[column]
    for hold in holds_in_force(connection):
        where = narrowed_in_time(hold.where, since=since, until=until)
        if where is None:
            continue
        condition = condition_for(where).also(mine, list(values))
        statement = _HELD.format(column=named, tables=condition.tables, where=condition.where)
        for (value,) in connection.execute(statement, condition.values).fetchall():
            found[value].append(of_hold(hold))
    window = EventFilter(since=since, until=until)
    for value, keeper in _tied(connection, window, column, mine, values):
        found[value].append(keeper)
    return found


def keepers_in(connection: Connection, where: EventFilter) -> list[Keeper]:
    """What keeps any event that a filter lets through, and how many each; full text does not
    count."""
    where = msgspec.structs.replace(where, q="")
    found = [
        of_hold(hold, count)
        for hold in holds_in_force(connection)
        if (count := count_both(connection, hold.where, where))
    ]
    tied: defaultdict[Keeper, int] = defaultdict(int)
    for _, keeper in _tied(connection, where, "id", "true", None):
        tied[keeper] += 1
    found += [msgspec.structs.replace(one, things=count) for one, count in tied.items()]
    return found


def count_both(connection: Connection, hold: EventFilter, where: EventFilter) -> int:
    """How many events pass both filters, full text aside, counted up to a ceiling."""
    one = condition_for(msgspec.structs.replace(hold, q=""))
    other = condition_for(where)
    statement = _HELD_COUNT.format(
        tables=one.tables, where=SQL(" AND ").join([one.where, other.where])
    )
    row = connection.execute(statement, [*one.values, *other.values, COUNT_MAX]).fetchone()
    return int(row[0]) if row is not None else 0


def open_incident(connection: Connection, key: str) -> Keeper | None:
    """The incident that people name so, as what keeps something; None where it has ended."""
    return _open(connection, [], [key]).get(key)


def _tied(
    connection: Connection,
    where: EventFilter,
    column: Column,
    mine: LiteralString,
    values: Sequence[Any] | None,
) -> Iterable[tuple[str, Keeper]]:
    condition = condition_for(where)
    condition = condition.also(mine, *([] if values is None else [list(values)]))
    statement = _TIED.format(
        column=Identifier(column), tables=condition.tables, where=condition.where
    )
    asked = [*condition.values, *condition.values, COUNT_MAX]
    rows = connection.execute(statement, asked).fetchall()
    ids = {incident for _, incident, _ in rows if incident is not None}
    open_ones = _open(connection, list(ids), [name for _, _, name in rows if name])
    for value, incident, name in rows:
        keeper = open_ones.get(name or str(incident))
        if keeper is not None:
            yield value, keeper


def _open(connection: Connection, ids: list[UUID], names: list[str]) -> dict[str, Keeper]:
    """Of these incidents those that are open, by id or by the name that was given."""
    numbers = {number for name in names if (number := number_in(name)) is not None}
    named = [identifier for name in names if (identifier := uuid_in(name)) is not None]
    known: list[tuple[UUID, int]] = []
    if names:
        known = connection.execute(_SQL["incidents_named"], [named, list(numbers)]).fetchall()
    origins = [*ids, *(identifier for identifier, _ in known)]
    if not origins:
        return {}
    by_origin = {
        origin: Keeper(f"incident:{identifier}", f"INC-{number:06}")
        for origin, identifier, number in connection.execute(
            _SQL["open_incidents"], [origins]
        ).fetchall()
    }
    by_number = {number: str(identifier) for identifier, number in known}
    for name in names:
        number = number_in(name)
        origin = name.lower() if number is None else by_number.get(number, "")
        if origin in by_origin:
            by_origin[name] = by_origin[origin]
    return by_origin
