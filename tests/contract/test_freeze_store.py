"""Freezes: begun once, worked on by one at a time, with hold, custody and timeline."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from kintsugi.errors import NotFound, StateConflict, VersionConflict
from kintsugi.incidents.commands import Act
from kintsugi.incidents.freezing import Begun, begun, told_frozen
from kintsugi.incidents.opening import opened
from kintsugi.model.custody import CustodyFilter, custody_entry
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.freeze import Freeze, Pinned
from kintsugi.model.incident import Actor, Incident
from kintsugi.model.stores import Stores
from tests.control_plane import make_event
from tests.databases import NOON

ANA = Actor("ana", "ana/1")
EVENTS = [make_event(number, base=NOON - timedelta(minutes=5)) for number in range(4)]
WINDOW = EventFilter(since=NOON - timedelta(hours=1), until=NOON)


@pytest.fixture
def incident(stores: Stores) -> Incident:
    stores.events.append(EVENTS)
    change = opened("It lied", Act(ANA, NOON), state="declared")
    [made] = stores.incidents.change([], lambda _: (change,), now=NOON)
    return made


def begin(stores: Stores, incident: Incident, where: EventFilter = WINDOW) -> Freeze:
    made: Begun = begun(incident, where, 4, Act(ANA, NOON))
    return stores.freezes.begin(made.freeze, hold=made.hold, custody=made.custody, told=made.told)


def test_a_freeze_holds_at_once_and_the_same_again_is_the_same(
    stores: Stores, incident: Incident
) -> None:
    made = begin(stores, incident)
    assert begin(stores, incident) == made == stores.freezes.get(made.id)
    assert stores.freezes.of(incident.id) == [made]
    [hold] = stores.holds.list(in_force=True, limit=9)
    assert (hold.id, hold.where, hold.incident_id) == (made.hold_id, WINDOW, incident.id)
    [told, _] = stores.incidents.timeline(incident.id, order="at", pinned_only=False, limit=9)[0]
    assert told.entry.detail["freeze"] == made.id
    assert stores.incidents.get(incident.id).version == 1
    assert stores.custody.count(CustodyFilter(object=f"hold:{hold.id}"), ceiling=9) == 1


def test_what_is_pinned_is_tied_and_counted(stores: Stores, incident: Incident) -> None:
    begin(stores, incident)
    claimed = stores.freezes.claim(now=NOON, stale_after_seconds=15)
    assert claimed is not None
    assert stores.freezes.claim(now=NOON, stale_after_seconds=15) is None
    pins = [Pinned(place, event.id) for place, event in enumerate(EVENTS, start=1)]
    stores.freezes.save(claimed, pinned=pins[:3], now=NOON)
    stores.freezes.save(claimed, pinned=pins[2:], now=NOON)
    assert stores.freezes.pinned(claimed.id, after=1, limit=2) == pins[1:3]
    done = msgspec.structs.replace(
        claimed, state="done", frozen=4, frozen_at=NOON, scope={"model": ("sim-echo",)}
    )
    custody = custody_entry("freeze", f"freeze:{done.id}", actor="ana/1", now=NOON)
    told = told_frozen(incident, done, now=NOON)
    stores.freezes.finish(done, custody=custody, told=told, now=NOON)
    after = stores.incidents.get(incident.id)
    assert (after.event_count, after.version) == (4, 2)
    assert after.scope == {"model": ("sim-echo",)}
    assert stores.events.count(EventFilter(incident=incident.id), ceiling=9) == 4
    with pytest.raises(VersionConflict):
        stores.freezes.save(claimed, now=NOON)


def test_a_task_whose_worker_died_is_claimed_again(stores: Stores, incident: Incident) -> None:
    begin(stores, incident)
    first = stores.freezes.claim(now=NOON, stale_after_seconds=15)
    later = NOON + timedelta(seconds=20)
    second = stores.freezes.claim(now=later, stale_after_seconds=15)
    assert first is not None
    assert second is not None
    assert second.attempt == first.attempt + 1
    with pytest.raises(VersionConflict):
        stores.freezes.save(first, now=later)


def test_only_what_is_frozen_is_verified(stores: Stores, incident: Incident) -> None:
    made = begin(stores, incident)
    with pytest.raises(StateConflict, match="when it is frozen"):
        stores.freezes.verify(made.id, by="bo/2", now=NOON)
    claimed = stores.freezes.claim(now=NOON, stale_after_seconds=15)
    assert claimed is not None
    done = msgspec.structs.replace(claimed, state="done", frozen_at=NOON)
    stores.freezes.finish(done, custody=None, told=None, now=NOON)
    queued = stores.freezes.verify(made.id, by="bo/2", now=NOON)
    assert (queued.task, queued.state, queued.verify_by) == ("verify", "queued", "bo/2")
    for unknown in ("nonsense", EVENTS[0].id):
        with pytest.raises(NotFound):
            stores.freezes.get(unknown)
