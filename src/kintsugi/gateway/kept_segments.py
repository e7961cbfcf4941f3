"""Segments that arrived at the control plane, and stay beside the journal for a while.

A control plane that is set back to a backup gets from here what it lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from kintsugi.ledger.journal_files import SegmentName


class Keep(msgspec.Struct, frozen=True):
    """How much of what has arrived stays here for a while."""

    seconds: float
    bytes: int


NOTHING_KEPT: Final = Keep(0.0, 0)
KEPT: Final = Keep(86_400.0, 1_000_000_000)


class KeptSegments:
    """What one gateway keeps.

    Attributes:
        folder: where it is; made when the first segment is put aside.
    """

    def __init__(self, journal: Path, keep: Keep, clock: Callable[[], datetime]) -> None:
        self._journal = journal
        self._keep = keep
        self._clock = clock
        self.folder = journal / "kept"

    def put_aside(self, segment: SegmentName) -> None:
        """Take a segment out of the journal."""
        path = self._journal / segment.file_name
        if self._keep == NOTHING_KEPT:
            path.unlink(missing_ok=True)
            return
        self.folder.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileNotFoundError):
            os.utime(path)  # its age counts from here
            path.rename(self.folder / segment.file_name)

    def delete_old(self) -> None:
        """Delete what was put aside long ago, and the oldest of what is too much."""
        try:
            found = [(entry.stat().st_mtime, entry) for entry in self.folder.iterdir()]
        except FileNotFoundError:
            return
        size = sum(entry.stat().st_size for _, entry in found)
        oldest_kept = self._clock().timestamp() - self._keep.seconds
        for put_aside_at, entry in sorted(found):
            if put_aside_at >= oldest_kept and size <= self._keep.bytes:
                break
            size -= entry.stat().st_size
            entry.unlink()
