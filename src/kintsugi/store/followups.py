"""What follows from incidents, in PostgreSQL. ``keep`` works inside the transaction of a change of
an incident (``store/incidents.py``); nothing else writes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from kintsugi.errors import NotFound, VersionConflict
from kintsugi.model.followup import (
    Followup,
    FollowupFilter,
    FollowupOrder,
    followup_record,
    kind_of,
    read_followup,
)
from kintsugi.store.connections import Connection, Database
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.statements import load_statements
from kintsugi.store.uuids import parse_uuid

_SQL: Final = load_statements("followups")
# Stands for "no date" where they are put in order.
_NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)


class PostgresFollowups:
    """The store of the protocol in ``model/followup.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, followup_id: str) -> Followup:
        row = None
        if (identifier := parse_uuid(followup_id)) is not None:
            with self._database.transaction() as connection:
                row = connection.execute(_SQL["get"], [identifier]).fetchone()
        if row is None:
            raise NotFound(f'there is nothing with the id "{followup_id}"')
        return read_followup(row[0])

    def page(
        self,
        where: FollowupFilter,
        *,
        order: FollowupOrder,
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[Followup], str | None]:
        at, identifier = place_in(cursor) or (None, None)
        if where.incident and parse_uuid(where.incident) is None:
            return [], None
        values = {
            **{name: getattr(where, name) for name in where.__struct_fields__},
            "after_at": at,
            "after_id": identifier,
            "limit": limit + 1,
        }
        statement = f"of_incident_by_{order}" if where.incident else f"page_by_{order}"
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL[statement], values).fetchall()
        found = [read_followup(record) for (record,) in rows]
        return paged(found, limit, lambda one: place(one, order))


def keep(connection: Connection, followup: Followup) -> None:
    """Store it as a new version.

    Raises:
        VersionConflict: it is at another version than the one it was changed from.
    """
    stored = next_version(followup)
    values: dict[str, Any] = {
        "id": stored.id,
        "kind": kind_of(stored),
        "version": stored.version,
        "before": followup.version,
        "status": stored.status,
        "party": stored.party,
        "settled": stored.settled,
        "due_order": stored.due_at or _NEVER,
        "created_at": stored.created_at,
        "record": followup_record(stored).decode(),
    }
    statement = _SQL["save"] if followup.version else _SQL["add"]
    if connection.execute(statement, values).rowcount == 0:
        raise conflict_of(followup)
    incidents = list(stored.incidents)
    connection.execute(_SQL["untie"], [stored.id, incidents])
    connection.execute(_SQL["tie"], [stored.id, incidents])


def next_version(followup: Followup) -> Followup:
    """As it is stored."""
    return msgspec.structs.replace(followup, version=followup.version + 1)


def conflict_of(followup: Followup) -> VersionConflict:
    """What to tell whoever changed another version than the newest."""
    return VersionConflict(
        f"the {kind_of(followup)} is not at version {followup.version} any more; read it again and "
        "retry"
    )


def place(followup: Followup, order: FollowupOrder) -> tuple[datetime, str]:
    """Where it stands in an order."""
    at = followup.created_at if order == "newest" else followup.due_at or _NEVER
    return at, followup.id
