"""What is past its end goes away in the background: once a day, in bounded steps, by one control
plane at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import structlog

from kintsugi.api.export_worker import FOLDER
from kintsugi.errors import KintsugiError, NotFound, StoreUnavailable, VersionConflict
from kintsugi.model.ids import uuid7
from kintsugi.model.retention import ClassOutcome, RetentionRun
from kintsugi.model.stores import Stores

log = structlog.get_logger(__name__)

RETENTION_EVERY_SECONDS: Final = 60.0
RETENTION_PAUSE_SECONDS: Final = 0.02
STALE_AFTER_SECONDS: Final = 15.0
_DAILY: Final = timedelta(days=1)
_THINGS_PER_STEP: Final = 500
_BY: Final = "system/retention"


class Retention:
    """Works through runs, driven by a thread of ``api/background.py``. A run whose worker died is
    taken over where it was, by whoever looks first."""

    def __init__(self, stores: Stores, clock: Callable[[], datetime], state_dir: Path) -> None:
        self._stores = stores
        self._clock = clock
        self._folder = state_dir / FOLDER
        self._run: RetentionRun | None = None
        self._swept_after = ""

    def work_once(self) -> bool:
        """A bounded piece of a run, asking for the daily one when it is time; whether there was
        any."""
        retention, now = self._stores.retention, self._clock()
        if self._run is None:
            retention.request_unless(new_run(_BY, "", now=now), since=now - _DAILY)
            self._run = retention.claim(now=now, stale_after_seconds=STALE_AFTER_SECONDS)
        if self._run is None:
            self._sweep_files()
            if self._stores.archives.place:
                self._stores.archives.remove_expired(now=now)
            return False
        run, self._run = self._run, None
        try:
            self._run = self._advanced(run)
        except VersionConflict:
            log.info("retention.taken_over", run_id=run.id)
        except StoreUnavailable:
            self._run = run  # nothing was removed; again when the database is back
            raise
        return True

    def _advanced(self, run: RetentionRun) -> RetentionRun | None:
        """The run after one step; None when it is through."""
        retention, now = self._stores.retention, self._clock()
        for one in run.classes:
            if one.outcome in ("done", "failed"):
                continue
            try:
                return retention.remove(run, one.name, limit=_THINGS_PER_STEP, now=now)
            except (StoreUnavailable, VersionConflict):
                raise
            except KintsugiError as error:
                log.warning("retention.failed", run_id=run.id, name=one.name, error=str(error))
                failed = run.saying(_failed(one, error))
                retention.update(failed, now=now)
                return failed
        done = retention.finish(run, now=now)
        log.info("retention.done", run_id=done.id, state=done.state, removed=done.removed)
        return None

    def _sweep_files(self) -> None:
        """Remove the files on this machine whose jobs say that they are gone, once after each run:
        a control plane that ran it may have died before, or stand elsewhere."""
        newest = next(iter(self._stores.retention.runs(limit=1)[0]), None)
        if newest is None or newest.finished_at is None or newest.id == self._swept_after:
            return
        for path in sorted(self._folder.glob("[!.]*")):
            try:
                job = self._stores.exports.get(path.name.partition(".")[0])
            except NotFound:
                continue  # restored from before it was made; whose it is nobody knows
            if job.state == "expired":
                path.unlink(missing_ok=True)
        self._swept_after = newest.id


def new_run(by: str, reason: str, *, now: datetime) -> RetentionRun:
    """A run that somebody asks for."""
    identifier = uuid7(int(now.timestamp() * 1000), os.urandom(10))
    return RetentionRun(identifier, "queued", by, reason, now)


def _failed(outcome: ClassOutcome, error: KintsugiError) -> ClassOutcome:
    return msgspec.structs.replace(outcome, outcome="failed", detail=str(error))
