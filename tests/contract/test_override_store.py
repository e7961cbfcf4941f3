"""Escalations as a queue: claims that end, dates, bounds; and what was decided, for ever."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import psycopg
import pytest

from kintsugi.errors import StateConflict
from kintsugi.ledger.leaves import OverrideLeaf, override_leaf
from kintsugi.model.content import Identity
from kintsugi.model.custody import CustodyFilter, custody_entry
from kintsugi.model.decision import Phase
from kintsugi.model.event import Payload, Unredacted
from kintsugi.model.overrides import Judgement, Override, OverrideFilter, Seen
from kintsugi.model.oversight import (
    ANSWER_WITHIN,
    CLAIM_LASTS,
    OPEN_OF_ONE_MAX,
    EscalationReport,
)
from kintsugi.model.stores import Stores
from tests.contract.conftest import Maker
from tests.contract.test_oversight_store import HOUR, escalated
from tests.databases import NOON
from tests.store.made import event

MINUTE = timedelta(minutes=1)


def report(number: int = 1, **more: Any) -> EscalationReport:
    made: dict[str, Any] = {
        "id": event(number).id,
        "created_at": NOON,
        "expires_at": NOON + 20 * HOUR,
        "action_digest": "sha256:a",
        "revision": "sha256:r",
        "phase": Phase.OUTPUT,
        "policy_name": "human-oversight",
        "reason_code": "oversight.required",
        "gateway_id": "gw-1",
        "config_version": "support@7",
        "identity": Identity(user_id="ada"),
    }
    return EscalationReport(**{**made, **more})


def say(by: str = "rita", *, approved: bool = False, **more: Any) -> Judgement:
    return Judgement(approved, by, "checked", **more)


def overrides(stores: Stores, **where: Any) -> list[Override]:
    return stores.overrides.page(OverrideFilter(**where), limit=100)[0]


def test_a_claim_ends_by_itself(stores: Stores) -> None:
    one = stores.oversight.raise_escalation(report())
    stores.oversight.claim(one.id, by="rita", now=NOON)
    with pytest.raises(StateConflict, match="rita"):
        stores.oversight.claim(one.id, by="otto", now=NOON + CLAIM_LASTS - MINUTE)
    later = NOON + CLAIM_LASTS
    assert stores.oversight.count_escalations("pending", now=later) == 1
    assert stores.oversight.count_escalations("claimed", now=later) == 0
    assert [one.at(later) for one in stores.oversight.escalations("pending", now=later, limit=5)[0]]
    assert stores.oversight.claim(one.id, by="otto", now=later).claimed_by == "otto"
    with pytest.raises(StateConflict, match="otto"):
        stores.oversight.resolve(one.id, say("rita"), now=later)


def test_it_is_due_as_its_tier_says_and_before_it_is_too_late(stores: Stores) -> None:
    said = stores.oversight.raise_escalation(report(1))
    acts = stores.oversight.raise_escalation(report(2, phase=Phase.TOOL))
    held = stores.oversight.raise_escalation(report(3, held_until=NOON + MINUTE))
    assert (said.tier, said.due_at) == ("medium", NOON + ANSWER_WITHIN["medium"])
    assert (acts.tier, acts.due_at) == ("high", NOON + ANSWER_WITHIN["high"])
    assert held.due_at == NOON + MINUTE
    assert [one.overdue(NOON + HOUR) for one in (said, acts, held)] == [False, True, True]


def test_every_decision_is_kept_with_its_leaf(stores: Stores) -> None:
    one = stores.oversight.raise_escalation(report())
    seen = Seen("sha256:s", ("request", "user_id"))
    judgement = say(approved=True, classification="false_positive", seen=seen, bulk_id="b")
    for _ in range(2):
        stores.oversight.resolve(one.id, judgement, now=NOON + 9 * HOUR)
    [kept] = overrides(stores)
    assert stores.overrides.of(one.id) == [kept]
    assert (kept.by, kept.outcome, kept.prior, kept.reason) == (
        *("rita", "approved"),
        *("escalate", "checked"),
    )
    assert (kept.seen, kept.late, kept.waited_seconds) == (seen, True, 9 * 3600)
    assert (kept.proposes, kept.config_version) == ("allow", "support@7")
    [leaf] = [one for one in stores.log.leaves(before=None, limit=9) if one.kind == "override"]
    assert msgspec.json.decode(leaf.data, type=OverrideLeaf) == override_leaf(kept)


def test_what_nobody_decides_expires_once_and_stays_refused(stores: Stores) -> None:
    stores.events.append([escalated(1, expires_at=NOON + MINUTE), escalated(2)])
    later = NOON + 2 * MINUTE
    assert stores.oversight.expire(now=later, limit=10) == 1
    assert stores.oversight.expire(now=later, limit=10) == 0
    [kept] = overrides(stores, outcome="expired")
    assert (kept.by, kept.reason) == ("", "nobody decided in time")
    found = stores.oversight.escalation(escalated(1).id)
    assert found.at(NOON) == "expired"
    assert stores.oversight.count_escalations("expired", now=later) == 1
    with pytest.raises(StateConflict, match="expired"):
        stores.oversight.resolve(found.id, say(approved=True), now=NOON)


def test_one_requester_cannot_flood_the_queue(stores: Stores) -> None:
    events = [escalated(number) for number in range(OPEN_OF_ONE_MAX + 3)]
    stores.events.append(events)
    assert stores.oversight.count_escalations("open", now=NOON) == OPEN_OF_ONE_MAX
    stores.oversight.raise_escalation(report(900, identity=Identity(user_id="bob")))
    assert stores.oversight.count_escalations("open", now=NOON) == OPEN_OF_ONE_MAX + 1
    [signal] = stores.signals.page("open", kind="escalations_flooded", limit=5)[0]
    assert "human-oversight ada" in signal.summary
    [refused, *_] = stores.oversight.escalations("expired", now=NOON, limit=5)[0]
    assert "of this requester wait already" in refused.reason


def test_load_counts_reviewers_and_policies(stores: Stores) -> None:
    for number, (by, approved, classification) in enumerate(
        [("rita", True, "false_positive"), ("rita", False, "confirmed"), ("otto", False, "")]
    ):
        one = stores.oversight.raise_escalation(report(number))
        said = Judgement(approved, by, "checked", classification)  # type: ignore[arg-type]
        stores.oversight.resolve(one.id, said, now=NOON + number * MINUTE)
    stores.oversight.raise_escalation(report(9, expires_at=NOON + MINUTE))
    stores.oversight.expire(now=NOON + MINUTE, limit=9)
    load = stores.overrides.load(since=NOON)
    assert [(one.by, one.decided, one.override_rate) for one in load.reviewers] == [
        ("rita", 2, 0.5),
        ("otto", 1, 0.0),
    ]
    assert load.reviewers[0].waited_seconds_median == 30.0
    [policy] = load.policies
    assert (policy.decided, policy.expired, policy.false_positives, policy.confirmed) == (
        3,
        1,
        1,
        1,
    )
    assert policy.override_rate == 0.3333
    assert stores.overrides.load(since=NOON + HOUR).reviewers == ()


def test_proposals_are_those_with_a_classification_that_teaches(stores: Stores) -> None:
    for number, classification in enumerate(["false_positive", "other", "confirmed", ""]):
        one = stores.oversight.raise_escalation(report(number))
        said = Judgement(False, "rita", "checked", classification)  # type: ignore[arg-type]
        stores.oversight.resolve(one.id, said, now=NOON + number * MINUTE)
    assert [one.proposes for one in overrides(stores, proposing=True)] == ["block", "allow"]
    assert len(overrides(stores, by="rita")) == 4
    assert overrides(stores, by="otto") == []


def test_overrides_cannot_be_changed(stores: Stores, maker: Maker) -> None:
    one = stores.oversight.raise_escalation(report())
    stores.oversight.resolve(one.id, say(), now=NOON)
    if not maker.conninfo:
        return  # nobody reaches into memory
    with psycopg.connect(maker.conninfo) as connection, pytest.raises(psycopg.DatabaseError):
        connection.execute("UPDATE kintsugi.overrides SET decided_by = 'nobody'")


def test_what_is_held_can_be_read_until_its_event_is_here(stores: Stores) -> None:
    payload = Payload("to [masked]", "pay", 1, unredacted=Unredacted("to eve", "pay"))
    made = msgspec.structs.replace(escalated(1), payload=payload)
    stores.oversight.raise_escalation(report(1), payload)
    assert stores.oversight.held_payload(made.id) == Payload("to [masked]", "pay", 1)
    entry = custody_entry("reveal", f"escalation:{made.id}", actor="ana/1", now=NOON)
    assert stores.oversight.held_payload(made.id, entry) == Payload("to eve", "pay")
    assert stores.custody.count(CustodyFilter(action="reveal"), ceiling=5) == 1
    stores.events.append([made])
    assert stores.oversight.held_payload(made.id) is None
    stores.oversight.raise_escalation(report(1), payload)
    assert stores.oversight.held_payload(made.id) is None
    assert stores.oversight.held_payload("nonsense") is None


def test_what_is_held_lies_sealed(stores: Stores, maker: Maker) -> None:
    if not maker.conninfo:
        return  # memory keeps nothing that could be read
    stores.oversight.raise_escalation(report(1), Payload("a-secret-wish", "b"))
    with psycopg.connect(maker.conninfo) as connection:
        rows = connection.execute(
            "SELECT c::text, e::text FROM kintsugi.escalation_contents AS c"
            " JOIN kintsugi.escalations AS e USING (id)"
        ).fetchall()
        assert "a-secret-wish" not in str(rows)
        assert b"a-secret-wish".hex() not in str(rows)
        # As an erasure of the user does.
        connection.execute(
            "UPDATE kintsugi.data_keys SET wrapped = NULL, erased_at = now()"
            " WHERE subject = 'user:ada'"
        )
    found = stores.oversight.held_payload(report(1).id)
    assert found is not None
    assert (found.request, "is gone" in found.unreadable) == ("", True)
