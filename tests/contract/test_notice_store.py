"""Notices: told with what they tell of, or not at all; each change by its own name."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from kintsugi.errors import Blocked, InvalidInput
from kintsugi.incidents import opening
from kintsugi.incidents.commands import Act
from kintsugi.incidents.lifecycle import Move, moved
from kintsugi.model.containment import Bypassed
from kintsugi.model.custody import custody_entry
from kintsugi.model.gateways import GatewayReport
from kintsugi.model.holds import Hold
from kintsugi.model.ids import uuid7
from kintsugi.model.incident import Actor
from kintsugi.model.notice import Notice, notice
from kintsugi.model.notice_sources import of_containment
from kintsugi.model.stores import Stores
from tests.contract import test_containment_store, test_oversight_store, test_signal_store
from tests.databases import NOON

MINUTE = timedelta(minutes=1)
ANA = Actor("ana", "ana/1", may_command=True)


def made(number: int = 0, type_name: str = "hold.placed") -> Notice:
    at = NOON + number * MINUTE
    return notice(type_name, f"hold:{number}", {"name": str(number)}, now=at)


def told(stores: Stores) -> list[str]:
    """The types of all notices, oldest first."""
    found, _ = stores.notices.page(limit=100)
    return [one.type for one in reversed(found)]


def test_notices_come_back_whole_in_pages_newest_first(stores: Stores) -> None:
    notices = [made(number) for number in range(5)]
    stores.notices.add(notices)
    stores.notices.add([])
    first, cursor = stores.notices.page(limit=3)
    rest, end = stores.notices.page(limit=3, cursor=cursor)
    assert [*first, *rest] == notices[::-1]
    assert end is None
    assert stores.notices.page(type_name="hold.released", limit=3) == ([], None)
    with pytest.raises(InvalidInput):
        stores.notices.page(limit=3, cursor="bm9uc2Vuc2U")


def test_what_is_found_by_looking_is_told_once(stores: Stores) -> None:
    assert stores.notices.add_once("due:1", made(1))
    assert not stores.notices.add_once("due:1", made(2))
    assert stores.notices.add_once("due:2", made(3))
    assert len(told(stores)) == 2


def test_what_waits_is_never_forgotten(stores: Stores) -> None:
    stores.notices.add([made()])
    assert stores.notices.forget(before=NOON + MINUTE, limit=10) == 0
    assert len(told(stores)) == 1


def test_an_unknown_type_or_field_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ValueError, match="NOTICE_TYPES"):
        notice("hold.eaten", "hold:1", {}, now=NOON)
    with pytest.raises(ValueError, match="prompt"):
        notice("hold.placed", "hold:1", {"prompt": "secret"}, now=NOON)


def test_what_is_no_character_is_told_as_such() -> None:
    one = notice("hold.placed", "hold:\ud800", {"name": "\udfffü"}, now=NOON)
    assert (one.subject, one.data) == ("hold:?", {"name": "?ü"})


def test_incidents_tell_of_their_changes(stores: Stores) -> None:
    change = opening.opened("It lied", Act(ANA, NOON), state="reported")
    [incident] = stores.incidents.change([], lambda _: (change,), now=NOON)
    because = Act(ANA, NOON, reason="because")
    for verb in ("declare", "contain", "relapse"):
        stores.incidents.change(
            [incident.id],
            lambda found, verb=verb: (moved(found[0], verb, because, Move()),),  # type: ignore[misc]
            now=NOON,
        )
    assert told(stores) == ["incident.reported", "incident.declared", *["incident.moved"] * 2]
    [last] = stores.notices.page(limit=1)[0]
    assert last.subject == "incident:INC-000001"
    assert last.data["to"] == "declared"
    assert (
        last.data["entry_id"]
        == stores.incidents.timeline(incident.id, order="at", pinned_only=False, limit=1)[0][
            0
        ].entry.id
    )


def test_what_is_refused_is_not_told(stores: Stores) -> None:
    change = opening.opened("It lied", Act(ANA, NOON), state="declared")
    [incident] = stores.incidents.change([], lambda _: (change,), now=NOON)
    with pytest.raises(Blocked):
        stores.incidents.change(
            [incident.id],
            lambda found: (moved(found[0], "close", Act(ANA, NOON), Move()),),
            now=NOON,
        )
    assert told(stores) == ["incident.declared"]


def test_containments_tell_when_they_begin_and_end(stores: Stores) -> None:
    one = test_containment_store.made(1)
    stores.containments.put(one)
    for _ in range(2):
        stores.containments.release(one.id, by="eve", reason="over", now=NOON + MINUTE)
    assert told(stores) == ["containment.applied", "containment.released"]
    [last] = stores.notices.page(limit=1)[0]
    assert (last.data["actor"], last.data["scope"]) == ("eve", {"workflow": "triage"})


def test_a_bypass_tells_of_each_step_and_of_what_it_let_through(stores: Stores) -> None:
    one = test_containment_store.asked_for(1)
    stores.containments.put(one)
    stores.containments.approve(one.id, by="eve/2", now=NOON)
    late = NOON + timedelta(hours=2)
    judged = stores.containments.judge(one.id, Bypassed(2, {"block": 1, "allow": 1}, {}), now=late)
    assert told(stores) == [f"containment.{act}" for act in ("requested", "applied", "judged")]
    [last] = stores.notices.page(limit=1)[0]
    assert (last.data["exchanges"], last.data["acted_on"]) == (2, 1)
    # It is over by itself, and told as such also once it is judged.
    assert "exchanges" not in of_containment(judged, "expired", now=late).data


def test_escalations_and_quarantines_tell_once_of_each_step(stores: Stores) -> None:
    event, frozen = test_oversight_store.escalated(), test_oversight_store.frozen(2)
    for _ in range(2):
        stores.events.append([event, frozen])
    stores.oversight.claim(event.id, by="rita", now=NOON)
    for _ in range(2):
        test_oversight_store.approve(stores, event.id)
        stores.oversight.release(frozen.id, by="rita", reason="seen", now=NOON)
    assert sorted(told(stores)) == [
        "escalation.approved",
        "escalation.claimed",
        "escalation.created",
        "quarantine.began",
        "quarantine.released",
    ]


def test_signals_tell_when_they_are_raised_and_over(stores: Stores) -> None:
    for _ in range(2):
        raised = stores.signals.observe(test_signal_store.seen(), now=NOON)
        stores.signals.acknowledge(raised.id, by="ana", note="", now=NOON)
    stores.signals.over(raised.key, resolution="came after all", now=NOON + MINUTE)
    stores.signals.resolve(raised.id, by="ana", resolution="known", now=NOON + MINUTE)
    assert told(stores) == ["signal.raised", "signal.acknowledged", "signal.resolved"]
    [last] = stores.notices.page(limit=1)[0]
    assert (last.severity, last.data["severity"]) == ("low", "high")


def test_configurations_and_holds_tell(stores: Stores) -> None:
    for _ in range(2):
        stores.configurations.put(
            config_id="default",
            content="pack: {name: a, version: 1.0.0}",
            revision="sha256:r",
            author="ana",
            note="",
            pack_version="1.0.0",
            now=NOON,
        )
    hold = Hold(uuid7(1, bytes(10)), "case", "the court asks", "ana/1", NOON)
    stores.holds.place(hold, custody_entry("hold", f"hold:{hold.id}", actor="ana/1", now=NOON))
    over = custody_entry("release", f"hold:{hold.id}", actor="ana/1", now=NOON + MINUTE)
    stores.holds.release(hold.id, by="eve/2", reason="over", now=NOON + MINUTE, custody=over)
    assert told(stores) == ["configuration.published", "hold.placed", "hold.released"]
    assert msgspec.json.decode(msgspec.json.encode(stores.notices.page(limit=1)[0][0]))


def test_a_gateway_that_runs_another_version_of_the_program_is_told_of(stores: Stores) -> None:
    for version in ("0.1.0", "0.1.0", "0.2.0"):
        stores.gateways.put(GatewayReport("gw-1", "support", "h:1", version), now=NOON)
    found, _ = stores.notices.page(type_name="gateway.upgraded", limit=9)
    assert [one.data for one in found] == [
        {"gateway_id": "gw-1", "version": "0.2.0", "before": "0.1.0"}
    ]
