"""What nobody does and yet happens: dates that come near or pass. Looked for every few seconds;
each is told once, whichever control plane sees it first."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from kintsugi.model.notice import Notice
from kintsugi.model.notice_sources import of_containment, of_obligation
from kintsugi.model.oversight import BACKLOG_CRITICAL, BACKLOG_WARNING
from kintsugi.model.signal import Observation, Severity
from kintsugi.model.stores import Stores

_PAGE: Final = 200
_PAGES_MAX: Final = 20
_SOON_MOST: Final = timedelta(days=3)  # no clock is due soon before that
_DAY: Final = timedelta(days=1)
_BACKLOGS: Final[tuple[tuple[str, int, Severity], ...]] = (
    ("warning", BACKLOG_WARNING, "high"),
    ("critical", BACKLOG_CRITICAL, "critical"),
)
_LOOKED_BACK: Final = timedelta(days=7)


class Watch:
    """Remembers what it has seen told, so that the database is asked for each thing once."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._told: set[str] = set()

    def look(self, *, now: datetime) -> None:
        """Tell of what has come about since the last look."""
        self._obligations(now)
        self._containments(now)
        while self._stores.oversight.expire(now=now, limit=_PAGE) == _PAGE:
            pass
        self._backlog(now)

    def _obligations(self, now: datetime) -> None:
        cursor = None
        for _ in range(_PAGES_MAX):
            found, cursor = self._stores.incidents.obligations(
                terminal=False, limit=_PAGE, cursor=cursor
            )
            for owed in found:
                if (told := of_obligation(owed, now=now)) is not None:
                    self._once(*told)
            due_at = found[-1].obligation.due_at if found else None
            if cursor is None or due_at is None or due_at > now + _SOON_MOST:
                return

    def _backlog(self, now: datetime) -> None:
        """Seed 001's two thresholds, as signals that end by themselves."""
        pending = self._stores.oversight.count_escalations("pending", now=now)
        for name, threshold, severity in _BACKLOGS:
            # A person's word holds for the day; what is still too much tomorrow is said again.
            days = {one: f"escalation_backlog:{name}:{one:%Y-%m-%d}" for one in (now, now - _DAY)}
            if pending > threshold:
                self._stores.signals.observe(
                    Observation(
                        kind="escalation_backlog",
                        key=days[now],
                        severity=severity,
                        subject="escalations",
                        summary=f"{pending} escalations wait for a person (more than {threshold})",
                        detail={"pending": pending, "threshold": threshold},
                    ),
                    now=now,
                )
                continue
            for key in days.values():
                self._stores.signals.over(key, resolution=f"{pending} wait", now=now)

    def _containments(self, now: datetime) -> None:
        for one in self._stores.containments.expired(
            since=now - _LOOKED_BACK, until=now, limit=_PAGE
        ):
            key = f"containment.expired:{one.id}:{one.expires_at.isoformat()}"
            self._once(key, of_containment(one, "expired", now=now))

    def _once(self, key: str, one: Notice) -> None:
        if key not in self._told:
            self._stores.notices.add_once(key, one)
            self._told.add(key)
