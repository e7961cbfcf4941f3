"""Custody: appended, listed, in the log, and never changed."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import psycopg
import pytest

from kintsugi.errors import InvalidInput, VersionConflict
from kintsugi.ledger.leaves import CustodyLeaf
from kintsugi.model.custody import (
    CustodyAction,
    CustodyEntry,
    CustodyFilter,
    custody_digest,
    custody_entry,
    custody_record,
)
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.exports import ExportJob
from kintsugi.model.stores import Stores
from tests.contract.conftest import Maker
from tests.databases import NOON

ALL = CustodyFilter()


def entry(
    number: int, about: str = "event:1", action: CustodyAction = "reveal", actor: str = "ana/1"
) -> CustodyEntry:
    return custody_entry(
        action,
        about,
        actor=actor,
        now=NOON + timedelta(seconds=number),
        reason="asked by the auditor",
        digest_before="sha256:" + "a" * 64,
    )


def test_entries_come_back_whole_and_newest_first(stores: Stores) -> None:
    made = [entry(number) for number in range(5)]
    for one in made:
        stores.custody.add(one)
    assert stores.custody.page(ALL, limit=10) == (made[::-1], None)
    assert stores.custody.count(ALL, ceiling=3) == 3
    assert stores.custody.count(ALL, ceiling=9) == 5


def test_pages_go_on_where_they_ended(stores: Stores) -> None:
    made = [entry(number // 2) for number in range(7)]  # two at a time have the same time
    for one in made:
        stores.custody.add(one)
    found, cursor = stores.custody.page(ALL, limit=3)
    while cursor:
        more, cursor = stores.custody.page(ALL, limit=3, cursor=cursor)
        found += more
    assert found == sorted(made, key=lambda one: (one.at, one.id), reverse=True)
    with pytest.raises(InvalidInput, match="cursor"):
        stores.custody.page(ALL, limit=3, cursor="nonsense")


def test_filters_are_anded(stores: Stores) -> None:
    made = [
        entry(0),
        entry(1, "event:2"),
        entry(2, action="verify"),
        entry(3, "event:2", "verify", "bo/2"),
    ]
    for one in made:
        stores.custody.add(one)

    def found(**where: str) -> list[CustodyEntry]:
        wanted = CustodyFilter(**where)
        listed, _ = stores.custody.page(wanted, limit=10)
        assert stores.custody.count(wanted, ceiling=10) == len(listed)
        return listed

    assert found(object="event:2") == [made[3], made[1]]
    assert found(actor="ana/1") == [made[2], made[1], made[0]]
    assert found(object="event:2", action="verify") == [made[3]]
    assert found(actor="ana") == []
    assert stores.custody.of(["event:2", "event:1", "event:9"]) == made
    assert stores.custody.of([]) == []


def test_an_entry_is_a_leaf_that_tells_its_digest_and_no_name(stores: Stores) -> None:
    one = entry(0)
    stores.custody.add(one)
    (leaf,) = stores.log.leaves(before=None, limit=10)
    assert leaf.kind == "custody"
    told = msgspec.json.decode(leaf.data, type=CustodyLeaf)
    assert (told.id, told.action, told.object) == (one.id, "reveal", "event:1")
    assert told.entry_digest == custody_digest(custody_record(one))
    assert "ana" not in leaf.data
    assert "auditor" not in leaf.data


def test_an_id_counts_once(stores: Stores) -> None:
    one = entry(0)
    stores.custody.add(one)
    for again in (one, msgspec.structs.replace(one, reason="another"), entry(1)):
        if again.id != one.id:
            again = msgspec.structs.replace(again, id="nope")
        with pytest.raises(InvalidInput):
            stores.custody.add(again)
    assert stores.custody.page(ALL, limit=10) == ([one], None)
    assert stores.log.edge()[0] == 1


def test_a_finished_export_and_its_entry_are_kept_together_or_not_at_all(stores: Stores) -> None:
    job = ExportJob("x1", "events", "jsonl", EventFilter(), "queued", NOON, "ana")
    stores.exports.add(job)
    claimed = stores.exports.claim(now=NOON, stale_after_seconds=9)
    assert claimed is not None
    done = msgspec.structs.replace(claimed, state="done")
    stale = msgspec.structs.replace(done, attempt=7)
    with pytest.raises(VersionConflict):
        stores.exports.update(stale, now=NOON, custody=entry(0, "export:x1", "export"))
    assert stores.custody.count(ALL, ceiling=9) == 0
    one = entry(1, "export:x1", "export")
    stores.exports.update(done, now=NOON, custody=one)
    assert stores.custody.page(ALL, limit=9) == ([one], None)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE kintsugi.custody SET actor = 'nobody'",
        "DELETE FROM kintsugi.custody",
        "TRUNCATE kintsugi.custody",
    ],
)
def test_the_database_itself_refuses_to_change_or_remove_an_entry(
    maker: Maker, statement: str
) -> None:
    stores = maker.empty()
    stores.custody.add(entry(0))
    if not maker.conninfo:
        return  # in memory there is no other way in
    with (
        pytest.raises(psycopg.errors.RaiseException, match="append-only"),
        psycopg.connect(maker.conninfo) as connection,
    ):
        connection.execute(statement.encode())
    assert stores.custody.count(ALL, ceiling=9) == 1
