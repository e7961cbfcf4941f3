"""The thread behind the vault: erases, seals what lies open from before, wraps keys anew.

All of it survives a kill at any point: each step is one transaction that says how far it came, and
another process goes on from there.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import structlog

from kintsugi.api.background import Background
from kintsugi.api.feed import ChangeFeed
from kintsugi.errors import (
    KintsugiError,
    NotFound,
    StoreUnavailable,
    VersionConflict,
)
from kintsugi.model.erasure import ErasureJob, ErasurePlace, ErasureStore, PlaceReached, Remembered
from kintsugi.model.stores import Stores
from kintsugi.model.vault import Subject
from kintsugi.vault.remembered import FILE, read, remember

log = structlog.get_logger(__name__)

STALE_AFTER_SECONDS: Final = 15.0
_EVENTS_PER_STEP: Final = 500
_SEALED_PER_STEP: Final = 200
_REWRAPPED_PER_STEP: Final = 1000
_LOOK_EVERY_SECONDS: Final = 5.0
# Sealing old content takes turns with ingest; it has time.
_PAUSE_SECONDS: Final = 0.02
_OVERLAP: Final = timedelta(days=1)

Holds = Callable[[Subject], Sequence[str]]


class VaultWorker(Background):
    """Works in the background until it is closed.

    Args:
        places: where content may be besides the events, see ``ErasurePlace``.
        holds: names the legal holds that keep a subject's content from being erased.
    """

    def __init__(
        self,
        stores: Stores,
        feed: ChangeFeed,
        state_dir: Path,
        clock: Callable[[], datetime],
        *,
        places: Sequence[ErasurePlace],
        holds: Holds,
    ) -> None:
        self._stores = stores
        self._list = state_dir / FILE
        self._known = {one.id for one in read(self._list)}
        self._followed: datetime | None = None
        self._clock = clock
        self._places = tuple(places)
        self._holds = holds
        super().__init__(
            "vault",
            (self.erase_once, self.seal_once, self.rewrap_once, self.follow_others),
            feed,
            channel="vault",
            look_every_seconds=_LOOK_EVERY_SECONDS,
            pause_seconds=_PAUSE_SECONDS,
        )

    def seal_once(self) -> bool:
        """Seal some of what lies open; whether there was any."""
        return self._stores.vault.seal_pending(limit=_SEALED_PER_STEP) > 0

    def rewrap_once(self) -> bool:
        """Wrap some data keys by the newest key; whether there were any left."""
        return self._stores.vault.rewrap(limit=_REWRAPPED_PER_STEP, now=self._clock()) > 0

    def follow_others(self) -> bool:
        """Reach this machine's places, and its list, with what other control planes erased."""
        erased = self._stores.erasures.destroyed(after=self._followed)
        new = [one for one in erased if one.id not in self._known]
        for one in new:
            for place in self._places:
                place.erase(Subject.parse(one.subject), erasure_id=one.id)
        if new:
            remember(self._list, new)
            self._known.update(one.id for one in new)
            # Commits may come in another order than their times.
            self._followed = max(one.destroyed_at for one in new) - _OVERLAP
        return False

    def erase_once(self) -> bool:
        """Do one erasure to its end, if any is queued; whether there was."""
        erasures = self._stores.erasures
        job = erasures.claim(now=self._clock(), stale_after_seconds=STALE_AFTER_SECONDS)
        if job is None:
            return False
        try:
            self._erase(job)
        except VersionConflict:
            log.info("erasure.taken_over", erasure_id=job.id)
        except StoreUnavailable:
            raise  # nothing can be saved now; the job is claimed again when it is stale
        except Exception as error:
            log.exception("erasure.failed", erasure_id=job.id)
            self._fail(job.id, error)
        return True

    def _erase(self, job: ErasureJob) -> None:
        subject = Subject.parse(job.subject)
        erasures = self._stores.erasures
        if job.destroyed_at is None:
            # A restored database is a different matter: what was erased lawfully stays erased.
            if not job.reapplied_at and (holding := self._holds(subject)):
                self._refuse(job, holding)
                return
            job = erasures.destroy(job, now=self._clock())
        remember(self._list, [Remembered.of(job)])
        self._known.add(job.id)
        job = self._sweep(job)
        if self.stopping:
            erasures.update(msgspec.structs.replace(job, state="queued"), now=self._clock())
            return
        reached = tuple(self._reach(place, subject, job.id) for place in self._places)
        job = msgspec.structs.replace(job, places=reached)
        if failed := [one for one in reached if one.outcome == "failed"]:
            said = "; ".join(f"{one.name}: {one.detail}" for one in failed)
            job = msgspec.structs.replace(
                job,
                state="failed",
                error=f"the keys are destroyed, but not everything else was reached: {said}",
            )
            erasures.update(job, now=self._clock())
            return
        done = erasures.finish(job, now=self._clock())
        log.info("erasure.done", erasure_id=done.id, events=done.erased, texts=done.texts)

    def _sweep(self, job: ErasureJob) -> ErasureJob:
        while not self.stopping:
            swept = self._stores.erasures.sweep(job, limit=_EVENTS_PER_STEP, now=self._clock())
            if swept == job:
                break
            job = swept
        return job

    def _reach(self, place: ErasurePlace, subject: Subject, erasure_id: str) -> PlaceReached:
        try:
            return place.erase(subject, erasure_id=erasure_id)
        except (KintsugiError, OSError) as error:
            return PlaceReached(place.name, "failed", detail=str(error))

    def _refuse(self, job: ErasureJob, holding: Sequence[str]) -> None:
        refused = msgspec.structs.replace(
            job,
            state="failed",
            finished_at=self._clock(),
            error=f"nothing was erased: {held_by(holding)}",
        )
        self._stores.erasures.update(refused, now=self._clock())

    def _fail(self, job_id: str, error: Exception) -> None:
        # As it is by now: what was destroyed must stay on record.
        job = self._stores.erasures.erasure(job_id)
        said = str(error) if isinstance(error, KintsugiError) else type(error).__name__
        failed = msgspec.structs.replace(job, state="failed", error=said)
        self._stores.erasures.update(failed, now=self._clock())


