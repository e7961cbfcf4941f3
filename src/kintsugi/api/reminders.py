"""What was promised is chased: actions, the next message, the review.

What is overdue is a signal, and is over when it is made good; what falls due soon is a notice, told
once. Several control planes may look at once: a signal has one key, and so has a notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from kintsugi.errors import NotFound, VersionConflict
from kintsugi.incidents import communications
from kintsugi.incidents.cadence import review_due, update_due
from kintsugi.incidents.commands import Act
from kintsugi.model.action import Action
from kintsugi.model.communication import Communication
from kintsugi.model.followup import Followup, FollowupFilter
from kintsugi.model.incident import ENDED, Actor, Incident, IncidentFilter
from kintsugi.model.notice import notice
from kintsugi.model.signal import Observation, Severity, Signal
from kintsugi.model.stores import Stores

log = structlog.get_logger(__name__)

REMINDERS_EVERY_SECONDS: Final = 30.0
SOON: Final = timedelta(days=2)
_AT_MOST_EVERY: Final = timedelta(seconds=5)
_PAGE: Final = 500
_SYSTEM: Final = Actor("kintsugi", "kintsugi/reminders", may_command=True)

KINDS: Final = ("action_overdue", "communication_overdue", "update_overdue", "review_overdue")


class Reminders:
    """Looks at what is owed; driven by a thread of ``api/background.py``."""

    def __init__(self, stores: Stores, clock: Callable[[], datetime]) -> None:
        self._stores = stores
        self._clock = clock
        self._looked_at: datetime | None = None

    def look_once(self) -> bool:
        """Look, unless that was a moment ago: many changes at once are one reason to look."""
        now = self._clock()
        if self._looked_at is None or not timedelta(0) <= now - self._looked_at < _AT_MOST_EVERY:
            self._looked_at = now
            self.look()
        return False

    def look(self) -> None:
        """Look once: raise what is overdue, end what is not any more, tell what is due soon."""
        now = self._clock()
        owed = {seen.key: seen for seen in (*self._owed(now), *self._owed_by_incidents(now))}
        for seen in owed.values():
            self._stores.signals.observe(seen, now=now)
        for signal in self._standing():
            if signal.key not in owed:
                self._stores.signals.over(signal.key, resolution="it is made good", now=now)

    def _owed(self, now: datetime) -> Iterator[Observation]:
        """What follows from incidents and is overdue; tells of what is due soon on the way."""
        for one in self._due(now):
            due = one.due_at
            if due is None:
                continue
            if isinstance(one, Action):
                if due < now:
                    yield _action_overdue(one, due)
                else:
                    self._tell_soon(one, due, now)
            elif isinstance(one, Communication) and due < now:
                incident = self._stores.incidents.get(one.incidents[0])
                if incident.state in ENDED:
                    self._settle(incident, one, now)
                else:
                    yield _communication_overdue(incident, one, due)

    def _owed_by_incidents(self, now: datetime) -> Iterator[Observation]:
        for incident in self._open():
            due = update_due(incident)
            if due is not None and due < now:
                yield _incident_overdue("update_overdue", incident, due, "an update")
            due = review_due(incident)
            if due is not None and due < now and not self._reviewed(incident):
                yield _incident_overdue("review_overdue", incident, due, "the review")

    def _due(self, now: datetime) -> Iterator[Followup]:
        where = FollowupFilter(settled=False, due_before=now + SOON)
        cursor: str | None = None
        while True:
            found, cursor = self._stores.followups.page(
                where, order="due", limit=_PAGE, cursor=cursor
            )
            yield from found
            if cursor is None:
                return

    def _open(self) -> Iterator[Incident]:
        cursor: str | None = None
        while True:
            found, cursor = self._stores.incidents.page(
                IncidentFilter("open"), limit=_PAGE, cursor=cursor
            )
            yield from found
            if cursor is None:
                return

    def _standing(self) -> Iterator[Signal]:
        for kind in KINDS:
            cursor: str | None = None
            while True:
                found, cursor = self._stores.signals.page(
                    "unresolved", kind=kind, limit=_PAGE, cursor=cursor
                )
                yield from found
                if cursor is None:
                    break

    def _reviewed(self, incident: Incident) -> bool:
        where = FollowupFilter(kind="edition", incident=incident.id)
        found, _ = self._stores.followups.page(where, order="newest", limit=1)
        return bool(found)

    def _tell_soon(self, action: Action, due: datetime, now: datetime) -> None:
        data: dict[str, Any] = {
            "action_id": action.id,
            "title": action.title,
            "owner": action.owner,
            "due_at": due,
            "incidents": list(action.incidents),
        }
        made = notice("action.due_soon", f"action:{action.id}", data, now=now)
        self._stores.notices.add_once(f"action.due_soon:{action.id}:{due.isoformat()}", made)

    def _settle(self, incident: Incident, one: Communication, now: datetime) -> None:
        act = Act(_SYSTEM, now)
        try:
            self._stores.incidents.change(
                [incident.id],
                lambda found: (communications.over(found[0], one, act),),
                now=now,
            )
        except (VersionConflict, NotFound):
            log.info("reminders.changed_meanwhile", communication=one.id)


def _action_overdue(action: Action, due: datetime) -> Observation:
    owner = action.owner or "nobody"
    return Observation(
        "action_overdue",
        f"action_overdue:{action.id}:{due.isoformat()}",
        "medium",
        f"action:{action.id}",
        f'the action "{action.title}" of {owner} was due {due:%Y-%m-%d %H:%M} UTC',
        {"action": action.id, "owner": action.owner, "due_at": due.isoformat()},
    )


def _communication_overdue(incident: Incident, one: Communication, due: datetime) -> Observation:
    return Observation(
        "communication_overdue",
        f"communication_overdue:{one.id}",
        _weight(incident),
        f"incident:{incident.reference}",
        f"{one.audience} were promised more about {incident.reference} by {due:%Y-%m-%d %H:%M} UTC",
        {"communication": one.id, "incident": incident.id, "due_at": due.isoformat()},
    )


def _incident_overdue(kind: str, incident: Incident, due: datetime, what: str) -> Observation:
    return Observation(
        kind,
        f"{kind}:{incident.id}:{due.isoformat()}",
        _weight(incident),
        f"incident:{incident.reference}",
        f"{incident.reference} lacks {what}, due {due:%Y-%m-%d %H:%M} UTC",
        {"incident": incident.id, "due_at": due.isoformat()},
    )


def _weight(incident: Incident) -> Severity:
    """Not as heavy as the incident: what is late is a message about it."""
    return "high" if incident.severity in ("critical", "high") else "medium"
