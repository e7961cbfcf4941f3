"""What every event store promises."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kintsugi.errors import InvalidInput, NotFound
from kintsugi.model.decision import Finding
from kintsugi.model.event import DecisionEvent, Payload
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.events import Ingested, MinuteCount
from kintsugi.model.stores import Stores
from kintsugi.model.verdict import Verdict
from tests.contract.conftest import Maker
from tests.databases import NOON
from tests.store.made import BLOCKED, as_sent, blocked, event, event_id, said

EVERYTHING = EventFilter()


def ids(events: list[DecisionEvent] | tuple[DecisionEvent, ...]) -> list[str]:
    return [one.id for one in events]


def test_an_event_comes_back_as_it_was(stores: Stores) -> None:
    one = blocked(1, user_id="u-1", payload=Payload("request", "response", masked=2))
    stores.events.append([one])
    assert as_sent(stores.events.get(one.id)) == one
    assert as_sent(stores.events.get(one.id.upper())) == one


def test_an_unknown_event_is_not_found(stores: Stores) -> None:
    stores.events.append([event(1)])
    for identifier in (event(2).id, "", "no-id", "0" * 32, "{" + event(1).id + "}", "\x00", "é"):
        with pytest.raises(NotFound):
            stores.events.get(identifier)


def test_an_event_is_stored_once_however_often_it_comes(stores: Stores) -> None:
    one, two = event(1), event(2)
    assert stores.events.append([one, one]) == Ingested(stored=1, duplicates=1)
    assert stores.events.append([two, one, two]) == Ingested(stored=1, duplicates=2)
    assert stores.events.append([one, two]) == Ingested(stored=0, duplicates=2)
    assert stores.events.count(EVERYTHING, ceiling=10) == 2
    assert stores.events.last_position() == 2


def test_what_was_stored_first_stays(stores: Stores) -> None:
    stores.events.append([event(1, user_id="first"), event(1, user_id="second")])
    stores.events.append([event(1, user_id="third")])
    assert stores.events.get(event(1).id).user_id == "first"


def test_nothing_at_all_can_be_stored(stores: Stores) -> None:
    assert stores.events.append([]) == Ingested(stored=0, duplicates=0)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"id": "not-an-id"}, "UUIDv7"),
        ({"id": "9b2d3c64-8e4c-4c5a-9d5e-0123456789ab"}, "UUIDv7"),
        ({"id": event(3).id.upper()}, "lower case"),
        ({"timestamp": event(3).timestamp + timedelta(seconds=5)}, "agree"),
        ({"timestamp": event(3).timestamp.replace(tzinfo=None)}, "time zone"),
    ],
)
def test_a_batch_with_one_bad_event_is_refused_whole(
    stores: Stores, change: dict[str, object], why: str
) -> None:
    bad = msgspec.structs.replace(event(3), **change)
    with pytest.raises(InvalidInput, match=why):
        stores.events.append([event(1), bad, event(2)])
    assert stores.events.last_position() == 0


@pytest.mark.parametrize(
    "at",
    [
        NOON + timedelta(days=1, seconds=1),
        datetime(2019, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(9000, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
    ],
)
def test_a_time_that_cannot_be_is_refused(stores: Stores, at: datetime) -> None:
    with pytest.raises(InvalidInput, match="clock"):
        stores.events.append([event(1, at=at)])


@pytest.mark.parametrize(
    "at",
    [
        NOON + timedelta(days=1),
        datetime(2020, 1, 1, tzinfo=UTC),
        datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_any_month_is_stored_without_preparation(stores: Stores, at: datetime) -> None:
    stores.events.append([event(1, at=at), event(2)])
    found = stores.events.page(EVERYTHING, limit=5).events
    assert sorted(ids(found)) == sorted([event(1, at=at).id, event(2).id])
    assert stores.events.get(event(1, at=at).id).timestamp == at


def test_ids_that_were_rounded_into_the_next_month_are_found(stores: Stores) -> None:
    midnight = datetime(2026, 4, 1, tzinfo=UTC)
    late = msgspec.structs.replace(
        event(1, at=midnight), timestamp=midnight - timedelta(microseconds=400)
    )
    stores.events.append([late])
    assert stores.events.append([late]).duplicates == 1
    assert stores.events.get(late.id) == late
    until = EventFilter(since=midnight - timedelta(seconds=1), until=midnight)
    assert ids(stores.events.page(until, limit=5).events) == [late.id]


# Texts that no index, no text column or no UTF-8 can hold.
hostile_text = st.one_of(
    st.text(st.characters(codec=None), max_size=40),
    st.text("\x00\t\n\r\\N.'\"\ud800\udc00\u2028é漢😀", max_size=40),
    st.sampled_from(["\\.", "\\N", "\\x00", "'; DROP TABLE kintsugi.events; --", "a" * 5000, "%s"]),
)
whole_number = st.integers(-(2**63), 2**63 - 1)
number = st.floats(allow_nan=False, allow_infinity=False)
hostile_changes = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            (
                *("gateway_id", "worker_id", "dialect", "config_version", "revision"),
                *("reason_code", "policy_name", "model", "response_model", "provider"),
                *("target_id", "user_id", "team_id", "session_id", "agent_id", "workflow"),
                "tenant_id",
                *("request_id", "trace_id", "parent_span_id", "key_name", "incident_id", "error"),
            ),
            hostile_text,
        ),
        **dict.fromkeys(
            ("input_tokens", "output_tokens", "http_status", "request_bytes"), whole_number
        ),
        "latency_ms": number,
        "overhead_ms": number,
        "streamed": st.booleans(),
        "verdict": st.sampled_from(Verdict),
        "payload": st.builds(
            Payload,
            request=hostile_text,
            response=hostile_text,
            masked=whole_number,
            truncated=st.booleans(),
        ),
        "evaluations": st.lists(
            st.builds(
                lambda name, code, why, findings: msgspec.structs.replace(
                    BLOCKED, policy_name=name, reason_code=code, why=why, findings=tuple(findings)
                ),
                hostile_text,
                hostile_text,
                hostile_text,
                st.lists(
                    st.builds(
                        Finding,
                        rule=hostile_text,
                        reason_code=hostile_text,
                        verdict=st.sampled_from(Verdict),
                        path=hostile_text,
                        offset=whole_number,
                        score=number,
                        detail=hostile_text,
                    ),
                    max_size=3,
                ),
            ),
            max_size=3,
        ).map(tuple),
    },
)


@given(changes=st.lists(hostile_changes, min_size=1, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_hostile_texts_survive_exactly(maker: Maker, changes: list[dict[str, Any]]) -> None:
    stores = maker.empty()
    events = [event(place, **change) for place, change in enumerate(changes)]
    assert stores.events.append(events).stored == len(events)
    assert [as_sent(stores.events.get(one.id)) for one in events] == events
    assert [as_sent(one) for one in stores.events.scan(EVERYTHING, payload=True)] == events
    while stores.events.index_pending(limit=2):
        pass
    for one in events:
        if one.user_id:
            page = stores.events.page(EventFilter(user=one.user_id), limit=10)
            assert one.id in ids(page.events)


def test_a_page_shows_the_newest_first_without_payload(stores: Stores) -> None:
    events = [said(number, "asked", "answered") for number in range(5)]
    random.Random(1).shuffle(events)
    stores.events.append(events)
    page = stores.events.page(EVERYTHING, limit=3)
    assert ids(page.events) == [said(number).id for number in (4, 3, 2)]
    assert {one.payload for one in page.events} == {Payload()}
    assert page.next_cursor is not None


def test_cursors_walk_over_every_event_once(stores: Stores) -> None:
    # Many events of one moment: only the id tells them apart.
    events = [event(number, at=NOON + timedelta(seconds=number // 7)) for number in range(40)]
    stores.events.append(events)
    seen: list[str] = []
    cursor = None
    while True:
        page = stores.events.page(EVERYTHING, limit=6, cursor=cursor)
        seen += ids(page.events)
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
        # What arrives meanwhile is newer and disturbs nothing.
        stores.events.append([event(100 + len(seen), at=NOON + timedelta(minutes=5))])
    assert seen == ids(sorted(events, key=lambda one: (one.timestamp, one.id), reverse=True))


def test_the_last_page_has_no_cursor(stores: Stores) -> None:
    stores.events.append([event(1), event(2)])
    assert stores.events.page(EVERYTHING, limit=2).next_cursor is None
    assert stores.events.page(EventFilter(user="nobody"), limit=2).next_cursor is None


@pytest.mark.parametrize("cursor", ["x", "AAAA", "ÿ", "bm90IGEgY3Vyc29y", "MTIzIA", "=" * 9])
def test_a_made_up_cursor_is_refused(stores: Stores, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        stores.events.page(EVERYTHING, limit=2, cursor=cursor)


FILTERED = {
    "gateway": "gateway_id",
    "user": "user_id",
    "team": "team_id",
    "tenant": "tenant_id",
    "workflow": "workflow",
    "agent": "agent_id",
    "session": "session_id",
    "model": "model",
    "policy": "policy_name",
    "reason_code": "reason_code",
    "config_version": "config_version",
    "trace": "trace_id",
    "incident": "incident_id",
}


@pytest.mark.parametrize(("field", "attribute"), FILTERED.items())
def test_every_filter_finds_its_events_and_no_others(
    stores: Stores, field: str, attribute: str
) -> None:
    events = [
        msgspec.structs.replace(
            event(number), **{attribute: ("this", "that", "x" * 900 + str(number))[number % 3]}
        )
        for number in range(9)
    ]
    stores.events.append(events)
    for value in ("this", "that", "x" * 900 + "5", "x" * 900 + "6", "neither", "This", "%"):
        where = msgspec.structs.replace(EVERYTHING, **{field: value})
        expected = ids([one for one in reversed(events) if getattr(one, attribute) == value])
        assert ids(stores.events.page(where, limit=20).events) == expected
        assert stores.events.count(where, ceiling=20) == len(expected)
        assert ids(list(stores.events.scan(where, payload=False))) == expected[::-1]
        tail = stores.events.tail(after=0, where=where, limit=20)
        assert [stored.event.id for stored in tail] == expected[::-1]


def test_verdict_and_time_filters_are_inclusive_and_combine(stores: Stores) -> None:
    stores.events.append([event(1), blocked(2), blocked(3), blocked(4), event(5)])
    since, until = event(2).timestamp, event(4).timestamp
    where = EventFilter(since=since, until=until)
    assert ids(stores.events.page(where, limit=9).events) == [event(n).id for n in (4, 3, 2)]
    where = EventFilter(since=since, until=until, verdict=Verdict.ALLOW)
    assert stores.events.count(where, ceiling=9) == 0
    where = EventFilter(verdict=Verdict.BLOCK, policy="prompt-injection", until=event(3).timestamp)
    assert ids(stores.events.page(where, limit=9).events) == [event(n).id for n in (3, 2)]


def test_counting_stops_at_the_ceiling(stores: Stores) -> None:
    stores.events.append([event(number) for number in range(7)])
    assert stores.events.count(EVERYTHING, ceiling=5) == 5
    assert stores.events.count(EVERYTHING, ceiling=50) == 7
    assert stores.events.count(EVERYTHING, ceiling=0) == 0


def test_the_tail_goes_in_the_order_of_arrival(stores: Stores) -> None:
    assert stores.events.tail(after=0, where=EVERYTHING, limit=5) == []
    stores.events.append([event(9), event(3)])
    stores.events.append([event(9), blocked(1)])
    tail = stores.events.tail(after=0, where=EVERYTHING, limit=5)
    assert [(stored.position, stored.event.id) for stored in tail] == [
        (1, event(9).id),
        (2, event(3).id),
        (3, event(1).id),
    ]
    assert stores.events.tail(after=1, where=EVERYTHING, limit=1)[0].event.id == event(3).id
    where = EventFilter(verdict=Verdict.BLOCK)
    assert [stored.position for stored in stores.events.tail(after=0, where=where, limit=5)] == [3]
    assert stores.events.last_position() == 3


def test_a_reader_that_keeps_its_position_misses_nothing_while_others_write(
    stores: Stores,
) -> None:
    batches = [[event(number) for number in range(first, first + 5)] for first in range(0, 200, 5)]
    start = threading.Barrier(5)

    def write(part: int) -> None:
        start.wait()
        for batch in batches[part::4]:
            # Half of what another writer stores comes once more.
            stores.events.append(batch)
            stores.events.append([*batch[:2], *batches[batch[0].timestamp.second % 40][:1]])

    writers = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for writer in writers:
        writer.start()
    start.wait()
    seen: list[tuple[int, str]] = []
    while any(writer.is_alive() for writer in writers) or stores.events.last_position() > len(seen):
        after = seen[-1][0] if seen else 0
        tail = stores.events.tail(after=after, where=EVERYTHING, limit=50)
        seen += [(stored.position, stored.event.id) for stored in tail]
    assert [position for position, _ in seen] == list(range(1, 201))
    assert len({identifier for _, identifier in seen}) == 200


def test_a_scan_gives_everything_oldest_first(stores: Stores) -> None:
    events = [said(number, f"asked {number}") for number in range(30)]
    stores.events.append(events[::-1])
    assert [as_sent(one) for one in stores.events.scan(EVERYTHING, payload=True)] == events
    where = EventFilter(since=events[28].timestamp)
    without = [as_sent(one) for one in stores.events.scan(where, payload=False)]
    assert without == [msgspec.structs.replace(one, payload=Payload()) for one in events[28:]]


def test_a_scan_may_be_left_early(stores: Stores) -> None:
    stores.events.append([event(number) for number in range(30)])
    for _ in range(50):
        scan = stores.events.scan(EVERYTHING, payload=False)
        assert next(scan).id == event(0).id
        scan.close()  # type: ignore[attr-defined]
    assert stores.events.last_position() == 30


def test_minutes_are_counted_by_verdict(stores: Stores) -> None:
    minute = timedelta(minutes=1)
    stores.events.append(
        [event(1, at=NOON), event(2, at=NOON), blocked(3, at=NOON + timedelta(seconds=59))]
    )
    stores.events.append([event(4, at=NOON + minute), event(1, at=NOON)])
    stores.events.append([event(5, at=NOON + minute, gateway_id="gw-2")])
    counts = stores.events.per_minute(since=NOON + timedelta(seconds=30), until=NOON + 9 * minute)
    assert counts == [
        MinuteCount(NOON, Verdict.ALLOW, 2),
        MinuteCount(NOON, Verdict.BLOCK, 1),
        MinuteCount(NOON + minute, Verdict.ALLOW, 2),
    ]
    assert stores.events.per_minute(since=NOON + 2 * minute, until=NOON + 9 * minute) == []
    assert len(stores.events.per_minute(since=NOON, until=NOON)) == 2


def test_events_are_counted_by_gateway(stores: Stores) -> None:
    assert stores.events.stored_by_gateway() == {}
    stores.events.append([event(1), event(2, gateway_id="gw-2"), event(3)])
    stores.events.append([event(3), event(4)])
    assert stores.events.stored_by_gateway() == {"gw-1": 3, "gw-2": 1}


STREAM = (
    'data: {"choices":[{"index":0,"delta":{"content":"ex"}},{"index":1,"delta":{"content":"pi"}}]}'
    '\n\ndata: {"choices":[{"index":1,"delta":{"content":"neapple"}}]}'
    '\n\ndata: {"choices":[{"index":0,"delta":{"content":"filtrate"}}]}\n\ndata: [DONE]\n\n'
)


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("invoice", [1]),
        ("INVOICE overdue", [1]),
        ("overdue invoice", [1]),
        ('"overdue invoice"', []),
        ('"the invoice is overdue"', [1]),
        ('customer "the invoice"', [1]),
        ("invoice pineapple", []),
        ("exfiltrate", [2]),
        ("pineapple", [2]),
        ("Überweisung", [3]),
        ("überweisung", [3]),
        ("role", []),
        ("user", []),
        ("inv", []),
        ("!!!", []),
        ('"', []),
        ("it's", [3]),
        ("' | 'x", []),
        ("\x00", []),
        ("lima", [4]),
        ("x" * 3000, [5]),
    ],
)
def test_full_text_finds_what_was_said(stores: Stores, q: str, found: list[int]) -> None:
    stores.events.append(
        [
            said(
                1,
                '{"messages":[{"role":"user","content":"Tell the customer:\\nthe invoice is '
                'overdue"}]}',
            ),
            said(2, response=STREAM),
            said(3, '{"input":"Überweisung! it\'s"}'),
            said(4, '{"messages":[{"role":"tool","content":[{"type":"text","text":"Lima"}]}]}'),
            said(5, "not json: " + "x" * 3000),
            event(6),
        ]
    )
    while stores.events.index_pending(limit=2):
        pass
    where = EventFilter(q=q)
    assert ids(stores.events.page(where, limit=9).events) == [event(number).id for number in found]
    assert stores.events.count(where, ceiling=9) == len(found)


def test_storing_events_is_announced(stores: Stores) -> None:
    stores.events.append([event(1)])
    assert stores.changes.wait(timeout_seconds=60) == frozenset({"events"})
    stores.events.append([event(1)])
    assert stores.changes.wait(timeout_seconds=0.05) == frozenset()


def test_an_id_is_made_as_the_gateway_makes_it() -> None:
    assert event_id(NOON, 1) == event(1, at=NOON).id
