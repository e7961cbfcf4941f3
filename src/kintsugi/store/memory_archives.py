"""Archives in memory, for unit tests: files are entries of a dictionary, which reads depend on."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec

from kintsugi.errors import (
    ArchiveDamaged,
    ArchiveUnavailable,
    InvalidInput,
    NotFound,
    QueryRefused,
    StateConflict,
    VersionConflict,
)
from kintsugi.model.archive import (
    Archive,
    ArchivedFile,
    ArchiveFinding,
    ArchiveTask,
    MonthSize,
    month_of,
    removed_entry,
)
from kintsugi.model.custody import CustodyStore, custody_entry
from kintsugi.model.event import DecisionEvent
from kintsugi.model.events import StoredEvent
from kintsugi.model.ids import uuid7_time
from kintsugi.model.query import QueryResult
from kintsugi.store.archives import asked_again
from kintsugi.store.cursors import decode_cursor, paged
from kintsugi.store.uuids import parse_uuid

_EVENTS_PER_FILE = 3


class MemoryShelf:
    """What was moved, and where to.

    Attributes:
        files: their bytes by path; a test that takes one away, or changes it, is an accident at
            the archive.
        held_in: the path that an event was moved to.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.digests: dict[str, str] = {}
        self.held_in: dict[str, str] = {}

    def put(self, path: str, records: list[DecisionEvent]) -> ArchivedFile:
        """Write a file."""
        self.files[path] = msgspec.json.encode(records)
        self.digests[path] = sha256(self.files[path]).hexdigest()
        name = path.rpartition("/")[2]
        return ArchivedFile(
            name, "events", len(records), 0, 0, len(self.files[path]), self.digests[path]
        )

    def month(self, event_id: str) -> str:
        """The month that an event was archived with; empty where it was not."""
        return self.held_in.get(event_id, "").partition("/")[0]

    def read(self, event: DecisionEvent) -> DecisionEvent:
        """The event, from its file if it was moved to one."""
        path = self.held_in.get(event.id)
        if path is None:
            return event
        if problem := self.wrong(path):
            kind = ArchiveUnavailable if path not in self.files else ArchiveDamaged
            raise kind(f"memory:/{path} {problem}")
        records = msgspec.json.decode(self.files[path], type=list[DecisionEvent])
        return next(one for one in records if one.id == event.id)

    def wrong(self, path: str) -> str:
        """What is not as it was written; empty where all is well."""
        if path not in self.files:
            return "is missing"
        same = sha256(self.files[path]).hexdigest() == self.digests[path]
        return "" if same else f"its SHA-256 is not {self.digests[path]}"


