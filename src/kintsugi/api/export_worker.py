"""The thread that writes exports: claims one job at a time, shows progress, survives a kill.

A job whose worker died is claimed again once it showed no progress for a while, and starts over.
The file appears under its final name only when it is whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog

from kintsugi.api.background import Background
from kintsugi.api.export_formats import AUDIT_WRITERS, FORMATS, Format
from kintsugi.api.feed import ChangeFeed
from kintsugi.api.package_job import build_package
from kintsugi.api.trajectory_job import write_trajectories
from kintsugi.errors import KintsugiError, StoreUnavailable, VersionConflict
from kintsugi.model.audit import AuditFilter, scan
from kintsugi.model.custody import custody_entry
from kintsugi.model.exports import ExportJob
from kintsugi.model.stores import Stores

log = structlog.get_logger(__name__)

FOLDER: Final = "exports"
STALE_AFTER_SECONDS: Final = 15.0
_PROGRESS_EVERY_SECONDS: Final = 0.5
_LOOK_EVERY_SECONDS: Final = 5.0
_COUNT_CEILING: Final = 100_000_000


class _Stopped(Exception):
    """The server stops; the job goes back to the queue."""


class ExportWorker(Background):
    """Writes queued exports below ``state_dir``, one at a time."""

    def __init__(
        self,
        stores: Stores,
        feed: ChangeFeed,
        state_dir: Path,
        clock: Callable[[], datetime],
        *,
        log_key_file: Path | None = None,
    ) -> None:
        self._stores = stores
        self._log_key_file = log_key_file or state_dir / "log-key"
        self._state_dir = state_dir
        self._clock = clock
        super().__init__(
            "exports",
            (self.work_once,),
            feed,
            channel="exports",
            look_every_seconds=_LOOK_EVERY_SECONDS,
        )

    def work_once(self) -> bool:
        """Do one job, if there is any; whether there was."""
        job = self._stores.exports.claim(now=self._clock(), stale_after_seconds=STALE_AFTER_SECONDS)
        if job is None:
            return False
        try:
            self._write(job)
        except _Stopped:
            self._save(job, state="queued", written=0)
        except VersionConflict:
            log.info("export.taken_over", export_id=job.id)
        except StoreUnavailable:
            raise  # nothing can be saved now; the job is claimed again when it is stale
        except Exception as error:
            log.exception("export.failed", export_id=job.id)
            self._save(job, state="failed", error=_reason(error), finished_at=self._clock())
        return True

    def _write(self, job: ExportJob) -> None:
        folder = self._state_dir / FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(folder, job)
        final = folder / file_name(job)
        draft = folder / f".{job.id}.{os.getpid()}.{job.attempt}"
        total = self._count(job)
        self._save(job, total=total, written=0)
        job = msgspec.structs.replace(job, total=total)
        try:
            if job.type == "trajectories":
                written = self._write_trajectories(job, draft)
            elif job.type == "audit":
                written = self._write_audit(job, draft)
            elif job.type == "package":
                written = self._write_package(job, draft)
            else:
                written = self._write_export(job, draft)
            size, digest = _seal(draft)
            draft.replace(final)
        finally:
            draft.unlink(missing_ok=True)
            draft.with_suffix(".draft").unlink(missing_ok=True)
        finished_at = self._clock()
        done = msgspec.structs.replace(
            job,
            state="done",
            written=written,
            total=written,
            path=f"{FOLDER}/{final.name}",
            bytes=size,
            sha256=digest,
            finished_at=finished_at,
        )
        entry = custody_entry(
            "export",
            object_of(job),
            actor=job.actor or job.created_by,
            now=finished_at,
            reason=job.reason,
            digest_after=f"sha256:{digest}",
        )
        self._stores.exports.update(done, now=finished_at, custody=entry)

    def _write_export(self, job: ExportJob, draft: Path) -> int:
        progress = self._progress_of(job)
        writer = FORMATS[_format(job)].writer(draft)
        written = 0
        try:
            for event in self._stores.events.scan(job.where, payload=True):
                writer.write(event)
                written += 1
                if not written % 64:
                    progress(written)
        finally:
            writer.close()
        return written

    def _count(self, job: ExportJob) -> int:
        if job.type == "audit":
            return self._stores.audit.count(_calls(job), ceiling=_COUNT_CEILING)
        return self._stores.events.count(job.where, ceiling=_COUNT_CEILING)

    def _write_audit(self, job: ExportJob, draft: Path) -> int:
        progress = self._progress_of(job)
        writer = AUDIT_WRITERS[job.format](draft)
        written = 0
        try:
            for entry in scan(self._stores.audit, _calls(job)):
                writer.write(entry)
                written += 1
                if not written % 64:
                    progress(written)
        finally:
            writer.close()
        return written

    def _write_trajectories(self, job: ExportJob, draft: Path) -> int:
        return write_trajectories(
            job, self._stores, draft, now=self._clock(), progress=self._progress_of(job)
        )

    def _write_package(self, job: ExportJob, draft: Path) -> int:
        return build_package(
            job,
            self._stores,
            draft,
            log_key_file=self._log_key_file,
            progress=self._progress_of(job),
        )

    def _progress_of(self, job: ExportJob) -> Callable[[int], None]:
        """Saves how far a job is, at most twice a second; ends it when the server stops."""
        saved_at = self._clock()

        def progress(written: int) -> None:
            nonlocal saved_at
            if self.stopping:
                raise _Stopped
            now = self._clock()
            if (now - saved_at).total_seconds() >= _PROGRESS_EVERY_SECONDS:
                self._save(job, written=written)
                saved_at = now

        return progress

    def _save(self, job: ExportJob, **changes: object) -> None:
        self._stores.exports.update(msgspec.structs.replace(job, **changes), now=self._clock())


def _calls(job: ExportJob) -> AuditFilter:
    """Up to when it was asked for: the export itself and what comes later stay out."""
    until = min(job.where.until or job.created_at, job.created_at)
    return AuditFilter(since=job.where.since, until=until)


def file_name(job: ExportJob) -> str:
    """What the finished file is called."""
    return f"{job.id}.{job.format}{'.age' if job.recipients else ''}"


def object_of(job: ExportJob) -> str:
    """What custody calls it."""
    return f"{'package' if job.type == 'package' else 'export'}:{job.id}"


def _sweep(folder: Path, job: ExportJob) -> None:
    """Remove what an attempt that was killed left behind."""
    for draft in folder.glob(f".{job.id}.*"):
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


def _seal(path: Path) -> tuple[int, str]:
    """Make the file durable; its size and SHA-256."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    path.chmod(0o600)
    return path.stat().st_size, digest


def _format(job: ExportJob) -> Format:
    return next(name for name in FORMATS if name == job.format)


def _reason(error: Exception) -> str:
    """What the caller may know: our own words, or only the kind of error."""
    return str(error) if isinstance(error, KintsugiError) else type(error).__name__
