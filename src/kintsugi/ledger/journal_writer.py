"""Durable appends for one event loop: group commit.

``append`` only gathers. At the end of the loop's turn everything gathered becomes one group.

- ``strict``: a group is written and synced, and whatever gathers meanwhile goes together into the
  next sync, so one fdatasync serves everybody who waits.
- ``bounded``: a group is written to the page cache and its callers are told at once; the sync
  follows behind. Killing the process loses nothing; a machine that loses power may lose what the
  last sync before it did not cover, at most about 50 ms.

While all is well the loop writes to the page cache itself and the kernel syncs in the background
(``kernel_sync``). Everything that may take long or fails is for one thread: a new segment, a disk
that refuses, and every commit where the kernel offers no background sync.

When the disk refuses, whoever waits gets ``EvidenceUnavailable``, ``healthy`` turns False, and the
thread keeps every record and tries again until the disk accepts; then ``healthy`` turns True
without a restart. A record whose caller got an error is still written, and counted as ``late``:
its exchange did happen, only its answer was refused. What the caller says instead stands in its
place, unless it was written already.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal

import structlog

from kintsugi.errors import EvidenceUnavailable
from kintsugi.ledger.journal_segments import Disk, Mark, SegmentSeries
from kintsugi.ledger.kernel_sync import BackgroundSync, KernelSync, OnSynced

log = structlog.get_logger(__name__)

# Told None, or why not. May answer an error with what is now true and stands in the record's place.
OnDurable = Callable[[Exception | None], bytes | None]

_COMMIT_BYTES_MAX = 4 * 1024 * 1024
_PROBE_SECONDS_MIN = 0.05
_PROBE_SECONDS_MAX = 1.0
_WATCH_SECONDS = 0.25


@dataclass(slots=True)
class JournalTally:
    """What became of the records since this writer began.

    Attributes:
        appended: accepted by ``append``.
        durable: on the disk. ``appended - durable`` is what still waits.
        late: durable, but after their caller had got an error.
        refused: never accepted, because the queue was full or the writer closed.
    """

    appended: int = 0
    durable: int = 0
    late: int = 0
    refused: int = 0


@dataclass(slots=True)
class JournalLimits:
    """When the writer turns over, gives up on waiters, and pushes back.

    Attributes:
        queue_bytes_max: records that may wait in memory while the disk refuses.
        slow_seconds: a sync that takes longer makes the writer unhealthy until it is done.
        waiter_seconds: nobody waits longer than this for an answer.
        bounded_sync_seconds: pause between a write and the start of its sync in bounded mode.
    """

    segment_bytes_max: int = 64 * 1024 * 1024
    queue_bytes_max: int = 64 * 1024 * 1024
    slow_seconds: float = 5.0
    waiter_seconds: float = 10.0
    bounded_sync_seconds: float = 0.02


@dataclass(slots=True, eq=False)
class _Group:
    """What one turn of the loop appended."""

    since: float
    records: list[bytes] = field(default_factory=list)
    waiters: list[OnDurable] = field(default_factory=list)
    size: int = 0
    bytes: int = 0


class _SyncBehind:
    """Asks the thread for a sync of what the loop has written."""


class _Stop:
    """Asks the thread to end."""


_Work = _Group | _SyncBehind | _Stop
OpenBackgroundSync = Callable[[asyncio.AbstractEventLoop, OnSynced], BackgroundSync | None]


class JournalWriter:
    """Appends records to this worker's journal. Every method belongs to the loop's thread.

    Args:
        directory: made when missing, mode 0700.
        gateway_id, worker_id: name the files; no dots or slashes. No other live writer may use
            the same pair.
        clock: aware UTC now; names the series and dates its headers.
    """

    def __init__(
        self,
        directory: Path,
        *,
        gateway_id: str,
        worker_id: str,
        durability: Literal["strict", "bounded"] = "strict",
        loop: asyncio.AbstractEventLoop | None = None,
        limits: JournalLimits | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        disk: Disk | None = None,
        open_background_sync: OpenBackgroundSync = KernelSync.open,
    ) -> None:
        self.tally = JournalTally()
        self._loop = loop or asyncio.get_running_loop()
        self._limits = limits or JournalLimits()
        self._bounded = durability == "bounded"
        self._gathering: _Group | None = None
        # Everything not yet answered, oldest first: first what is being committed (by the thread
        # or by the background sync, never by both), then what waits for its turn.
        self._groups: deque[_Group] = deque()
        self._in_thread = 0
        self._in_background = 0
        self._background_mark: Mark | None = None
        self._work: SimpleQueue[_Work] = SimpleQueue()
        self._queued_bytes = 0
        self._refusal: OSError | None = None
        self._slow = False
        self._watching = False
        # When the sync behind the loop's writes was asked for (bounded mode).
        self._behind_since: float | None = None
        self._closing = False
        self._idle = asyncio.Event()
        self._stopped: asyncio.Future[None] = self._loop.create_future()
        self._give_up = threading.Event()
        self._background = open_background_sync(self._loop, self._background_ended)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._series = SegmentSeries(
            directory,
            gateway_id=gateway_id,
            worker_id=worker_id,
            clock=clock,
            segment_bytes_max=self._limits.segment_bytes_max,
            disk=disk or Disk(),
        )
        self._thread = threading.Thread(target=self._run, name=f"journal-{worker_id}", daemon=True)
        try:
            self._series.turn_over()
        except OSError as error:
            self._disk_refused(error)
            self._groups.append(_Group(self._loop.time()))
            self._advance()
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether a record appended now may be expected to become durable soon.

        While this is False the gateway answers 503 to new requests; exchanges under way go on
        appending.
        """
        return (
            self._refusal is None
            and not self._slow
            and not self._closing
            and self._queued_bytes < self._limits.queue_bytes_max
        )

    @property
    def durability(self) -> Literal["strict", "bounded"]:
        """What ``append`` promises; may be set at any time, for the records from then on."""
        return "bounded" if self._bounded else "strict"

    @durability.setter
    def durability(self, value: Literal["strict", "bounded"]) -> None:
        self._bounded = value == "bounded"

    @property
    def path(self) -> Path:
        """The segment in use."""
        return self._series.path

    def append(self, record: bytes, on_durable: OnDurable) -> None:
        """Take one record; never blocks and never raises.

        Args:
            record: one JSON object on one line, as ``msgspec.json.encode`` writes it.
            on_durable: called once, later, on the loop: with None when the record is durable
                (strict) or in the page cache (bounded), with ``EvidenceUnavailable`` when the
                disk refuses, is too slow, or too much waits already. What it returns after an
                error replaces a record that is not written yet.
        """
        if self._closing or self._queued_bytes >= self._limits.queue_bytes_max:
            self.tally.refused += 1
            why = "is closed" if self._closing else "has too much waiting for the disk"
            error = EvidenceUnavailable(f"the journal {why}; the record was not taken")
            self._loop.call_soon(on_durable, error)
            return
        group = self._gathering
        if group is None:
            group = self._gathering = _Group(self._loop.time())
            self._loop.call_soon(self._end_turn)
        group.records.append(record)
        group.waiters.append(on_durable)
        group.size += 1
        group.bytes += len(record)
        self._queued_bytes += len(record)
        self.tally.appended += 1

    async def close(self, *, timeout_seconds: float = 30.0) -> None:
        """Make everything durable and let go of the file. Later appends are refused.

        Raises:
            EvidenceUnavailable: the disk went on refusing; says how many records were lost.
        """
        deadline = self._loop.time() + timeout_seconds
        if not self._closing:
            self._closing = True
            self._end_turn()
            while self._background_mark is not None and self._loop.time() < deadline:
                self._idle.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._idle.wait(), deadline - self._loop.time())
            self._work.put(_Stop())
        done, _ = await asyncio.wait([self._stopped], timeout=deadline - self._loop.time())
        if not done:
            self._give_up.set()
            await asyncio.wait([self._stopped], timeout=_PROBE_SECONDS_MAX)
        if self._background is not None and self._background_mark is None:
            self._background.close()
            self._background = None
        lost = self.tally.appended - self.tally.durable
        if lost:
            log.error("journal.closed_with_loss", file=str(self.path), records=lost)
            raise EvidenceUnavailable(
                f"{lost} records could not be written to {self.path}: {self._refusal}"
            )

    # On the loop

    def _end_turn(self) -> None:
        group, self._gathering = self._gathering, None
        if group is not None:
            self._groups.append(group)
            self._advance()

    def _advance(self) -> None:
        """Start what waits, as far as it can be started now."""
        waiting = len(self._groups) - self._in_thread - self._in_background
        if not waiting:
            return
        self._watch()
        if self._in_thread:
            self._hand_over(waiting)
        elif self._in_background:
            return  # the next group gathers until this one is on the disk
        elif not self.healthy or self._series.needs_turn_over:
            # The thread may close the file, which a sync in the background still needs.
            if self._background_mark is None:
                self._hand_over(waiting)
        elif self._bounded:
            self._write_and_answer()
        elif self._background is None:
            self._hand_over(waiting)
        elif self._background_mark is None:
            self._write_and_sync(self._background)

    def _hand_over(self, count: int) -> None:
        """Give the newest groups to the thread."""
        for index in range(-count, 0):
            self._work.put(self._groups[index])
        self._in_thread += count

    def _write_here(self) -> bool:
        try:
            self._series.write([record for group in self._groups for record in group.records])
        except OSError as error:
            self._hand_over(len(self._groups))
            self._disk_refused(error)
            return False
        return True

    def _write_and_answer(self) -> None:
        if self._write_here():
            self._answer_oldest(len(self._groups))
            self._sync_soon()

    def _write_and_sync(self, background: BackgroundSync) -> None:
        if not self._write_here():
            return
        self._in_background = len(self._groups)
        if not self._begin_background(background):
            # Written already, so the thread only has to sync.
            for group in self._groups:
                group.records = []
            self._in_background = 0
            self._hand_over(len(self._groups))

    def _sync_soon(self) -> None:
        if self._behind_since is None and not self._closing:
            self._behind_since = self._loop.time()
            self._loop.call_later(self._limits.bounded_sync_seconds, self._sync_behind_now)
            self._watch()

    def _sync_behind_now(self) -> None:
        if self._closing or self._background_mark is not None:
            return  # closing syncs everything; a sync under way looks again when it ends
        in_background = (
            self._background is not None
            and not self._in_thread
            and self._begin_background(self._background)
        )
        if not in_background:
            self._work.put(_SyncBehind())

    def _begin_background(self, background: BackgroundSync) -> bool:
        mark = self._series.mark()
        try:
            background.begin(self._series.descriptor)
        except OSError as error:
            # Not about the disk: this file system, or this kernel, does not offer it.
            log.info("journal.no_background_sync", why=error.strerror)
            background.close()
            self._background = None
            return False
        self._background_mark = mark
        return True

    def _background_ended(self, code: int) -> None:
        mark, self._background_mark = self._background_mark, None
        count, self._in_background = self._in_background, 0
        self._idle.set()
        if mark is None:
            return
        if code and mark.segment == self._series.segment:
            self._series.condemn()
            self._repair(count, OSError(code, os.strerror(code)))
        else:
            self._series.settle(mark)
            self._answer_oldest(count)
            self._synced_behind()
        self._advance()

    def _committed(self, count: int) -> None:
        self._in_thread -= count
        self._answer_oldest(count)
        self._synced_behind()
        self._advance()

    def _synced_behind(self) -> None:
        self.tally.durable = self._series.durable
        self._behind_since = None
        if not self._in_thread:
            self._recovered()
            # The loop may have written more while the sync ran.
            if self._series.has_unsynced:
                self._sync_soon()

    def _sync_behind_failed(self, error: OSError) -> None:
        self._repair(0, error)

    def _repair(self, written: int, error: OSError) -> None:
        """After a failed sync: the thread begins a new segment with what was not durable.

        Args:
            written: how many of the oldest groups are in the condemned segment and waited for it.
        """
        for group in itertools.islice(self._groups, written):
            group.records = []
        self._groups.append(_Group(self._loop.time()))  # work for the thread, even if none waits
        self._hand_over(len(self._groups) - self._in_thread)
        self._disk_refused(error)

    def _answer_oldest(self, count: int) -> None:
        for _ in range(count):
            group = self._groups.popleft()
            self._queued_bytes -= group.bytes
            if group.waiters:
                self._answer(group, None)
            else:
                self.tally.late += group.size

    def _disk_refused(self, error: OSError) -> None:
        if self._refusal is None:
            log.error(
                "journal.disk_refused",
                file=str(self._series.path),
                error=os.strerror(error.errno or 0),
            )
        self._refusal = error
        for group in self._groups:
            self._fail(group, f"the disk refused: {error.strerror}")

    def _recovered(self) -> None:
        if self._refusal is not None or self._slow:
            log.warning(
                "journal.disk_accepts_again", file=str(self._series.path), late=self.tally.late
            )
        self._refusal = None
        self._slow = False

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._loop.call_later(_WATCH_SECONDS, self._look)

    def _look(self) -> None:
        """Notice a disk that neither accepts nor refuses."""
        self._watching = False
        now = self._loop.time()
        since = self._groups[0].since if self._groups else self._behind_since
        if since is None:
            return
        if now - since > self._limits.slow_seconds and not self._slow:
            self._slow = True
            log.error("journal.disk_slow", file=str(self.path), seconds=round(now - since, 1))
        for group in self._groups:
            if now - group.since > self._limits.waiter_seconds:
                self._fail(group, "the disk is too slow")
        self._watch()

    def _fail(self, group: _Group, why: str) -> None:
        self._answer(group, EvidenceUnavailable(f"{why}; the record is kept and written later"))
        group.waiters = []

    def _answer(self, group: _Group, error: Exception | None) -> None:
        for position, waiter in enumerate(group.waiters):
            try:
                instead = waiter(error)
                if instead is not None and position < len(group.records):
                    group.records[position] = instead
            except Exception as failure:  # noqa: BLE001 one caller's bug must not stop the others
                self._loop.call_exception_handler(
                    {"message": "a journal callback raised", "exception": failure}
                )

    def _ended(self) -> None:
        if not self._stopped.done():
            self._stopped.set_result(None)

    # In the thread

    def _run(self) -> None:
        work: _Work = self._work.get()
        while not isinstance(work, _Stop):
            if isinstance(work, _SyncBehind):
                self._sync_behind()
                work = self._work.get()
            else:
                work = self._commit_from(work)
        self._finish()

    def _commit_from(self, first: _Group) -> _Work:
        """Commit a group and all that wait behind it; returns the work that comes next."""
        groups = [first]
        size = first.bytes
        following: _Work | None = None
        while following is None and size < _COMMIT_BYTES_MAX:
            try:
                work = self._work.get_nowait()
            except Empty:
                break
            if isinstance(work, _Group):
                groups.append(work)
                size += work.bytes
            elif isinstance(work, _Stop):
                following = work
            else:
                # The commit's own sync covers it.
                self._tell(self._synced_behind)
        if not self._commit(groups):
            return _Stop()
        self._tell(self._committed, len(groups))
        return self._work.get() if following is None else following

    def _commit(self, groups: Sequence[_Group]) -> bool:
        """Write and sync, as often as it takes; False when told to give up before it worked.

        Each attempt takes the records anew: a caller that got an error may have corrected one.
        """
        pause_seconds = _PROBE_SECONDS_MIN
        while True:
            try:
                self._series.write([record for group in groups for record in group.records])
                groups = ()
                self._series.sync()
            except OSError as error:
                self._tell(self._disk_refused, error)
            else:
                return True
            if self._give_up.wait(pause_seconds):
                return False
            pause_seconds = min(pause_seconds * 2, _PROBE_SECONDS_MAX)

    def _sync_behind(self) -> None:
        try:
            self._series.sync()
        except OSError as error:
            self._tell(self._sync_behind_failed, error)
        else:
            self._tell(self._synced_behind)

    def _finish(self) -> None:
        if not self._give_up.is_set() and self._commit(()):
            self._tell(self._committed, 0)
        self._series.close()
        self._tell(self._ended)

    def _tell(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            # The loop is closed: the process ends, and nobody is left who could wait.
            self._give_up.set()
