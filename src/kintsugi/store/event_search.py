"""What an event filter means in SQL."""

from __future__ import annotations

from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from psycopg.sql import SQL, Composable, Composed, Identifier

from kintsugi.model.event_filter import EventFilter
from kintsugi.model.incident_keys import number_in, uuid_in
from kintsugi.store.event_rows import column_text
from kintsugi.store.search_text import parse_search, to_tsquery
from kintsugi.store.uuids import parse_uuid

# Filter field to column. The indexes of the second group leave out the rows that say nothing; the
# condition that makes them usable is spelled out, so that it does not hang on the value.
_ALWAYS_SAID: Final[dict[str, LiteralString]] = {
    "gateway": "gateway_id",
    "reason_code": "reason_code",
    "config_version": "config_version",
}
_SELDOM_SAID: Final[dict[str, LiteralString]] = {
    "user": "user_id",
    "team": "team_id",
    "tenant": "tenant_id",
    "workflow": "workflow",
    "agent": "agent_id",
    "session": "session_id",
    "model": "model",
    "policy": "policy_name",
    "trace": "trace_id",
}
# Events that were tied to the incident, or to one merged into it, and those whose gateway had named
# it. As an array, so that the plan looks each of them up whatever else is asked: the cost follows
# the incident, never the history.
_OF_INCIDENT: Final[LiteralString] = """e.id = ANY(ARRAY(
    WITH RECURSIVE wanted AS (
        SELECT i.id FROM kintsugi.incidents AS i WHERE i.id = %s OR i.number = %s
        UNION
        SELECT i.id FROM kintsugi.incidents AS i JOIN wanted AS w ON i.merged_into = w.id
    )
    SELECT t.event_id FROM kintsugi.incident_events AS t JOIN wanted AS w ON w.id = t.incident_id
    UNION
    SELECT v.id FROM kintsugi.events AS v WHERE v.incident_id = %s AND v.incident_id <> ''
))"""

_NO_EVENT: Final = UUID(int=0)


class Condition(msgspec.Struct, frozen=True):
    """A part of a statement with the values for its placeholders.

    Attributes:
        tables: what stands after FROM; ``e`` is the events.
        where: what stands after WHERE.
        time_only: whether it asks for nothing but times and ids, which other tables have as well.
    """

    tables: Composable
    where: Composed
    values: list[Any]
    time_only: bool

    def fill(self, form: SQL) -> Composed:
        """A statement with ``{tables}`` and ``{where}`` filled in."""
        return form.format(tables=self.tables, where=self.where)

    def also(self, condition: LiteralString, *values: Any) -> Condition:
        """The same, narrowed further by times, ids or positions."""
        where = Composed([self.where, SQL(" AND " + condition)])
        return Condition(self.tables, where, [*self.values, *values], self.time_only)


def condition_for(where: EventFilter, *, positions: bool = False) -> Condition:
    """The events that a filter lets through.

    Args:
        positions: whether ``e.position`` is asked for, which only the events themselves have.
    """
    tables = SQL("kintsugi.events AS e")
    conditions: list[Composable] = [SQL("true")]
    values: list[Any] = []
    if where.since is not None:
        conditions.append(SQL("e.timestamp >= %s"))
        values.append(where.since)
    if where.until is not None:
        conditions.append(SQL("e.timestamp <= %s"))
        values.append(where.until)
    if where.verdict is not None:
        conditions.append(SQL("e.decision = %s"))
        values.append(where.verdict.past)
    for field, column in {**_ALWAYS_SAID, **_SELDOM_SAID}.items():
        if value := getattr(where, field):
            form = "e.{0} = %s AND e.{0} <> ''" if field in _SELDOM_SAID else "e.{0} = %s"
            conditions.append(SQL(form).format(Identifier(column)))
            values.append(column_text(value))
    if where.event:
        conditions.append(SQL("e.id = %s"))
        # No event has the id of nothing, and what is no id is none.
        values.append(parse_uuid(where.event) or _NO_EVENT)
    if where.incident:
        conditions.append(SQL(_OF_INCIDENT))
        key = where.incident
        values += [uuid_in(key), number_in(key), column_text(key)]
    time_only = where == EventFilter(since=where.since, until=where.until, q=where.q)
    if where.q:
        if time_only and not positions:
            tables = SQL("kintsugi.event_texts AS e")
            conditions.append(SQL("e.document @@ %s::tsquery"))
        else:
            tables = SQL("kintsugi.events AS e JOIN kintsugi.event_texts AS t ON t.id = e.id")
            conditions.append(SQL("t.document @@ %s::tsquery"))
        values.append(to_tsquery(parse_search(where.q)))
    return Condition(tables, SQL(" AND ").join(conditions), values, time_only)
