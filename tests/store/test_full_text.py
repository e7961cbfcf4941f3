"""Searches by either way find what a search in memory finds."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from kintsugi.model.event import DecisionEvent
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.events import EventPage, EventStore
from kintsugi.model.verdict import Verdict
from kintsugi.store import PostgresStores, full_text
from kintsugi.store.memory import memory_stores
from tests.databases import NOON
from tests.store.made import as_sent, blocked, event, said

pytestmark = pytest.mark.postgres

FREQUENT, SELDOM, RARE = "the", "invoice", "exfiltrate"


@pytest.fixture(scope="module")
def both(stores: PostgresStores) -> tuple[EventStore, EventStore]:
    """PostgreSQL and memory with the same events."""
    dice = random.Random(5)
    events = []
    for number in range(300):
        words = [FREQUENT, *([SELDOM] if number % 7 == 0 else []), "word", FREQUENT]
        if number in {3, 150}:
            words.append(RARE)
        dice.shuffle(words)
        request = '{"input":"' + " ".join(words) + '"}'
        events.append(
            said(number, request, user_id=f"u{number % 5}", verdict=dice.choice([*Verdict]))
        )
    memory = memory_stores(now=lambda: NOON).events
    for store in (stores.events, memory):
        store.append(events)
        store.append([blocked(1000), event(1001)])
        while store.index_pending(limit=64):
            pass
    return stores.events, memory


@pytest.fixture(params=[0, 1, 20, 5000])
def walked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many events are looked through before the index is asked."""
    monkeypatch.setattr(full_text, "_WALK_TEXTS", request.param)
    monkeypatch.setattr(full_text, "_WALK_EVENTS", request.param)


@pytest.mark.usefixtures("walked")
def shown(page: EventPage) -> tuple[list[DecisionEvent], str | None]:
    return [as_sent(one) for one in page.events], page.next_cursor


@pytest.mark.parametrize(
    "q", [FREQUENT, SELDOM, RARE, "never", "", f'"{FREQUENT} {SELDOM}"', f"{SELDOM} {RARE}", "!"]
)
@pytest.mark.parametrize(
    "others",
    [
        EventFilter(),
        EventFilter(user="u2"),
        EventFilter(verdict=Verdict.BLOCK),
        EventFilter(since=NOON - timedelta(minutes=59), until=NOON - timedelta(minutes=57)),
        EventFilter(user="u1", until=NOON - timedelta(minutes=58)),
    ],
)
def test_both_ways_find_the_same(
    both: tuple[EventStore, EventStore], q: str, others: EventFilter
) -> None:
    postgres, memory = both
    where = EventFilter(
        since=others.since, until=others.until, user=others.user, verdict=others.verdict, q=q
    )
    cursor = None
    for _ in range(4):
        page = postgres.page(where, limit=7, cursor=cursor)
        assert shown(page) == shown(memory.page(where, limit=7, cursor=cursor))
        cursor = page.next_cursor
        if cursor is None:
            break
    assert postgres.count(where, ceiling=40) == memory.count(where, ceiling=40)
    tails = [store.tail(after=5, where=where, limit=9) for store in (postgres, memory)]
    assert [one.event.id for one in tails[0]] == [one.event.id for one in tails[1]]
    found = [as_sent(one) for one in postgres.scan(where, payload=True)]
    assert found == [as_sent(one) for one in memory.scan(where, payload=True)]
