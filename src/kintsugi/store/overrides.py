"""Overrides in PostgreSQL; the table itself refuses changes, see the migration that made it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from kintsugi.ledger.leaves import override_leaf, override_record
from kintsugi.model.overrides import (
    LOAD_ROWS_MAX,
    Load,
    Override,
    OverrideFilter,
    PolicyLoad,
    ReviewerLoad,
)
from kintsugi.store.connections import Connection, Database
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.event_rows import column_text, decode
from kintsugi.store.log import add_leaf
from kintsugi.store.statements import load_statements
from kintsugi.store.uuids import parse_uuid

_SQL: Final = load_statements("overrides")


def add_override(connection: Connection, override: Override) -> None:
    """Add one and its leaf in the transaction that decides.

    The log stays locked until the commit: call it late.
    """
    record = override_record(override)
    waited_ms = round(override.waited_seconds * 1000)
    connection.execute(
        _SQL["add"],
        [
            *(override.id, override.escalation_id, override.at, override.by, override.outcome),
            *(column_text(override.policy_name), column_text(override.reason_code)),
            override.classification,
            *(override.proposes is not None, override.late, bool(override.bulk_id)),
            *(bool(override.seen.digest), waited_ms, record.decode()),
        ],
    )
    add_leaf(connection, override_leaf(override), now=override.at)


class PostgresOverrides:
    """The override store of the protocol in ``model/overrides.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self, where: OverrideFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Override], str | None]:
        before_at, before_id = place_in(cursor) or (None, None)
        values: dict[str, Any] = {
            "by": column_text(where.by),
            "outcome": where.outcome,
            "proposing": where.proposing,
            "before_at": before_at,
            "before_id": before_id,
            "limit": limit + 1,
        }
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], values).fetchall()
        found = [decode(record, Override) for (record,) in rows]
        return paged(found, limit, lambda one: (one.at, one.id))

    def of(self, escalation_id: str) -> list[Override]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["of"], [parse_uuid(escalation_id)]).fetchall()
        return [decode(record, Override) for (record,) in rows]

    def load(self, *, since: datetime) -> Load:
        with self._database.transaction() as connection:
            people = connection.execute(_SQL["by_reviewer"], [since, LOAD_ROWS_MAX]).fetchall()
            policies = connection.execute(_SQL["by_policy"], [since, LOAD_ROWS_MAX]).fetchall()
        return Load(
            since,
            tuple(_reviewer(row) for row in people),
            tuple(PolicyLoad(*row) for row in policies),
        )


def _reviewer(row: tuple[Any, ...]) -> ReviewerLoad:
    by, decided, approved, rejected, late, in_bulk, unseen, rate, waited_ms = row
    waited = None if waited_ms is None else round(float(waited_ms) / 1000, 3)
    return ReviewerLoad(by, decided, approved, rejected, late, in_bulk, unseen, rate, waited)
