"""Durable appends for one event loop: group commit in one background thread.

``append`` only gathers. At the end of the loop's turn everything gathered becomes one group.

- ``strict``: the thread writes and syncs it; whatever gathers meanwhile is the next group, so one
  fdatasync serves everybody who waits. The loop is told once per group.
- ``bounded``: the loop writes the group to the page cache itself and tells the callers at once;
  the thread syncs behind it. Killing the process loses nothing; a machine that loses power may
  lose what the last sync before it did not cover, at most about 50 ms.

When the disk refuses, whoever waits gets ``EvidenceUnavailable``, ``healthy`` turns False, and the
thread keeps every record and tries again until the disk accepts; then ``healthy`` turns True
without a restart. A record whose caller got an error is still written, and counted as ``late``:
its exchange did happen, only its answer was refused.
"""

from __future__ import annotations

import asyncio
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
from kintsugi.ledger.journal_segments import Disk, SegmentSeries

log = structlog.get_logger(__name__)

OnDurable = Callable[[Exception | None], None]

_COMMIT_BYTES_MAX = 4 * 1024 * 1024
_PROBE_SECONDS_MIN = 0.05
_PROBE_SECONDS_MAX = 1.0
_WATCH_SECONDS = 0.25


@dataclass(slots=True)
class JournalCounters:
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
    bytes: int = 0


class _SyncBehind:
    """Asks the thread for a sync of what the loop has written (bounded mode)."""


class _Stop:
    """Asks the thread to end."""


_Work = _Group | _SyncBehind | _Stop


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
    ) -> None:
        self.counters = JournalCounters()
        self._loop = loop or asyncio.get_running_loop()
        self._limits = limits or JournalLimits()
        self._bounded = durability == "bounded"
        self._gathering: _Group | None = None
        self._handed_over: deque[_Group] = deque()
        self._work: SimpleQueue[_Work] = SimpleQueue()
        self._queued_bytes = 0
        self._refusal: OSError | None = None
        self._slow = False
        self._watching = False
        self._behind_since: float | None = None
        self._closing = False
        self._stopped: asyncio.Future[None] = self._loop.create_future()
        self._give_up = threading.Event()
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
            self._hand_over(_Group(self._loop.time()))
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
                disk refuses, is too slow, or too much waits already.
        """
        if self._closing or self._queued_bytes >= self._limits.queue_bytes_max:
            self.counters.refused += 1
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
        group.bytes += len(record)
        self._queued_bytes += len(record)
        self.counters.appended += 1

    async def close(self, *, timeout_seconds: float = 30.0) -> None:
        """Make everything durable and let go of the file. Later appends are refused.

        Raises:
            EvidenceUnavailable: the disk went on refusing; says how many records were lost.
        """
        if not self._closing:
            self._closing = True
            self._end_turn()
            self._work.put(_Stop())
        done, _ = await asyncio.wait([self._stopped], timeout=timeout_seconds)
        if not done:
            self._give_up.set()
            await asyncio.wait([self._stopped], timeout=_PROBE_SECONDS_MAX)
        lost = self.counters.appended - self.counters.durable
        if lost:
            log.error("journal.closed_with_loss", file=str(self.path), records=lost)
            raise EvidenceUnavailable(
                f"{lost} records could not be written to {self.path}: {self._refusal}"
            )

    # On the loop

    def _end_turn(self) -> None:
        group, self._gathering = self._gathering, None
        if group is None:
            return
        # The loop may touch the file only while the thread has nothing to write and is not told
        # to repair it; both are known from what was handed over and not yet reported back.
        if (
            self._bounded
            and not self._handed_over
            and self.healthy
            and not self._series.needs_turn_over
        ):
            self._write_here(group)
        else:
            self._hand_over(group)

    def _write_here(self, group: _Group) -> None:
        try:
            self._series.write(group.records)
        except OSError as error:
            self._hand_over(group)
            self._disk_refused(error)
            return
        self._queued_bytes -= group.bytes
        self._answer(group, None)
        self._sync_soon()

    def _hand_over(self, group: _Group) -> None:
        self._handed_over.append(group)
        self._work.put(group)
        self._watch()

    def _committed(self, groups: int, durable: int) -> None:
        self.counters.durable = durable
        for _ in range(groups):
            group = self._handed_over.popleft()
            self._queued_bytes -= group.bytes
            if group.waiters:
                self._answer(group, None)
            else:
                self.counters.late += len(group.records)
        self._recovered()

    def _synced_behind(self, durable: int) -> None:
        self.counters.durable = durable
        self._behind_since = None
        # The loop may have written more while the sync ran.
        if durable < self.counters.appended and not self._handed_over:
            self._sync_soon()
        self._recovered()

    def _sync_covered(self) -> None:
        self._behind_since = None

    def _sync_soon(self) -> None:
        if self._behind_since is None:
            self._behind_since = self._loop.time()
            self._loop.call_later(self._limits.bounded_sync_seconds, self._work.put, _SyncBehind())
            self._watch()

    def _sync_behind_failed(self, error: OSError) -> None:
        self._behind_since = None
        # An empty group: the thread begins a new segment, writes what was not durable, syncs.
        self._hand_over(_Group(self._loop.time()))
        self._disk_refused(error)

    def _disk_refused(self, error: OSError) -> None:
        if self._refusal is None:
            log.error(
                "journal.disk_refused",
                file=str(self._series.path),
                error=os.strerror(error.errno or 0),
            )
        self._refusal = error
        for group in self._handed_over:
            self._fail(group, f"the disk refused: {error.strerror}")

    def _recovered(self) -> None:
        if self._refusal is not None or self._slow:
            log.warning(
                "journal.disk_accepts_again", file=str(self._series.path), late=self.counters.late
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
        since = self._handed_over[0].since if self._handed_over else self._behind_since
        if since is None:
            return
        if now - since > self._limits.slow_seconds and not self._slow:
            self._slow = True
            log.error("journal.disk_slow", file=str(self.path), seconds=round(now - since, 1))
        for group in self._handed_over:
            if now - group.since > self._limits.waiter_seconds:
                self._fail(group, "the disk is too slow")
        self._watch()

    def _fail(self, group: _Group, why: str) -> None:
        self._answer(group, EvidenceUnavailable(f"{why}; the record is kept and written later"))
        group.waiters = []

    def _answer(self, group: _Group, error: Exception | None) -> None:
        for waiter in group.waiters:
            try:
                waiter(error)
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
                self._tell(self._sync_covered)
        records = [record for group in groups for record in group.records]
        if not self._commit(records):
            return _Stop()
        self._tell(self._committed, len(groups), self._series.durable)
        return self._work.get() if following is None else following

    def _commit(self, records: Sequence[bytes]) -> bool:
        """Write and sync, as often as it takes; False when told to give up before it worked."""
        pause_seconds = _PROBE_SECONDS_MIN
        while True:
            try:
                self._series.write(records)
                records = ()
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
            self._tell(self._synced_behind, self._series.durable)

    def _finish(self) -> None:
        if not self._give_up.is_set() and self._commit(()):
            self._tell(self._committed, 0, self._series.durable)
        self._series.close()
        self._tell(self._ended)

    def _tell(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            # The loop is closed: the process ends, and nobody is left who could wait.
            self._give_up.set()
