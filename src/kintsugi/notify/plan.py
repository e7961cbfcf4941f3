"""What goes to a channel now, what waits, and what is told together. Pure.

Quiet hours hold back what is not grave enough; too many messages in a short time become one that
says how many it stands for. Nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.model.notify import Channel, Delivery, QuietHours, rank
from kintsugi.notify.messages import Message, digest, of_notice

WINDOW: Final = timedelta(minutes=10)
# Kept for what is critical: a flood of the rest must not use them up.
_RESERVED: Final = 2


class Parcel(msgspec.Struct, frozen=True):
    """One message, and the deliveries that it stands for."""

    message: Message
    deliveries: tuple[Delivery, ...]


class Plan(msgspec.Struct, frozen=True):
    """What to do with a channel's deliveries now.

    Attributes:
        held: those that wait, with when they are looked at again and why.
    """

    parcels: tuple[Parcel, ...]
    held: tuple[Delivery, ...]


def planned(channel: Channel, due: Sequence[Delivery], *, now: datetime) -> Plan:
    """Decide about everything that is due.

    Each message that goes out counts against the channel's bound for ten minutes, critical ones as
    well; of those, a few places are kept for critical notices.
    """
    held: list[Delivery] = []
    loud: list[Delivery] = []
    for one in due:
        until = quiet_until(channel, one, now=now)
        if until is None:
            loud.append(one)
        else:
            held.append(msgspec.structs.replace(one, due_at=until, held="quiet hours"))
    recent = [at for at in channel.recent if at > now - WINDOW]
    left = channel.messages_max - len(recent)
    opens = min(recent, default=now) + WINDOW
    critical = [one for one in loud if one.notice.severity == "critical"]
    others = [one for one in loud if one.notice.severity != "critical"]
    first, late = _within(critical, left)
    left -= len(first)
    reserved = min(_RESERVED, channel.messages_max - 1)
    rest, later = _within(others, left - reserved)
    held += [msgspec.structs.replace(one, due_at=opens, held="too many") for one in (*late, *later)]
    return Plan((*first, *rest), tuple(held))


def _within(due: Sequence[Delivery], places: int) -> tuple[list[Parcel], Sequence[Delivery]]:
    """Messages of their own as far as there are places; where they do not suffice, the last place
    is for all the rest together. What was held back before comes together as well."""
    if not due or places <= 0:
        return [], due
    before = [one for one in due if one.held]
    fresh = [one for one in due if not one.held]
    parcels = []
    if len(before) == 1:
        fresh = [*before, *fresh]
    elif before:
        why = " and ".join(sorted({one.held for one in before}))
        message = digest([one.notice for one in before], why=why)
        parcels.append(Parcel(message, tuple(before)))
        places -= 1
    if len(fresh) > places:
        alone = fresh[: max(places - 1, 0)]
        together = fresh[len(alone) :]
        parcels += [Parcel(of_notice(one.notice), (one,)) for one in alone]
        if places <= 0:
            return parcels, together
        message = digest([one.notice for one in together], why="too many")
        return [*parcels, Parcel(message, tuple(together))], ()
    return [*parcels, *(Parcel(of_notice(one.notice), (one,)) for one in fresh)], ()


def quiet_until(channel: Channel, delivery: Delivery, *, now: datetime) -> datetime | None:
    """When the quiet hours end that hold this delivery; None where none does."""
    ends = [
        end
        for hours in channel.quiet_hours
        if rank(delivery.notice.severity) < rank(hours.below)
        and (end := ends_at(hours, now)) is not None
    ]
    return max(ends, default=None)


def ends_at(hours: QuietHours, now: datetime) -> datetime | None:
    """When the quiet hours end that it is in; None outside of them."""
    zone = ZoneInfo(hours.zone)
    local = now.astimezone(zone)
    start, end = time.fromisoformat(hours.start), time.fromisoformat(hours.end)
    clock = local.time()
    inside = start <= clock < end if start < end else clock >= start or clock < end
    if not inside:
        return None
    day = local.date() if clock < end else local.date() + timedelta(days=1)
    return datetime.combine(day, end, zone).astimezone(UTC)


def check_quiet_hours(hours: QuietHours, where: str) -> None:
    """Raise where they cannot be told.

    Raises:
        InvalidInput: a time or the zone is none, or they are empty.
    """
    for name, text in (("start", hours.start), ("end", hours.end)):
        try:
            found = time.fromisoformat(text)
        except ValueError:
            found = None
        if found is None or found.tzinfo is not None or len(text) != len("22:00"):
            raise InvalidInput(f'{where}.{name}: "{text}" is no time of the day; write 22:00')
    if hours.start == hours.end:
        raise InvalidInput(f"{where}: start and end are the same; that would be never or always")
    try:
        ZoneInfo(hours.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput(
            f'{where}.zone: "{hours.zone}" is no time zone; write Europe/Berlin, or UTC'
        ) from None
