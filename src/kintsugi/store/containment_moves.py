"""How a containment changes: the same in every store."""

from __future__ import annotations

from datetime import datetime

import msgspec

from kintsugi.errors import Forbidden, StateConflict
from kintsugi.model.containment import Bypassed, Containment
from kintsugi.model.incident import person_of


def approved(found: Containment, *, by: str, now: datetime) -> Containment:
    """In force from now on, for as long as was asked for.

    Raises:
        StateConflict: it does not wait for approval, or not any more.
        Forbidden: nobody approves what they asked for, with whichever of their tokens.
    """
    if found.state(now) != "waiting":
        raise StateConflict("it does not wait for approval; look at its status")
    if person_of(by) == person_of(found.created_by):
        raise Forbidden("another person has to approve what you asked for")
    lasts = found.expires_at - found.created_at
    return msgspec.structs.replace(found, approved_at=now, approved_by=by, expires_at=now + lasts)


def released(found: Containment, *, by: str, reason: str, now: datetime) -> Containment:
    """Ended now; what has ended already stays as it was."""
    if found.state(now) == "ended":
        return found
    return msgspec.structs.replace(found, released_at=now, released_by=by, release_reason=reason)


def judged(found: Containment, bypassed: Bypassed, *, now: datetime) -> Containment:
    """With what it let through."""
    return msgspec.structs.replace(found, bypassed=bypassed, bypassed_at=now)
