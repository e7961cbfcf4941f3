"""The erasure of what one subject said and was answered: its job, its proof, its memory.

Implemented by ``store/erasures.py`` on PostgreSQL and by ``store/memory_vault.py``; both pass the
same contract tests.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Literal, Protocol, Self

import msgspec

from kintsugi.model.custody import CustodyEntry, custody_entry
from kintsugi.model.vault import Subject

ErasureState = Literal["queued", "running", "done", "failed"]


class PlaceReached(msgspec.Struct, frozen=True):
    """One place outside the events that an erasure looked at.

    Attributes:
        removed: how many things of it were removed.
        detail: what, or why it failed.
    """

    name: str
    outcome: Literal["done", "failed", "not attempted"]
    removed: int = 0
    detail: str = ""


class ErasureJob(msgspec.Struct, frozen=True):
    """The erasure of everything that one subject said and was answered, up to a moment.

    Attributes:
        subject: as ``str(Subject)``.
        attempt: how often it was claimed; set by ``ErasureStore.claim``.
        keys: ids of the data keys that were destroyed.
        until_position: of the last event that it covers; events that are stored later are new
            content under a new key, except what is older than ``destroyed_at`` by its timestamp.
        destroyed_at: when the keys were destroyed, from which on nothing can be read any more;
            None before.
        total, erased: events to go through, and how many were.
        texts: rows of full text that were removed.
        cursor: where it goes on after an interruption.
        salt: hex; in the receipt, so that its digest in the log tells nobody whose it was.
        leaf: position of the log's leaf; None before the end.
        reapplied_at: when it was done once more, on a database from before it; ``created_at`` is
            when it was done first, then.
    """

    id: str
    subject: str
    reason: str
    requested_by: str
    state: ErasureState
    created_at: datetime
    salt: str = ""
    attempt: int = 0
    keys: tuple[str, ...] = ()
    until_position: int = 0
    destroyed_at: datetime | None = None
    total: int = 0
    erased: int = 0
    texts: int = 0
    cursor: str = ""
    places: tuple[PlaceReached, ...] = ()
    error: str = ""
    leaf: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reapplied_at: datetime | None = None


class Receipt(msgspec.Struct, frozen=True):
    """What the log's leaf of an erasure is the digest of; whoever holds it can prove it."""

    id: str
    subject: str
    reason: str
    requested_by: str
    salt: str
    keys: tuple[str, ...]
    until_position: int
    destroyed_at: datetime
    finished_at: datetime
    events: int
    texts: int
    places: tuple[PlaceReached, ...]
    reapplied_at: datetime | None = None

    @classmethod
    def of(cls, job: ErasureJob, *, finished_at: datetime) -> Self:
        """The receipt of a job whose content is gone."""
        return cls(
            id=job.id,
            subject=job.subject,
            reason=job.reason,
            requested_by=job.requested_by,
            salt=job.salt,
            keys=job.keys,
            until_position=job.until_position,
            destroyed_at=job.destroyed_at or finished_at,
            finished_at=finished_at,
            events=job.erased,
            texts=job.texts,
            places=job.places,
            reapplied_at=job.reapplied_at,
        )

    @property
    def digest(self) -> str:
        """``sha256:...`` of its canonical JSON."""
        data = msgspec.json.encode(self, order="deterministic")
        return f"sha256:{sha256(data).hexdigest()}"


class Remembered(msgspec.Struct, frozen=True):
    """An erasure as it is remembered outside the database, so that no restore undoes it."""

    id: str
    subject: str
    reason: str
    requested_by: str
    destroyed_at: datetime

    @classmethod
    def of(cls, job: ErasureJob) -> Self:
        """What to remember of a job whose keys were destroyed."""
        at = job.destroyed_at or job.created_at
        return cls(job.id, job.subject, job.reason, job.requested_by, at)


class Left(msgspec.Struct, frozen=True):
    """What of an erased subject can still be found; all zero when it is gone.

    Attributes:
        keys: data keys of the job that can still be used.
        contents: payloads, up to its last event, that still hold anything.
        texts: rows of full text of these events.
    """

    keys: int
    contents: int
    texts: int


class ErasurePlace(Protocol):
    """Somewhere outside the events where content of a subject may be: result files of exports,
    source data of packages, regression cases. Each registers with the vault's worker."""

    name: str

    def holds(self, subject: Subject, /) -> int:
        """How many things would be removed, for a dry run."""

    def erase(self, subject: Subject, /, *, erasure_id: str) -> PlaceReached:
        """Remove everything of the subject; again is harmless. Called after its keys were
        destroyed, so that whatever is made anew holds nothing of it."""

    def left(self, subject: Subject, /, *, erasure_id: str) -> int:
        """How many things that ``erase`` should have removed are still there."""


def destroyed_entry(job: ErasureJob, *, now: datetime) -> CustodyEntry:
    """What custody says when the keys of a job were destroyed; before it there were these keys."""
    keys = sha256("\n".join(job.keys).encode()).hexdigest()
    return custody_entry(
        "erase",
        f"subject:{Subject.parse(job.subject).digest}",
        actor=job.requested_by,
        now=now,
        reason=job.reason,
        digest_before=f"sha256:{keys}",
    )


class ErasureStore(Protocol):
    """Erasures; a job is claimed by one worker at a time and survives a restart."""

    def request(self, job: ErasureJob) -> None:
        """Queue an erasure.

        Raises:
            InvalidInput: its id is taken.
        """

    def erasure(self, job_id: str) -> ErasureJob:
        """One erasure.

        Raises:
            NotFound: there is none with this id.
        """

    def erasures(
        self, *, limit: int, cursor: str | None = None
    ) -> tuple[list[ErasureJob], str | None]:
        """Newest first, and the cursor of the next page."""

    def claim(self, *, now: datetime, stale_after_seconds: float) -> ErasureJob | None:
        """Take the oldest queued job, or a running one that showed no progress for so long."""

    def update(self, job: ErasureJob, *, now: datetime) -> None:
        """Save where a claimed job is.

        Raises:
            NotFound: there is none with this id.
            VersionConflict: it ended meanwhile, or somebody else claimed it.
        """

    def retry(self, job_id: str, *, now: datetime) -> ErasureJob:
        """Queue a failed one again.

        Raises:
            NotFound: there is none with this id.
            StateConflict: it did not fail.
        """

    def matter(self, subject: Subject, *, ceiling: int) -> int:
        """How many events of the subject still hold content, counted up to ``ceiling``."""

    def destroy(self, job: ErasureJob, *, now: datetime) -> ErasureJob:
        """Destroy the subject's data keys, all at once, and write the custody entry; the job with
        what was destroyed. Destroying again is harmless."""

    def sweep(self, job: ErasureJob, *, limit: int, now: datetime) -> ErasureJob:
        """Remove the ciphertext and the full text of at most ``limit`` more events; the job is
        unchanged when nothing is left."""

    def finish(self, job: ErasureJob, *, now: datetime) -> ErasureJob:
        """Write the log's leaf and end the job, in one transaction."""

    def left(self, job: ErasureJob) -> Left:
        """What can still be found of what the job erased."""

    def destroyed(self, *, after: datetime | None) -> list[Remembered]:
        """Erasures whose keys were destroyed, oldest first; those after a moment."""
