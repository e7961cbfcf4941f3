"""Sources and links of reports in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from kintsugi.errors import NotFound, VersionConflict
from kintsugi.model.report_doors import ReportLink, Source, UsedLink
from kintsugi.store.connections import Connection, Database
from kintsugi.store.cursors import decode_cursor, paged
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("report_doors")
_SOURCE: Final = msgspec.json.Decoder(Source)
_LINK: Final = msgspec.json.Decoder(ReportLink)


class PostgresReportDoors:
    """The store of the protocol in ``model/report_doors.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_source(self, source: Source, *, expected_version: int | None) -> Source:
        with self._database.transaction() as connection:
            connection.execute(_SQL["lock_sources"])
            row = connection.execute(_SQL["source"], [source.name]).fetchone()
            before = _SOURCE.decode(row[0]).version if row else 0
            check_version(source.name, before, expected_version)
            kept = msgspec.structs.replace(source, version=before + 1)
            connection.execute(_SQL["keep_source"], [kept.name, kept.version, _json(kept)])
        return kept

    def source(self, name: str) -> Source:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["source"], [name]).fetchone()
        if row is None:
            raise NotFound(f'there is no source of reports "{name}"')
        return _SOURCE.decode(row[0])

    def sources(self) -> list[Source]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["sources"]).fetchall()
        return [_SOURCE.decode(record) for (record,) in rows]

    def add_link(self, link: ReportLink) -> None:
        with self._database.transaction() as connection:
            connection.execute(_SQL["add_link"], [link.id, link.created_at, _json(link)])

    def link(self, link_id: str) -> UsedLink:
        with self._database.transaction() as connection:
            return _link(connection, link_id, _SQL["link"])

    def links(self, *, limit: int, cursor: str | None = None) -> tuple[list[UsedLink], str | None]:
        at, identifier = decode_cursor(cursor) if cursor else (None, None)
        values = {"before_at": at, "before_id": identifier, "limit": limit + 1}
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["links"], values).fetchall()
        found = [UsedLink(_LINK.decode(record), used) for record, used in rows]
        return paged(found, limit, lambda one: (one.link.created_at, one.link.id))

    def revoke_link(self, link_id: str, *, by: str, now: datetime) -> UsedLink:
        with self._database.transaction() as connection:
            found = _link(connection, link_id, _SQL["lock_link"])
            if found.link.revoked_at is not None:
                return found
            ended = msgspec.structs.replace(found.link, revoked_at=now, revoked_by=by)
            connection.execute(_SQL["save_link"], [_json(ended), link_id])
        return UsedLink(ended, found.used)

    def use_link(self, link_id: str, *, now: datetime) -> bool:
        with self._database.transaction() as connection:
            found = _link(connection, link_id, _SQL["link"])
            hour = now.replace(minute=0, second=0, microsecond=0)
            values = {"id": link_id, "hour": hour, "most": found.link.per_hour}
            return connection.execute(_SQL["use_link"], values).rowcount == 1


def check_version(name: str, before: int, expected: int | None) -> None:
    """Raise when a source is at another version than expected.

    Raises:
        VersionConflict: somebody else changed it.
    """
    if expected is not None and expected != before:
        there = f"is at version {before}" if before else "is not there"
        raise VersionConflict(f'source "{name}" {there}; read it again and retry')


def _link(connection: Connection, link_id: str, statement: bytes) -> UsedLink:
    row = connection.execute(statement, [link_id]).fetchone()
    if row is None:
        raise NotFound(f'there is no link "{link_id}"')
    return UsedLink(_LINK.decode(row[0]), row[1])


def _json(value: Source | ReportLink) -> str:
    return msgspec.json.encode(value).decode()
