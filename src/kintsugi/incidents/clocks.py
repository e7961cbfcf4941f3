"""Calendar arithmetic of reporting clocks. Exact, and strict: of two readings the earlier one.

Hours and calendar days are elapsed time (N days are N times 24 hours from the start). Business days
and months are counted on the calendar of the recipient's zone, at the wall clock of the start.
"""

from __future__ import annotations

import calendar
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from kintsugi.model.obligation import Unit

_FRIDAY: Final = 4
_MONTHS: Final = 12


def due_at(
    start: datetime,
    amount: int,
    unit: Unit,
    *,
    zone: str = "UTC",
    holidays: Collection[date] = (),
) -> datetime:
    """When a period that begins at ``start`` is over, in UTC.

    Args:
        amount: 0 for ``immediate``.
        zone: IANA name; matters for business days and months only.
        holidays: days that are no business days, besides Saturday and Sunday. None are assumed:
            that is the strict reading.
    """
    match unit:
        case "immediate":
            return start.astimezone(UTC)
        case "hours":
            return start.astimezone(UTC) + timedelta(hours=amount)
        case "calendar_days":
            return start.astimezone(UTC) + timedelta(days=amount)
        case "business_days":
            local = start.astimezone(ZoneInfo(zone))
            return _at(_business_days_after(local.date(), amount, holidays), local.time(), zone)
        case "months":
            local = start.astimezone(ZoneInfo(zone))
            return _at(_months_after(local.date(), amount), local.time(), zone)


def relief_at(
    start: datetime,
    amount: int,
    unit: Unit,
    *,
    zone: str = "UTC",
    holidays: Collection[date] = (),
) -> datetime | None:
    """What a lenient reading might allow: the end of the last day, on the next business day where
    that day is none. Shown, never relied upon; None where hours are counted."""
    if unit in ("immediate", "hours"):
        return None
    strict = due_at(start, amount, unit, zone=zone, holidays=holidays)
    day = strict.astimezone(ZoneInfo(zone)).date()
    while not is_business_day(day, holidays):
        day += timedelta(days=1)
    return max(strict, _at(day + timedelta(days=1), time(0), zone))


def is_business_day(day: date, holidays: Collection[date]) -> bool:
    """Whether it is neither a weekend nor a holiday."""
    return day.weekday() <= _FRIDAY and day not in holidays


def _business_days_after(day: date, amount: int, holidays: Collection[date]) -> date:
    """The amount-th business day after a day; the day itself never counts."""
    left = amount
    while left > 0:
        day += timedelta(days=1)
        left -= is_business_day(day, holidays)
    return day


def _months_after(day: date, amount: int) -> date:
    """The same day of a later month, or its last day where it has no such day."""
    years, month = divmod(day.month - 1 + amount, _MONTHS)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def _at(day: date, wall: time, zone: str) -> datetime:
    """A wall clock time in UTC. What the clock shows twice, or never, is read as the earlier of
    the two instants that it could mean."""
    naive = datetime.combine(day, wall.replace(tzinfo=None))
    local = naive.replace(tzinfo=ZoneInfo(zone))
    return min(local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
