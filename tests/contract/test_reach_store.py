"""How far incidents reach, and what they affected."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kintsugi.errors import NotFound
from kintsugi.incidents.commands import Act
from kintsugi.incidents.opening import opened
from kintsugi.incidents.repair import added, settling_of
from kintsugi.model.affected import Affected
from kintsugi.model.incident import Actor, Incident
from kintsugi.model.span import Span, Step
from kintsugi.model.stores import Stores
from tests.control_plane import blocked_event, make_event
from tests.databases import NOON

ANA = Actor("ana", "ana/1")
ACT = Act(ANA, NOON, reason="as found")
BASE = NOON - timedelta(minutes=5)
TIED = [make_event(0, base=BASE), make_event(1, base=BASE), blocked_event(2, base=BASE)]
OTHER = [make_event(number, base=BASE, model="new", user_id="") for number in (4, 5)]


@pytest.fixture
def incident(stores: Stores) -> Incident:
    stores.events.append([*TIED, *OTHER])
    change = opened("It lied", ACT, state="declared", events=[one.id for one in TIED])
    [made] = stores.incidents.change([], lambda _: (change,), now=NOON)
    return made


def test_the_extent_counts_what_events_name(stores: Stores, incident: Incident) -> None:
    extent = stores.reach.extent(incident.id)
    assert extent.events == 3
    assert (extent.first_at, extent.last_at) == (TIED[0].timestamp, TIED[2].timestamp)
    users = extent.of("user")
    assert (users.distinct, users.unnamed) == (3, 0)
    assert [one.name for one in users.named] == ["user-0", "user-1", "user-2"]
    workflows = extent.of("workflow")
    assert (workflows.distinct, workflows.unnamed, workflows.named) == (0, 3, ())
    verdicts = {one.name: one.events for one in extent.of("verdict").named}
    assert verdicts == {"allowed": 2, "blocked": 1}


def test_every_dimension_counts_its_own_names(stores: Stores) -> None:
    names = {name: f"{name}_id" for name in ("user", "team", "tenant", "agent", "session")}
    names |= {"gateway": "gateway_id", "configuration": "config_version", "policy": "policy_name"}
    names |= {name: name for name in ("workflow", "model", "provider", "reason_code")}
    events = []
    for number in range(2):
        said: dict[str, Any] = {field: f"{name}-{number}" for name, field in names.items()}
        events.append(make_event(number, base=BASE, **said))
    events.append(make_event(2, base=BASE, team_id="", tenant_id="tenant-0"))
    stores.events.append(events)
    change = opened("It lied", ACT, state="declared", events=[one.id for one in events])
    [made] = stores.incidents.change([], lambda _: (change,), now=NOON)
    extent = stores.reach.extent(made.id)
    assert {*names, "verdict"} == {one.dimension for one in extent.spreads}
    for name in names:
        told = {one.name for one in extent.of(name).named}  # type: ignore[arg-type]
        assert {f"{name}-0", f"{name}-1"} <= told, name
    tenants = extent.of("tenant")
    assert [(one.name, one.events) for one in tenants.named] == [("tenant-0", 2), ("tenant-1", 1)]
    assert (tenants.distinct, tenants.unnamed, extent.of("team").unnamed) == (2, 0, 1)


def test_an_incident_without_events_reaches_nobody(stores: Stores) -> None:
    change = opened("It lied", ACT, state="declared")
    [made] = stores.incidents.change([], lambda _: (change,), now=NOON)
    extent = stores.reach.extent(made.id)
    assert (extent.events, extent.first_at) == (0, None)
    assert {one.distinct for one in extent.spreads} == {0}
    assert stores.reach.judged(made.id) == []


def test_what_controls_did_is_counted(stores: Stores, incident: Incident) -> None:
    counts = {
        (one.policy_name, one.outcome): one.events for one in stores.reach.judged(incident.id)
    }
    assert counts["prompt-injection", "matched"] == 1
    assert counts["prompt-injection", "clear"] == 2


def test_traffic_tells_the_incident_from_the_rest(stores: Stores, incident: Incident) -> None:
    window = {"since": NOON - timedelta(hours=1), "until": NOON}
    found = stores.reach.traffic(incident.id, **window, onset=window["since"], others_max=100)
    models = {one.name: (one.affected, one.others) for one in found if one.dimension == "model"}
    assert models == {"sim-echo": (3, 0), "new": (0, 2)}
    found = stores.reach.traffic(incident.id, **window, onset=window["since"], others_max=1)
    assert sum(one.others for one in found if one.dimension == "gateway") == 1


def test_what_was_frozen_from_before_the_onset_is_not_affected(
    stores: Stores, incident: Incident
) -> None:
    window = {"since": NOON - timedelta(hours=1), "until": NOON}
    onset = max(event.timestamp for event in TIED)
    found = stores.reach.traffic(incident.id, **window, onset=onset, others_max=100)
    models = {one.name: (one.affected, one.others) for one in found if one.dimension == "model"}
    assert models == {"sim-echo": (1, 2), "new": (0, 2)}


def test_it_knows_which_events_belong_to_it(stores: Stores, incident: Incident) -> None:
    asked = [TIED[0].id, OTHER[0].id]
    assert stores.reach.tied_among(incident.id, asked) == {TIED[0].id}


def test_steps_that_changed_something_are_found(stores: Stores) -> None:
    def span(number: int, step: Step, **attributes: object) -> Span:
        at = NOON - timedelta(seconds=number)
        return Span("a" * 32, f"{number:016x}", "s", step, at, at, attributes=attributes)

    spans = [
        span(1, Step.WRITE),
        span(2, Step.TOOL, **{"kintsugi.records": ["crm/1"]}),
        span(3, Step.TOOL),
    ]
    stores.spans.append(spans)
    found = stores.reach.changing_steps(["a" * 32, "b" * 32], limit=9)
    assert [one.span_id for one in found] == [spans[1].span_id, spans[0].span_id]


def test_what_is_affected_is_kept_once_and_settled(stores: Stores, incident: Incident) -> None:
    named = [("record", "crm/1", "crm", ""), ("record", "crm/2", "crm", "")]
    kept, told = added(incident, named, ACT)  # type: ignore[arg-type]
    assert stores.affected.add(kept, told=told, now=NOON) == 2
    assert stores.affected.add(kept, told=told, now=NOON) == 0
    person = Affected(incident.id, "user", "ada", "to_tell", NOON, "freeze:1")
    stores.affected.add([person], now=NOON)
    assert stores.affected.counts(incident.id) == {("record", "open"): 2, ("user", "to_tell"): 1}
    settling, said = settling_of(
        incident, "record", ["crm/2"], "corrected", ACT, evidence="change 8812"
    )
    with pytest.raises(NotFound, match="crm/9"):
        stores.affected.settle(incident.id, "record", ["crm/2", "crm/9"], settling, told=said)
    [after] = stores.affected.settle(incident.id, "record", ["crm/2"], settling, told=said)
    assert (after.status, after.evidence, after.settled_by) == ("corrected", "change 8812", "ana/1")
    both = stores.affected.page(incident.id, ("record",), status="", limit=9)
    assert [(one.key, one.status) for one in both] == [("crm/1", "open"), ("crm/2", "corrected")]
    assert both[1] == after
    rest = stores.affected.page(
        incident.id, ("record",), status="", limit=9, after=("record", "crm/1")
    )
    assert rest == [after]
    entries, _ = stores.incidents.timeline(incident.id, order="at", pinned_only=False, limit=9)
    assert [one.entry.kind for one in entries].count("affected") == 2
