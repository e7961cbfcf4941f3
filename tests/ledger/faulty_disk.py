"""A disk that can be told to refuse, to take only part, or to stand still."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from pathlib import Path

from kintsugi.ledger.journal_segments import Disk
from kintsugi.ledger.kernel_sync import OnSynced


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


class FaultyBackgroundSync:
    """What the kernel does for a good disk, for a faulty one."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_synced: OnSynced, disk: FaultyDisk
    ) -> None:
        self._loop = loop
        self._on_synced = on_synced
        self._disk = disk

    def begin(self, descriptor: int) -> None:
        """The file stays open for as long as the sync takes, whoever closes it meanwhile."""
        held = os.dup(descriptor)
        threading.Thread(target=self._sync, args=(held,), daemon=True).start()

    def close(self) -> None:
        """Nothing to let go of."""

    def _sync(self, descriptor: int) -> None:
        code = 0
        try:
            self._disk.sync_data(descriptor)
        except OSError as error:
            code = error.errno or errno.EIO
        finally:
            os.close(descriptor)
        with contextlib.suppress(RuntimeError):  # the test is over
            self._loop.call_soon_threadsafe(self._on_synced, code)
