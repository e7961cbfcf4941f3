"""Archives in PostgreSQL: a queue whose tasks outlive the process that works on them."""

from __future__ import annotations

import builtins
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import psycopg

from kintsugi.errors import (
    ArchiveUnavailable,
    InvalidInput,
    NotFound,
    StateConflict,
    VersionConflict,
)
from kintsugi.model.archive import (
    Archive,
    ArchivedFile,
    ArchiveFinding,
    ArchiveTask,
    MonthSize,
    parse_month,
    removed_entry,
)
from kintsugi.model.query import QueryResult
from kintsugi.store.archive_query import run_over_archive
from kintsugi.store.archive_shelf import Copies, Shelf
from kintsugi.store.archive_tasks import MANIFEST, Tasks
from kintsugi.store.connections import Connection, Database
from kintsugi.store.cursors import decode_cursor, paged
from kintsugi.store.custody import add_custody
from kintsugi.store.statements import load_statements
from kintsugi.store.uuids import parse_uuid

_SQL: Final = load_statements("archives")
_ARCHIVE: Final = msgspec.json.Decoder(Archive)
_AFTER_ALL: Final = (datetime(9999, 1, 1, tzinfo=UTC), "ffffffff-ffff-ffff-ffff-ffffffffffff")
_COUNTED_MAX: Final = 1_000_000


class PostgresArchives:
    """The archive store of the protocol in ``model/archive.py``."""

    def __init__(self, database: Database, shelf: Shelf, copies: Copies, tasks: Tasks) -> None:
        self._database = database
        self._shelf = shelf
        self._copies = copies
        self._tasks = tasks

    @property
    def place(self) -> str:
        return self._shelf.address

    def months(self) -> list[MonthSize]:
        with self._database.transaction() as connection:
            sizes = []
            for month, events, moving, staying in connection.execute(_SQL["month_sizes"]):
                if events == 0:  # no statistics yet, or nothing is left of it
                    first, end = parse_month(month)
                    values = {"first": first, "end": end, "ceiling": _COUNTED_MAX}
                    row = connection.execute(_SQL["has_hot"], values).fetchone()
                    events = row[0] if row is not None else 0
                if events:
                    sizes.append(MonthSize(month, events, moving, staying))
        return sizes

    def request(self, archive: Archive) -> None:
        values = [archive.id, archive.created_at, archive.month, archive.state, archive.attempt]
        values += [archive.created_at, archive.in_force, _json(archive)]
        if parse_uuid(archive.id) is None:
            raise InvalidInput(f'"{archive.id}" cannot be the id of a new archive')
        with self._database.transaction() as connection:
            try:
                connection.execute(_SQL["add"], values)
            except psycopg.errors.UniqueViolation as error:
                if error.diag.constraint_name == "archives_unfinished":
                    raise _busy(archive.month) from None
                raise InvalidInput(f'there is already an archive "{archive.id}"') from None
            connection.execute(_SQL["announce"])

    def request_again(self, archive_id: str, task: ArchiveTask, *, now: datetime) -> Archive:
        with self._database.transaction() as connection:
            again = asked_again(_locked(connection, archive_id), task)
            try:
                _save(connection, again, now=now)
            except psycopg.errors.UniqueViolation:
                raise _busy(again.month) from None
        return again

    def get(self, archive_id: str) -> Archive:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["get"], [parse_uuid(archive_id)]).fetchone()
        if row is None:
            raise NotFound(f'there is no archive "{archive_id}"')
        return _ARCHIVE.decode(row[0])

    def page(
        self, *, month: str = "", limit: int, cursor: str | None = None
    ) -> tuple[list[Archive], str | None]:
        at, identifier = decode_cursor(cursor) if cursor else _AFTER_ALL
        before = parse_uuid(identifier)
        if before is None:
            raise InvalidInput("the cursor is not one that this server gave out")
        values = {"month": month, "before_at": at, "before_id": before, "limit": limit + 1}
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], values).fetchall()
        shown, after = paged(rows, limit, lambda row: (row[0], row[1]))
        return [_ARCHIVE.decode(record) for _, _, record in shown], after

    def in_force(self, *, month: str = "") -> list[Archive]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["in_force"], {"month": month}).fetchall()
        return [_ARCHIVE.decode(record) for (record,) in rows]

    def files(self, archive_id: str) -> builtins.list[ArchivedFile]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["files"], [parse_uuid(archive_id)]).fetchall()
        return [ArchivedFile(*row) for row in rows]

    def remove_expired(self, *, now: datetime) -> int:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["expired"]).fetchall()
        for (record,) in rows:
            archive = _ARCHIVE.decode(record)
            names = self._shelf.sizes(archive.folder)
            self._shelf.remove([f"{archive.folder}/{name}" for name in names])
            self._copies.forget([file.sha256 for file in self.files(archive.id)])
            gone = msgspec.structs.replace(archive, removed_at=now)
            with self._database.transaction() as connection:
                if _locked(connection, archive.id).removed_at is None:
                    _save(connection, gone, now=now)
                    add_custody(connection, removed_entry(gone, now=now), now=now)
        return len(rows)

    def claim(self, *, now: datetime, stale_after_seconds: float) -> Archive | None:
        stale = now - timedelta(seconds=stale_after_seconds)
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["claimable"], [stale]).fetchone()
            if row is None:
                return None
            found = _ARCHIVE.decode(row[0])
            claimed = msgspec.structs.replace(
                found,
                state="running",
                attempt=found.attempt + 1,
                started_at=found.started_at or now,
            )
            _save(connection, claimed, now=now)
        return claimed

    def step(self, archive: Archive, *, now: datetime) -> Archive:
        def save(connection: Connection, changed: Archive) -> None:
            _require_own(connection, archive)
            _save(connection, changed, now=now)

        work = {
            "write": self._tasks.write,
            "verify": self._tasks.verify,
            "restore": self._tasks.restore,
        }
        return work[archive.task](archive, save, now=now)

    def end(self, archive: Archive, *, now: datetime) -> None:
        with self._database.transaction() as connection:
            _require_own(connection, archive)
            _save(connection, archive, now=now)

    def cancel(self, archive_id: str, *, now: datetime) -> Archive:
        with self._database.transaction() as connection:
            found = _locked(connection, archive_id)
            if not found.unfinished:
                raise StateConflict(
                    f"archive {found.id} is {found.state}; there is nothing to stop"
                )
            stopped = msgspec.structs.replace(found, state="cancelled", finished_at=now)
            _save(connection, stopped, now=now)
        return stopped

    def look(self) -> list[ArchiveFinding]:
        found = []
        for archive in self.in_force():
            try:
                sizes = self._shelf.sizes(archive.folder)
                with self._copies.scratch() as back:
                    digest = self._shelf.fetch(f"{archive.folder}/{MANIFEST}", back)
            except (ArchiveUnavailable, OSError) as error:
                found.append(ArchiveFinding(archive.folder, str(error)))
                continue
            if digest != archive.manifest_sha256:
                what = f"its SHA-256 is not {archive.manifest_sha256}, which the log tells of"
                found.append(ArchiveFinding(f"{archive.folder}/{MANIFEST}", what))
            for file in self.files(archive.id):
                if (size := sizes.get(file.name)) != file.bytes:
                    now = "is missing" if size is None else f"has {size:,} bytes"
                    what = f"{now}; {file.bytes:,} were written"
                    found.append(ArchiveFinding(f"{archive.folder}/{file.name}", what))
        return found

    def query(
        self,
        statement: str,
        *,
        months: builtins.list[str],
        row_limit: int,
        timeout_seconds: float,
    ) -> QueryResult:
        archives = self.in_force()
        if unknown := sorted(set(months) - {archive.month for archive in archives}):
            raise NotFound(f"{', '.join(unknown)} is not archived; `kt archive list` shows what is")
        files = [
            (f"{archive.folder}/{file.name}", file)
            for archive in archives
            if not months or archive.month in months
            for file in self.files(archive.id)
        ]
        if not files:
            raise NotFound("nothing is archived yet; `kt sql` without --archive has all there is")
        return run_over_archive(
            statement,
            {
                holds: [
                    self._copies.path(name, one.sha256) for name, one in files if one.holds == holds
                ]
                for holds in ("events", "evaluations")
            },
            row_limit=row_limit,
            timeout_seconds=timeout_seconds,
        )


