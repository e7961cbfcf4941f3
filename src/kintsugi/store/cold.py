"""Reading what was archived: the records and contents of events whose narrow rows alone are left.

Whoever reads events joins their records from the outside, and asks here for those that are not
there. Where nothing was archived this costs nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from kintsugi.errors import ArchiveDamaged
from kintsugi.model.archive import month_of
from kintsugi.model.ids import uuid7_time
from kintsugi.store.archive_parquet import ColdRow, Parquet
from kintsugi.store.archive_shelf import Copies
from kintsugi.store.connections import Connection, Database
from kintsugi.store.contents import ContentRow
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("archives")
NO_CONTENT: Final = ContentRow(None, None, None, None, None, None, None)


class Found(NamedTuple):
    """An event's record and, where it was asked for, its row of content."""

    record: str
    content: ContentRow
    month: str


class _File(NamedTuple):
    month: str
    archive_id: str
    name: str
    sha256: str

    @property
    def path(self) -> str:
        """Below the archive's address."""
        return f"{self.month}/{self.archive_id}/{self.name}"


class _Key(NamedTuple):
    wrapped: bytes | None
    key_id: str | None
    erased_at: datetime | None
    erasure_id: UUID | None
    expired_under: str | None


_NO_KEY: Final = _Key(None, None, None, None, None)


class Cold:
    """Finds archived events by position."""

    def __init__(self, database: Database, copies: Copies, parquet: Parquet) -> None:
        self._database = database
        self._copies = copies
        self._parquet = parquet

    def find(self, missing: Mapping[UUID, int], *, contents: bool) -> dict[UUID, Found]:
        """What is archived of these events, by their positions; nothing of those whose record was
        lost rather than archived.

        Raises:
            ArchiveUnavailable: a file that holds one of them is not to be had.
        """
        if not missing:
            return {}
        months = [month_of(uuid7_time(str(identifier))) for identifier in missing]
        with self._database.transaction() as connection:
            values = [months, list(missing.values())]
            files: dict[_File, list[int]] = defaultdict(list)
            for position, *place in connection.execute(_SQL["files_of"], values).fetchall():
                files[_File(*place)].append(position)
            # What was brought back between the reader's look and ours is where it was before.
            held = {position for positions in files.values() for position in positions}
            again = [identifier for identifier, at in missing.items() if at not in held]
            found = self._hot(connection, again, contents=contents)
        cold: list[tuple[str, ColdRow]] = []
        for file, positions in files.items():
            copy = self._copies.path(file.path, file.sha256)
            rows = self._parquet.find(copy, positions, contents=contents)
            cold += [(file.month, row) for row in rows]
        if lost := held - {missing[row.id] for _, row in cold if row.id in missing}:
            named = ", ".join(file.path for file, at in files.items() if not lost.isdisjoint(at))
            raise ArchiveDamaged(
                f"{len(lost)} archived events, the first at position {min(lost)}, are not in "
                f"{named}; see `kt archive verify`"
            )
        keys = self._keys(row for _, row in cold) if contents else {}
        for month, row in cold:
            content = NO_CONTENT
            if row.data_key is not None:
                content = ContentRow(
                    None, row.sealed, row.data_key, *keys.get(row.data_key, _NO_KEY)
                )
            found[row.id] = Found(row.record, content, month)
        return found

    def months(self, since: datetime | None, until: datetime | None) -> tuple[str, ...]:
        """The archived months between two times, either of which may be None."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                _SQL["months_between"], [since, since, until, until]
            ).fetchall()
        return tuple(month for (month,) in rows)

    def _hot(
        self, connection: Connection, wanted: list[UUID], *, contents: bool
    ) -> dict[UUID, Found]:
        if not wanted:
            return {}
        rows = connection.execute(_SQL["hot"], [wanted]).fetchall()
        return {
            row[0]: Found(row[1], ContentRow(*row[2:]) if contents else NO_CONTENT, "")
            for row in rows
        }

    def _keys(self, rows: Iterable[ColdRow]) -> dict[UUID, _Key]:
        wanted = list({row.data_key for row in rows if row.data_key is not None})
        if not wanted:
            return {}
        with self._database.transaction() as connection:
            found = connection.execute(_SQL["data_keys"], [wanted]).fetchall()
        return {row[0]: _Key(*row[1:]) for row in found}
