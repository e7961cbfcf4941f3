"""Reports in PostgreSQL. What comes in one delivery is kept in one transaction with the incidents
that it opens or joins.

Locks are taken in one order by everybody: fingerprints, incidents, numbers, the log's edge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

from kintsugi.errors import NotFound, StateConflict, StoreUnavailable
from kintsugi.ledger.leaves import Leaf, report_leaf
from kintsugi.model.custody import CustodyEntry
from kintsugi.model.incident import Change, Incident
from kintsugi.model.incident_keys import uuid_in
from kintsugi.model.notice_sources import of_report
from kintsugi.model.report import (
    Arrival,
    KeptReport,
    Recurrence,
    Report,
    ReportFilter,
    Standing,
    Take,
    Taken,
    counted,
    report_digest,
    report_record,
)
from kintsugi.store.connections import Connection, Database
from kintsugi.store.contents import Opener
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.custody import add_custody
from kintsugi.store.incidents import change_incidents
from kintsugi.store.log import add_leaf
from kintsugi.store.notices import add_notices
from kintsugi.store.report_files import SealedFiles, place_of, seal_files
from kintsugi.store.sealer import Sealer
from kintsugi.store.spans import held_epoch
from kintsugi.store.statements import load_statements
from kintsugi.store.uuids import parse_uuid
from kintsugi.vault.sealing import CannotOpen

_SQL: Final = load_statements("reports")
_REPORT: Final = msgspec.json.Decoder(Report)
_STANDING: Final = msgspec.json.Decoder(Standing)
_INCIDENT: Final = msgspec.json.Decoder(Incident)
_TRIES_MAX: Final = 8


class _Decided(NamedTuple):
    """What became of one report, and what is still to be written of it."""

    report: Report
    standing: Standing
    incident: Incident | None
    leaves: list[Leaf]
    news: bool


class PostgresReports:
    """The report store of the protocol in ``model/report.py``."""

    def __init__(self, database: Database, sealer: Sealer, opener: Opener) -> None:
        self._database = database
        self._sealer = sealer
        self._opener = opener

    def receive(
        self, arrivals: Sequence[Arrival], take: Take, *, now: datetime
    ) -> list[KeptReport]:
        for _ in range(_TRIES_MAX):
            kept = self._receive_once(arrivals, take, now=now)
            if kept is not None:
                return kept
        raise StoreUnavailable("keys change faster than reports can be sealed; try again")

    def _receive_once(
        self, arrivals: Sequence[Arrival], take: Take, *, now: datetime
    ) -> list[KeptReport] | None:
        """What was kept; None when it was sealed under keys that are no more."""
        files = seal_files(self._sealer, arrivals, now=now) if self._sealer.seals else None
        decided: list[_Decided] = []
        with self._database.transaction() as connection:
            if files is not None and held_epoch(connection) != files.epoch:
                return None
            _lock(connection, arrivals)
            for one in arrivals:
                incident_id = _newest_incident(connection, one.report)
                decided.append(_take(connection, one.report, incident_id, take, now=now))
            _keep_files(connection, arrivals, files)
            add_notices(connection, [of_report(*one[:3], now=now) for one in decided if one.news])
            for leaf in [leaf for row in decided for leaf in row.leaves]:
                add_leaf(connection, leaf, now=now)
            return [_keep(connection, row, now=now) for row in decided]

    def joins(self, fingerprint: str) -> tuple[Incident, Recurrence | None] | None:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["newest_incident"], [fingerprint]).fetchone()
            if row is None:
                return None
            before = _recurrence(connection, fingerprint, row[0])
            found = connection.execute(_SQL["incident"], [row[0]]).fetchone()
        return None if found is None else (_INCIDENT.decode(found[0]), before)

    def get(self, report_id: str) -> KeptReport:
        with self._database.transaction() as connection:
            return _one(connection, report_id, _SQL["one"])

    def page(
        self, where: ReportFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[KeptReport], str | None]:
        at, identifier = place_in(cursor) or (None, None)
        if where.incident_id and uuid_in(where.incident_id) is None:
            return [], None
        values = {**_values(where), "before_at": at, "before_id": identifier, "limit": limit + 1}
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], values).fetchall()
        found = [_read(row) for row in rows]
        return paged(found, limit, lambda one: (one.report.at, one.report.id))

    def count(self, where: ReportFilter, *, ceiling: int) -> int:
        if where.incident_id and uuid_in(where.incident_id) is None:
            return 0
        values = {**_values(where), "ceiling": ceiling}
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["count"], values).fetchone()
        return int(row[0]) if row is not None else 0

    def recurrences(self, incident_id: str) -> list[Recurrence]:
        if uuid_in(incident_id) is None:
            return []
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["recurrences"], [incident_id]).fetchall()
        return [Recurrence(*row) for row in rows]

    def settle(
        self,
        report_id: str,
        incident: str,
        decide: Callable[[KeptReport, Incident | None], Taken],
        *,
        by: str,
        now: datetime,
    ) -> KeptReport:
        leaves: list[Leaf] = []
        with self._database.transaction() as connection:
            kept = _one(connection, report_id, _SQL["lock"])
            check_unsettled(kept)
            found: list[Taken] = []

            def change(before: tuple[Incident, ...]) -> tuple[Change, ...]:
                found.append(decide(kept, before[0] if before else None))
                made = found[0].change
                return () if made is None else (made,)

            keys = [incident] if incident else []
            stored, leaves = change_incidents(connection, keys, change, now=now)
            taken = found[0]
            standing = Standing(taken.status, stored[0].id if stored else "", by, now, taken.reason)
            values = [standing.status, standing.incident_id or None, _json(standing)]
            connection.execute(_SQL["settle"], [*values, kept.report.id])
            if standing.incident_id:
                _count(connection, kept.report, standing.incident_id)
            for leaf in leaves:
                add_leaf(connection, leaf, now=now)
        return msgspec.structs.replace(kept, standing=standing)

    def file(self, report_id: str, digest: str, entry: CustodyEntry) -> bytes:
        with self._database.transaction() as connection:
            kept = _one(connection, report_id, _SQL["one"])
            row = connection.execute(_SQL["file"], [kept.report.id, digest]).fetchone()
            if row is None:
                raise NotFound(f'report "{report_id}" has no file "{digest}"')
            content = self._opened(kept.report.id, digest, row)
            add_custody(connection, entry, now=entry.at)
        return content

    def files_of(self, report_id: str) -> int:
        identifier = parse_uuid(report_id)
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["files_of"], [identifier]).fetchone()
        return int(row[0]) if row is not None else 0

    def erase_files(self, report_id: str) -> int:
        identifier = parse_uuid(report_id)
        with self._database.transaction() as connection:
            return connection.execute(_SQL["erase_files"], [identifier]).rowcount

    def _opened(self, report_id: str, digest: str, row: tuple[Any, ...]) -> bytes:
        content, sealed, data_key, wrapped, key_id = row
        if content is not None:
            return bytes(content)
        if not (sealed and wrapped):
            raise NotFound(f'the content of file "{digest}" was erased')
        place = place_of(report_id, digest)
        try:
            return self._opener.text(bytes(sealed), data_key, key_id, wrapped, place=place)
        except CannotOpen as error:
            raise NotFound(f'file "{digest}" cannot be opened: {error}') from error


def is_news(taken: Taken) -> bool:
    """Whether anybody has to be told: the same once more is only counted."""
    return taken.change is None or bool(taken.change.entries)


def check_unsettled(kept: KeptReport) -> None:
    """Raise when an incident has the report already.

    Raises:
        StateConflict: change that incident.
    """
    if kept.standing.status == "joined":
        raise StateConflict("an incident has this report already; merge or split incidents instead")


def _lock(connection: Connection, arrivals: Sequence[Arrival]) -> None:
    """Keep out whoever brings the same, and whoever changes what these will change."""
    fingerprints = sorted({one.report.fingerprint.digest for one in arrivals})
    ids = set()
    for fingerprint in fingerprints:
        connection.execute(_SQL["lock_fingerprint"], [fingerprint])
    for fingerprint in fingerprints:
        row = connection.execute(_SQL["newest_incident"], [fingerprint]).fetchone()
        if row is not None:
            ids.add(row[0])
    if ids:
        connection.execute(_SQL["lock_incidents"], [sorted(ids)])


def _newest_incident(connection: Connection, report: Report) -> str:
    row = connection.execute(_SQL["newest_incident"], [report.fingerprint.digest]).fetchone()
    return row[0] if row is not None else ""


def _take(
    connection: Connection, report: Report, incident_id: str, take: Take, *, now: datetime
) -> _Decided:
    found: list[Taken] = []
    before = _recurrence(connection, report.fingerprint.digest, incident_id)

    def change(incidents: tuple[Incident, ...]) -> tuple[Change, ...]:
        found.append(take(report, incidents[0] if incidents else None, before))
        made = found[0].change
        return () if made is None else (made,)

    keys = [incident_id] if incident_id else []
    stored, leaves = change_incidents(connection, keys, change, now=now)
    incident = stored[0] if stored else None
    if incident is not None:
        _count(connection, report, incident.id)
    taken = found[0]
    standing = Standing(taken.status, incident.id if incident else "", "", now, taken.reason)
    return _Decided(report, standing, incident, leaves, is_news(taken))


def _count(connection: Connection, report: Report, incident_id: str) -> None:
    before = _recurrence(connection, report.fingerprint.digest, incident_id)
    after = counted(before, report, incident_id)
    connection.execute(_SQL["keep_recurrence"], list(msgspec.structs.astuple(after)))


def _recurrence(connection: Connection, fingerprint: str, incident_id: str) -> Recurrence | None:
    if not incident_id:
        return None
    row = connection.execute(_SQL["recurrence"], [fingerprint, incident_id]).fetchone()
    return Recurrence(*row) if row is not None else None


def _keep(connection: Connection, one: _Decided, *, now: datetime) -> KeptReport:
    report, standing = one.report, one.standing
    leaf = add_leaf(connection, report_leaf(report, now=now), now=now)
    incident_id = standing.incident_id or None
    values = [report.id, report.at, report.channel, report.sender, standing.status, incident_id]
    record = report_record(report).decode()
    connection.execute(_SQL["add"], [*values, leaf, _json(standing), record])
    return KeptReport(report, standing, report_digest(report), leaf)


def _keep_files(
    connection: Connection, arrivals: Sequence[Arrival], files: SealedFiles | None
) -> None:
    for one in arrivals:
        for digest, content in one.contents.items():
            made = files.contents[one.report.id, digest] if files is not None else None
            row = [content, None, None] if made is None else [None, made.data_key, made.data]
            connection.execute(_SQL["add_file"], [one.report.id, digest, *row])


def _one(connection: Connection, report_id: str, statement: bytes) -> KeptReport:
    identifier = parse_uuid(report_id)
    row = None
    if identifier is not None:
        row = connection.execute(statement, [identifier]).fetchone()
    if row is None:
        raise NotFound(f'there is no report "{report_id}"')
    return _read(row)


def _read(row: tuple[Any, ...]) -> KeptReport:
    digest = f"sha256:{sha256(row[0].encode()).hexdigest()}"
    return KeptReport(_REPORT.decode(row[0]), _STANDING.decode(row[1]), digest, row[2])


def _values(where: ReportFilter) -> dict[str, Any]:
    return {
        "status": where.status,
        "channel": where.channel,
        "sender": where.sender,
        "incident": where.incident_id or None,
    }


def _json(standing: Standing) -> str:
    return msgspec.json.encode(standing).decode()
