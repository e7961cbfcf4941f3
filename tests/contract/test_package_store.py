"""What packages are made of: batches of the log, with the events of them that were asked for."""

from __future__ import annotations

import msgspec
import psycopg

from kintsugi.ledger.leaves import EventsLeaf, custody_leaf, leaf_data
from kintsugi.model.custody import custody_entry
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.packages import PackedBatch
from kintsugi.model.span import Span, Step
from kintsugi.model.stores import Stores
from kintsugi.model.verdict import Verdict
from tests.contract.conftest import Maker
from tests.databases import NOON
from tests.store.made import blocked, event, said


def packed(stores: Stores, where: EventFilter) -> list[PackedBatch]:
    return list(stores.packages.batches(where, unredacted=False))


def ids(batches: list[PackedBatch]) -> list[str]:
    return [one.event.id for batch in batches for one in batch.chosen]


def test_all_of_a_log_comes_in_its_order(stores: Stores) -> None:
    stores.events.append([event(5), event(4)])
    stores.events.append([said(1, "hello", "there")])
    stores.events.append([event(3), event(2), event(9)])
    batches = packed(stores, EventFilter())
    assert [batch.leaf for batch in batches] == [0, 1, 2]
    assert ids(batches) == [event(n).id for n in (5, 4, 1, 3, 2, 9)]
    for batch in batches:
        leaf = msgspec.json.decode(batch.data, type=EventsLeaf)
        assert leaf.last_position - leaf.first_position + 1 == len(batch.records)
        assert [one.record for one in batch.chosen] == list(batch.records)
        assert [one.index for one in batch.chosen] == list(range(len(batch.records)))
    assert batches[1].chosen[0].event.payload.request == "hello"


def test_of_a_batch_only_what_matches_is_chosen_and_all_is_there_to_prove_it(
    stores: Stores,
) -> None:
    stores.events.append([event(1), blocked(2), event(3), blocked(4)])
    stores.events.append([event(5)])
    (batch,) = packed(stores, EventFilter(verdict=Verdict.BLOCK))
    assert [one.index for one in batch.chosen] == [1, 3]
    assert len(batch.records) == 4
    (one,) = packed(stores, EventFilter(event=event(3).id))
    assert ids([one]) == [event(3).id]
    assert packed(stores, EventFilter(event="nope")) == []
    assert packed(stores, EventFilter(user="nobody")) == []


def test_many_small_batches_are_all_there(stores: Stores) -> None:
    for number in range(30):
        stores.events.append([event(number)])
    assert ids(packed(stores, EventFilter())) == [event(n).id for n in range(30)]


def test_leaves_are_found_by_their_text(stores: Stores) -> None:
    stores.events.append([event(1)])
    entries = [
        custody_entry("reveal", f"event:{n}", actor="ana/1", now=NOON, reason="x" * 3000)
        for n in range(2)
    ]
    for entry in entries:
        stores.custody.add(entry)
    texts = [leaf_data(custody_leaf(entry)).decode() for entry in entries]
    assert stores.packages.leaves_of([*texts, "no leaf"]) == {texts[0]: 1, texts[1]: 2}
    assert stores.packages.leaves_of([]) == {}


def test_traces_with_steps_that_applications_reported_are_told_from_the_others(
    stores: Stores,
) -> None:
    stores.events.append([event(1, trace_id="a" * 32), event(2, trace_id="b" * 32)])
    stores.spans.append([Span("b" * 32, "1" * 16, "step", Step.TOOL, NOON, NOON)])
    assert stores.packages.reported(["c" * 32, "b" * 32, "a" * 32]) == ["b" * 32]
    assert stores.packages.reported([]) == []


def test_a_batch_of_which_something_is_gone_is_told_with_what_is_left(maker: Maker) -> None:
    stores = maker.empty()
    stores.events.append([event(1), event(2), event(3)])
    if not maker.conninfo:
        return  # in memory nothing goes away
    with psycopg.connect(maker.conninfo) as connection:
        connection.execute("DELETE FROM kintsugi.events WHERE position = 2")
    (batch,) = packed(stores, EventFilter())
    assert len(batch.records) == 2
    assert [one.index for one in batch.chosen] == [0, 2]