def held_by(holding: Sequence[str]) -> str:
    """Why something may not be erased."""
    names = ", ".join(f'"{name}"' for name in holding)
    plural = len(holding) > 1
    return f"legal hold{'s' if plural else ''} {names} cover{'' if plural else 's'} this content"


def reapply(
    erasures: ErasureStore,
    state_dir: Path,
    *,
    now: datetime,
    tell: Callable[[str], None] = lambda _: None,
) -> int:
    """Erase again what the list remembers and the database, restored from before, does not know.

    Called before anything is served; the worker does what is left to do afterwards.

    Returns:
        How many erasures were done again.
    """
    path = state_dir / FILE
    known = {one.id for one in erasures.destroyed(after=None)}
    missing = [one for one in read(path) if one.id not in known]
    for one in missing:
        job = erasures.destroy(_job_again(erasures, one, now=now), now=now)
        while (swept := erasures.sweep(job, limit=_EVENTS_PER_STEP, now=now)) != job:
            job = swept
        erasures.update(msgspec.structs.replace(job, state="queued"), now=now)
        tell(f"erased again what erasure {one.id} had erased: {job.erased:,} events")
    remember(path, erasures.destroyed(after=None))
    return len(missing)


def _job_again(erasures: ErasureStore, one: Remembered, *, now: datetime) -> ErasureJob:
    try:
        return erasures.erasure(one.id)  # a start before this one did not get far
    except NotFound:
        job = ErasureJob(
            id=one.id,
            subject=one.subject,
            reason=one.reason,
            requested_by=one.requested_by,
            state="running",
            created_at=one.destroyed_at,
            salt=secrets.token_hex(16),
            started_at=now,
            reapplied_at=now,
        )
        erasures.request(job)
        return job
