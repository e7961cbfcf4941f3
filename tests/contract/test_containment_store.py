"""Containments: kept, listed, pushed while they act, ended, and both ends in the log."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import pytest

from kintsugi.errors import InvalidInput, NotFound
from kintsugi.ledger.leaves import ContainmentLeaf
from kintsugi.model.containment import Containment, ContainmentScope, Lever
from kintsugi.model.ids import uuid7
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
    assert stores.containments.page(in_force=True, now=later, limit=9) == ([long], None)
    assert stores.containments.page(in_force=False, now=later, limit=9) == ([short], None)
    counts = [stores.containments.count(in_force=one, now=later) for one in (True, False, None)]
    assert counts == [1, 1, 2]


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
    found, cursor = stores.containments.page(in_force=None, now=NOON, limit=3)
    while cursor:
        more, cursor = stores.containments.page(in_force=None, now=NOON, limit=3, cursor=cursor)
        found += more
    expected = sorted(all_of_them, key=lambda one: (one.created_at, one.id), reverse=True)
    assert found == expected
    with pytest.raises(InvalidInput, match="cursor"):
        stores.containments.page(in_force=None, now=NOON, limit=3, cursor="nonsense")


def test_gateways_hear_of_both_ends(stores: Stores) -> None:
    one = made(1)
    stores.containments.put(one)
    assert "oversight" in stores.changes.wait(timeout_seconds=5)
    stores.containments.release(one.id, by="eve/2", reason="fixed", now=NOON)
    assert "oversight" in stores.changes.wait(timeout_seconds=5)
