"""Threads that work beside the requests of the control plane, until it is closed.

What they do survives a kill at any point: each step is whole in itself, and another process, or the
next start, goes on from there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from kintsugi.api.feed import ChangeFeed
from kintsugi.errors import KintsugiError

log = structlog.get_logger(__name__)

_JOIN_SECONDS: Final = 5.0

#: Does a bounded piece of work; whether there was any.
Step = Callable[[], bool]


class Background:
    """Takes steps in turn; waits for news, or for a while, when none of them had anything to do.

    Args:
        name: of the thread, and of its failures in the log.
        channel: of the feed whose news wake it.
        look_every_seconds: how long to wait where there is no news.
        pause_seconds: between steps that had something to do, so that requests come first.
    """

    def __init__(
        self,
        name: str,
        steps: Sequence[Step],
        feed: ChangeFeed,
        *,
        channel: str,
        look_every_seconds: float,
        pause_seconds: float = 0.0,
    ) -> None:
        self._name = name
        self._steps = tuple(steps)
        self._feed = feed
        self._channel = channel
        self._look_every_seconds = look_every_seconds
        self._pause_seconds = pause_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def stopping(self) -> bool:
        """Whether a long step should leave off, where it can be taken up again."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """Leave off after the step under way; another process goes on."""
        self._stopping.set()
        self._feed.announce((self._channel,))

    def close(self) -> None:
        """Stop, and wait for the end."""
        self.stop()
        self._thread.join(timeout=_JOIN_SECONDS)

    def _run(self) -> None:
        while not self.stopping:
            generation = self._feed.generation((self._channel,))
            if self._worked():
                self._stopping.wait(self._pause_seconds)
            else:
                self._feed.wait_in_thread(
                    self._channel, after=generation, timeout_seconds=self._look_every_seconds
                )

    def _worked(self) -> bool:
        worked = False
        for step in self._steps:
            try:
                worked = step() or worked
            except (KintsugiError, OSError) as error:
                log.warning("background.unavailable", thread=self._name, error=str(error))
            except Exception:  # the outer edge: a defect in one step must not end all the others
                log.exception("background.failed", thread=self._name)
        return worked
