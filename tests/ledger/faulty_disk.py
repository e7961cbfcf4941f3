"""A disk that can be told to refuse, to take only part, or to stand still."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

from kintsugi.ledger.journal_segments import Disk


class FaultyDisk(Disk):
    """Works until told otherwise.

    Attributes:
        bytes_left: what may still be written; None for no end.
        sync_errors: how many syncs in a row fail with EIO.
        truncate_fails: whether cutting a file fails.
        open: cleared, syncs stand still until it is set again.
        syncs: how many succeeded.
    """

    def __init__(self) -> None:
        self.bytes_left: int | None = None
        self.sync_errors = 0
        self.truncate_fails = False
        self.open = threading.Event()
        self.open.set()
        self.syncs = 0

    def write(self, descriptor: int, data: bytes) -> int:
        """Writes what still fits."""
        if self.bytes_left is None:
            return super().write(descriptor, data)
        if self.bytes_left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = super().write(descriptor, data[: self.bytes_left])
        self.bytes_left -= count
        return count

    def sync_data(self, descriptor: int) -> None:
        """Waits while told to stand still, fails while told to fail."""
        self.open.wait(20)
        if self.sync_errors:
            self.sync_errors -= 1
            raise OSError(errno.EIO, "Input/output error")
        super().sync_data(descriptor)
        self.syncs += 1

    def truncate(self, descriptor: int, length: int) -> None:
        """Fails while told to fail."""
        if self.truncate_fails:
            raise OSError(errno.EIO, "Input/output error")
        super().truncate(descriptor, length)

    def create(self, path: Path) -> int:
        """Fails when nothing fits any more."""
        if self.bytes_left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().create(path)
