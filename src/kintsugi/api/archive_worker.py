"""The thread that archives, verifies and brings back: one step at a time, each of them durable.

A task whose worker died is claimed again once it showed no progress for a while, and goes on where
it was.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog

from kintsugi.api.archives import begin
from kintsugi.api.background import Background
from kintsugi.api.feed import ChangeFeed
from kintsugi.errors import KintsugiError, StateConflict, StoreUnavailable, VersionConflict
from kintsugi.model.archive import Archive, is_old_enough
from kintsugi.model.stores import Stores

log = structlog.get_logger(__name__)

# One step writes a file to the archive and reads it back, which may take its time.
STALE_AFTER_SECONDS: Final = 300.0
_LOOK_EVERY_SECONDS: Final = 5.0
_SCHEDULE_EVERY: Final = timedelta(hours=1)


class ArchiveWorker(Background):
    """Works on one task at a time, in a thread of its own.

    Args:
        after_months: archive by itself every month that ended so many whole months ago; None for
            only what is asked for.
    """

    def __init__(
        self,
        stores: Stores,
        feed: ChangeFeed,
        clock: Callable[[], datetime],
        *,
        after_months: int | None = None,
    ) -> None:
        self._stores = stores
        self._clock = clock
        self._after_months = after_months
        self._scheduled_at: datetime | None = None
        self._under_way: Archive | None = None
        super().__init__(
            "archives",
            (self.schedule_once, self.work_once),
            feed,
            channel="archives",
            look_every_seconds=_LOOK_EVERY_SECONDS,
        )

    def close(self) -> None:
        """Stop after the step under way, and give its task back, for whoever comes next."""
        super().close()
        if self._under_way is not None:
            with suppress(KintsugiError):
                self._end(self._under_way, state="queued")

    def schedule_once(self) -> bool:
        """Queue what has become old enough, once an hour; whether anything was."""
        now = self._clock()
        if self._after_months is None or not self._stores.archives.place:
            return False
        if self._scheduled_at is not None and now - self._scheduled_at < _SCHEDULE_EVERY:
            return False
        self._scheduled_at = now
        queued = False
        for size in self._stores.archives.months():
            if not is_old_enough(size.month, months=self._after_months, now=now):
                continue
            try:
                begin(
                    self._stores.archives,
                    size.month,
                    now=now,
                    by="system",
                    actor="system/archive",
                    reason=f"older than {self._after_months} months",
                )
            except StateConflict:
                continue  # it is under way
            log.info("archive.scheduled", month=size.month)
            queued = True
        return queued

    def work_once(self) -> bool:
        """Do the next step of the task under way, or of one that is queued; whether there was."""
        archives = self._stores.archives
        if self._under_way is None:
            self._under_way = archives.claim(
                now=self._clock(), stale_after_seconds=STALE_AFTER_SECONDS
            )
        archive = self._under_way
        if archive is None:
            return False
        try:
            archive = archives.step(archive, now=self._clock())
        except StoreUnavailable:
            raise  # the same step is tried again, here or, when it is stale, elsewhere
        except VersionConflict:
            self._under_way = None
            log.info("archive.taken_over", archive_id=archive.id)
            return True
        except Exception as error:
            self._under_way = None
            log.exception("archive.failed", archive_id=archive.id, month=archive.month)
            said = str(error) if isinstance(error, KintsugiError) else type(error).__name__
            self._end(archive, state="failed", error=said, finished_at=self._clock())
            return True
        self._under_way = archive if archive.state == "running" else None
        if archive.state == "done":
            log.info(
                "archive.done",
                archive_id=archive.id,
                month=archive.month,
                task=archive.task,
                events=archive.events,
                findings=len(archive.findings),
            )
        return True

    def _end(self, archive: Archive, **changes: object) -> None:
        self._stores.archives.end(msgspec.structs.replace(archive, **changes), now=self._clock())
