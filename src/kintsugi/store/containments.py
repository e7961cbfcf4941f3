"""Containments in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from kintsugi.errors import InvalidInput, NotFound
from kintsugi.ledger.leaves import Leaf, containment_leaf, containment_record
from kintsugi.model.containment import Bypassed, Containment, ContainmentState
from kintsugi.model.incident import Change, Incident
from kintsugi.model.notice_sources import of_containment
from kintsugi.store.connections import Connection, Database
from kintsugi.store.containment_moves import approved, judged, released
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.incidents import change_incidents
from kintsugi.store.log import add_leaf
from kintsugi.store.notices import add_notice
from kintsugi.store.statements import load_statements
from kintsugi.store.uuids import parse_uuid

_SQL: Final = load_statements("containments")
_RECORD: Final = msgspec.json.Decoder(Containment)


class PostgresContainments:
    """The containment store of the protocol in ``model/containment.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, containment: Containment, *, declaring: Change | None = None) -> Incident | None:
        now = containment.created_at
        values = [
            containment.id,
            containment.created_at,
            containment.expires_at,
            containment.waits,
            containment_record(containment).decode(),
        ]
        with self._database.transaction() as connection:
            declared, leaves = _declared(connection, declaring, now=now)
            known = parse_uuid(containment.id) is not None
            if not known or connection.execute(_SQL["add"], values).rowcount == 0:
                raise InvalidInput(f'"{containment.id}" cannot be the id of a new containment')
            connection.execute(_SQL["announce"])
            add_notice(connection, of_containment(containment, containment.last_act, now=now))
            for leaf in leaves:
                add_leaf(connection, leaf, now=now)
            add_leaf(connection, containment_leaf(containment, now=now), now=now)
        return declared

    def get(self, containment_id: str) -> Containment:
        with self._database.transaction() as connection:
            return _one(connection, containment_id, _SQL["one"])

    def page(
        self,
        *,
        state: ContainmentState | None,
        now: datetime,
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[Containment], str | None]:
        before_at, before_id = place_in(cursor) or (None, None)
        values = {
            "state": state,
            "now": now,
            "before_at": before_at,
            "before_id": before_id,
            "limit": limit + 1,
        }
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], values).fetchall()
        found = [_RECORD.decode(record) for (record,) in rows]
        return paged(found, limit, lambda one: (one.created_at, one.id))

    def count(self, *, state: ContainmentState | None, now: datetime) -> int:
        values = {"state": state, "now": now}
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["count"], values).fetchone()
        return int(row[0]) if row is not None else 0

    def in_force(self, *, now: datetime, limit: int) -> list[Containment]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["in_force"], [now, limit]).fetchall()
        return [_RECORD.decode(record) for (record,) in rows]

    def expired(self, *, since: datetime, until: datetime, limit: int) -> list[Containment]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["expired"], [since, until, limit]).fetchall()
        return [_RECORD.decode(record) for (record,) in rows]

    def approve(self, containment_id: str, *, by: str, now: datetime) -> Containment:
        return self._change(containment_id, lambda found: approved(found, by=by, now=now), now)

    def release(self, containment_id: str, *, by: str, reason: str, now: datetime) -> Containment:
        return self._change(
            containment_id, lambda found: released(found, by=by, reason=reason, now=now), now
        )

    def judge(self, containment_id: str, bypassed: Bypassed, *, now: datetime) -> Containment:
        return self._change(containment_id, lambda found: judged(found, bypassed, now=now), now)

    def unjudged(self, *, over_before: datetime, limit: int) -> list[Containment]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["unjudged"], [over_before, limit]).fetchall()
        return [_RECORD.decode(record) for (record,) in rows]

    def _change(
        self, containment_id: str, change: Callable[[Containment], Containment], now: datetime
    ) -> Containment:
        with self._database.transaction() as connection:
            found = _one(connection, containment_id, _SQL["lock"])
            after = change(found)
            if after == found:
                return found
            values = [
                after.released_at,
                after.expires_at,
                after.waits,
                after.owes_judgement,
                containment_record(after).decode(),
                after.id,
            ]
            connection.execute(_SQL["save"], values)
            connection.execute(_SQL["announce"])
            add_notice(connection, of_containment(after, after.last_act, now=now))
            add_leaf(connection, containment_leaf(after, now=now), now=now)
            return after


def _declared(
    connection: Connection, change: Change | None, *, now: datetime
) -> tuple[Incident | None, Sequence[Leaf]]:
    if change is None:
        return None, ()
    [made], leaves = change_incidents(connection, [], lambda _: (change,), now=now)
    return made, leaves


def _one(connection: Connection, containment_id: str, statement: bytes) -> Containment:
    identifier = parse_uuid(containment_id)
    row = None
    if identifier is not None:
        row = connection.execute(statement, [identifier]).fetchone()
    if row is None:
        raise NotFound(f'there is no containment "{containment_id}"')
    return _RECORD.decode(row[0])
