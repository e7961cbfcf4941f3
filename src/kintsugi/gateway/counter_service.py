"""The gateway's counters, shared by its workers: lives in the supervisor, survives its restart.

Every amount is appended to a file as it is counted, so a supervisor that is killed begins again
where it was. What was reserved then and never settled counts as used: the side on which no limit
is broken. After a power loss the last seconds may be missing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import structlog

from kintsugi.durable import write_whole
from kintsugi.gateway.counters import CounterBook, CountersFull, Entry
from kintsugi.gateway.worker_messages import Reserve, Reserved, Settle

log = structlog.get_logger(__name__)

# The file is written anew when it has this many lines more than there is to keep.
_LINES_SPARE = 100_000
# Shorter windows are over before a restart is.
_KEPT_FROM_SECONDS = 60

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


class CounterService:
    """Answers the workers' wishes, one after the other, on the supervisor's loop.

    Args:
        path: the file; made when it is not there.
        clock: seconds since the epoch.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._book = CounterBook()
        self._book.load(self._read(), clock())
        self._lines = 0
        self._descriptor = -1
        self._rewrite()

    @property
    def counters(self) -> int:
        """How many counters there are."""
        return self._book.count

    @property
    def reservations(self) -> int:
        """How many reservations are open."""
        return self._book.open_reservations

    def reserve(self, owner: str, wish: Reserve) -> Reserved:
        """Take what fits."""
        try:
            told = self._book.reserve(owner, wish.number, wish.needs, self._clock())
        except CountersFull as error:
            log.error("counters.full", error=str(error))
            return Reserved(wish.number, error="full")
        self._keep()
        return Reserved(wish.number, told)

    def settle(self, owner: str, wish: Settle) -> None:
        """End a reservation."""
        self._book.settle(owner, wish.number, wish.used, self._clock())
        self._keep()

    def release_all(self, owner: str) -> None:
        """A worker is gone: what it had reserved is free again."""
        released = self._book.release_all(owner, self._clock())
        self._keep()
        if released:
            log.info("counters.released", worker=owner, reservations=released)

    def close(self) -> None:
        """Write no more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _keep(self) -> None:
        written = [
            entry
            for entry in self._book.take_written()
            if entry.window_seconds > _KEPT_FROM_SECONDS or not entry.window_seconds
        ]
        if not written or self._descriptor < 0:
            return
        try:
            os.write(self._descriptor, b"".join([_encode(entry) + b"\n" for entry in written]))
        except OSError as error:  # the counters hold all the same; only a restart would miss it
            log.error("counters.not_kept", file=str(self._path), error=str(error))
        self._lines += len(written)
        if self._lines > _LINES_SPARE:
            self._rewrite()

    def _rewrite(self) -> None:
        """Write what still counts, and go on appending behind it."""
        self.close()
        kept = [
            _encode(entry) + b"\n"
            for entry in self._book.entries(self._clock())
            if entry.window_seconds > _KEPT_FROM_SECONDS or not entry.window_seconds
        ]
        try:
            write_whole(self._path, b"".join(kept), durable=False)
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        except OSError as error:
            log.error("counters.not_kept", file=str(self._path), error=str(error))
        self._lines = 0

    def _read(self) -> Iterator[Entry]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        for line in content.splitlines():
            try:
                yield _decode(line)
            except msgspec.MsgspecError:
                # The last line of a process that was killed; anything else is worth knowing too.
                log.warning("counters.line_unreadable", file=str(self._path))
