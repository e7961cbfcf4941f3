"""What reaches people, when, and in how many messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.errors import InvalidInput
from kintsugi.model.notify import SEVERITIES, Channel, Delivery, QuietHours
from kintsugi.model.signal import Severity
from kintsugi.notify.messages import digest, of_notice
from kintsugi.notify.plan import WINDOW, check_quiet_hours, ends_at, planned, quiet_until
from tests.databases import NOON
from tests.notify.made import channel, told

NIGHT = QuietHours("22:00", "07:00", "Europe/Berlin")


def waiting(number: int = 0, severity: Severity = "medium", held: str = "") -> Delivery:
    one = told(number, severity=severity)
    return Delivery(f"d{number}", "t", one, "waiting", NOON, held=held)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "ends"),
    [
        ("2026-04-23T19:59", None),  # 21:59 in Berlin
        ("2026-04-23T20:00", "2026-04-24T05:00"),
        ("2026-04-24T04:59", "2026-04-24T05:00"),
        ("2026-04-24T05:00", None),
        ("2026-10-24T21:00", "2026-10-25T06:00"),  # the clocks go back in this night
    ],
)
def test_quiet_hours_are_those_of_their_zone(now: str, ends: str | None) -> None:
    assert ends_at(NIGHT, at(now)) == (at(ends) if ends else None)


def test_what_is_critical_always_passes_and_the_rest_waits_for_the_morning() -> None:
    night = at("2026-04-23T23:00")
    quiet = channel(quiet_hours=(NIGHT,))
    plan = planned(quiet, [waiting(1), waiting(2, "critical")], now=night)
    assert [one.deliveries[0].id for one in plan.parcels] == ["d2"]
    [held] = plan.held
    assert (held.id, held.held, held.due_at) == ("d1", "quiet hours", at("2026-04-24T05:00"))
    morning = planned(quiet, plan.held, now=held.due_at)
    assert [one.message.title for one in morning.parcels] == [
        of_notice(told(1, severity="medium")).title
    ]


def test_quiet_hours_by_severity() -> None:
    hours = msgspec.structs.replace(NIGHT, below="high")
    night = at("2026-04-23T23:00")
    quiet = channel(quiet_hours=(hours,))
    passing = [quiet_until(quiet, waiting(0, one), now=night) is None for one in SEVERITIES]
    assert passing == [False, False, True, True]


def test_what_was_held_back_comes_in_one_message_that_counts_it() -> None:
    held = [waiting(number, held="quiet hours") for number in range(7)]
    [parcel] = planned(channel(), held, now=NOON).parcels
    assert len(parcel.deliveries) == 7
    assert "7 notices were held back (quiet hours)" in parcel.message.body
    assert "7 x incident.declared" in parcel.message.body


def test_a_flood_becomes_few_messages_and_then_waits() -> None:
    flood = [waiting(number) for number in range(100)]
    room = channel(messages_max=10)
    plan = planned(room, flood, now=NOON)
    assert [len(one.deliveries) for one in plan.parcels] == [1] * 7 + [93]
    full = msgspec.structs.replace(room, recent=(NOON,) * 8)
    later = planned(full, [waiting(200), waiting(201, "critical")], now=NOON)
    assert [one.deliveries[0].id for one in later.parcels] == ["d201"]
    assert later.held[0].due_at == NOON + WINDOW
    assert later.held[0].held == "too many"


@given(
    st.lists(
        st.tuples(st.sampled_from(SEVERITIES), st.sampled_from(["", "too many"])), max_size=60
    ),
    st.integers(1, 15),
    st.integers(0, 15),
    st.booleans(),
)
def test_nothing_is_lost_or_doubled_and_the_bound_holds(
    found: list[tuple[Severity, str]], most: int, sent: int, quiet: bool
) -> None:
    due = [waiting(number, severity, held) for number, (severity, held) in enumerate(found)]
    recent = tuple(NOON - timedelta(seconds=one) for one in range(min(sent, most)))
    hours = (QuietHours("11:00", "13:00", "UTC"),) if quiet else ()
    room: Channel = channel(messages_max=most, recent=recent, quiet_hours=hours)
    plan = planned(room, due, now=NOON)
    seen = [one.id for parcel in plan.parcels for one in parcel.deliveries]
    seen += [one.id for one in plan.held]
    assert sorted(seen) == sorted(one.id for one in due)
    assert len(plan.parcels) + len(recent) <= most
    assert all(one.due_at > NOON and one.held for one in plan.held)
    if not recent and any(severity == "critical" for severity, _ in found):
        assert plan.parcels


@pytest.mark.parametrize(
    ("hours", "message"),
    [
        (("25:00", "07:00", "UTC"), "start"),
        (("22:00", "7", "UTC"), "end"),
        (("22:00", "07:00", "Moon/Crater"), "zone"),
        (("22:00", "07:00", "/etc/passwd"), "zone"),
        (("22:00", "22:00", "UTC"), "same"),
    ],
)
def test_hours_that_cannot_be_told_are_refused(hours: tuple[str, str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        check_quiet_hours(QuietHours(*hours), "body.quiet_hours.0")


def test_peoples_words_cannot_call_a_room_or_look_like_ours() -> None:
    bad = told(1)
    bad = msgspec.structs.replace(
        bad, data={**bad.data, "title": "hi @everyone <!channel>\n[critical] fake: line\u202e"}
    )
    message = of_notice(bad)
    assert "@everyone" not in message.title + message.body
    assert "<!channel>" not in message.title + message.body
    assert "\n[critical]" not in message.body
    assert "[critical] fake" not in digest([bad], why="too many").body.splitlines()
