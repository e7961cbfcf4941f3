"""What changed, told within this process; see ``changes``."""

from __future__ import annotations

import threading


class MemoryChanges:
    """Changes within this process."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._pending: set[str] = set()
        self._closed = False

    def announce(self, channel: str) -> None:
        """Wake whoever waits."""
        with self._condition:
            self._pending.add(channel)
            self._condition.notify_all()

    def wait(self, *, timeout_seconds: float) -> frozenset[str]:
        with self._condition:
            self._condition.wait_for(lambda: self._pending or self._closed, timeout_seconds)
            changed = frozenset(self._pending)
            self._pending.clear()
            return changed

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()
