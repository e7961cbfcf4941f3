"""Regression cases in PostgreSQL. A version, its leaf and its notice are one transaction.

Content that the gate found clean lies open. Where a person kept something sensitive, every version
from then on is sealed under a data key of the case's own, in the name of the case's subject: an
erasure destroys it, in backups too, because erasures are done again after a restore.

Locks are taken in one order by everybody: numbers, cases, the ledger of those that bind, the log's
edge.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from kintsugi.errors import KeyUnavailable, NotFound, VersionConflict
from kintsugi.ledger.leaves import regression_leaf
from kintsugi.model.config import Case
from kintsugi.model.ids import uuid7
from kintsugi.model.notice_sources import of_regression, of_regressions
from kintsugi.model.regression import (
    ERASED,
    NO_CASE,
    Regression,
    RegressionFilter,
    canonical_id,
    erased,
    regression_id,
    regression_number,
)
from kintsugi.model.regression_ledger import LedgerEntry
from kintsugi.model.vault import Subject
from kintsugi.store.connections import Connection, Database
from kintsugi.store.cursors import before_of, encode_cursor
from kintsugi.store.keyring import Keyring
from kintsugi.store.log import add_leaf
from kintsugi.store.notices import add_notices
from kintsugi.store.own_keys import OwnKeys
from kintsugi.store.regression_ledger import add_entry_leaves, follow_case, hold_bound
from kintsugi.store.regression_moves import refuse_known
from kintsugi.store.sealer import subject_text
from kintsugi.store.statements import load_statements
from kintsugi.store.uuids import parse_uuid

_SQL: Final = load_statements("regressions")
_RECORD: Final = msgspec.json.Decoder(Regression)
_CASE: Final = msgspec.json.Decoder(Case)
_SCANNED: Final = 500


class _Row(NamedTuple):
    """A version, and what stands beside it for all versions of its case."""

    number: int
    source_id: str
    event_id: str
    subject: str | None
    data_key: UUID | None
    version: int
    digest: str
    record: str
    content: str | None
    sealed: bytes | None


class PostgresRegressions:
    """The regression store of the protocol in ``model/regression.py``."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keys = OwnKeys(keyring)

    def add(
        self, new: Sequence[Regression], *, now: datetime, once: bool = False
    ) -> list[Regression]:
        if not new:
            return []
        with self._database.transaction() as connection:
            connection.execute(_SQL["lock_numbers"])
            for one in new if once else ():
                self._require_new(connection, one)
            row = connection.execute(_SQL["last_number"]).fetchone()
            last = row[0] if row else 0
            kept = [self._add(connection, last + at, one, now=now) for at, one in enumerate(new, 1)]
            hidden = _hidden(connection, kept)
            add_notices(
                connection, of_regressions([one for one in kept if one.incident_id not in hidden])
            )
            for one in kept:
                add_leaf(connection, regression_leaf(one), now=now)
        return kept

    def require_new(self, one: Regression) -> None:
        with self._database.transaction() as connection:
            self._require_new(connection, one)

    def get(self, regression_id: str, version: int | None = None) -> Regression:
        with self._database.transaction() as connection:
            return self._get(connection, regression_id, version)

    def named(self, regression_ids: Sequence[str]) -> dict[str, Regression]:
        numbers = [_number(one) for one in regression_ids]
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["named"], [numbers]).fetchall()
            found = [self._read(connection, _Row(*row)) for row in rows]
        return {one.id: one for one in found}

    def history(self, regression_id: str) -> list[Regression]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["history"], [_number(regression_id)]).fetchall()
            found = [self._read(connection, _Row(*row)) for row in rows]
        if not found:
            raise NotFound(f'there is no regression case "{regression_id}"')
        return found

    def page(
        self, where: RegressionFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Regression], str | None]:
        values = {
            **_values(where),
            "before": before_of(cursor, regression_number),
            "limit": limit + 1,
        }
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["newest_first"], values).fetchall()
            shown = [self._read(connection, _Row(*row)) for row in rows[:limit]]
        if len(rows) <= limit or not shown:
            return shown, None
        return shown, encode_cursor(shown[-1].created_at, shown[-1].id)

    def scan(self, where: RegressionFilter) -> Iterator[Regression]:
        after = 0
        while True:
            values = {**_values(where), "after": after, "limit": _SCANNED}
            with self._database.transaction() as connection:
                rows = connection.execute(_SQL["oldest_first"], values).fetchall()
                found = [self._read(connection, _Row(*row)) for row in rows]
            yield from found
            if len(rows) < _SCANNED:
                return
            after = rows[-1][0]

    def change(
        self,
        regression_id: str,
        apply: Callable[[Regression], Regression],
        *,
        expected_version: int | None = None,
    ) -> Regression:
        with self._database.transaction() as connection:
            connection.execute(_SQL["lock"], [_number(regression_id)])
            before = self._get(connection, regression_id)
            check_version(before, expected_version)
            if before.lost and before.state != "erased":
                raise KeyUnavailable(f"{before.id} cannot be opened: {before.lost}")
            bound = hold_bound(connection, [before.id])
            after = apply(before)
            if after == before:
                return before
            after = msgspec.structs.replace(after, id=before.id, version=before.version + 1)
            return self._next(connection, before, after, bound)

    def put_back(self, lost: Sequence[Regression], *, now: datetime) -> None:
        with self._database.transaction() as connection:
            connection.execute(_SQL["lock_numbers"])
            numbers = [_number(one.id) for one in lost]
            known = {row[0] for row in connection.execute(_SQL["named"], [numbers]).fetchall()}
            missing = [one for one in lost if _number(one.id) not in known]
            for one in missing:
                self._place(connection, one, None)
                self._write(connection, _number(one.id), one, None)
            for one in missing:
                add_leaf(connection, regression_leaf(one), now=now)

    def matter(self, subject: str) -> int:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["of_subject"], [_column(subject)]).fetchone()
        return int(row[0]) if row is not None else 0

    def forget(self, subject: str, *, by: str, now: datetime) -> int:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["lock_subject"], [_column(subject)]).fetchall()
            bound = hold_bound(connection, [regression_id(number) for (number,) in rows])
            for (number,) in rows:
                before = self._get(connection, regression_id(number))
                history = connection.execute(_SQL["history"], [number]).fetchall()
                if before.state != "erased" and any(_Row(*row).sealed for row in history):
                    connection.execute(_SQL["forget_content"], [number])
                    after = msgspec.structs.replace(
                        erased(before, by=by, now=now), version=before.version + 1
                    )
                    self._next(connection, before, after, bound)
                data_key = _Row(*history[0]).data_key
                if data_key is not None:
                    self._keys.remove(connection, data_key)
                connection.execute(_SQL["forget_source"], [number])
        return len(rows)

    def _require_new(self, connection: Connection, one: Regression) -> None:
        values = {
            "incident": parse_uuid(one.incident_id),
            "config_id": one.config_id,
            "source": one.source.event_id or one.source.id,
            "digest": one.digest,
        }
        row = connection.execute(_SQL["same"], values).fetchone()
        if row is not None:
            refuse_known(self._read(connection, _Row(*row)))

    def _add(
        self, connection: Connection, number: int, new: Regression, *, now: datetime
    ) -> Regression:
        subject = new.subject
        if not subject and new.parent:
            row = connection.execute(_SQL["subject_of"], [_number(new.parent)]).fetchone()
            subject = (row[0] if row else None) or ""
        kept = msgspec.structs.replace(new, id=regression_id(number), version=1, subject=subject)
        data_key = self._new_key(connection, kept, now=now) if kept.kept else None
        self._place(connection, kept, data_key)
        self._write(connection, number, kept, data_key)
        return kept

    def _place(self, connection: Connection, one: Regression, data_key: UUID | None) -> None:
        connection.execute(
            _SQL["add"],
            [
                *(_number(one.id), one.version, one.kind, one.state, one.incident_id),
                *(one.config_id, one.parent, one.source.id, one.source.event_id),
                *(_column(one.subject) if one.subject else None, data_key),
            ],
        )

    def _next(
        self,
        connection: Connection,
        before: Regression,
        after: Regression,
        bound: Mapping[str, LedgerEntry],
    ) -> Regression:
        """Write the next version of a case that is locked.

        Args:
            bound: how it stands in the ledger, where it binds.
        """
        number = _number(before.id)
        row = connection.execute(_SQL["get"], {"number": number, "version": None}).fetchone()
        data_key = _Row(*row).data_key if row is not None else None
        if after.kept and data_key is None and not after.lost:
            data_key = self._new_key(connection, after, now=after.changed_at)
        connection.execute(_SQL["move"], [after.version, after.state, data_key, number])
        self._write(connection, number, after, data_key)
        if not _hidden(connection, [after]):
            add_notices(connection, [of_regression(before, after)])
        by = self._find(connection, after.replaced_by)
        entries = follow_case(connection, bound.get(before.id), before, after, by)
        add_leaf(connection, regression_leaf(after), now=after.changed_at)
        add_entry_leaves(connection, entries, now=after.changed_at)
        return after

    def _write(
        self, connection: Connection, number: int, one: Regression, data_key: UUID | None
    ) -> None:
        content: str | None = msgspec.json.encode(one.case).decode()
        sealed = None
        if one.lost:
            content = None
        elif data_key is not None and content is not None:
            sealed, content = self._keys.seal(connection, data_key, content.encode()), None
        record = msgspec.json.encode(
            msgspec.structs.replace(
                one,
                case=NO_CASE,
                subject="",
                source=msgspec.structs.replace(one.source, id="", event_id=""),
            )
        ).decode()
        values = [number, one.version, one.digest, record, content, sealed]
        connection.execute(_SQL["add_version"], values)

    def _new_key(self, connection: Connection, one: Regression, *, now: datetime) -> UUID:
        data_key = UUID(uuid7(int(now.timestamp() * 1000), secrets.token_bytes(10)))
        subject = _column(one.subject) if one.subject else None
        self._keys.add(connection, data_key, now=now, subject=subject)
        return data_key

    def _find(self, connection: Connection, identifier: str) -> Regression | None:
        rows = connection.execute(_SQL["named"], [[_number(identifier)]]).fetchall()
        return next((self._read(connection, _Row(*row)) for row in rows), None)

    def _get(
        self, connection: Connection, identifier: str, version: int | None = None
    ) -> Regression:
        values = {"number": _number(identifier), "version": version}
        row = connection.execute(_SQL["get"], values).fetchone()
        if row is None:
            named = f"{identifier}, version {version}" if version is not None else identifier
            raise NotFound(f'there is no regression case "{named}"')
        return self._read(connection, _Row(*row))

    def _read(self, connection: Connection, row: _Row) -> Regression:
        found = _RECORD.decode(row.record)
        case, lost = self._content(connection, row, found.lost)
        return msgspec.structs.replace(
            found,
            case=case,
            lost=lost,
            lost_digest=row.digest if lost else "",
            subject=row.subject or "",
            source=msgspec.structs.replace(found.source, id=row.source_id, event_id=row.event_id),
        )

    def _content(self, connection: Connection, row: _Row, gone: str) -> tuple[Case, str]:
        """The case, and why it cannot be had."""
        if row.content is not None:
            return _CASE.decode(row.content), ""
        if row.sealed is None:
            return NO_CASE, gone or ERASED
        if row.data_key is None:
            return NO_CASE, "the key that seals it is gone"
        try:
            return _CASE.decode(self._keys.open(connection, row.data_key, row.sealed)), ""
        except KeyUnavailable as error:
            return NO_CASE, str(error)


def check_version(before: Regression, expected: int | None) -> None:
    """Raise when a case is at another version than expected.

    Raises:
        VersionConflict: somebody else changed it.
    """
    if expected is not None and before.version != expected:
        raise VersionConflict(
            f"{before.id} is at version {before.version}, not {expected}; read it again and retry"
        )


def _hidden(connection: Connection, found: Sequence[Regression]) -> frozenset[str]:
    ids = sorted({one.incident_id for one in found})
    return frozenset(one for (one,) in connection.execute(_SQL["hidden"], [ids]).fetchall())


def _number(identifier: str) -> int:
    """The number of an id; one that no case has where it is none."""
    return regression_number(identifier) or 0


def _column(subject: str) -> str:
    return subject_text(Subject.parse(subject))


def _values(where: RegressionFilter) -> dict[str, Any]:
    return {
        "any_incident": not where.incident,
        "incident": parse_uuid(where.incident) if where.incident else None,
        "config_id": where.config_id,
        "state": where.state,
        "kind": where.kind,
        "parent": canonical_id(where.parent),
        "source": canonical_id(where.source),
    }
