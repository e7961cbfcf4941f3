"""Custody in PostgreSQL. The table itself refuses changes; see the migration that made it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.ledger.leaves import custody_leaf
from kintsugi.model.custody import CustodyEntry, CustodyFilter, custody_record
from kintsugi.store.connections import Connection, Database
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.log import add_leaf
from kintsugi.store.statements import load_statements
from kintsugi.store.uuids import parse_uuid

_SQL: Final = load_statements("custody")
_ENTRY: Final = msgspec.json.Decoder(CustodyEntry)


def add_custody(connection: Connection, entry: CustodyEntry, *, now: datetime) -> None:
    """Add an entry and its leaf in the transaction of what it tells of.

    The log stays locked until the commit: call it late.

    Raises:
        InvalidInput: the entry's id is taken, or is no UUID.
    """
    record = custody_record(entry).decode()
    values = [entry.id, entry.at, entry.actor, entry.action, entry.object, record]
    if parse_uuid(entry.id) is None or connection.execute(_SQL["add"], values).rowcount == 0:
        raise InvalidInput(f'"{entry.id}" cannot be the id of a new custody entry')
    add_leaf(connection, custody_leaf(entry), now=now)


class PostgresCustody:
    """The custody store of the protocol in ``model/custody.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entry: CustodyEntry) -> None:
        with self._database.transaction() as connection:
            add_custody(connection, entry, now=entry.at)

    def page(
        self, where: CustodyFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[CustodyEntry], str | None]:
        before_at, before_id = place_in(cursor) or (None, None)
        values = {
            **_values(where),
            "before_at": before_at,
            "before_id": before_id,
            "limit": limit + 1,
        }
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], values).fetchall()
        found = [_ENTRY.decode(record) for (record,) in rows]
        return paged(found, limit, lambda one: (one.at, one.id))

    def count(self, where: CustodyFilter, *, ceiling: int) -> int:
        with self._database.transaction() as connection:
            row = connection.execute(
                _SQL["count"], {**_values(where), "ceiling": ceiling}
            ).fetchone()
        return int(row[0]) if row is not None else 0

    def of(self, objects: Sequence[str]) -> list[CustodyEntry]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["of"], [list(objects)]).fetchall()
        return [_ENTRY.decode(record) for (record,) in rows]


def _values(where: CustodyFilter) -> dict[str, Any]:
    return {
        "object": where.object or None,
        "actor": where.actor or None,
        "action": where.action or None,
    }
