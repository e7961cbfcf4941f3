"""Containments: kept, listed, pushed while they act, ended, and both ends in the log."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import pytest

from kintsugi.errors import Forbidden, InvalidInput, NotFound, StateConflict
from kintsugi.incidents.commands import Act
from kintsugi.incidents.opening import opened
from kintsugi.ledger.leaves import ContainmentLeaf
from kintsugi.model.containment import (
    Bypassed,
    Containment,
    ContainmentScope,
    ContainmentState,
    Lever,
)
from kintsugi.model.ids import uuid7
from kintsugi.model.incident import Actor
from kintsugi.model.stores import Stores
from tests.databases import NOON


def made(number: int, *, at: datetime = NOON, minutes: int = 60) -> Containment:
    return Containment(
        id=uuid7(int(at.timestamp() * 1000) + number, number.to_bytes(10, "big")),
        lever=Lever("disable-tools", tools=("pay",)),
        scope=ContainmentScope(workflow="triage"),
        reason="a note leaked",
        owner="ada",
        created_by="ops/1",
        created_at=at,
        expires_at=at + timedelta(minutes=minutes),
    )


def test_containments_come_back_whole(stores: Stores) -> None:
    one = made(1)
    stores.containments.put(one)
    assert stores.containments.get(one.id) == one
    with pytest.raises(InvalidInput):
        stores.containments.put(one)
    with pytest.raises(InvalidInput):
        stores.containments.put(msgspec.structs.replace(one, id="c1"))
    for unknown in ("nonsense", made(2).id):
        with pytest.raises(NotFound):
            stores.containments.get(unknown)


def test_what_acts_is_oldest_first_and_ends_by_itself(stores: Stores) -> None:
    short, long = made(1, minutes=1), made(2, at=NOON + timedelta(seconds=1))
    for one in (long, short):
        stores.containments.put(one)
    at = NOON + timedelta(seconds=2)
    assert stores.containments.in_force(now=at, limit=9) == [short, long]
    assert stores.containments.in_force(now=at, limit=1) == [short]
    later = NOON + timedelta(minutes=1)
    assert stores.containments.in_force(now=later, limit=9) == [long]
    assert stores.containments.page(state="in_force", now=later, limit=9) == ([long], None)
    assert stores.containments.page(state="ended", now=later, limit=9) == ([short], None)
    states: list[ContainmentState | None] = ["in_force", "ended", "waiting", None]
    counts = [stores.containments.count(state=one, now=later) for one in states]
    assert counts == [1, 1, 0, 2]


def test_one_is_released_once(stores: Stores) -> None:
    one = made(1)
    stores.containments.put(one)
    at = NOON + timedelta(minutes=5)
    ended = stores.containments.release(one.id, by="eve/2", reason="fixed", now=at)
    assert (ended.released_at, ended.released_by, ended.release_reason) == (at, "eve/2", "fixed")
    again = stores.containments.release(one.id, by="bob/3", reason="again", now=at)
    assert again == ended == stores.containments.get(one.id)
    assert stores.containments.in_force(now=at, limit=9) == []
    leaves = [
        msgspec.json.decode(leaf.data, type=ContainmentLeaf)
        for leaf in stores.log.leaves(before=None, limit=9)
    ]
    assert [leaf.act for leaf in leaves] == ["released", "applied"]
    assert len({leaf.record_digest for leaf in leaves}) == 2


def test_what_has_expired_is_not_released(stores: Stores) -> None:
    one = made(1, minutes=1)
    stores.containments.put(one)
    late = NOON + timedelta(minutes=2)
    assert stores.containments.release(one.id, by="eve/2", reason="x", now=late) == one


def test_pages_go_on_where_they_ended(stores: Stores) -> None:
    all_of_them = [made(number, at=NOON + timedelta(seconds=number // 2)) for number in range(7)]
    for one in all_of_them:
        stores.containments.put(one)
    found, cursor = stores.containments.page(state=None, now=NOON, limit=3)
    while cursor:
        more, cursor = stores.containments.page(state=None, now=NOON, limit=3, cursor=cursor)
        found += more
    expected = sorted(all_of_them, key=lambda one: (one.created_at, one.id), reverse=True)
    assert found == expected
    with pytest.raises(InvalidInput, match="cursor"):
        stores.containments.page(state=None, now=NOON, limit=3, cursor="nonsense")


def test_gateways_hear_of_both_ends(stores: Stores) -> None:
    one = made(1)
    stores.containments.put(one)
    assert "oversight" in stores.changes.wait(timeout_seconds=60)
    stores.containments.release(one.id, by="eve/2", reason="fixed", now=NOON)
    assert "oversight" in stores.changes.wait(timeout_seconds=60)


def asked_for(number: int) -> Containment:
    return msgspec.structs.replace(made(number), lever=Lever("bypass"), incident_id="i1")


def acts(stores: Stores) -> list[str]:
    return [
        msgspec.json.decode(leaf.data, type=ContainmentLeaf).act
        for leaf in stores.log.leaves(before=None, limit=9)
    ]


def test_what_loosens_control_does_nothing_before_another_person_approves(stores: Stores) -> None:
    one = asked_for(1)
    stores.containments.put(one)
    at = NOON + timedelta(minutes=30)
    assert stores.containments.in_force(now=at, limit=9) == []
    assert stores.containments.page(state="waiting", now=at, limit=9) == ([one], None)
    for own in (one.created_by, "ops/another-token"):
        with pytest.raises(Forbidden, match="another person"):
            stores.containments.approve(one.id, by=own, now=at)
    found = stores.containments.approve(one.id, by="eve/2", now=at)
    assert (found.approved_by, found.approved_at) == ("eve/2", at)
    assert found.expires_at == at + timedelta(hours=1)  # its whole time runs from now
    assert stores.containments.in_force(now=at, limit=9) == [found]
    with pytest.raises(StateConflict):
        stores.containments.approve(one.id, by="bob/3", now=at)
    with pytest.raises(NotFound):
        stores.containments.approve(made(2).id, by="eve/2", now=at)
    assert acts(stores) == ["applied", "requested"]


def test_a_request_that_nobody_approves_lapses_or_is_withdrawn(stores: Stores) -> None:
    one, two = asked_for(1), asked_for(2)
    for each in (one, two):
        stores.containments.put(each)
    at = NOON + timedelta(minutes=30)
    stores.containments.release(two.id, by="ops/1", reason="not needed", now=at)
    late = NOON + timedelta(hours=1)
    for each in (one, two):
        with pytest.raises(StateConflict):
            stores.containments.approve(each.id, by="eve/2", now=late)
    assert stores.containments.count(state="ended", now=late) == 2
    assert stores.containments.unjudged(over_before=late, limit=9) == []  # nothing went through


def test_what_went_through_is_judged_once_it_is_over(stores: Stores) -> None:
    short, long, stop = asked_for(1), asked_for(2), made(3)
    for each in (long, short, stop):
        stores.containments.put(each)
    for each in (long, short):
        stores.containments.approve(each.id, by="eve/2", now=NOON)
    at = NOON + timedelta(minutes=10)
    stores.containments.release(short.id, by="eve/2", reason="mended", now=at)
    stores.containments.release(stop.id, by="eve/2", reason="mended", now=at)
    assert stores.containments.unjudged(over_before=at - timedelta(seconds=1), limit=9) == []
    late = NOON + timedelta(hours=1)
    owing = stores.containments.unjudged(over_before=late, limit=9)
    assert [one.id for one in owing] == [short.id, long.id]
    bypassed = Bypassed(3, {"allow": 2, "block": 1}, {"dlp-filter": 1})
    found = stores.containments.judge(short.id, bypassed, now=late)
    assert (found.bypassed, found.bypassed_at) == (bypassed, late)
    assert stores.containments.get(short.id) == found
    assert [one.id for one in stores.containments.unjudged(over_before=late, limit=9)] == [long.id]
    assert acts(stores)[0] == "judged"


def test_an_incident_begins_with_a_containment_or_neither_does(stores: Stores) -> None:
    act = Act(Actor("ada", "ada/1"), NOON, reason="a note leaked")
    begun = opened("Notes leak", act, state="declared")
    one = msgspec.structs.replace(made(1), incident_id=begun.incident.id)
    declared = stores.containments.put(one, declaring=begun)
    assert declared is not None
    assert declared.reference
    assert stores.incidents.get(declared.reference).title == "Notes leak"
    told, _ = stores.incidents.timeline(declared.id, order="at", pinned_only=False, limit=9)
    assert {it.entry.kind for it in told} == {"transition", "containment"}
    leaves = [stores.log.leaf(number).kind for number in range(stores.log.edge()[0])]
    assert leaves == ["incident", "containment"]
    again = opened("Notes leak again", act, state="declared")
    with pytest.raises(InvalidInput):
        stores.containments.put(one, declaring=again)
    with pytest.raises(NotFound):
        stores.incidents.get(again.incident.id)