def asked_again(archive: Archive, task: ArchiveTask) -> Archive:
    """An archive with another task in the queue.

    Raises:
        StateConflict: the task does not fit what the archive is now.
    """
    if archive.unfinished:
        raise _busy(archive.month)
    if task == "write":
        if archive.archived_at is not None:
            raise StateConflict(f"archive {archive.id} is written already")
        return msgspec.structs.replace(archive, state="queued", error="", finished_at=None)
    if not archive.in_force:
        now = "was brought back" if archive.restored_at else "was never finished"
        now = "has expired" if archive.expired_at else now
        raise StateConflict(f"archive {archive.id} of {archive.month} {now}")
    # Bringing back goes on where it was; a verification looks at everything anew.
    goes_on = task == "restore" == archive.task and archive.state != "done"
    return msgspec.structs.replace(
        archive,
        task=task,
        state="queued",
        total=archive.events,
        worked=archive.worked if goes_on else 0,
        cursor=archive.cursor if goes_on else "",
        findings=() if task == "verify" else archive.findings,
        error="",
        finished_at=None,
    )


def _busy(month: str) -> StateConflict:
    return StateConflict(
        f"{month} is being worked on already; see `kt archive list`, and wait or cancel that"
    )


def _locked(connection: Connection, archive_id: str) -> Archive:
    row = connection.execute(_SQL["lock"], [parse_uuid(archive_id)]).fetchone()
    if row is None:
        raise NotFound(f'there is no archive "{archive_id}"')
    return _ARCHIVE.decode(row[2])


def _require_own(connection: Connection, archive: Archive) -> None:
    row = connection.execute(_SQL["lock"], [parse_uuid(archive.id)]).fetchone()
    if row is None:
        raise NotFound(f'there is no archive "{archive.id}"')
    state, attempt, _ = row
    if state not in ("queued", "running") or attempt != archive.attempt:
        raise VersionConflict(f'archive "{archive.id}" is {state} (attempt {attempt}) by now')


def _save(connection: Connection, archive: Archive, *, now: datetime) -> None:
    values = [archive.state, archive.attempt, now, archive.in_force, _json(archive), archive.id]
    connection.execute(_SQL["save"], values)
    connection.execute(_SQL["announce"])


def _json(archive: Archive) -> str:
    return msgspec.json.encode(archive).decode()
