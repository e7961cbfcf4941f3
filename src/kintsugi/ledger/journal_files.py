"""Where segments lie, how they are named, and whether somebody still writes one.

A writer holds an exclusive ``flock`` on its newest segment for as long as it lives; the kernel
drops it when the process dies, however it dies. So a segment without a lock is finished: nobody
will ever append to it. A segment gets its name only after it is locked (it is made under a name
with a leading dot and renamed), so a reader never mistakes one that is being opened for finished.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

_NAME = re.compile(r"([^./]+)\.([^./]+)\.(\d+)\.(\d{6,})\.jsonl")
_IDENTIFIER = re.compile(r"[^./\s]+")

RECOVERY_WORKER_ID = "recovery"


class SegmentName(msgspec.Struct, frozen=True, order=True):
    """The parts of ``<gateway_id>.<worker_id>.<start_unix_ms>.<segment:06d>.jsonl``.

    Ordered as the records are: by writer, then by time of start, then by segment.
    """

    gateway_id: str
    worker_id: str
    started_unix_ms: int
    segment: int

    @property
    def file_name(self) -> str:
        """The name in the journal's directory."""
        return f"{self.series}.{self.segment:06d}.jsonl"

    @property
    def series(self) -> str:
        """What all segments of one writer's run share."""
        return f"{self.gateway_id}.{self.worker_id}.{self.started_unix_ms}"

    @classmethod
    def parse(cls, file_name: str) -> SegmentName | None:
        """Read a name; None when the file is no segment."""
        match = _NAME.fullmatch(file_name)
        if match is None:
            return None
        return cls(match[1], match[2], int(match[3]), int(match[4]))


def require_identifier(value: str) -> str:
    """``value``, when it can be part of a segment's name.

    Raises:
        ValueError: it is empty or holds a dot, a slash or white space.
    """
    if not _IDENTIFIER.fullmatch(value):
        raise ValueError(f'"{value}" cannot name a journal; leave out dots, slashes and spaces')
    return value


def list_segments(directory: Path) -> list[SegmentName]:
    """Every segment there, in order; empty when there is no such directory.

    Recovery's own come last: what they decide was admitted in the others.
    """
    try:
        names = [entry.name for entry in directory.iterdir()]
    except FileNotFoundError:
        return []
    segments = [name for name in map(SegmentName.parse, names) if name is not None]
    return sorted(segments, key=lambda name: (name.worker_id == RECOVERY_WORKER_ID, name))


def is_live(path: Path) -> bool:
    """Whether a writer still holds this segment.

    Raises:
        FileNotFoundError: it is gone.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # Shared, so that two that ask at the same time do not mistake each other for a writer.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextlib.contextmanager
def exclusive(directory: Path, *, wait: bool = True) -> Iterator[bool]:
    """Be the only one who deletes segments, or who draws conclusions from all of them together.

    Whoever reads an admission in one chunk must find its decision in the next one still there.

    Returns:
        Whether it is ours; always, unless ``wait`` is False and somebody else is at it.
    """
    descriptor = os.open(directory / ".exclusive.lock", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
