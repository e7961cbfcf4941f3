"""Export jobs in memory; see ``exports``."""

from __future__ import annotations

import bisect
from datetime import datetime, timedelta

import msgspec

from kintsugi.errors import InvalidInput, NotFound, VersionConflict
from kintsugi.model.custody import CustodyEntry
from kintsugi.model.exports import ExportJob, withdrawn
from kintsugi.model.notice_sources import (
    concerns_incident,
    of_export,
)
from kintsugi.store.cursors import decode_cursor, encode_cursor
from kintsugi.store.memory_changes import MemoryChanges
from kintsugi.store.memory_custody import MemoryCustody
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.memory_notices import Tell


class MemoryExports:
    """Export jobs with the time of their last progress."""

    def __init__(self, changes: MemoryChanges, custody: MemoryCustody, tell: Tell) -> None:
        self._changes = changes
        self._custody = custody
        self._tell = tell
        self._jobs: dict[str, tuple[ExportJob, datetime]] = {}

    def add(self, job: ExportJob) -> None:
        with LOCK:
            if job.id in self._jobs:
                raise InvalidInput(f'there is already an export "{job.id}"')
            self._jobs[job.id] = (job, job.created_at)
        self._changes.announce("exports")

    def get(self, job_id: str) -> ExportJob:
        try:
            return self._jobs[job_id][0]
        except KeyError:
            raise NotFound(f'there is no export "{job_id}"') from None

    def page(self, *, limit: int, cursor: str | None = None) -> tuple[list[ExportJob], str | None]:
        keys = sorted((job.created_at, job.id) for job, _ in self._jobs.values())
        if cursor:
            keys = keys[: bisect.bisect_left(keys, decode_cursor(cursor))]
        shown = keys[::-1][:limit]
        more = len(keys) > limit and bool(shown)
        return [self.get(key[1]) for key in shown], encode_cursor(*shown[-1]) if more else None

    def claim(self, *, now: datetime, stale_after_seconds: float) -> ExportJob | None:
        stale = now - timedelta(seconds=stale_after_seconds)
        with LOCK:
            free = [
                job
                for job, progress_at in self._jobs.values()
                if job.state == "queued" or (job.state == "running" and progress_at < stale)
            ]
            if not free:
                return None
            oldest = min(free, key=lambda job: (job.created_at, job.id))
            claimed = msgspec.structs.replace(
                oldest, state="running", started_at=now, attempt=oldest.attempt + 1
            )
            self._jobs[claimed.id] = (claimed, now)
        self._changes.announce("exports")
        return claimed

    def update(self, job: ExportJob, *, now: datetime, custody: CustodyEntry | None = None) -> None:
        with LOCK:
            stored = self.get(job.id)
            if stored.state not in {"queued", "running"} or stored.attempt != job.attempt:
                raise VersionConflict(
                    f'export "{job.id}" is {stored.state} (attempt {stored.attempt}) by now'
                )
            if custody is not None:
                self._custody.add(custody)
            self._jobs[job.id] = (job, now)
            self._tell([of_export(job, now=now)] if concerns_incident(job) else [])
        self._changes.announce("exports")

    def all(self) -> list[ExportJob]:
        """Every job, oldest first."""
        return sorted(
            (job for job, _ in self._jobs.values()), key=lambda job: (job.created_at, job.id)
        )

    def keep(self, job: ExportJob) -> None:
        """Put a job in the place of itself."""
        with LOCK:
            self._jobs[job.id] = (job, self._jobs[job.id][1])
        self._changes.announce("exports")

    def withdraw(self, job_id: str, *, erasure_id: str, now: datetime) -> ExportJob:
        with LOCK:
            before = self.get(job_id)
            self._jobs[job_id] = (withdrawn(before, erasure_id=erasure_id), now)
        self._changes.announce("exports")
        return before
