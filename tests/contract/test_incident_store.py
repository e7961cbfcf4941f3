"""Incidents: whole changes, timelines that nobody rewrites, ties to events, clocks by due date."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any, Literal

import msgspec
import psycopg
import pytest

from kintsugi.errors import Blocked, InvalidInput, NotFound, VersionConflict
from kintsugi.incidents import access, commands, notes, opening, relations
from kintsugi.incidents.commands import Act, changed, entry
from kintsugi.incidents.lifecycle import moved
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.incident import (
    Actor,
    Change,
    Incident,
    IncidentFilter,
    SeverityOverride,
    Waiver,
    digest_of,
    new_id,
    record_of,
)
from kintsugi.model.obligation import Obligation, SetAside
from kintsugi.model.stores import Stores
from tests.contract.conftest import Maker
from tests.control_plane import make_event
from tests.databases import NOON

MINUTE = timedelta(minutes=1)
ANA = Actor("ana", "ana/1", may_command=True)


def act(minutes: int = 0, **more: Any) -> Act:
    return Act(ANA, NOON + minutes * MINUTE, **({"reason": "because"} | more))


def declare(stores: Stores, title: str = "It lied", minutes: int = 0, **more: Any) -> Incident:
    change = opening.opened(title, act(minutes), state="declared", **more)
    [made] = stores.incidents.change([], lambda _: (change,), now=NOON)
    return made


def note(stores: Stores, incident: Incident, text: str, minutes: int = 0, **more: Any) -> Incident:
    [after] = stores.incidents.change(
        [incident.id],
        lambda found: (notes.noted(found[0], text, act(minutes, **more)),),
        now=NOON,
    )
    return after


def test_incidents_are_numbered_and_found_by_id_and_reference(stores: Stores) -> None:
    first, second = declare(stores), declare(stores, "Again")
    assert (first.number, first.reference, first.version) == (1, "INC-000001", 1)
    assert second.number == 2
    for key in (first.id, first.id.upper(), "INC-000001", "inc-1"):
        assert stores.incidents.get(key) == first
    for key in ("INC-3", "nope", "", "INC-", new_id(NOON)):
        with pytest.raises(NotFound):
            stores.incidents.get(key)
    assert stores.changes.wait(timeout_seconds=60) == {"incidents", "notices"}


def test_a_move_and_its_entry_are_stored_together_or_not_at_all(stores: Stores) -> None:
    made = declare(stores)
    [after] = stores.incidents.change(
        ["INC-1"], lambda found: (moved(found[0], "contain", act(5)),), now=NOON + 5 * MINUTE
    )
    assert (after.state, after.version) == ("contained", 2)
    assert stores.incidents.get(made.id) == after

    def fails(found: tuple[Incident, ...]) -> tuple[Change, ...]:
        return (moved(found[0], "close", act(6)),)

    with pytest.raises(Blocked):
        stores.incidents.change(["INC-1"], fails, now=NOON)
    assert stores.incidents.get(made.id) == after
    shown, cursor = stores.incidents.timeline(made.id, order="at", pinned_only=False, limit=9)
    assert [one.entry.text for one in shown] == ["contained", "declared"]
    assert cursor is None


def test_every_change_is_a_leaf_that_fits_what_is_stored(stores: Stores) -> None:
    made = declare(stores)
    after = note(stores, made, "all quiet", 1)
    [leaf, first] = stores.log.leaves(before=None, limit=2)
    assert (leaf.kind, first.kind) == ("incident", "incident")
    told = msgspec.json.decode(leaf.data)
    [newest, _] = stores.incidents.timeline(made.id, order="at", pinned_only=False, limit=9)[0]
    assert told["record_digest"] == digest_of(record_of(stores.incidents.get(made.id)))
    assert told["entry_digests"] == [digest_of(record_of(newest.entry))]
    assert (told["incident"], told["version"]) == (after.id, 2)
    assert "all quiet" not in leaf.data


def test_a_change_that_expects_another_version_is_refused(stores: Stores) -> None:
    made = declare(stores)
    note(stores, made, "one")
    with pytest.raises(VersionConflict, match="at version 2, not 1"):
        stores.incidents.change(
            [made.id],
            lambda found: (notes.noted(found[0], "two", act()),),
            now=NOON,
            expected_version=1,
        )


def test_what_changes_nothing_is_no_change(stores: Stores) -> None:
    made = declare(stores)
    [after] = stores.incidents.change([made.id], lambda found: (Change(found[0], ()),), now=NOON)
    assert after == made
    assert len(stores.log.leaves(before=None, limit=9)) == 1


def test_many_at_once_lose_nothing(stores: Stores) -> None:
    made = declare(stores)
    threads = [
        threading.Thread(target=note, args=(stores, made, f"note {number}")) for number in range(8)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert stores.incidents.get(made.id).version == 9
    shown, _ = stores.incidents.timeline(made.id, order="at", pinned_only=False, limit=99)
    assert len(shown) == 9


def test_a_timeline_is_read_by_either_clock_in_pages(stores: Stores) -> None:
    made = declare(stores)
    for number in range(4):
        note(stores, made, f"n{number}", 10 + number, at=NOON - number * MINUTE)

    def texts(order: Any) -> list[str]:
        found, cursor = [], None
        while True:
            shown, cursor = stores.incidents.timeline(
                made.id, order=order, pinned_only=False, limit=2, cursor=cursor
            )
            found += [one.entry.text for one in shown]
            if cursor is None:
                return found

    assert texts("recorded_at") == ["n3", "n2", "n1", "n0", "declared"]
    assert texts("at")[2:] == ["n1", "n2", "n3"]


def test_entries_are_pinned_and_annotated_and_stay_as_they_are(stores: Stores) -> None:
    made = declare(stores)
    [first] = stores.incidents.timeline(made.id, order="at", pinned_only=False, limit=9)[0]
    about = stores.incidents.entry(made.id, first.entry.id)
    for minutes, decide in (
        (1, lambda found: (notes.annotated(found[0], about, "late", act(1)),)),
        (2, lambda found: (notes.pinned(found[0], about, act(2), pin=True),)),
    ):
        stores.incidents.change([made.id], decide, now=NOON + minutes * MINUTE)
    [shown] = stores.incidents.timeline(made.id, order="at", pinned_only=True, limit=9)[0]
    assert shown.entry == about
    assert [one.text for one in shown.annotations] == ["late"]
    stores.incidents.change(
        [made.id],
        lambda found: (notes.pinned(found[0], about, act(3), pin=False),),
        now=NOON + 3 * MINUTE,
    )
    assert stores.incidents.timeline(made.id, order="at", pinned_only=True, limit=9)[0] == []
    with pytest.raises(NotFound):
        stores.incidents.entry(made.id, "nope")


def test_the_database_itself_refuses_to_change_a_timeline(maker: Maker) -> None:
    stores = maker.empty()
    declare(stores)
    if not maker.conninfo:
        return  # memory has no database to ask
    for statement in (
        "UPDATE kintsugi.incident_entries SET record = ''",
        "DELETE FROM kintsugi.incident_entries",
        "TRUNCATE kintsugi.incident_entries",
    ):
        with (
            psycopg.connect(maker.conninfo) as connection,
            pytest.raises(psycopg.errors.RaiseException, match="append-only"),
        ):
            connection.execute(statement.encode())


def test_events_are_found_by_the_incident_they_are_tied_to(stores: Stores) -> None:
    events = [make_event(number) for number in range(5)]
    named = make_event(9, incident_id="INC-000001")
    stores.events.append([*events, named])
    made = declare(stores, events=[events[0].id])
    other = declare(stores, "Same again", events=[events[1].id])
    [made] = stores.incidents.change(
        [made.id],
        lambda found: (relations.with_events(found[0], [events[0].id, events[2].id], act()),),
        now=NOON,
    )
    assert made.event_count == 2

    def ids(key: str, **more: Any) -> set[str]:
        where = EventFilter(incident=key, **more)
        assert stores.events.count(where, ceiling=99) == len(
            list(stores.events.scan(where, payload=False))
        )
        return {one.id for one in stores.events.page(where, limit=9).events}

    assert ids(made.id) == {events[0].id, events[2].id}
    assert ids("INC-000001") == {events[0].id, events[2].id, named.id}
    assert ids(made.id, user="user-2") == {events[2].id}
    assert ids("INC-000404") == ids("nothing") == set()
    tail = stores.events.tail(after=0, where=EventFilter(incident=made.id), limit=9)
    assert len(tail) == 2
    stores.incidents.change(
        [other.id, made.id], lambda found: relations.merged(found[0], found[1], act()), now=NOON
    )
    assert ids(made.id) == {events[0].id, events[1].id, events[2].id}
    assert [one.number for one in stores.incidents.incidents_of(events[1].id)] == [2]
    assert stores.incidents.incidents_of("nope") == []


def test_what_is_no_stored_event_is_tied_to_nothing(stores: Stores) -> None:
    made = declare(stores)
    for unknown in (new_id(NOON), "nope"):
        with pytest.raises(InvalidInput, match="event_ids"):
            stores.incidents.change(
                [made.id],
                lambda found, one=unknown: (  # type: ignore[misc]
                    relations.with_events(found[0], [one], act()),
                ),
                now=NOON,
            )
    assert stores.incidents.get(made.id).version == 1


def test_splitting_moves_events_to_a_new_number(stores: Stores) -> None:
    events = [make_event(number) for number in range(2)]
    stores.events.append(events)
    made = declare(stores, events=[one.id for one in events])
    first, second = stores.incidents.change(
        [made.id],
        lambda found: opening.split(found[0], "Part", act(), events=[events[1].id]),
        now=NOON,
    )
    assert (first.event_count, second.event_count, second.number) == (1, 1, 2)
    assert stores.events.count(EventFilter(incident="INC-2"), ceiling=9) == 1


def test_two_who_merge_crosswise_do_not_wait_for_ever(stores: Stores) -> None:
    one, two = declare(stores), declare(stores)
    done: list[str] = []

    def merge(left: str, right: str) -> None:
        try:
            stores.incidents.change(
                [left, right], lambda found: relations.merged(found[0], found[1], act()), now=NOON
            )
            done.append("merged")
        except Blocked:
            done.append("blocked")

    threads = [
        threading.Thread(target=merge, args=pair) for pair in ((one.id, two.id), (two.id, one.id))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(done) == ["blocked", "merged"]


def test_incidents_with_a_waiver_are_found_without_looking_at_all(stores: Stores) -> None:
    plain, waived = declare(stores, "plain"), declare(stores, "waived", 1)
    until = NOON + timedelta(days=1)
    waiver = Waiver("learning", "bo", "no proofs yet", until, approver="ana/1", at=NOON)
    stores.incidents.change(
        [waived.id],
        lambda found: (
            changed(
                found[0], [entry(found[0], "waiver", "waived", act())], act(), waivers=(waiver,)
            ),
        ),
        now=NOON,
    )
    where = IncidentFilter(waived=True)
    assert [one.id for one in stores.incidents.page(where, limit=9)[0]] == [waived.id]
    assert stores.incidents.count(where, ceiling=9) == 1
    assert stores.incidents.count(IncidentFilter(), ceiling=9) == 2
    assert plain.waivers == ()


def test_lists_go_backwards_in_pages_and_by_state_and_severity(stores: Stores) -> None:
    made = [declare(stores, f"i{number}", number) for number in range(4)]
    stores.incidents.change(
        [made[0].id],
        lambda found: (
            msgspec.structs.replace(
                moved(found[0], "contain", act()),
                incident=msgspec.structs.replace(
                    moved(found[0], "contain", act()).incident,
                    override=SeverityOverride("critical", "r", "ana/1", NOON),
                ),
            ),
        ),
        now=NOON,
    )
    shown, cursor = stores.incidents.page(IncidentFilter(), limit=3)
    assert [one.title for one in shown] == ["i3", "i2", "i1"]
    assert cursor is not None
    rest, last = stores.incidents.page(IncidentFilter(), limit=3, cursor=cursor)
    assert ([one.title for one in rest], last) == (["i0"], None)
    for where, count in (
        (IncidentFilter("declared"), 3),
        (IncidentFilter("contained", "critical"), 1),
        (IncidentFilter("open", "unset"), 3),
        (IncidentFilter("closed"), 0),
    ):
        assert stores.incidents.count(where, ceiling=99) == count
        assert len(stores.incidents.page(where, limit=9)[0]) == count
    with pytest.raises(InvalidInput):
        stores.incidents.page(IncidentFilter(), limit=3, cursor="x")


def test_clocks_stand_by_their_due_date(stores: Stores) -> None:
    made = declare(stores)

    def clock(rule: str, hours: int | None, **more: Any) -> Obligation:
        due = None if hours is None else NOON + timedelta(hours=hours)
        return Obligation(
            new_id(NOON),
            rule,
            "GDPR",
            "33",
            72,
            "hours",
            "authority",
            NOON,
            "ana/1",
            "asked",
            start_at=NOON,
            due_at=due,
            **more,
        )

    clocks = (
        clock("late", 72),
        clock("waiting", None),
        clock("soon", 4),
        clock("aside", 1, set_aside=SetAside(NOON, "ana/1", "not us")),
    )

    def decide(found: tuple[Incident, ...]) -> tuple[Change, ...]:
        change = notes.noted(found[0], "clocks", act())
        return (
            msgspec.structs.replace(
                change, incident=msgspec.structs.replace(change.incident, obligations=clocks)
            ),
        )

    stores.incidents.change([made.id], decide, now=NOON)

    def rules(terminal: bool | None) -> list[str]:
        found, cursor = [], None
        while True:
            shown, cursor = stores.incidents.obligations(terminal=terminal, limit=2, cursor=cursor)
            found += [one.obligation.rule for one in shown]
            if cursor is None:
                return found

    assert rules(False) == ["soon", "late", "waiting"]
    assert rules(True) == ["aside"]
    assert rules(None) == ["aside", "soon", "late", "waiting"]
    owed = stores.incidents.obligation(clocks[0].id)
    assert (owed.incident.reference, owed.obligation) == ("INC-000001", clocks[0])
    with pytest.raises(NotFound):
        stores.incidents.obligation("nope")


def restrict(
    stores: Stores, incident: Incident, visibility: Literal["reference", "hidden"]
) -> None:
    stores.incidents.change(
        [incident.id],
        lambda found: (access.restricted(found[0], visibility, act()),),
        now=NOON,
    )


def test_what_is_hidden_from_somebody_is_neither_listed_nor_counted(stores: Stores) -> None:
    hidden, shown, plain = (declare(stores, title) for title in ("hidden", "shown", "plain"))
    restrict(stores, hidden, "hidden")
    restrict(stores, shown, "reference")

    def titles(viewer: str) -> set[str]:
        where = IncidentFilter(viewer=viewer)
        found, _ = stores.incidents.page(where, limit=9)
        assert stores.incidents.count(where, ceiling=9) == len(found)
        return {one.title for one in found}

    assert titles("") == titles("ana") == {"hidden", "shown", "plain"}
    assert titles("bo") == {"shown", "plain"}
    ids = [hidden.id, shown.id, plain.id, new_id(NOON), "no id"]
    assert stores.incidents.restricted(ids, viewer="bo") == {hidden.id, shown.id}
    assert stores.incidents.restricted(ids, viewer="ana") == frozenset()


def test_clocks_of_restricted_incidents_are_for_those_who_see_them(stores: Stores) -> None:
    made = declare(stores)
    clock = Obligation(
        *(new_id(NOON), "rule", "GDPR", "33", 72, "hours", "authority", NOON, "ana/1", "asked"),
        start_at=NOON,
        due_at=NOON,
    )

    def decide(found: tuple[Incident, ...]) -> tuple[Change, ...]:
        change = access.restricted(found[0], "reference", act())
        with_clock = msgspec.structs.replace(change.incident, obligations=(clock,))
        return (msgspec.structs.replace(change, incident=with_clock),)

    stores.incidents.change([made.id], decide, now=NOON)

    def owed(viewer: str | None) -> int:
        return len(stores.incidents.obligations(terminal=None, limit=9, viewer=viewer)[0])

    assert (owed(None), owed("ana"), owed("bo")) == (1, 1, 0)


def test_terms_are_shared_by_the_newest_and_follow_each_change(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("kintsugi.store.incidents", "kintsugi.store.memory_incidents"):
        monkeypatch.setattr(f"{module}.NEWEST", 2)
    made = [declare(stores, "refund promised", minutes) for minutes in range(3)]
    shared = stores.incidents.sharing(["word:refund", "word:never"], besides=made[0].id)
    assert set(shared) == {("word:refund", one.id) for one in made[1:]}
    stores.incidents.change(
        [made[2].id],
        lambda found: (
            commands.changed(
                found[0],
                [commands.entry(found[0], "description", "x", act(9))],
                act(9),
                title="other",
            ),
        ),
        now=NOON + 9 * MINUTE,
    )
    shared = stores.incidents.sharing(["word:refund", "word:other"], besides=new_id(NOON))
    assert set(shared) == {
        *(("word:refund", one.id) for one in made[:2]),
        ("word:other", made[2].id),
    }
