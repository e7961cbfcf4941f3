"""Archives: months of evidence that moved from the database to Parquet files elsewhere.

What says *that* something was decided stays in the database: every event's narrow row, by which it
is filtered, counted, deduplicated and proved to exist. What was decided and said moves: records,
contents (sealed as they are), evaluations; and the index of words goes. Reads fetch them back.

Implemented by ``store/archives.py`` on PostgreSQL and by ``store/memory_archives.py``; both pass
the same contract tests.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, Literal, Protocol

import msgspec

from kintsugi.model.custody import CustodyEntry, custody_entry
from kintsugi.model.query import QueryResult

ArchiveTask = Literal["write", "verify", "restore"]
ArchiveState = Literal["queued", "running", "done", "failed", "cancelled"]
Holds = Literal["events", "evaluations"]

OLDER_THAN_MONTHS: Final = 6
"""How many whole months must lie between a month and now before it is archived."""
FINDINGS_MAX: Final = 100

_MONTH: Final = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")


class ArchivedFile(msgspec.Struct, frozen=True):
    """One Parquet file.

    Attributes:
        first_position, last_position: of the events that it is about.
    """

    name: str
    holds: Holds
    rows: int
    first_position: int
    last_position: int
    bytes: int
    sha256: str


class ArchiveFinding(msgspec.Struct, frozen=True):
    """Something that is not as it was written."""

    where: str
    what: str


class Archive(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was moved of one month at one time, and the task that is done with it now or was last.

    A month may have several: what came late is archived as an addition.

    Attributes:
        id: UUIDv7.
        month: ``2026-01`` (UTC).
        actor: as custody names it.
        attempt: how often it was claimed; set by ``ArchiveStore.claim``.
        place: where it was written, without credentials.
        until_position: events that were stored later are not in it.
        total, worked: events that the task is about, None until counted, and how many of them it
            has worked through.
        cursor: name of the file that the task handled last.
        events, evaluations, files, bytes: what was written so far.
        manifest_sha256: of ``manifest.json``, which names every file with its digest.
        archived_at: since when the database does without what is in the files.
        restored_at: since when it has it again.
        expired_at: since when its records' time is over.
        removed_at: since when its files are gone, after that.
        verified_at, findings: the last verification; at most ``FINDINGS_MAX`` are kept.
    """

    id: str
    month: str
    created_at: datetime
    created_by: str
    actor: str
    reason: str = ""
    task: ArchiveTask = "write"
    state: ArchiveState = "queued"
    attempt: int = 0
    place: str = ""
    until_position: int = 0
    total: int | None = None
    worked: int = 0
    cursor: str = ""
    events: int = 0
    evaluations: int = 0
    files: int = 0
    bytes: int = 0
    manifest_sha256: str = ""
    archived_at: datetime | None = None
    restored_at: datetime | None = None
    expired_at: datetime | None = None
    removed_at: datetime | None = None
    verified_at: datetime | None = None
    findings: tuple[ArchiveFinding, ...] = ()
    error: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def in_force(self) -> bool:
        """Whether reads depend on its files."""
        return self.archived_at is not None and self.restored_at is None and self.expired_at is None

    @property
    def folder(self) -> str:
        """Where its files are, below the archive's address."""
        return f"{self.month}/{self.id}"

    @property
    def unfinished(self) -> bool:
        """Whether its task still waits or runs."""
        return self.state in ("queued", "running")


class Manifest(msgspec.Struct, frozen=True):
    """``manifest.json``: what an archive holds, for people and programs that have nothing else.

    Attributes:
        format: of the files; see docs/archive.md.
        schema: the migration of the database that they come from.
        first_leaf, last_leaf: of the log; the batches of these events lie between them.
    """

    format: int
    kintsugi: str
    schema: str
    id: str
    month: str
    until_position: int
    events: int
    evaluations: int
    first_leaf: int
    last_leaf: int
    files: tuple[ArchivedFile, ...]


class MonthSize(msgspec.Struct, frozen=True):
    """A month of events in the database.

    Attributes:
        events: about how many of its events have their records here, as the database's own
            statistics have it.
        moving_bytes, staying_bytes: on the database's disk, indexes included: what an archive
            takes away, and the narrow rows that stay.
    """

    month: str
    events: int
    moving_bytes: int
    staying_bytes: int


