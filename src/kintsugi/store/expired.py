"""What is said of something that is not there: that it never was, or that its time was over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kintsugi.errors import Expired, NotFound
from kintsugi.model.ids import uuid7_time
from kintsugi.model.retention import ExpiredMonth


def time_of(event_id: str) -> datetime | None:
    """The time in an event's id; None where it is no id of an event."""
    try:
        return uuid7_time(event_id)
    except ValueError:
        return None


def no_event(event_id: str, months: Sequence[ExpiredMonth]) -> NotFound:
    """Why there is no such event.

    Args:
        months: of its time whose records have expired.
    """
    if not months:
        return NotFound(f'there is no event "{event_id}"')
    last = months[-1]
    return Expired(
        f'there is no event "{event_id}" any more, if there ever was: the records of '
        f"{last.first_day:%B %Y} expired on {last.expired_at.date()} under policy {last.policy}; "
        "their proofs are in the log"
    )
