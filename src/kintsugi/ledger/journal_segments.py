"""Appends records to a series of segment files, and survives a disk that refuses.

Not thread-safe as a whole: ``write`` and ``turn_over`` belong to one thread at a time, handed over
by the caller. A sync alone may run elsewhere while ``write`` runs: ``sync``, or, where the caller
does the syncing, ``mark`` before it and ``settle`` or ``condemn`` after it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from kintsugi.durable import sync
from kintsugi.ledger.journal import (
    CHAIN_START,
    FORMAT_VERSION,
    Header,
    Position,
    encode_header,
    encode_line,
)
from kintsugi.ledger.journal_files import (
    SegmentName,
    list_segments,
    require_identifier,
)


class Disk:
    """The calls that may fail or take long, in one place so that tests can make them."""

    def create(self, path: Path) -> int:
        """A new file of mode 0600, locked for this process, open for appending."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def write(self, descriptor: int, data: bytes) -> int:
        """Append; may write less than all, as ``os.write`` may."""
        return os.write(descriptor, data)

    def sync_data(self, descriptor: int) -> None:
        """Return when what was written is on the disk."""
        _sync_data(descriptor)

    def truncate(self, descriptor: int, length: int) -> None:
        """Cut the file."""
        os.ftruncate(descriptor, length)

    def publish(self, temporary: Path, path: Path) -> None:
        """Give a file its name, durably."""
        temporary.rename(path)
        sync(path.parent)


# macOS has no fdatasync.
_sync_data: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class End(msgspec.Struct, frozen=True):
    """Where a segment ends: its last line, and how long the file is after it."""

    position: Position
    offset: int


class Mark(msgspec.Struct, frozen=True):
    """What one sync covers: so many records, up to this end of this segment."""

    segment: int
    end: End
    records: int


_START = End(Position(0, CHAIN_START), 0)


