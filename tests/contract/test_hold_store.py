"""Legal holds: placed once by name, listed, released once, and each of it in custody."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from kintsugi.errors import InvalidInput, NotFound, StateConflict
from kintsugi.model.custody import CustodyEntry, CustodyFilter, custody_entry
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.holds import Hold, narrowed, narrowed_in_time
from kintsugi.model.ids import uuid7
from kintsugi.model.stores import Stores
from kintsugi.model.vault import Subject
from tests.databases import NOON

HOUR = timedelta(hours=1)


def made(number: int, name: str = "") -> Hold:
    return Hold(
        id=uuid7(int(NOON.timestamp() * 1000) + number, number.to_bytes(10, "big")),
        name=name or f"case {number}",
        reason="the court asks",
        placed_by="ana/1",
        placed_at=NOON + timedelta(seconds=number),
        where=EventFilter(user="ada", since=NOON),
    )


def entry(hold: Hold, number: int = 0) -> CustodyEntry:
    now = NOON + timedelta(seconds=number)
    return custody_entry("hold", f"hold:{hold.id}", actor="ana/1", now=now)


def test_holds_come_back_whole_and_newest_first(stores: Stores) -> None:
    holds = [made(number) for number in range(3)]
    for hold in holds:
        stores.holds.place(hold, entry(hold))
    assert stores.holds.list(in_force=True, limit=9) == holds[::-1]
    assert stores.holds.list(in_force=None, limit=2) == holds[:0:-1]
    assert stores.holds.get(holds[0].id) == holds[0]
    for unknown in ("nonsense", made(9).id):
        with pytest.raises(NotFound):
            stores.holds.get(unknown)


def test_a_name_is_given_once_at_a_time(stores: Stores) -> None:
    first, second = made(1, "Doe"), made(2, "Doe")
    stores.holds.place(first, entry(first))
    with pytest.raises(StateConflict, match="Doe"):
        stores.holds.place(second, entry(second))
    at = NOON + HOUR
    stores.holds.release(first.id, by="eve/2", reason="over", now=at, custody=entry(first, 60))
    stores.holds.place(second, entry(second))
    assert stores.holds.list(in_force=True, limit=9) == [second]


def test_there_are_never_more_than_can_be_asked(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("kintsugi.store.holds", "kintsugi.store.memory_holds"):
        monkeypatch.setattr(f"{module}.HOLDS_MAX", 2)
    holds = [made(number) for number in range(3)]
    for hold in holds[:2]:
        stores.holds.place(hold, entry(hold))
    with pytest.raises(StateConflict, match="2 holds"):
        stores.holds.place(holds[2], entry(holds[2]))


def test_an_id_is_taken_once(stores: Stores) -> None:
    hold = made(1)
    stores.holds.place(hold, entry(hold))
    for identifier in (hold.id, "no-id"):
        other = msgspec.structs.replace(hold, id=identifier, name="another")
        with pytest.raises(InvalidInput):
            stores.holds.place(other, entry(other))
    assert stores.custody.count(CustodyFilter(action="hold"), ceiling=9) == 1


def test_a_release_counts_once_and_is_in_custody(stores: Stores) -> None:
    hold = made(1)
    stores.holds.place(hold, entry(hold))
    at = NOON + HOUR
    ended = stores.holds.release(
        hold.id, by="eve/2", reason="settled", now=at, custody=entry(hold, 1)
    )
    assert (ended.released_at, ended.released_by, ended.release_reason) == (at, "eve/2", "settled")
    again = stores.holds.release(
        hold.id, by="bob/3", reason="again", now=at, custody=entry(hold, 2)
    )
    assert again == ended == stores.holds.get(hold.id)
    assert stores.holds.list(in_force=True, limit=9) == []
    assert stores.holds.list(in_force=False, limit=9) == [ended]
    assert len(stores.custody.of([f"hold:{hold.id}"])) == 2


@pytest.mark.parametrize(
    ("where", "subject", "expected"),
    [
        (EventFilter(user="ada"), Subject("user", "ada"), EventFilter(user="ada")),
        (EventFilter(user="ada"), Subject("user", "eve"), None),
        (EventFilter(team="t"), Subject("user", "eve"), EventFilter(team="t", user="eve")),
        (EventFilter(), Subject("session", "s"), EventFilter(session="s")),
        (EventFilter(session="s"), Subject("session", "r"), None),
        (EventFilter(), Subject("event", "e"), EventFilter(event="e")),
        (EventFilter(q="leak"), Subject("user", "ada"), EventFilter(user="ada")),
    ],
)
def test_what_a_hold_covers_of_a_subject(
    where: EventFilter, subject: Subject, expected: EventFilter | None
) -> None:
    assert narrowed(where, subject) == expected


def test_what_a_hold_covers_of_a_month() -> None:
    where = EventFilter(user="ada", since=NOON)
    early = narrowed_in_time(where, since=NOON - 2 * HOUR, until=NOON - HOUR)
    assert early is None
    found = narrowed_in_time(where, since=NOON - HOUR, until=NOON + HOUR)
    assert found == EventFilter(user="ada", since=NOON, until=NOON + HOUR)
