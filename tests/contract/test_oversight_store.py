"""What the store of escalations and quarantines promises."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import msgspec
import pytest

from kintsugi.errors import Forbidden, InvalidInput, NotFound, StateConflict
from kintsugi.model.content import Identity
from kintsugi.model.decision import Phase
from kintsugi.model.event import DecisionEvent, Quarantine, RaisedEscalation
from kintsugi.model.overrides import Judgement
from kintsugi.model.oversight import Escalation, EscalationReport
from kintsugi.model.stores import Stores
from kintsugi.model.verdict import Verdict
from tests.databases import NOON
from tests.store.made import event

HOUR = timedelta(hours=1)
ACTION = "sha256:action"


def escalated(number: int = 1, *, expires_at: datetime = NOON + HOUR) -> DecisionEvent:
    made = event(number, verdict=Verdict.ESCALATE, policy_name="human-oversight", user_id="ada")
    raised = RaisedEscalation(made.id, Phase.TOOL, ACTION, expires_at)
    return msgspec.structs.replace(made, escalation=raised)


def frozen(number: int = 1) -> DecisionEvent:
    made = event(number, verdict=Verdict.QUARANTINE, policy_name="agent-firewall")
    return msgspec.structs.replace(made, quarantine=Quarantine(made.id, "session", f"s-{number}"))


def use(stores: Stores, escalation_id: str, *, by: str = "e-1", at: datetime = NOON) -> Escalation:
    revision = stores.oversight.escalation(escalation_id).report.revision
    return stores.oversight.use(
        escalation_id, action_digest=ACTION, revision=revision, by=by, now=at
    )


def approve(stores: Stores, escalation_id: str, *, by: str = "rita") -> Escalation:
    return stores.oversight.resolve(escalation_id, Judgement(True, by, "expected"), now=NOON)


def test_escalated_events_wait_for_a_person_however_often_they_arrive(stores: Stores) -> None:
    stores.events.append([event(0), escalated(1), escalated(2)])
    stores.events.append([escalated(1)])
    found, cursor = stores.oversight.escalations("pending", now=NOON, limit=10)
    assert [one.id for one in found] == [escalated(2).id, escalated(1).id]
    assert cursor is None
    assert found[0].report.identity.user_id == "ada"
    assert found[0].report.phase is Phase.TOOL
    assert stores.oversight.count_escalations("pending", now=NOON) == 2


def test_pages_of_escalations_hold_each_once(stores: Stores) -> None:
    stores.events.append([escalated(number) for number in range(1, 6)])
    first, cursor = stores.oversight.escalations(None, now=NOON, limit=3)
    rest, end = stores.oversight.escalations(None, now=NOON, limit=3, cursor=cursor)
    assert [one.id for one in (*first, *rest)] == [escalated(n).id for n in range(5, 0, -1)]
    assert end is None


def test_one_that_nobody_resolved_expires_by_itself(stores: Stores) -> None:
    stores.events.append([escalated(1)])
    later = NOON + 2 * HOUR
    assert stores.oversight.count_escalations("expired", now=later) == 1
    assert stores.oversight.count_escalations("pending", now=later) == 0
    with pytest.raises(StateConflict, match="expired"):
        stores.oversight.claim(escalated(1).id, by="rita", now=later)


def test_an_approval_is_used_once_and_only_for_what_was_approved(stores: Stores) -> None:
    stores.events.append([escalated(1)])
    identifier = escalated(1).id
    with pytest.raises(StateConflict, match="not approved"):
        use(stores, identifier)
    assert stores.oversight.claim(identifier, by="rita", now=NOON).status == "claimed"
    assert approve(stores, identifier).status == "approved"
    assert [one.id for one in stores.oversight.usable(now=NOON, limit=9)] == [identifier]
    revision = escalated(1).revision
    for digest, plan in (("sha256:other", revision), (ACTION, "sha256:other")):
        with pytest.raises(StateConflict, match="another"):
            stores.oversight.use(
                identifier, action_digest=digest, revision=plan, by="e-1", now=NOON
            )
    with pytest.raises(StateConflict, match="expired"):
        use(stores, identifier, at=NOON + 2 * HOUR)
    assert use(stores, identifier).used_by == "e-1"
    assert use(stores, identifier).used_by == "e-1"  # the answer was lost; it asks again
    with pytest.raises(StateConflict, match="used"):
        use(stores, identifier, by="e-2")
    assert stores.oversight.usable(now=NOON, limit=9) == []
    assert stores.oversight.count_escalations("resolved", now=NOON) == 1


def test_an_approval_is_used_once_by_however_many_that_try_at_once(stores: Stores) -> None:
    stores.events.append([escalated(1)])
    identifier = escalated(1).id
    approve(stores, identifier)
    won: list[str] = []

    def attempt(by: str) -> None:
        try:
            use(stores, identifier, by=by)
        except StateConflict:
            return
        won.append(by)

    threads = [threading.Thread(target=attempt, args=[f"e-{n}"]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_nobody_decides_about_their_own_or_what_another_has_claimed(stores: Stores) -> None:
    stores.events.append([escalated(1)])
    identifier = escalated(1).id
    for who in ("ada", "Ada"):
        with pytest.raises(Forbidden):
            approve(stores, identifier, by=who)
        with pytest.raises(Forbidden):
            stores.oversight.claim(identifier, by=who, now=NOON)
    stores.oversight.claim(identifier, by="rita", now=NOON)
    with pytest.raises(StateConflict, match="rita"):
        approve(stores, identifier, by="otto")
    rejected = stores.oversight.resolve(identifier, Judgement(False, "rita", "no"), now=NOON)
    assert (rejected.status, rejected.resolved_by, rejected.reason) == ("rejected", "rita", "no")
    with pytest.raises(StateConflict, match="rejected"):
        approve(stores, identifier)


def test_a_held_answer_is_known_before_its_event(stores: Stores) -> None:
    made = escalated(1)
    report = EscalationReport(
        id=made.id,
        created_at=made.timestamp,
        expires_at=NOON + HOUR,
        action_digest=ACTION,
        revision=made.revision,
        phase=Phase.INPUT,
        policy_name="custom",
        reason_code="custom.matched",
        gateway_id="gw-1",
        config_version="demo@1",
        identity=Identity(user_id="ada"),
        held_until=NOON,
    )
    for _ in range(2):
        assert stores.oversight.raise_escalation(report).report == report
    stores.events.append([made])
    assert stores.oversight.escalation(made.id).report == report


def test_quarantines_are_in_force_until_they_are_released_once(stores: Stores) -> None:
    stores.events.append([frozen(1), frozen(2), frozen(1)])
    one, two = frozen(1).id, frozen(2).id
    listed = stores.oversight.quarantines(in_force=True, limit=9)[0]
    assert [record.id for record in listed] == [two, one]
    assert (listed[1].scope, listed[1].subject) == ("session", "s-1")
    released = stores.oversight.release(one, by="rita", reason="checked", now=NOON)
    again = stores.oversight.release(one, by="otto", reason="me too", now=NOON + HOUR)
    assert again == released
    assert again.released_by == "rita"
    assert [r.id for r in stores.oversight.quarantines(in_force=True, limit=9)[0]] == [two]
    assert [r.id for r in stores.oversight.quarantines(in_force=False, limit=9)[0]] == [one]
    assert stores.oversight.released_since(NOON) == [one]
    assert stores.oversight.released_since(NOON + HOUR) == []


def test_pages_of_quarantines_hold_each_once(stores: Stores) -> None:
    stores.events.append([frozen(number) for number in range(5)])
    stores.oversight.release(frozen(3).id, by="rita", reason="checked", now=NOON)
    first, cursor = stores.oversight.quarantines(in_force=True, limit=3)
    rest, end = stores.oversight.quarantines(in_force=True, limit=3, cursor=cursor)
    assert [one.id for one in first + rest] == [frozen(number).id for number in (4, 2, 1, 0)]
    assert end is None
    assert stores.oversight.count_quarantines(in_force=True) == 4
    assert stores.oversight.count_quarantines(in_force=None) == 5
    with pytest.raises(InvalidInput):
        stores.oversight.quarantines(in_force=True, limit=3, cursor="bm8")


def test_open_means_pending_or_claimed(stores: Stores) -> None:
    stores.events.append([escalated(1), escalated(2), escalated(3)])
    stores.oversight.claim(escalated(2).id, by="rita", now=NOON)
    approve(stores, escalated(3).id)
    found, _ = stores.oversight.escalations("open", now=NOON, limit=9)
    assert [one.id for one in found] == [escalated(2).id, escalated(1).id]
    assert stores.oversight.count_escalations("open", now=NOON) == 2
    assert stores.oversight.count_escalations("open", now=NOON + HOUR) == 0


def test_an_exchange_that_a_quarantine_stopped_begins_no_other(stores: Stores) -> None:
    first, second = frozen(1), event(2, verdict=Verdict.QUARANTINE)
    stopped = msgspec.structs.replace(second, quarantine=first.quarantine)
    stores.events.append([first, stopped])
    assert len(stores.oversight.quarantines(in_force=None, limit=9)[0]) == 1


@pytest.mark.parametrize("identifier", ["nothing", "019aa5e0-0000-7000-8000-000000000001"])
def test_what_is_not_there_is_not_found(stores: Stores, identifier: str) -> None:
    with pytest.raises(NotFound):
        stores.oversight.escalation(identifier)
    with pytest.raises(NotFound):
        stores.oversight.claim(identifier, by="rita", now=NOON)
    with pytest.raises(NotFound):
        stores.oversight.quarantine(identifier)
    with pytest.raises(NotFound):
        stores.oversight.release(identifier, by="rita", reason="?", now=NOON)


def test_decisions_of_people_are_announced(stores: Stores) -> None:
    stores.events.append([escalated(1)])
    assert "oversight" in stores.changes.wait(timeout_seconds=60)
    approve(stores, escalated(1).id)
    assert "oversight" in stores.changes.wait(timeout_seconds=60)