class SegmentSeries:
    """One writer's segments, the newest open and locked.

    Args:
        clock: aware UTC now, for the headers and the series' name. The name is moved forward past
            any earlier run of this worker, so that names sort in order of time even when the
            clock was set back.

    Attributes:
        durable: how many records are on the disk.
        descriptor: of the segment in use; -1 before there is one.
    """

    def __init__(
        self,
        directory: Path,
        *,
        gateway_id: str,
        worker_id: str,
        clock: Callable[[], datetime],
        segment_bytes_max: int,
        disk: Disk,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._bytes_max = segment_bytes_max
        self._disk = disk
        earlier = [
            name.started_unix_ms
            for name in list_segments(directory)
            if name.gateway_id == gateway_id and name.worker_id == worker_id
        ]
        started = int(clock().timestamp() * 1000)
        self._name = SegmentName(  # of the segment in use; -1 before there is one
            require_identifier(gateway_id),
            require_identifier(worker_id),
            max([started, *(before + 1 for before in earlier)]),
            segment=-1,
        )
        self.durable = 0
        self._next_segment = 0
        self.descriptor = -1
        self._condemned = False
        self._written = _START
        self._synced = _START
        self._unsynced: list[bytes] = []
        # Guards the fields above where a sync ends beside ``write``; never held over a disk call.
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        """The segment in use; the directory before there is one."""
        return (
            self._directory / self._name.file_name if self._name.segment >= 0 else self._directory
        )

    @property
    def segment(self) -> int:
        """The number of the segment in use."""
        return self._name.segment

    @property
    def has_unsynced(self) -> bool:
        """Whether anything was written that is not known to be on the disk."""
        return bool(self._unsynced)

    @property
    def needs_turn_over(self) -> bool:
        """Whether the next ``write`` has to begin a new segment first, which may take long."""
        return self.descriptor < 0 or self._condemned or self._written.offset >= self._bytes_max

    def write(self, records: Sequence[bytes]) -> None:
        """Append all records to the page cache, or none.

        Raises:
            OSError: the disk refused. Nothing of these records counts as written; call again
                with the same ones.
        """
        if self.needs_turn_over:
            self.turn_over()
        if not records:
            return
        data, position = _encode(records, self._written.position)
        try:
            self._write_whole(self.descriptor, data)
        except OSError:
            self._cut_back()
            raise
        with self._lock:
            self._written = End(position, self._written.offset + len(data))
            self._unsynced.extend(records)

    def mark(self) -> Mark:
        """What a sync that begins now will cover."""
        with self._lock:
            return Mark(self._name.segment, self._written, len(self._unsynced))

    def settle(self, mark: Mark) -> None:
        """Note that everything up to the mark is on the disk."""
        with self._lock:
            # Turned over meanwhile: those records stand in the new segment, and are synced there.
            if mark.segment == self._name.segment:
                self._synced = mark.end
                del self._unsynced[: mark.records]
                self.durable += mark.records

    def condemn(self) -> None:
        """Note that a sync failed.

        After that the kernel may have dropped the pages and report success next time, so this
        segment is not trusted again: the next ``write`` puts the records that were not durable
        into a new one.
        """
        self._condemned = True

    def sync(self) -> None:
        """Make everything written durable.

        Raises:
            OSError: the disk refused; the segment is condemned.
        """
        if self._condemned:
            raise OSError(errno.EIO, "this segment failed to sync before", str(self.path))
        mark = self.mark()
        try:
            self._disk.sync_data(self.descriptor)
        except OSError:
            self.condemn()
            raise
        self.settle(mark)

    def turn_over(self) -> None:
        """Begin the next segment, carrying the chain and every record that is not yet durable.

        Raises:
            OSError: the disk refused; the segment in use stays in use.
        """
        reason: Literal["started", "rotated", "sync_failed"] = "started"
        if self.descriptor >= 0:
            if not self._condemned:
                self.sync()
            reason = "sync_failed" if self._condemned else "rotated"
        name = msgspec.structs.replace(self._name, segment=self._next_segment)
        before = self._synced.position
        header, position = encode_header(
            Header(
                format=FORMAT_VERSION,
                gateway_id=name.gateway_id,
                worker_id=name.worker_id,
                segment=name.segment,
                opened_at=self._clock(),
                previous_seq=before.seq,
                previous_chain=before.chain.hex(),
                reason=reason,
            )
        )
        carried, position = _encode(self._unsynced, position)
        content = header + carried
        descriptor = self._create(name, content)
        self._retire()
        with self._lock:
            self._name = name
            self.descriptor = descriptor
            self._condemned = False
            self._written = End(position, len(content))
            self._synced = End(before, 0)

    def close(self) -> None:
        """Let go of the segment in use; it is finished for every reader then."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _create(self, name: SegmentName, content: bytes) -> int:
        path = self._directory / name.file_name
        temporary = path.with_name(f".{path.name}.new")
        descriptor = -1
        try:
            descriptor = self._disk.create(temporary)
            self._write_whole(descriptor, content)
            # From here a reader may have seen the name, so it is never used for other content.
            self._next_segment += 1
            self._disk.publish(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
                path.unlink(missing_ok=True)
            if descriptor >= 0:
                os.close(descriptor)
            raise
        return descriptor

    def _retire(self) -> None:
        """Close the segment before; what failed to sync is cut off, as it stands in the next."""
        if self.descriptor < 0:
            return
        if self._condemned:
            # A help to readers only: the next header already says that these lines are void.
            with contextlib.suppress(OSError):
                self._disk.truncate(self.descriptor, self._synced.offset)
        # Closed after the next one has its name, so that the series never looks finished.
        os.close(self.descriptor)

    def _write_whole(self, descriptor: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            count = self._disk.write(descriptor, bytes(rest) if len(rest) < len(data) else data)
            if count == 0:
                raise OSError(errno.ENOSPC, "the disk took no bytes")
            rest = rest[count:]

    def _cut_back(self) -> None:
        try:
            self._disk.truncate(self.descriptor, self._written.offset)
        except OSError:
            # A torn line stays behind; nothing may follow it in this file.
            self._condemned = True


def _encode(records: Sequence[bytes], position: Position) -> tuple[bytes, Position]:
    seq, chain = position.seq, position.chain
    lines = []
    for record in records:
        seq += 1
        line, chain = encode_line(record, seq, chain)
        lines.append(line)
    return b"".join(lines), Position(seq, chain)
