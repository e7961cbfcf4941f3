"""Signals: one for each thing, over by itself or by a person's word."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from kintsugi.errors import InvalidInput, NotFound
from kintsugi.model.signal import Observation
from kintsugi.model.stores import Stores
from tests.databases import NOON

MINUTE = timedelta(minutes=1)


def seen(key: str = "journal_gap:a", **changes: Any) -> Observation:
    made = Observation(
        kind="journal_gap",
        key=key,
        severity="high",
        subject="gateway:gw-1",
        summary="lines 4 to 6 are missing",
        detail={"first_seq": 4, "last_seq": 6, "text": "a\"'ü\u2028"},
    )
    return msgspec.structs.replace(made, **changes)


def test_what_is_seen_again_is_the_same_signal(stores: Stores) -> None:
    first = stores.signals.observe(seen(), now=NOON)
    again = stores.signals.observe(seen(summary="lines 4 to 9", detail={}), now=NOON + MINUTE)
    assert (again.id, again.at, again.seen_at) == (first.id, NOON, NOON + MINUTE)
    assert stores.signals.get(first.id) == again
    assert again.summary == "lines 4 to 9"
    assert stores.signals.count_unresolved() == 1
    assert stores.signals.observe(seen("another"), now=NOON).id != first.id


def test_a_signal_is_kept_as_it_was_seen(stores: Stores) -> None:
    raised = stores.signals.observe(seen(), now=NOON)
    assert stores.signals.get(raised.id.upper()) == raised
    assert raised.status == "open"
    assert raised.detail == seen().detail
    assert stores.changes.wait(timeout_seconds=60) == {"signals", "notices"}


def test_what_is_over_by_itself_can_come_again(stores: Stores) -> None:
    first = stores.signals.observe(seen(), now=NOON)
    over = stores.signals.over("journal_gap:a", resolution="filled", now=NOON + MINUTE)
    assert over is not None
    assert (over.id, over.status, over.resolved_by) == (first.id, "resolved", "")
    assert stores.signals.over("journal_gap:a", resolution="again", now=NOON) is None
    second = stores.signals.observe(seen(), now=NOON + 2 * MINUTE)
    assert second.id != first.id
    assert stores.signals.count_unresolved() == 1


def test_what_a_person_resolved_is_not_raised_again(stores: Stores) -> None:
    first = stores.signals.observe(seen(), now=NOON)
    done = stores.signals.resolve(first.id, by="ada", resolution="lost, known", now=NOON)
    assert stores.signals.resolve(first.id, by="bob", resolution="no", now=NOON + MINUTE) == done
    assert stores.signals.observe(seen(), now=NOON + MINUTE) == done
    assert stores.signals.count_unresolved() == 0


def test_the_first_who_acknowledges_stays(stores: Stores) -> None:
    raised = stores.signals.observe(seen(), now=NOON)
    first = stores.signals.acknowledge(raised.id, by="ada", note="on it", now=NOON + MINUTE)
    again = stores.signals.acknowledge(raised.id, by="bob", note="me", now=NOON + 2 * MINUTE)
    assert first == again
    assert (again.status, again.acknowledged_by, again.note) == ("acknowledged", "ada", "on it")
    still = stores.signals.observe(seen(), now=NOON + 3 * MINUTE)
    assert (still.id, still.status) == (raised.id, "acknowledged")


def test_lists_by_status_and_kind_go_backwards_in_pages(stores: Stores) -> None:
    ids = [
        stores.signals.observe(seen(f"key-{number}"), now=NOON + number * MINUTE).id
        for number in range(5)
    ]
    stores.signals.acknowledge(ids[0], by="ada", note="", now=NOON)
    stores.signals.resolve(ids[1], by="ada", resolution="over", now=NOON)
    stores.signals.observe(seen("other", kind="counters_differ"), now=NOON)

    def listed(status: Any, kind: str = "journal_gap") -> list[str]:
        return [one.id for one in stores.signals.page(status, kind=kind, limit=10)[0]]

    assert listed("open") == [ids[4], ids[3], ids[2]]
    assert listed("acknowledged") == [ids[0]]
    assert listed("resolved") == [ids[1]]
    assert listed("unresolved") == [ids[4], ids[3], ids[2], ids[0]]
    assert listed(None) == ids[::-1]
    assert len(listed(None, kind="")) == 6
    first, cursor = stores.signals.page(None, kind="journal_gap", limit=3)
    rest, end = stores.signals.page(None, kind="journal_gap", limit=3, cursor=cursor)
    assert [one.id for one in (*first, *rest)] == ids[::-1]
    assert end is None
    with pytest.raises(InvalidInput):
        stores.signals.page(None, limit=3, cursor="nonsense")


def test_what_is_not_there_is_not_found(stores: Stores) -> None:
    unknown = "01900000-0000-7000-8000-000000000001"
    with pytest.raises(NotFound):
        stores.signals.get("nope")
    with pytest.raises(NotFound):
        stores.signals.acknowledge("nope", by="a", note="", now=NOON)
    with pytest.raises(NotFound):
        stores.signals.resolve(unknown, by="a", resolution="b", now=NOON)
