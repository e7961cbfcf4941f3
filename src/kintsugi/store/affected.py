"""Who and what incidents affected, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from kintsugi.errors import NotFound
from kintsugi.model.affected import Affected, AffectedKind, AffectedStatus, Settling, settled
from kintsugi.model.incident import Entry
from kintsugi.store.connections import Database
from kintsugi.store.event_rows import column_text
from kintsugi.store.statements import load_statements
from kintsugi.store.timelines import write_entries

_SQL: Final = load_statements("affected")
_RECORD: Final = msgspec.json.Decoder(Affected)


class PostgresAffected:
    """The store of the protocol in ``model/affected.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, found: Sequence[Affected], *, told: Entry | None = None, now: datetime) -> int:
        rows = [_row(one) for one in found]
        with self._database.transaction() as connection:
            new = 0
            if rows:
                columns = [list(column) for column in zip(*rows, strict=True)]
                new = connection.execute(_SQL["add"], columns).rowcount
            if told is not None and new:
                write_entries(connection, [told], now=now)
        return new

    def page(
        self,
        incident_id: str,
        kinds: Sequence[AffectedKind],
        *,
        status: AffectedStatus | Literal[""],
        limit: int,
        after: tuple[str, str] | None = None,
    ) -> list[Affected]:
        kind, key = after or (None, None)
        values = {
            "incident": incident_id,
            "kinds": list(kinds),
            "status": status,
            "after_kind": kind,
            "after_key": None if key is None else column_text(key),
            "limit": limit,
        }
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], values).fetchall()
        return [_RECORD.decode(record) for (record,) in rows]

    def counts(self, incident_id: str) -> dict[tuple[AffectedKind, AffectedStatus], int]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["counts"], [incident_id]).fetchall()
        return {(kind, status): count for kind, status, count in rows}

    def settle(
        self,
        incident_id: str,
        kind: AffectedKind,
        keys: Sequence[str],
        settling: Settling,
        *,
        told: Entry,
    ) -> list[Affected]:
        wanted = [column_text(key) for key in dict.fromkeys(keys)]
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["lock"], [incident_id, kind, wanted]).fetchall()
            require_all(wanted, [key for key, _ in rows])
            after = [settled(_RECORD.decode(record), settling) for _, record in rows]
            values = [_row(one)[2:] for one in after]
            columns = [list(column) for column in zip(*values, strict=True)]
            connection.execute(_SQL["settle"], [*columns, incident_id, kind])
            write_entries(connection, [told], now=settling.at)
        return after


def require_all(wanted: Iterable[str], found: Iterable[str]) -> None:
    """Raise where something is not affected.

    Raises:
        NotFound: it names the first ten.
    """
    unknown = sorted(set(wanted) - set(found))
    if unknown:
        raise NotFound(f"not among what is affected: {', '.join(unknown[:10])}")


def _row(one: Affected) -> tuple[str, str, str, str, str]:
    record = msgspec.json.encode(one).decode()
    return one.incident_id, one.kind, column_text(one.key), one.status, record
