"""Trims the journals of a gateway that has no control plane: what is older than wanted, and the
oldest of what is too much. With a control plane the shipper trims, and only what has arrived there.

A segment is deleted when nobody writes it any more and every earlier one of its series is gone. The
newest of every worker stays, and recovery's own stay as long as anything that they may have
decided: so what recovery needs at the next start is there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from kintsugi.ledger.journal_files import (
    RECOVERY_WORKER_ID,
    SegmentName,
    exclusive,
    is_live,
    list_segments,
)

log = structlog.get_logger(__name__)

TRIM_EVERY_SECONDS: Final = 60.0


class JournalLimits(msgspec.Struct, frozen=True):
    """How long and how much to keep; 0 for without limit."""

    seconds: float = 0.0
    bytes: int = 0

    @property
    def any(self) -> bool:
        """Whether anything is ever deleted."""
        return bool(self.seconds or self.bytes)


class _Segment(msgspec.Struct, frozen=True):
    name: SegmentName
    written_at: float
    bytes: int


def trim(journal: Path, limits: JournalLimits, *, now: float) -> Sequence[SegmentName]:
    """Delete what is older or more than the limits; what was deleted, oldest first.

    Args:
        now: seconds since 1970, as files have them.
    """
    if not limits.any or not journal.is_dir():
        return ()
    with exclusive(journal, wait=False) as nobody_reads:
        return _trim(journal, limits, now) if nobody_reads else ()


def _trim(journal: Path, limits: JournalLimits, now: float) -> Sequence[SegmentName]:
    found = [_segment(journal, name) for name in list_segments(journal)]
    newest = {one.name.worker_id: one.name for one in found}  # in order, so the last one counts
    size = sum(one.bytes for one in found)
    kept_series: set[str] = set()
    oldest_kept = now
    deleted: list[SegmentName] = []
    # Recovery's own are last among those of one time, and never before what they may decide.
    for one in sorted(
        found, key=lambda it: (it.name.worker_id == RECOVERY_WORKER_ID, it.written_at, it.name)
    ):
        too_old = bool(limits.seconds) and one.written_at < now - limits.seconds
        too_much = bool(limits.bytes) and size > limits.bytes
        recovers = one.name.worker_id == RECOVERY_WORKER_ID and one.written_at >= oldest_kept
        if (
            not (too_old or too_much)
            or one.name.series in kept_series
            or one.name == newest[one.name.worker_id]
            or recovers
            or is_live(journal / one.name.file_name)
        ):
            kept_series.add(one.name.series)
            oldest_kept = min(oldest_kept, one.written_at)
            continue
        (journal / one.name.file_name).unlink()
        size -= one.bytes
        deleted.append(one.name)
    return deleted


def _segment(journal: Path, name: SegmentName) -> _Segment:
    status = (journal / name.file_name).stat()
    return _Segment(name, status.st_mtime, status.st_size)


class JournalTrimmer:
    """Trims once at the start and every minute from then on, in a thread of its own."""

    def __init__(self, journal: Path, limits: JournalLimits, clock: Callable[[], float]) -> None:
        self._journal = journal
        self._limits = limits
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal-trimmer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is under way is finished first."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                gone = trim(self._journal, self._limits, now=self._clock())
            except OSError as error:  # a full or failing disk: say it, and look again
                log.error("journal.not_trimmed", error=str(error))
            else:
                if gone:
                    log.info("journal.trimmed", segments=len(gone), newest=gone[-1].file_name)
            if self._stopping.wait(TRIM_EVERY_SECONDS):
                return
