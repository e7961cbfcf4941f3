"""Which events a store takes: the id must be a UUIDv7 that agrees with the timestamp.

The id's own time is what finds an event's partition, so an id that lies about it would be stored
where nobody looks for it and could be stored twice.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kintsugi.errors import InvalidInput
from kintsugi.model.event import DecisionEvent
from kintsugi.model.ids import uuid7_time

EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
AHEAD_MAX = timedelta(days=1)
# The id counts milliseconds and the timestamp microseconds; writers round either way, and a slow
# one may read its clock twice.
ID_TOLERANCE = timedelta(seconds=1)


def check_admissible(event: DecisionEvent, *, now: datetime) -> None:
    """Accept or refuse one event.

    Raises:
        InvalidInput: the id is no UUIDv7 in lower case, its time is not the timestamp's, or the
            timestamp lies before 2020 or more than a day ahead of ``now``.
    """
    try:
        id_time = uuid7_time(event.id)
    except (ValueError, OverflowError):
        raise InvalidInput(f'event id "{event.id[:80]}" is not a UUIDv7') from None
    if event.id != canonical_id(event.id):
        raise InvalidInput(
            f'event id "{event.id}" is not in the usual form: lower case, 8-4-4-4-12 digits'
        )
    if event.timestamp.tzinfo is None:
        raise InvalidInput(f"event {event.id}: the timestamp has no time zone; send UTC")
    if not EARLIEST <= event.timestamp <= now + AHEAD_MAX:
        raise InvalidInput(
            f"event {event.id}: the timestamp {event.timestamp.isoformat()} must lie between "
            f"{EARLIEST:%Y-%m-%d} and one day from now; is the sender's clock right?"
        )
    if abs(id_time - event.timestamp) > ID_TOLERANCE:
        raise InvalidInput(
            f"event {event.id}: the id says {id_time.isoformat()} and the timestamp "
            f"{event.timestamp.isoformat()}; they must agree to the second"
        )


def canonical_id(identifier: str) -> str:
    """The usual form of 32 hex digits, whatever case and hyphens they came with."""
    digits = identifier.replace("-", "").lower()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
