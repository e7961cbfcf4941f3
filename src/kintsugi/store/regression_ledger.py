"""The regression ledger in PostgreSQL. Entries are added in the transaction of what they tell of:
the close of an incident, a proof, the change of a case. The table itself refuses changes.

Locks are taken in one order by everybody: incidents, cases, the ledger, the log's edge. Whoever
publishes a configuration holds the ledger still, so that no case can come to bind between the check
of a configuration and its place as the newest one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from kintsugi.errors import VersionConflict
from kintsugi.ledger.leaves import leaf_data, ledger_leaf
from kintsugi.model.regression import Regression, canonical_id, regression_number
from kintsugi.model.regression_ledger import (
    Binding,
    BoundFilter,
    LedgerEntry,
    LedgerFilter,
    ledger_record,
)
from kintsugi.store.connections import Connection, Database
from kintsugi.store.cursors import before_of, encode_cursor
from kintsugi.store.log import add_leaf
from kintsugi.store.regression_moves import StandsIn, entries_after
from kintsugi.store.statements import load_statements
from kintsugi.store.uuids import parse_uuid

_SQL: Final = load_statements("regression_ledger")
_RECORD: Final = msgspec.json.Decoder(LedgerEntry)
FINDINGS_MAX: Final = 100


def add_entries(connection: Connection, binding: Binding) -> tuple[LedgerEntry, ...]:
    """See ``RegressionLedger.add``; in the caller's transaction.

    Returns:
        The entries, whose leaves the caller adds when all else is done.
    """
    if not binding.entries:
        return ()
    numbers = [regression_number(one.regression_id) for one in binding.entries if one.binds]
    cases = {
        number: (state, digest)
        for number, state, digest in connection.execute(_SQL["lock_cases"], [numbers]).fetchall()
    }
    connection.execute(_SQL["hold"])
    wanted = list(binding.published)
    published: dict[str, int] = dict(connection.execute(_SQL["published"], [wanted]).fetchall())
    check_binding(binding, published, cases)
    _insert(connection, binding.entries)
    return binding.entries


def add_entry_leaves(
    connection: Connection, entries: Sequence[LedgerEntry], *, now: datetime
) -> None:
    """Add the leaves of entries; the log stays locked until the commit."""
    for one in entries:
        add_leaf(connection, ledger_leaf(one), now=now)


def hold_bound(connection: Connection, regression_ids: Sequence[str]) -> dict[str, LedgerEntry]:
    """How those of these cases that bind stand in the ledger. Where any does, nobody publishes and
    nobody else adds to the ledger until this transaction ends. Lock the cases first."""
    found = standing(connection, regression_ids)
    bound = {name: entry for name, entry in found.items() if entry.binds}
    if bound:
        connection.execute(_SQL["hold"])
    return bound


def follow_case(
    connection: Connection,
    bound: LedgerEntry | None,
    before: Regression,
    after: Regression,
    by: Regression | None,
) -> tuple[LedgerEntry, ...]:
    """Tell the ledger what became of a case that binds, see ``entries_after``.

    Args:
        by: the case that stands in for it.

    Returns:
        The entries, whose leaves the caller adds.
    """
    if bound is None:
        return ()
    stands_in = None
    if by is not None:
        stands_in = StandsIn(standing(connection, [by.id]).get(by.id), by)
    entries = entries_after(bound, before, after, stands_in)
    _insert(connection, entries)
    return entries


def hold_still(connection: Connection) -> None:
    """Let nobody add to the ledger until this transaction ends."""
    connection.execute(_SQL["hold_still"])


class PostgresRegressionLedger:
    """The ledger of the protocol in ``model/regression_ledger.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, binding: Binding, *, now: datetime) -> None:
        with self._database.transaction() as connection:
            entries = add_entries(connection, binding)
            add_entry_leaves(connection, entries, now=now)

    def mark(self) -> int:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["mark"]).fetchone()
        return int(row[0]) if row is not None else 0

    def page(
        self, where: LedgerFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[LedgerEntry], str | None]:
        values: dict[str, Any] = {
            "any_incident": not where.incidents,
            "incidents": _uuids(where.incidents),
            "config_id": where.config_id,
            "regression": canonical_id(where.regression),
            "before": before_of(cursor, ledger_position),
            "limit": limit + 1,
        }
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], values).fetchall()
        shown = [_RECORD.decode(record) for _, record in rows[:limit]]
        if len(rows) <= limit or not shown:
            return shown, None
        return shown, encode_cursor(shown[-1].at, str(rows[limit - 1][0]))

    def bound(self, where: BoundFilter) -> list[LedgerEntry]:
        values: dict[str, Any] = {
            "all": where == BoundFilter(),
            "config_id": where.config_id,
            "gateways": list(where.gateways),
            "incidents": _uuids(where.incidents),
        }
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["bound"], values).fetchall()
        return [_RECORD.decode(record) for (record,) in rows]

    def standing(self, regression_ids: Sequence[str]) -> dict[str, LedgerEntry]:
        with self._database.transaction() as connection:
            return standing(connection, regression_ids)

    def after(self, mark: int, *, limit: int) -> list[LedgerEntry]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["after"], [mark, limit]).fetchall()
        return [_RECORD.decode(record) for (record,) in rows]

    def put_back(self, entries: Iterable[LedgerEntry], *, now: datetime) -> list[LedgerEntry]:
        wanted = list(entries)
        with self._database.transaction() as connection:
            connection.execute(_SQL["hold"])
            ids = [one.id for one in wanted]
            known = {one for (one,) in connection.execute(_SQL["known"], [ids]).fetchall()}
            missing = [one for one in wanted if one.id not in known]
            _insert(connection, missing)
            add_entry_leaves(connection, missing, now=now)
        return missing

    def check(self) -> list[str]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["beside_the_log"]).fetchall()
        found = (_finding(record, name, data) for record, name, data in rows)
        return [one for one in found if one][:FINDINGS_MAX]


