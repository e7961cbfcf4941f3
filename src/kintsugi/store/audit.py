"""The audit log in PostgreSQL. The table itself refuses changes; see the migration that made it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.ledger.leaves import audit_leaf
from kintsugi.model.audit import AuditEntry, AuditFilter, audit_record
from kintsugi.store.connections import Database
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.log import add_leaf
from kintsugi.store.statements import load_statements
from kintsugi.store.uuids import parse_uuid

_SQL: Final = load_statements("audit")
_ENTRY: Final = msgspec.json.Decoder(AuditEntry)


class PostgresAudit:
    """The audit store of the protocol in ``model/audit.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entry: AuditEntry) -> None:
        record = audit_record(entry).decode()
        values = [entry.id, entry.at, entry.actor, entry.operation, entry.object, entry.result]
        with self._database.transaction() as connection:
            new = parse_uuid(entry.id) is not None and (
                connection.execute(_SQL["add"], [*values, record]).rowcount
            )
            if not new:
                raise InvalidInput(f'"{entry.id}" cannot be the id of a new audit entry')
            add_leaf(connection, audit_leaf(entry), now=entry.at)

    def page(
        self, where: AuditFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[AuditEntry], str | None]:
        before_at, before_id = place_in(cursor) or (None, None)
        place = {"before_at": before_at, "before_id": before_id, "limit": limit + 1}
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], {**_values(where), **place}).fetchall()
        found = [_ENTRY.decode(record) for (record,) in rows]
        return paged(found, limit, lambda one: (one.at, one.id))

    def count(self, where: AuditFilter, *, ceiling: int) -> int:
        values = {**_values(where), "ceiling": ceiling}
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["count"], values).fetchone()
        return int(row[0]) if row is not None else 0


def _values(where: AuditFilter) -> dict[str, Any]:
    below = where.object if where.object.endswith("/") else None
    return {
        "actor": where.actor or None,
        "operation": where.operation or None,
        "object": None if below else where.object or None,
        "below": below,
        # "0" follows "/", and columns compare byte by byte.
        "beyond": below[:-1] + "0" if below else None,
        "result": where.result or None,
        "since": where.since,
        "until": where.until,
    }
