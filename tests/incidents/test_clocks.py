"""Calendar arithmetic: elapsed, business, months; across summer time and the ends of months."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.incidents.clocks import due_at, is_business_day, relief_at
from kintsugi.model.obligation import Unit

ZONES = ("UTC", "Europe/Brussels", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
STARTS = st.datetimes(
    min_value=datetime(2024, 1, 1),  # noqa: DTZ001 - hypothesis wants it so
    max_value=datetime(2031, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("start", "amount", "unit", "zone", "due"),
    [
        # Summer time begins on 29 March 2026 in Brussels; elapsed time does not care.
        ("2026-03-28T12:00:00", 72, "hours", "UTC", "2026-03-31T12:00:00"),
        ("2026-03-28T12:00:00", 15, "calendar_days", "Europe/Brussels", "2026-04-12T12:00:00"),
        ("2026-01-31T09:00:00", 1, "months", "UTC", "2026-02-28T09:00:00"),
        ("2028-01-31T09:00:00", 1, "months", "UTC", "2028-02-29T09:00:00"),
        ("2026-12-31T23:00:00", 1, "months", "UTC", "2027-01-31T23:00:00"),
        ("2026-11-30T10:00:00", 3, "months", "UTC", "2027-02-28T10:00:00"),
        # A wall clock that jumps forward: 1 March to 1 April in Brussels is an hour less.
        ("2026-03-01T11:00:00", 1, "months", "Europe/Brussels", "2026-04-01T10:00:00"),
        # Friday and four business days: Thursday.
        ("2026-04-24T14:00:00", 4, "business_days", "UTC", "2026-04-30T14:00:00"),
        # Saturday: Monday is the first.
        ("2026-04-25T14:00:00", 4, "business_days", "UTC", "2026-04-30T14:00:00"),
        # Friday evening in New York is Saturday in UTC.
        ("2026-04-25T01:00:00", 1, "business_days", "America/New_York", "2026-04-28T01:00:00"),
        ("2026-04-24T14:00:00", 0, "immediate", "UTC", "2026-04-24T14:00:00"),
    ],
)
def test_periods_end_when_the_calendar_says(
    start: str, amount: int, unit: Unit, zone: str, due: str
) -> None:
    assert due_at(at(start), amount, unit, zone=zone) == at(due)


def test_a_wall_clock_time_that_never_comes_is_read_as_the_earlier_instant() -> None:
    ny = "America/New_York"
    # 02:30 on 8 March 2026 does not exist in New York; 01:30 EST is before it, 03:30 EDT after.
    due = due_at(at("2026-02-08T02:30:00", ny), 1, "months", zone=ny)
    assert due == at("2026-03-08T06:30:00")
    # 01:30 on 1 November 2026 comes twice; the first of them.
    due = due_at(at("2026-10-01T01:30:00", ny), 1, "months", zone=ny)
    assert due == at("2026-11-01T05:30:00")


@given(STARTS, st.integers(1, 90), st.sampled_from(ZONES))
def test_days_are_elapsed_whatever_the_zone(start: datetime, days: int, zone: str) -> None:
    due = due_at(start, days, "calendar_days", zone=zone)
    assert due - start == timedelta(days=days)
    assert due == due_at(start, 24 * days, "hours", zone=zone)


@given(STARTS, st.integers(1, 40), st.sampled_from(ZONES))
def test_business_days_end_on_the_right_business_day(start: datetime, days: int, zone: str) -> None:
    due = due_at(start, days, "business_days", zone=zone)
    first, last = (one.astimezone(ZoneInfo(zone)).date() for one in (start, due))
    between = [first + timedelta(days=number) for number in range(1, (last - first).days + 1)]
    assert sum(is_business_day(day, ()) for day in between) == days
    # An hour that never comes on that day is read an hour earlier, at most on the day before.
    assert is_business_day(last, ()) or zone != "UTC"


@given(STARTS, st.integers(1, 36), st.sampled_from(ZONES))
def test_months_keep_the_day_or_take_the_last(start: datetime, months: int, zone: str) -> None:
    local = start.astimezone(ZoneInfo(zone))
    due = due_at(start, months, "months", zone=zone).astimezone(ZoneInfo(zone))
    assert (due.year * 12 + due.month) - (local.year * 12 + local.month) == months
    assert due.day == local.day or (due + timedelta(days=1)).day == 1


@given(
    STARTS,
    st.integers(0, 60),
    st.sampled_from(["hours", "calendar_days", "business_days", "months"]),
    st.sampled_from(ZONES),
)
def test_later_starts_and_longer_periods_are_never_due_earlier(
    start: datetime, amount: int, unit: Unit, zone: str
) -> None:
    due = due_at(start, amount, unit, zone=zone)
    assert due_at(start, amount + 1, unit, zone=zone) >= due
    relief = relief_at(start, amount, unit, zone=zone)
    assert relief is None or relief >= due


def test_relief_ends_with_the_day_and_rolls_over_weekends_and_holidays() -> None:
    friday = at("2026-04-10T10:00:00")
    assert relief_at(friday, 15, "calendar_days") == at("2026-04-28T00:00:00")
    monday = {date(2026, 4, 27)}
    assert relief_at(friday, 15, "calendar_days", holidays=monday) == at("2026-04-29T00:00:00")
    assert relief_at(friday, 72, "hours") is None