def standing(connection: Connection, regression_ids: Sequence[str]) -> dict[str, LedgerEntry]:
    """See ``RegressionLedger.standing``; in the caller's transaction."""
    rows = connection.execute(_SQL["standing"], [list(regression_ids)]).fetchall()
    return {found.regression_id: found for found in (_RECORD.decode(one) for (one,) in rows)}


def check_binding(
    binding: Binding,
    published: Mapping[str, int],
    cases: Mapping[int, tuple[str, str]],
) -> None:
    """Raise when what was proven is not what there is now.

    Args:
        published: the newest version of each configuration.
        cases: state and digest of each case, by its number.

    Raises:
        VersionConflict: something was published, or a case was changed, since the proof.
    """
    for config_id, version in binding.published.items():
        newest = published.get(config_id)
        if newest != version:
            raise VersionConflict(
                f"{config_id}@{newest} was published since this was proven on "
                f"{config_id}@{version}; prove it again"
            )
    for one in binding.entries:
        kept = cases.get(regression_number(one.regression_id) or 0)
        if one.binds and kept != ("approved", one.digest):
            raise VersionConflict(f"{one.regression_id} was changed since this was proven; retry")


def ledger_position(text: str) -> int | None:
    """A position in the ledger as cursors hold it; None where it is none."""
    return int(text) if text.isdecimal() and len(text) <= 9 else None


def _insert(connection: Connection, entries: Sequence[LedgerEntry]) -> None:
    row = connection.execute(_SQL["mark"]).fetchone()
    last = int(row[0]) if row is not None else 0
    for position, one in enumerate(entries, last + 1):
        values = [position, one.id, one.act, one.regression_id, one.incident_id, one.config_id]
        record = ledger_record(one).decode()
        connection.execute(_SQL["add"], [*values, list(one.gateways), record])


def _finding(record: str | None, name: str | None, data: str | None) -> str:
    if record is None:
        return f"entry {name} was removed: the log tells of it"
    entry = _RECORD.decode(record)
    if data is None:
        return f"entry {entry.id} ({entry.act} {entry.regression_id}) has no leaf in the log"
    if leaf_data(ledger_leaf(entry)).decode() != data:
        return f"entry {entry.id} ({entry.act} {entry.regression_id}) was changed"
    return ""


def _uuids(ids: Iterable[str]) -> list[Any]:
    return [found for one in ids if (found := parse_uuid(one))]