class ArchiveStore(Protocol):
    """Archives and the tasks that make, check and undo them. A task is done in steps, each of which
    is durable, so that it goes on where it was when a process died."""

    @property
    def place(self) -> str:
        """Where archives are kept, without credentials; empty where no place is named."""

    def months(self) -> list[MonthSize]:
        """Every month with records in the database, oldest first."""

    def request(self, archive: Archive) -> None:
        """Queue the writing of one.

        Raises:
            StateConflict: the month has an unfinished task already.
            InvalidInput: its id is taken or is no UUID.
        """

    def request_again(self, archive_id: str, task: ArchiveTask, *, now: datetime) -> Archive:
        """Queue another task for one: ``verify`` or ``restore`` of what is archived, or ``write``
        to go on with one that failed or was cancelled.

        Raises:
            NotFound: there is none with this id.
            StateConflict: it does not fit what the archive is now.
        """

    def get(self, archive_id: str) -> Archive:
        """One archive.

        Raises:
            NotFound: there is none with this id.
        """

    def page(
        self, *, month: str = "", limit: int, cursor: str | None = None
    ) -> tuple[list[Archive], str | None]:
        """Newest first, and the cursor of the next page."""

    def in_force(self, *, month: str = "") -> list[Archive]:
        """Those that reads depend on, by month; all months where none is named."""

    def files(self, archive_id: str) -> list[ArchivedFile]:
        """The files of one, in order."""

    def remove_expired(self, *, now: datetime) -> int:
        """Remove the files of archives whose records' time is over, each with an entry of custody;
        of how many archives.

        Raises:
            ArchiveUnavailable: the place cannot be reached; what is left goes with the next call.
        """

    def claim(self, *, now: datetime, stale_after_seconds: float) -> Archive | None:
        """Take the oldest queued task, or a running one that showed no progress for so long."""

    def step(self, archive: Archive, *, now: datetime) -> Archive:
        """Do the next piece of a claimed task; ``state`` of what comes back is ``done`` after the
        last one.

        Raises:
            VersionConflict: it was cancelled, or somebody else claimed it; stop working on it.
            ArchiveUnavailable: the place cannot be read or written.
            StateConflict: the month cannot be archived as it is; the message says why.
            ProofInvalid: what would be archived does not agree with the log.
        """

    def end(self, archive: Archive, *, now: datetime) -> None:
        """Save a claimed task's end or its return to the queue.

        Raises:
            VersionConflict: see ``step``.
        """

    def cancel(self, archive_id: str, *, now: datetime) -> Archive:
        """Stop an unfinished task at its next step.

        Raises:
            NotFound: there is none with this id.
            StateConflict: it has ended.
        """

    def look(self) -> list[ArchiveFinding]:
        """Whether every archive in force can be reached, has the manifest that the log tells of,
        and all its files with the sizes they had; empty where all is well. Reads no file."""

    def query(
        self, statement: str, *, months: list[str], row_limit: int, timeout_seconds: float
    ) -> QueryResult:
        """Run one reading statement over the contract's views of archived months alone.

        Args:
            months: which; empty for all.

        Raises:
            QueryRefused: not allowed, wrong, or too slow.
            ArchiveUnavailable: a file that it needs is not to be had.
            NotFound: a month is not archived.
        """


def parse_month(text: str) -> tuple[datetime, datetime]:
    """The first moment of a month and of the one after it, in UTC.

    Raises:
        ValueError: the text is no month.
    """
    found = _MONTH.fullmatch(text)
    if found is None:
        raise ValueError(f'"{text}" is no month; write it like 2026-01')
    year, month = int(found[1]), int(found[2])
    following = (year + 1, 1) if month == 12 else (year, month + 1)
    return datetime(year, month, 1, tzinfo=UTC), datetime(*following, 1, tzinfo=UTC)


def month_of(moment: datetime) -> str:
    """The month of a moment, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m}"


def is_old_enough(month: str, *, months: int, now: datetime) -> bool:
    """Whether a month has ended, and so many whole months have gone by since.

    A day more must have passed: clocks may be ahead by as much (``store/admissible.py``).
    """
    _, end = parse_month(month)
    index = end.year * 12 + end.month - 1 + months
    until = datetime(index // 12, index % 12 + 1, 2, tzinfo=UTC)
    return now >= until


def removed_entry(archive: Archive, *, now: datetime) -> CustodyEntry:
    """What custody says when the files of an archive are gone."""
    return custody_entry(
        "delete",
        f"archive:{archive.id}",
        actor="system/retention",
        now=now,
        reason=f"the records of {archive.month} expired: {archive.files} files removed",
        digest_before=f"sha256:{archive.manifest_sha256}",
    )
