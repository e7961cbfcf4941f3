"""Keeps what is relaxed in sight of whoever runs the gateway: in its log and in its metrics.

A relaxed setting goes on deciding after its last day, or a forgotten date would become an outage.
So somebody has to hear of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime

import structlog

from kintsugi.gateway.metrics import RELAXED_STATES
from kintsugi.model.config import Config
from kintsugi.policy.relaxed import Relaxed, relaxed

log = structlog.get_logger(__name__)


class RelaxedWatch:
    """One gateway's.

    Args:
        count: is told how many settings are in each of ``RELAXED_STATES``.
        today: the day in UTC.
    """

    def __init__(
        self,
        count: Callable[[str, int], None],
        *,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        self._count = count
        self._today = today
        self._settings: tuple[Relaxed, ...] = ()
        self._looked: date | None = None

    def take(self, config: Config) -> None:
        """This configuration runs from now on."""
        self._settings = relaxed(config)
        self._looked = None
        self.look()

    def look(self) -> None:
        """Count and tell, once a day; cheap enough for every second."""
        today = self._today()
        if today == self._looked:
            return
        self._looked = today
        states = Counter[str](one.state(today) for one in self._settings)
        for state in RELAXED_STATES:
            self._count(state, states[state])
        for one in self._settings:
            _tell(one, today)


def _tell(one: Relaxed, today: date) -> None:
    state = one.state(today)
    told = {"state": state, "path": one.path, "setting": one.setting, "meaning": one.meaning}
    if one.by is not None:
        told |= {"owner": one.by.owner, "expires": one.by.expires.isoformat()}
    if state == "in_time":
        log.info("configuration.relaxed", **told)
    else:
        log.warning("configuration.relaxed", **told)
