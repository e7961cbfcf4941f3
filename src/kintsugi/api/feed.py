"""One thread waits for the store's changes and wakes every stream of this process.

A stream asks for the feed's generation before it reads the store, and waits for a later one
afterwards, so that a change between the two is never slept through.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable

import structlog

from kintsugi.errors import StoreUnavailable
from kintsugi.model.stores import Changes

log = structlog.get_logger(__name__)

CHANNELS = (
    *("events", "configurations", "gateways", "exports", "oversight", "signals"),
    *("vault", "incidents", "notices", "archives", "retention"),
)
_WAIT_SECONDS = 5.0
_RETRY_SECONDS = 0.5


class ChangeFeed:
    """Hands the store's changes to any number of waiting coroutines and threads."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._lock = threading.Condition()
        self._generation = dict.fromkeys(CHANNELS, 0)
        self._waiters: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._closing = False
        self._thread = threading.Thread(target=self._listen, name="change-feed", daemon=True)

    @property
    def closing(self) -> bool:
        """Whether the server is about to stop; streams end when they see it."""
        return self._closing

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """End every stream and the thread. May be called from any thread, more than once."""
        self._closing = True
        self._changes.close()
        self.announce(CHANNELS)

    def generation(self, channels: Iterable[str]) -> int:
        """A number that grows with every change on one of these channels."""
        with self._lock:
            return sum(self._generation[channel] for channel in channels)

    def announce(self, channels: Iterable[str]) -> None:
        """Wake everyone who waits, as if the store had told of a change."""
        with self._lock:
            for channel in channels:
                if channel in self._generation:
                    self._generation[channel] += 1
            waiters = list(self._waiters)
            self._lock.notify_all()
        for loop, event in waiters:
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:  # that loop has been closed with its streams
                self._waiters.discard((loop, event))

    async def wait(self, channels: Iterable[str], *, after: int, timeout_seconds: float) -> bool:
        """Whether something changed since generation ``after``, once it did or time is up."""
        loop = asyncio.get_running_loop()
        names = tuple(channels)
        event = asyncio.Event()
        key = (loop, event)
        deadline = loop.time() + timeout_seconds
        with self._lock:
            self._waiters.add(key)
        try:
            while self.generation(names) == after and not self._closing:
                left = deadline - loop.time()
                if left <= 0:
                    return False
                event.clear()
                if self.generation(names) != after:
                    break
                try:
                    await asyncio.wait_for(event.wait(), left)
                except TimeoutError:
                    return False
            return True
        finally:
            with self._lock:
                self._waiters.discard(key)

    def wait_in_thread(self, channel: str, *, after: int, timeout_seconds: float) -> None:
        """Block until ``channel`` changed since ``after``, the feed closes, or time is up."""
        with self._lock:
            self._lock.wait_for(
                lambda: self._closing or self._generation[channel] != after,
                timeout=timeout_seconds,
            )

    def _listen(self) -> None:
        while not self._closing:
            try:
                changed = self._changes.wait(timeout_seconds=_WAIT_SECONDS)
            except StoreUnavailable as error:
                log.warning("changes.unavailable", error=str(error))
                with self._lock:
                    self._lock.wait_for(lambda: self._closing, timeout=_RETRY_SECONDS)
                # What happened meanwhile is unknown: let everyone look.
                changed = frozenset(CHANNELS)
            if changed:
                self.announce(changed)
