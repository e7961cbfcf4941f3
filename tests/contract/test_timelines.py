"""What timelines are told by themselves: of what concerns an incident, at once and before it."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import pytest

from kintsugi.incidents.commands import Act
from kintsugi.incidents.judgement import described
from kintsugi.incidents.opening import opened
from kintsugi.model.containment import Containment, ContainmentScope, Lever
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.exports import ExportJob
from kintsugi.model.gateways import GatewayReport, WorkerReport
from kintsugi.model.incident import Actor, Change, Incident, new_id
from kintsugi.model.notice import notice
from kintsugi.model.signal import Observation
from kintsugi.model.stores import Stores
from kintsugi.store.uuids import parse_uuid
from tests.databases import NOON

ANA = Actor("ana", "ana/1")


def declare(stores: Stores, at: datetime = NOON, **scope: tuple[str, ...]) -> Incident:
    change = opened("It lied", Act(ANA, at), state="declared")
    scoped = msgspec.structs.replace(change.incident, scope=scope)
    made = Change(scoped, change.entries)
    [stored] = stores.incidents.change([], lambda _: (made,), now=at)
    return stored


def told(stores: Stores, incident: Incident) -> list[tuple[str, str]]:
    entries, _ = stores.incidents.timeline(incident.id, order="at", pinned_only=False, limit=99)
    return [(one.entry.kind, one.entry.text) for one in entries[::-1] if one.entry.source]


def publish(stores: Stores, content: str, at: datetime) -> None:
    stores.configurations.put(
        config_id="support",
        content=content,
        revision="sha256:00",
        author="bo/2",
        note="",
        pack_version="",
        now=at,
    )


def contain(stores: Stores, *, incident_id: str = "", workflow: str = "") -> None:
    stores.containments.put(
        Containment(
            id=new_id(NOON),
            lever=Lever("stop"),
            scope=ContainmentScope(workflow=workflow),
            reason="harm",
            owner="ana",
            created_by="ana/1",
            created_at=NOON,
            expires_at=NOON + timedelta(hours=1),
            incident_id=incident_id,
        )
    )


def report(version: str) -> GatewayReport:
    worker = WorkerReport("w1", 7, version, "sha256:00", NOON)
    return GatewayReport("gw-1", "support", "127.0.0.1:1", "0.1.0", (worker,))


def test_open_incidents_are_told_of_changes_and_deploys(stores: Stores) -> None:
    incident = declare(stores)
    publish(stores, "a: 1", NOON)
    stores.gateways.put(report("support@1"), now=NOON)
    stores.gateways.put(report("support@1"), now=NOON)
    stores.gateways.put(report("support@2"), now=NOON)
    assert told(stores, incident) == [
        ("change", "configuration support@1 published"),
        ("deploy", "gateway gw-1 runs support@1"),
        ("deploy", "gateway gw-1 runs support@2, before: support@1"),
    ]
    assert stores.incidents.get(incident.id).version == incident.version


def test_a_containment_of_one_incident_is_told_to_no_other(stores: Stores) -> None:
    mine, other = declare(stores), declare(stores, workflow=("search",))
    contain(stores, incident_id=mine.reference)
    contain(stores, workflow="refund*")
    assert [text for _, text in told(stores, mine)] == [
        "containment stop applied: everybody",
        "containment stop applied: workflow refund*",
    ]
    assert told(stores, other) == []
    contain(stores, workflow="sea*")
    assert len(told(stores, other)) == 1


def test_alerts_are_told_with_their_end(stores: Stores) -> None:
    incident = declare(stores)
    seen = Observation("block_rate", "b", "high", "gateway:gw-1", "45% are blocked")
    stores.signals.observe(seen, now=NOON)
    stores.signals.observe(seen, now=NOON)
    stores.signals.over("b", resolution="back to 2%", now=NOON)
    assert told(stores, incident) == [
        ("alert", "45% are blocked"),
        ("alert", "over: 45% are blocked (back to 2%)"),
    ]
    elsewhere = declare(stores, gateway=("gw-2",))
    assert told(stores, elsewhere) == []


def test_an_escalation_is_told_where_the_incident_is_about_such_traffic(stores: Stores) -> None:
    broad, refunds = declare(stores), declare(stores, workflow=("refunds",))
    data = {
        "escalation_id": "e",
        "policy_name": "human-oversight",
        "reason_code": "oversight.asked",
    }
    made = notice("escalation.created", "escalation:e", {**data, "workflow": "refunds"}, now=NOON)
    stores.notices.add([made])
    assert told(stores, broad) == []
    assert [kind for kind, _ in told(stores, refunds)] == ["escalation"]


def test_what_was_written_of_its_evidence_is_told(stores: Stores) -> None:
    incident, other = declare(stores), declare(stores)
    where = EventFilter(incident=incident.reference)
    stores.exports.add(ExportJob("x1", "package", "zip", where, "queued", NOON, "ana"))
    job = stores.exports.claim(now=NOON, stale_after_seconds=15)
    assert job is not None
    done = msgspec.structs.replace(job, state="done", written=12, sha256="ab", actor="ana/1")
    stores.exports.update(done, now=NOON)
    assert told(stores, incident) == [("evidence", "package written: 12 events, sha256:ab")]
    assert told(stores, other) == []


def test_the_time_before_it_is_filled_in_once(stores: Stores) -> None:
    publish(stores, "a: 1", NOON - timedelta(days=2))
    publish(stores, "a: 2", NOON - timedelta(hours=2))
    incident = declare(stores)
    assert told(stores, incident) == [("change", "configuration support@2 published")]
    act = Act(ANA, NOON, reason="the logs say so")
    earlier = {"first_occurred_at": NOON - timedelta(days=1, hours=12)}
    stores.incidents.change(
        [incident.id], lambda found: (described(found[0], earlier, act),), now=NOON
    )
    assert told(stores, incident) == [
        ("change", "configuration support@1 published"),
        ("change", "configuration support@2 published"),
    ]
    entries, _ = stores.incidents.timeline(incident.id, order="at", pinned_only=False, limit=99)
    first = next(one.entry for one in entries if one.entry.text.endswith("@1 published"))
    assert (first.at, first.recorded_at) == (NOON - timedelta(days=2), NOON)
    assert first.by_system
    assert parse_uuid(first.id) is not None


@pytest.mark.parametrize("state", ["closed", "merged", "not_an_incident"])
def test_what_is_over_is_told_nothing(stores: Stores, state: str) -> None:
    incident = declare(stores)

    def end(found: tuple[Incident, ...]) -> tuple[Change, ...]:
        told_of = opened("x", Act(ANA, NOON), state="declared").entries[0]
        entry = msgspec.structs.replace(told_of, id=new_id(NOON), incident_id=incident.id)
        return (Change(msgspec.structs.replace(found[0], state=state), (entry,)),)

    stores.incidents.change([incident.id], end, now=NOON)
    publish(stores, "a: 1", NOON)
    assert told(stores, incident) == []