class MemoryArchives:
    """The same promises as ``PostgresArchives``.

    Args:
        stored: every event with its position.
    """

    def __init__(
        self,
        shelf: MemoryShelf,
        stored: Callable[[], list[StoredEvent]],
        custody: CustodyStore,
        announce: Callable[[], None],
    ) -> None:
        self.shelf = shelf
        self._stored = stored
        self._custody = custody
        self._announce = announce
        self._archives: dict[str, tuple[Archive, datetime]] = {}
        self._files: dict[str, list[ArchivedFile]] = {}

    @property
    def place(self) -> str:
        return "memory:/"

    def months(self) -> list[MonthSize]:
        months = sorted({month_of(uuid7_time(one.event.id)) for one in self._stored()})
        sizes = [MonthSize(month, len(self._hot(month)), 0, 0) for month in months]
        return [size for size in sizes if size.events]

    def request(self, archive: Archive) -> None:
        if parse_uuid(archive.id) is None or archive.id in self._archives:
            raise InvalidInput(f'"{archive.id}" cannot be the id of a new archive')
        self._require_free(archive.month)
        self._keep(archive, archive.created_at)

    def request_again(self, archive_id: str, task: ArchiveTask, *, now: datetime) -> Archive:
        again = asked_again(self.get(archive_id), task)
        self._require_free(again.month)
        self._keep(again, now)
        return again

    def get(self, archive_id: str) -> Archive:
        if archive_id not in self._archives:
            raise NotFound(f'there is no archive "{archive_id}"')
        return self._archives[archive_id][0]

    def page(
        self, *, month: str = "", limit: int, cursor: str | None = None
    ) -> tuple[list[Archive], str | None]:
        found = [one for one, _ in self._archives.values() if month in ("", one.month)]
        if cursor:
            before = decode_cursor(cursor)
            found = [one for one in found if (one.created_at, one.id) < before]
        found.sort(key=lambda one: (one.created_at, one.id), reverse=True)
        return paged(found, limit, lambda one: (one.created_at, one.id))

    def in_force(self, *, month: str = "") -> list[Archive]:
        found = [
            one for one, _ in self._archives.values() if one.in_force and month in ("", one.month)
        ]
        return sorted(found, key=lambda one: (one.month, one.created_at, one.id))

    def files(self, archive_id: str) -> builtins.list[ArchivedFile]:
        return list(self._files.get(archive_id, []))

    def expire(self, month: str, *, now: datetime) -> None:
        """The records of a month are gone, and so are its archives."""
        for archive in self.in_force(month=month):
            self._keep(msgspec.structs.replace(archive, expired_at=now), now)

    def unfinished(self, month: str) -> list[str]:
        """Ids of the archives of a month that somebody works on."""
        found = [one for one, _ in self._archives.values() if one.month == month]
        return [one.id for one in found if one.unfinished]

    def remove_expired(self, *, now: datetime) -> int:
        due = [one for one, _ in self._archives.values() if one.expired_at and not one.removed_at]
        for archive in due:
            for file in self.files(archive.id):
                path = f"{archive.folder}/{file.name}"
                self.shelf.files.pop(path, None)
                self.shelf.digests.pop(path, None)
            gone = msgspec.structs.replace(archive, removed_at=now)
            self._custody.add(removed_entry(gone, now=now))
            self._keep(gone, now)
        return len(due)

    def claim(self, *, now: datetime, stale_after_seconds: float) -> Archive | None:
        stale = now - timedelta(seconds=stale_after_seconds)
        free = [
            one
            for one, progress_at in self._archives.values()
            if one.state == "queued" or (one.state == "running" and progress_at < stale)
        ]
        if not free:
            return None
        oldest = min(free, key=lambda one: (one.created_at, one.id))
        claimed = msgspec.structs.replace(
            oldest,
            state="running",
            attempt=oldest.attempt + 1,
            started_at=oldest.started_at or now,
        )
        self._keep(claimed, now)
        return claimed

    def step(self, archive: Archive, *, now: datetime) -> Archive:
        self._require_own(archive)
        work = {"write": self._write, "verify": self._verify, "restore": self._restore}
        done = work[archive.task](archive, now)
        self._keep(done, now)
        return done

    def end(self, archive: Archive, *, now: datetime) -> None:
        self._require_own(archive)
        self._keep(archive, now)

    def cancel(self, archive_id: str, *, now: datetime) -> Archive:
        found = self.get(archive_id)
        if not found.unfinished:
            raise StateConflict(f"archive {found.id} is {found.state}; nothing is to be stopped")
        stopped = msgspec.structs.replace(found, state="cancelled", finished_at=now)
        self._keep(stopped, now)
        return stopped

    def look(self) -> list[ArchiveFinding]:
        return [
            ArchiveFinding(path, problem)
            for archive in self.in_force()
            for file in self.files(archive.id)
            if (problem := self.shelf.wrong(path := f"{archive.folder}/{file.name}"))
        ]

    def query(
        self,
        statement: str,  # noqa: ARG002 - the protocol's
        *,
        months: builtins.list[str],
        row_limit: int,  # noqa: ARG002
        timeout_seconds: float,  # noqa: ARG002
    ) -> QueryResult:
        known = {archive.month for archive in self.in_force()}
        if not known or set(months) - known:
            raise NotFound(f"{', '.join(months) or 'nothing'} is archived")
        raise QueryRefused("archives in memory read no SQL")

    def _write(self, archive: Archive, now: datetime) -> Archive:
        hot = self._hot(archive.month)
        if archive.total is None:
            if not hot:
                raise StateConflict(f"nothing of {archive.month} is in the database to be archived")
            return msgspec.structs.replace(
                archive, place=self.place, total=len(hot), until_position=len(self._stored())
            )
        written = {path for path in self.shelf.digests if path.startswith(archive.folder)}
        moved = [one for one in hot if one.position <= archive.until_position]
        rest = moved[archive.worked :]
        if rest:
            some = [one.event for one in rest[:_EVENTS_PER_FILE]]
            path = f"{archive.folder}/{len(written) + 1:06d}-events"
            file = self.shelf.put(path, some)
            self._files.setdefault(archive.id, []).append(file)
            return msgspec.structs.replace(
                archive,
                worked=archive.worked + len(some),
                events=archive.events + len(some),
                files=archive.files + 1,
                bytes=archive.bytes + file.bytes,
            )
        for path in written:
            for event in msgspec.json.decode(self.shelf.files[path], type=list[DecisionEvent]):
                self.shelf.held_in[event.id] = path
        digest = sha256("".join(sorted(self.shelf.digests[path] for path in written)).encode())
        self._custody.add(
            custody_entry(
                "archive",
                f"archive:{archive.id}",
                actor=archive.actor,
                now=now,
                reason=archive.reason,
                digest_after=f"sha256:{digest.hexdigest()}",
            )
        )
        return msgspec.structs.replace(
            archive,
            manifest_sha256=digest.hexdigest(),
            state="done",
            archived_at=now,
            finished_at=now,
        )

    def _verify(self, archive: Archive, now: datetime) -> Archive:
        findings = [
            ArchiveFinding(path, problem)
            for file in self.files(archive.id)
            if (problem := self.shelf.wrong(path := f"{archive.folder}/{file.name}"))
        ]
        digest = f"sha256:{archive.manifest_sha256}"
        self._custody.add(
            custody_entry(
                "verify",
                f"archive:{archive.id}",
                actor=archive.actor,
                now=now,
                reason=f"{len(findings)} findings" if findings else "as written",
                digest_before=digest,
                digest_after="" if findings else digest,
            )
        )
        return msgspec.structs.replace(
            archive,
            state="done",
            worked=archive.events,
            findings=tuple(findings),
            verified_at=now,
            finished_at=now,
        )

    def _restore(self, archive: Archive, now: datetime) -> Archive:
        back = {f"{archive.folder}/{file.name}" for file in self.files(archive.id)}
        for stored in self._stored():
            if self.shelf.held_in.get(stored.event.id) in back:
                self.shelf.read(stored.event)
        for event_id, path in list(self.shelf.held_in.items()):
            if path in back:
                del self.shelf.held_in[event_id]
        self._custody.add(
            custody_entry(
                "archive",
                f"archive:{archive.id}",
                actor=archive.actor,
                now=now,
                reason=archive.reason or "brought back",
                digest_before=f"sha256:{archive.manifest_sha256}",
            )
        )
        return msgspec.structs.replace(
            archive, state="done", worked=archive.events, restored_at=now, finished_at=now
        )

    def _hot(self, month: str) -> list[StoredEvent]:
        return [
            one
            for one in self._stored()
            if month_of(uuid7_time(one.event.id)) == month
            and one.event.id not in self.shelf.held_in
        ]

    def _keep(self, archive: Archive, now: datetime) -> None:
        self._archives[archive.id] = (archive, now)
        self._announce()

    def _require_free(self, month: str) -> None:
        if any(one.unfinished for one, _ in self._archives.values() if one.month == month):
            raise StateConflict(
                f"{month} is being worked on already; see `kt archive list`, and wait or cancel "
                "that"
            )

    def _require_own(self, archive: Archive) -> None:
        found = self.get(archive.id)
        if not found.unfinished or found.attempt != archive.attempt:
            raise VersionConflict(
                f'archive "{archive.id}" is {found.state} (attempt {found.attempt}) by now'
            )
