"""Exports: jobs that write a file."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

import msgspec

from kintsugi.model.custody import CustodyEntry
from kintsugi.model.event import ExpiredNote
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.trajectory import TrajectoryRules

JobState = Literal["queued", "running", "done", "failed", "cancelled", "expired"]


class ExportJob(msgspec.Struct, frozen=True):
    """A running or finished export.

    Attributes:
        actor: the token that asked, as custody names it; ``created_by`` is its name alone.
        reason: in the words of who asked, for custody.
        trajectories: when a run is finished and when it was no success, for exports of that type.
        unredacted, recipients: of packages: whether content is shown as it was, and whom the file
            is encrypted to.
        attempt: how often it was claimed; set by ``ExportStore.claim``.
        total: events to write as counted at the start; None until counted.
        path: the finished file, below the state folder; empty until done.
        sha256: digest of the finished file.
        withdrawn: the erasure that removed the finished file.
        expired: where the finished file went away at the end of its time.
    """

    id: str
    type: str
    format: str
    where: EventFilter
    state: JobState
    created_at: datetime
    created_by: str
    actor: str = ""
    reason: str = ""
    trajectories: TrajectoryRules | None = None
    unredacted: bool = False
    recipients: tuple[str, ...] = ()
    attempt: int = 0
    total: int | None = None
    written: int = 0
    path: str = ""
    bytes: int = 0
    sha256: str = ""
    error: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    withdrawn: str = ""
    expired: ExpiredNote | None = None


def expired(job: ExportJob, note: ExpiredNote) -> ExportJob:
    """An export whose finished file has reached its end."""
    return msgspec.structs.replace(job, state="expired", expired=note)


def withdrawn(job: ExportJob, *, erasure_id: str) -> ExportJob:
    """An export whose content was erased: its file is gone, or what is being written begins again
    without it."""
    if job.state == "running":
        return msgspec.structs.replace(job, state="queued", attempt=job.attempt + 1, written=0)
    return msgspec.structs.replace(job, withdrawn=erasure_id) if job.state == "done" else job


class ExportStore(Protocol):
    """Export jobs; a job is claimed by one worker at a time and survives a restart."""

    def add(self, job: ExportJob) -> None:
        """Queue one.

        Raises:
            InvalidInput: its id is taken.
        """

    def get(self, job_id: str) -> ExportJob:
        """One job.

        Raises:
            NotFound: there is none with this id.
        """

    def page(self, *, limit: int, cursor: str | None = None) -> tuple[list[ExportJob], str | None]:
        """Newest first, and the cursor of the next page."""

    def claim(self, *, now: datetime, stale_after_seconds: float) -> ExportJob | None:
        """Take the oldest queued job, or a running one that showed no progress for so long."""

    def update(self, job: ExportJob, *, now: datetime, custody: CustodyEntry | None = None) -> None:
        """Save progress or the end of a claimed job, or cancel one.

        Args:
            custody: kept in the same transaction.

        Raises:
            NotFound: there is none with this id.
            VersionConflict: it ended meanwhile (cancelled, say), or ``job.attempt`` is not the
                newest because somebody else claimed it; stop working on it.
        """

    def withdraw(self, job_id: str, *, erasure_id: str, now: datetime) -> ExportJob:
        """See ``withdrawn``; the job as it was before.

        Raises:
            NotFound: there is none with this id.
        """
