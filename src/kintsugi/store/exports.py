"""Export jobs in PostgreSQL: a queue whose jobs outlive the process that works on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from kintsugi.errors import InvalidInput, NotFound, VersionConflict
from kintsugi.model.custody import CustodyEntry
from kintsugi.model.exports import ExportJob, withdrawn
from kintsugi.model.notice_sources import concerns_incident, of_export
from kintsugi.store.connections import Connection, Database
from kintsugi.store.cursors import decode_cursor, paged
from kintsugi.store.custody import add_custody
from kintsugi.store.notices import add_notice
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("exports")
_JOB: Final = msgspec.json.Decoder(ExportJob)
_UNFINISHED: Final = ("queued", "running")
_AFTER_ALL = (datetime(9999, 1, 1, tzinfo=UTC), "")


class PostgresExports:
    """The export store of the protocol in ``model/exports.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job: ExportJob) -> None:
        values = [job.id, job.state, job.attempt, job.created_at, job.created_at, _encode(job)]
        with self._database.transaction() as connection:
            if connection.execute(_SQL["add"], values).rowcount == 0:
                raise InvalidInput(f'there is already an export "{job.id}"')
            connection.execute(_SQL["announce"])

    def get(self, job_id: str) -> ExportJob:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["get"], [job_id]).fetchone()
        if row is None:
            raise NotFound(f'there is no export "{job_id}"')
        return _JOB.decode(row[0])

    def page(self, *, limit: int, cursor: str | None = None) -> tuple[list[ExportJob], str | None]:
        before = decode_cursor(cursor) if cursor else _AFTER_ALL
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], [*before, limit + 1]).fetchall()
        shown, after = paged(rows, limit, lambda row: (row[0], row[1]))
        return [_JOB.decode(job) for _, _, job in shown], after

    def claim(self, *, now: datetime, stale_after_seconds: float) -> ExportJob | None:
        stale = now - timedelta(seconds=stale_after_seconds)
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["claimable"], [stale]).fetchone()
            if row is None:
                return None
            job = _JOB.decode(row[0])
            claimed = msgspec.structs.replace(
                job, state="running", started_at=now, attempt=job.attempt + 1
            )
            _update(connection, claimed, now=now)
        return claimed

    def update(self, job: ExportJob, *, now: datetime, custody: CustodyEntry | None = None) -> None:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["lock"], [job.id]).fetchone()
            if row is None:
                raise NotFound(f'there is no export "{job.id}"')
            state, attempt = row
            if state not in _UNFINISHED or attempt != job.attempt:
                raise VersionConflict(f'export "{job.id}" is {state} (attempt {attempt}) by now')
            _update(connection, job, now=now)
            if concerns_incident(job):
                add_notice(connection, of_export(job, now=now))
            if custody is not None:
                add_custody(connection, custody, now=now)

    def withdraw(self, job_id: str, *, erasure_id: str, now: datetime) -> ExportJob:
        with self._database.transaction() as connection:
            connection.execute(_SQL["lock"], [job_id])
            row = connection.execute(_SQL["get"], [job_id]).fetchone()
            if row is None:
                raise NotFound(f'there is no export "{job_id}"')
            before = _JOB.decode(row[0])
            _update(connection, withdrawn(before, erasure_id=erasure_id), now=now)
        return before


def _update(connection: Connection, job: ExportJob, *, now: datetime) -> None:
    connection.execute(_SQL["update"], [job.state, job.attempt, now, _encode(job), job.id])
    connection.execute(_SQL["announce"])


def _encode(job: ExportJob) -> str:
    return msgspec.json.encode(job).decode()
