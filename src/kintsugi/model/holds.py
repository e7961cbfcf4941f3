"""Legal holds: evidence that may not go away, whatever else asks for it.

Implemented by ``store/holds.py`` on PostgreSQL and by ``store/memory_holds.py``; both pass the
same contract tests.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Protocol

import msgspec

from kintsugi.model.custody import CustodyEntry
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.vault import Subject

# More than any company has at a time. Refused where one more is placed: a list that is cut short
# where it is read would forget the oldest.
HOLDS_MAX: Final = 1000


class Hold(msgspec.Struct, frozen=True, omit_defaults=True):
    """One hold. It is in force until somebody releases it; it has no end of its own.

    Attributes:
        id: UUIDv7.
        name: what people call it; it stands in every refusal.
        where: what it covers, also of events that are stored later; with nothing set, everything.
        placed_by, released_by: ``NAME/ID`` of the token.
        incident_id: the incident whose evidence it keeps; it is not released before that is over.
    """

    id: str
    name: str
    reason: str
    placed_by: str
    placed_at: datetime
    where: EventFilter = EventFilter()
    released_at: datetime | None = None
    released_by: str = ""
    release_reason: str = ""
    incident_id: str = ""


class HoldStore(Protocol):
    """Holds, those that ended too. Whoever places or releases one hands over what custody keeps of
    it, and both are stored at once."""

    def place(self, hold: Hold, custody: CustodyEntry) -> None:
        """Keep a new one.

        Raises:
            InvalidInput: its id is taken or is no UUID.
            StateConflict: one of this name is in force, or ``HOLDS_MAX`` are.
        """

    def get(self, hold_id: str) -> Hold:
        """Raises:
        NotFound: there is none with this id.
        """

    def list(self, *, in_force: bool | None, limit: int) -> list[Hold]:
        """Newest first; None is those in force and those that ended."""

    def release(
        self, hold_id: str, *, by: str, reason: str, now: datetime, custody: CustodyEntry
    ) -> Hold:
        """End one; one that has ended stays as it was.

        Raises:
            NotFound: there is none with this id.
        """


def narrowed(where: EventFilter, subject: Subject) -> EventFilter | None:
    """The events of a subject that a filter covers, as a filter; None where there can be none.

    A user's hold covers what a session or an exchange without a user holds only where it says so.
    Full text is left out: words are made findable in the background, and what is not there yet
    must be held all the same.
    """
    has = getattr(where, subject.kind)
    if has and has != subject.id:
        return None
    return msgspec.structs.replace(where, q="", **{subject.kind: subject.id})


def narrowed_in_time(where: EventFilter, *, since: datetime, until: datetime) -> EventFilter | None:
    """What a filter covers of a stretch of time, as a filter; None where it can be nothing."""
    since = max(since, where.since) if where.since is not None else since
    until = min(until, where.until) if where.until is not None else until
    if until < since:
        return None
    return msgspec.structs.replace(where, q="", since=since, until=until)
