"""The threads that deliver notices. Any number of control planes may run them on one database: a
target is delivered to by one runner at a time, whose lease ends by itself when it is killed, and
what was not saved as delivered is sent again. So everything arrives at least once, in the order in
which it happened as long as nothing fails.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from kintsugi.errors import KintsugiError, VersionConflict
from kintsugi.model.notify import AnyTarget
from kintsugi.model.signal import Observation
from kintsugi.model.stores import Stores
from kintsugi.notify.deliver import Deliverer
from kintsugi.notify.watch import Watch

log = structlog.get_logger(__name__)

RUNNERS: Final = 3
LEASE_SECONDS: Final = 90.0
KEPT: Final = timedelta(days=30)
_BATCH: Final = 200
_LOOK_EVERY_SECONDS: Final = 2.0
_WATCH_EVERY: Final = timedelta(seconds=15)
_FORGET_EVERY: Final = timedelta(hours=1)
_FORGOTTEN: Final = 5000


class Wakes(Protocol):
    """What wakes a thread that waits for changes; the API's change feed is one."""

    def generation(self, channels: tuple[str, ...]) -> int:
        """A number that grows with every change."""

    def wait_in_thread(self, channel: str, *, after: int, timeout_seconds: float) -> None:
        """Until there is a later one, or time is up."""

    def announce(self, channels: tuple[str, ...]) -> None:
        """Wake everyone."""


class NotifyWorker:
    """Hands notices out, delivers them, and looks for what time alone brings about."""

    def __init__(self, stores: Stores, wakes: Wakes, clock: Callable[[], datetime]) -> None:
        self._stores = stores
        self._wakes = wakes
        self._clock = clock
        self._stopping = threading.Event()
        self._watch = Watch(stores)
        self._watched: datetime | None = None
        self._forgot: datetime | None = None
        self._me = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._deliverer = Deliverer(
            stores.notify, clock, stopping=self._stopping.is_set, given_up=self._give_up
        )
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"notify-{number}", daemon=True)
            for number in range(RUNNERS)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop after the attempts that are under way, and wait for that, not for long: who is cut
        off is a runner that died, and others go on."""
        self._stopping.set()
        self._wakes.announce(("notices",))
        for thread in self._threads:
            thread.join(timeout=2.0)

    def _run(self, number: int) -> None:
        while not self._stopping.is_set():
            generation = self._wakes.generation(("notices",))
            try:
                if number == 0:
                    self.look_after()
                worked = self.deliver_once(number)
            except VersionConflict as error:
                log.info("notify.taken_over", said=str(error))
                worked = True
            except (KintsugiError, OSError) as error:
                log.warning("notify.unavailable", error=str(error))
                worked = False
            except Exception:  # the outer edge: one bad notice must not silence all the others
                log.exception("notify.failed")
                worked = False
            if not worked:
                self._wakes.wait_in_thread(
                    "notices", after=generation, timeout_seconds=_LOOK_EVERY_SECONDS
                )

    def look_after(self) -> None:
        """Hand out what is new, see what the time has brought, forget what is old."""
        now = self._clock()
        if self._watched is None or not self._watched <= now < self._watched + _WATCH_EVERY:
            self._watched = now
            self._watch.look(now=now)
        while self._stores.notify.fan_out(now=now, limit=_BATCH) == _BATCH:
            pass
        if self._forgot is None or not self._forgot <= now < self._forgot + _FORGET_EVERY:
            self._forgot = now
            self._stores.notify.forget(before=now - KEPT, limit=_FORGOTTEN)
            self._stores.notices.forget(before=now - KEPT, limit=_FORGOTTEN)

    def deliver_once(self, number: int = 0) -> bool:
        """Deliver what one target has due; whether there was any."""
        work = self._stores.notify.claim(
            f"{self._me}-{number}",
            now=self._clock(),
            lease_seconds=LEASE_SECONDS,
            limit=_BATCH,
        )
        if work is None:
            return False
        self._deliverer.work(work)
        return True

    def _give_up(self, target: AnyTarget) -> None:
        log.error("notify.given_up", target=target.name, reason=target.disabled_reason)
        self._stores.signals.observe(
            Observation(
                kind="notify_disabled",
                key=f"notify_disabled:{target.id}:{target.failing_since}",
                severity="high",
                subject=f"{'webhook' if hasattr(target, 'url') else 'channel'}:{target.name}",
                summary=f'"{target.name}" hears of nothing any more: {target.disabled_reason}',
                detail={"id": target.id, "failing_since": target.failing_since},
            ),
            now=self._clock(),
        )
