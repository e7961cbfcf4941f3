"""Proofs and the regression ledger: numbered, in the log, and changed by nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
import pytest

from kintsugi.errors import Blocked, InvalidInput, NotFound, VersionConflict
from kintsugi.incidents.commands import Act
from kintsugi.incidents.judgement import described
from kintsugi.incidents.opening import opened
from kintsugi.ledger.leaves import leaf_data, ledger_leaf, proof_leaf
from kintsugi.model.config import CaseExpected
from kintsugi.model.incident import Actor, Change, Incident
from kintsugi.model.proof import CaseProof, CaseRun, Proof, ProofFilter, ProofRun
from kintsugi.model.regression import Regression
from kintsugi.model.regression_ledger import (
    Binding,
    BoundFilter,
    LedgerEntry,
    LedgerFilter,
    lost_case,
)
from kintsugi.model.stores import Stores
from kintsugi.store.memory import memory_stores
from tests.contract.conftest import Maker
from tests.contract.test_regression_store import INCIDENT, MINUTE, OTHER, approved, kept, made
from tests.databases import NOON
from tests.store.made import event


def proof(incident_id: str = INCIDENT, **more: Any) -> Proof:
    run = ProofRun(
        "red", "support", "support@1", "sha256:a", "sha256:a", "1.0", True, NOON,
        (CaseRun("REG-000001", 1, "sha256:d", False, "allow", unmet=("verdict",)),),
    )  # fmt: skip
    case = CaseProof("REG-000001", 1, "case", "sha256:d", "proved", "support@1", "support@2")
    values: dict[str, Any] = {"passed": True, "cases": (case,), "runs": (run,)}
    return Proof("", incident_id, "INC-000001", NOON, "ana/1", **{**values, **more})


def case(stores: Stores, **more: Any) -> Regression:
    """An approved case."""
    [one] = stores.regressions.add([made(**more)], now=NOON)
    return stores.regressions.change(one.id, approved)


def entry(one: Regression, number: int = 1, **more: Any) -> LedgerEntry:
    told = LedgerEntry(
        id=event(5000 + number).id,
        act="bound",
        at=NOON,
        by="ana/1",
        regression_id=one.id,
        version=one.version,
        digest=one.digest,
        case_kind=one.kind,
        incident_id=one.incident_id,
        config_id=one.config_id,
        gateways=("gw-1",),
        proof_id="PRF-000001",
    )
    return msgspec.structs.replace(told, **more)


def bind(stores: Stores, one: Regression, number: int = 1, **more: Any) -> LedgerEntry:
    told = entry(one, number, **more)
    stores.ledger.add(Binding((told,)), now=NOON)
    return told


def publish(stores: Stores, content: str, guard: Callable[[], None] | None = None) -> int:
    return stores.configurations.put(
        config_id="support",
        content=content,
        revision=f"sha256:{content}",
        author="ana",
        note="",
        pack_version="1",
        now=NOON,
        guard=guard,
    ).version


def edited(**more: Any) -> Callable[[Regression], Regression]:
    return lambda before: msgspec.structs.replace(
        before, changed_at=NOON + MINUTE, changed_by="otto/2", **more
    )


def strengthened(before: Regression) -> Regression:
    expected = msgspec.structs.replace(before.case.expected, response_excludes="aurora")
    return edited(case=msgspec.structs.replace(before.case, expected=expected))(before)


def acts(stores: Stores) -> list[tuple[str, str]]:
    found, _ = stores.ledger.page(LedgerFilter(), limit=99)
    return [(one.act, one.regression_id) for one in reversed(found)]


def test_proofs_get_numbers_and_come_back_whole_with_a_leaf_of_their_digest(stores: Stores) -> None:
    first, second = stores.proofs.add(proof()), stores.proofs.add(proof(OTHER, passed=False))
    assert (first.id, second.id) == ("PRF-000001", "PRF-000002")
    assert stores.proofs.get("prf-1") == first
    leaf = stores.log.leaf(stores.log.named(first.id))
    assert (leaf.kind, leaf.data.encode()) == ("proof", leaf_data(proof_leaf(first)))
    with pytest.raises(NotFound, match="PRF-9"):
        stores.proofs.get("PRF-9")
    with pytest.raises(NotFound, match="PRF-9"):
        stores.log.named("PRF-9")


def test_proofs_are_listed_newest_first_and_by_incident(stores: Stores) -> None:
    kept_ = [stores.proofs.add(proof(one)) for one in (INCIDENT, OTHER, INCIDENT)]
    found, cursor = stores.proofs.page(ProofFilter(), limit=2)
    assert found == [kept_[2], kept_[1]]
    assert cursor is not None
    assert stores.proofs.page(ProofFilter(), limit=2, cursor=cursor) == ([kept_[0]], None)
    assert stores.proofs.page(ProofFilter((INCIDENT,)), limit=9)[0] == [kept_[2], kept_[0]]
    assert stores.proofs.page(ProofFilter(("nonsense",)), limit=9)[0] == []
    assert stores.proofs.page(ProofFilter(passed=False), limit=9)[0] == []
    with pytest.raises(InvalidInput, match="cursor"):
        stores.proofs.page(ProofFilter(), limit=1, cursor="bm9uc2Vuc2U")


def test_a_proof_carries_what_comes_to_bind_and_its_name_stands_there(stores: Stores) -> None:
    one = case(stores)
    told = entry(one, proof_id="")
    made_ = stores.proofs.add(proof(), Binding((told,)))
    [bound] = stores.ledger.bound(BoundFilter())
    assert bound == msgspec.structs.replace(told, proof_id=made_.id)
    assert stores.ledger.mark() == 1


def test_entries_have_leaves_and_are_found_by_case_configuration_gateway_and_incident(
    stores: Stores,
) -> None:
    first, second = case(stores), case(stores, number=2, incident_id=OTHER, config_id="sales")
    one = bind(stores, first, 1)
    two = bind(stores, second, 2, gateways=("gw-2",))
    leaf = stores.log.leaf(stores.log.named(one.id))
    assert leaf.data.encode() == leaf_data(ledger_leaf(one))
    assert stores.ledger.bound(BoundFilter()) == [one, two]
    assert stores.ledger.bound(BoundFilter(config_id="sales")) == [two]
    assert stores.ledger.bound(BoundFilter(gateways=("gw-1", "gw-9"))) == [one]
    assert stores.ledger.bound(BoundFilter(config_id="sales", gateways=("gw-1",))) == [one, two]
    assert stores.ledger.bound(BoundFilter(incidents=(OTHER,))) == [two]
    assert stores.ledger.bound(BoundFilter(config_id="none")) == []
    assert stores.ledger.page(LedgerFilter(regression="reg-2"), limit=9) == ([two], None)
    assert stores.ledger.page(LedgerFilter(incidents=(INCIDENT,)), limit=9) == ([one], None)
    newest, cursor = stores.ledger.page(LedgerFilter(), limit=1)
    assert newest == [two]
    assert stores.ledger.page(LedgerFilter(), limit=1, cursor=cursor) == ([one], None)
    assert stores.ledger.after(1, limit=9) == [two]
    assert stores.ledger.check() == []


def test_nothing_binds_that_was_changed_or_outdated_since_it_was_proven(stores: Stores) -> None:
    one = case(stores)
    publish(stores, "a")
    publish(stores, "b")
    with pytest.raises(VersionConflict, match="support@2 was published"):
        stores.ledger.add(Binding((entry(one),), {"support": 1}), now=NOON)
    with pytest.raises(VersionConflict, match="REG-000001 was changed"):
        bind(stores, one, digest="sha256:other")
    [proposed] = stores.regressions.add([made(2)], now=NOON)
    with pytest.raises(VersionConflict, match="REG-000002 was changed"):
        bind(stores, proposed)
    with pytest.raises(VersionConflict, match="REG-000009 was changed"):
        bind(stores, msgspec.structs.replace(one, id="REG-000009"))
    assert acts(stores) == []
    stores.ledger.add(Binding((entry(one),), {"support": 2}), now=NOON)
    assert acts(stores) == [("bound", one.id)]


def test_a_case_that_binds_may_be_strengthened_and_the_ledger_tells_of_it(stores: Stores) -> None:
    one = case(stores)
    first = bind(stores, one)
    after = stores.regressions.change(one.id, strengthened)
    assert acts(stores) == [("bound", one.id), ("strengthened", one.id)]
    [now] = stores.ledger.bound(BoundFilter())
    assert (now.digest, now.version, now.by) == (after.digest, after.version, "otto/2")
    assert now.proof_id == first.proof_id
    assert stores.log.leaf(stores.log.named(now.id)).kind == "regression_ledger"
    assert stores.ledger.check() == []


def test_words_about_it_change_nothing_that_binds(stores: Stores) -> None:
    one = case(stores)
    bind(stores, one)
    named = msgspec.structs.replace(one.case, name="another name")
    stores.regressions.change(one.id, edited(case=named))
    assert acts(stores) == [("bound", one.id)]


@pytest.mark.parametrize(
    "change",
    [
        {"state": "rejected"},
        {"state": "proposed"},
        {"config_id": "sales"},
        {"incident_id": OTHER},
        {"kind": "twin"},
        {"state": "replaced", "reason": "it is old"},
        {"state": "replaced", "reason": "it is old", "replaced_by": "REG-000002"},
        {"state": "replaced", "reason": "it is old", "replaced_by": "REG-000001"},
    ],
    ids=str,
)
def test_a_case_that_binds_is_not_taken_away(stores: Stores, change: dict[str, Any]) -> None:
    one = case(stores)
    bind(stores, one)
    case(stores, number=2)  # approved, and never proven
    with pytest.raises(Blocked) as refused:
        stores.regressions.change(one.id, edited(**change))
    assert refused.value.blockers
    assert stores.regressions.get(one.id) == one
    assert acts(stores) == [("bound", one.id)]


def test_a_case_that_binds_is_not_weakened_and_everything_is_told_at_once(stores: Stores) -> None:
    expected = CaseExpected(verdict="block", reason_code="dlp.blocked_term")
    strict = msgspec.structs.replace(made().case, expected=expected)
    one = case(stores, case=strict)
    bind(stores, one)
    less = msgspec.structs.replace(strict, expected=CaseExpected(verdict="allow"), skip="later")
    with pytest.raises(Blocked) as refused:
        stores.regressions.change(one.id, edited(case=less))
    assert [each.code for each in refused.value.blockers] == ["weakened"] * 3
    assert acts(stores) == [("bound", one.id)]


def test_a_proven_case_replaces_another_and_the_tombstone_names_it(stores: Stores) -> None:
    one, two = case(stores), case(stores, number=2, text="another")
    bind(stores, one, 1)
    bind(stores, two, 2, proof_id="PRF-000007")
    stores.regressions.change(
        one.id, edited(state="replaced", replaced_by=two.id, reason="it hangs on an old model")
    )
    [tombstone], _ = stores.ledger.page(LedgerFilter(regression=one.id), limit=1)
    assert (tombstone.act, tombstone.replaced_by, tombstone.by) == ("replaced", two.id, "otto/2")
    assert (tombstone.proof_id, tombstone.reason) == ("PRF-000007", "it hangs on an old model")
    assert [each.regression_id for each in stores.ledger.bound(BoundFilter())] == [two.id]
    assert stores.ledger.standing([one.id, two.id, "REG-9"])[one.id] == tombstone


def test_an_erasure_ends_what_binds_and_says_so(stores: Stores) -> None:
    [one] = stores.regressions.add([kept()], now=NOON)
    one = stores.regressions.change(one.id, approved)
    [two] = stores.regressions.add([kept(2)], now=NOON)
    two = stores.regressions.change(two.id, approved)
    bind(stores, one, 1)
    bind(stores, two, 2)
    stores.regressions.forget("user:ada", by="privacy/1", now=NOON + MINUTE)
    assert acts(stores)[2:] == [("erased", one.id), ("erased", two.id)]
    assert stores.ledger.bound(BoundFilter()) == []
    assert stores.ledger.check() == []


def test_closing_an_incident_binds_in_the_same_transaction_or_not_at_all(stores: Stores) -> None:
    act = Act(Actor("ana", "ana/1"), NOON)
    leak = opened("A leak", act, state="declared")
    [made_] = stores.incidents.change([], lambda _: (leak,), now=NOON)
    one = case(stores, incident_id=made_.id)

    def closing(digest: str) -> Callable[[tuple[Incident, ...]], tuple[Change, ...]]:
        def decide(found: tuple[Incident, ...]) -> tuple[Change, ...]:
            change = described(found[0], {"summary": "over"}, act)
            binding = Binding((entry(one, digest=digest),))
            return (msgspec.structs.replace(change, bind=binding),)

        return decide

    with pytest.raises(VersionConflict):
        stores.incidents.change([made_.id], closing("sha256:x"), now=NOON)
    assert stores.incidents.get(made_.id).summary == ""
    stores.incidents.change([made_.id], closing(one.digest), now=NOON)
    assert stores.incidents.get(made_.id).summary == "over"
    assert acts(stores) == [("bound", one.id)]
    kinds = [leaf.kind for leaf in stores.log.leaves(before=None, limit=2)]
    assert kinds == ["regression_ledger", "incident"]


def test_what_a_restored_database_does_not_know_is_put_back_once(stores: Stores) -> None:
    one, two = case(stores), case(stores, number=2)
    first = bind(stores, one, 1)
    lost = entry(two, 2)
    assert stores.ledger.put_back([first, lost], now=NOON + MINUTE) == [lost]
    assert stores.ledger.put_back([first, lost], now=NOON + MINUTE) == []
    assert stores.ledger.bound(BoundFilter()) == [first, lost]
    assert stores.ledger.check() == []


def lost(stores: Stores) -> LedgerEntry:
    """How a case stands whose content went with another database."""
    [gone] = memory_stores(now=lambda: NOON).regressions.add([made(7, text="lost")], now=NOON)
    told = entry(gone, 1, regression_id="REG-000007", version=3)
    stores.ledger.put_back([told], now=NOON + MINUTE)
    stores.regressions.put_back([lost_case(told)], now=NOON + MINUTE)
    return told


def test_the_place_of_a_lost_case_is_kept_and_nothing_else_gets_its_name(stores: Stores) -> None:
    first = case(stores)
    told = lost(stores)
    stores.regressions.put_back([lost_case(told), lost_case(entry(first, 9))], now=NOON)
    kept = stores.regressions.get("REG-7")
    assert (kept.state, kept.version, kept.digest) == ("erased", 3, told.digest)
    assert "restored from before it" in kept.lost
    assert stores.regressions.history("REG-7") == [kept]
    assert stores.regressions.get(first.id) == first
    assert case(stores, number=2).id == "REG-000008"
    assert stores.ledger.bound(BoundFilter()) == [told]
    kinds = [leaf.kind for leaf in stores.log.leaves(before=None, limit=4)]
    assert kinds == [*["regression"] * 3, "regression_ledger"]


def test_a_lost_case_binds_until_an_approved_one_replaces_it_and_that_binds(
    stores: Stores,
) -> None:
    told = lost(stores)
    [proposed] = stores.regressions.add([made(1, text="a", incident_id=OTHER)], now=NOON)
    tombstone = {"state": "replaced", "reason": "the backup was older"}
    for name in ("", proposed.id, told.regression_id):
        with pytest.raises(Blocked):
            stores.regressions.change("REG-7", edited(**tombstone, replaced_by=name))
    elsewhere = case(stores, number=2, config_id="sales")
    with pytest.raises(Blocked, match="another config_id"):
        stores.regressions.change("REG-7", edited(**tombstone, replaced_by=elsewhere.id))
    with pytest.raises(Blocked):
        stores.regressions.change("REG-7", edited(state="approved"))
    assert stores.ledger.bound(BoundFilter()) == [told]
    # Its incident may have gone with the same database.
    one = case(stores, number=3, incident_id=OTHER)
    stores.regressions.change("REG-7", edited(**tombstone, replaced_by=one.id))
    assert acts(stores)[1:] == [("replaced", "REG-000007"), ("bound", one.id)]
    [bound] = stores.ledger.bound(BoundFilter())
    assert (bound.digest, bound.gateways, bound.reason) == (
        one.digest,
        told.gateways,
        "the backup was older",
    )
    assert stores.ledger.check() == []


def test_what_is_older_than_what_binds_is_not_strengthened_from_there(stores: Stores) -> None:
    one = case(stores)
    newer = strengthened(one)
    stores.ledger.put_back([entry(one, 1, digest=newer.digest, version=5)], now=NOON)
    expected = msgspec.structs.replace(one.case.expected, policy="dlp-filter")
    other = edited(case=msgspec.structs.replace(one.case, expected=expected))
    with pytest.raises(Blocked) as refused:
        stores.regressions.change(one.id, other)
    assert [each.code for each in refused.value.blockers] == ["not_as_bound"]
    # It can become again what was bound.
    stores.regressions.change(one.id, strengthened)
    assert acts(stores) == [("bound", one.id)]
    assert stores.ledger.bound(BoundFilter())[0].digest == stores.regressions.get(one.id).digest


def test_a_guard_keeps_a_version_from_being_stored(stores: Stores) -> None:
    def refuse() -> None:
        raise Blocked("it breaks REG-1", [])

    with pytest.raises(Blocked):
        publish(stores, "a", refuse)
    assert stores.configurations.versions("support") == []
    assert publish(stores, "a", lambda: None) == 1
    publish(stores, "a", refuse)  # the same content is no new version


def test_nothing_comes_to_bind_between_the_check_and_the_publish(stores: Stores) -> None:
    one = case(stores)
    publish(stores, "a")
    inside, bound = threading.Event(), threading.Event()
    outcome: list[str] = []

    def guard() -> None:
        inside.set()
        assert not bound.wait(0.3)  # the other one waits
        assert stores.ledger.mark() == 0

    def binds() -> None:
        inside.wait(10)
        try:
            stores.ledger.add(Binding((entry(one),), {"support": 1}), now=NOON)
            outcome.append("bound")
        except VersionConflict as refused:
            outcome.append(str(refused))
        bound.set()

    other = threading.Thread(target=binds)
    other.start()
    publish(stores, "b", guard)
    other.join(10)
    assert len(outcome) == 1
    assert "support@2 was published" in outcome[0]


def test_the_database_refuses_to_change_either(maker: Maker, stores: Stores) -> None:
    if not maker.conninfo:
        return
    bind(stores, case(stores))
    stores.proofs.add(proof())
    for table in ("regression_ledger", "proofs"):
        for statement in (
            f"UPDATE kintsugi.{table} SET record = ''",
            f"DELETE FROM kintsugi.{table}",
            f"TRUNCATE kintsugi.{table}",
        ):
            with (
                psycopg.connect(maker.conninfo) as connection,
                pytest.raises(psycopg.Error, match="append"),
            ):
                connection.execute(statement.encode())


def test_what_is_done_around_the_database_shows_beside_the_log(
    maker: Maker, stores: Stores
) -> None:
    if not maker.conninfo:
        return
    one, two, three = (case(stores, number=number) for number in (1, 2, 3))
    changed, removed = bind(stores, one, 1), bind(stores, two, 2)
    bind(stores, three, 3)
    forged = msgspec.json.encode(msgspec.structs.replace(changed, digest="sha256:weak")).decode()
    with psycopg.connect(maker.conninfo) as connection:
        connection.execute("SET session_replication_role = replica")
        table = "kintsugi.regression_ledger"
        connection.execute(
            f"UPDATE {table} SET record = %s WHERE id = %s".encode(), [forged, changed.id]
        )
        connection.execute(f"DELETE FROM {table} WHERE id = %s".encode(), [removed.id])
        kept = [stores.proofs.add(proof(), None) for _ in range(3)]
        assert stores.proofs.check() == []
        passed = msgspec.json.encode(msgspec.structs.replace(kept[0], passed=False)).decode()
        change = "UPDATE kintsugi.proofs SET record = %s WHERE number = 1"
        connection.execute(change.encode(), [passed])
        connection.execute(b"DELETE FROM kintsugi.proofs WHERE number = 2")
    assert stores.proofs.check() == [
        "proof PRF-000001 was changed",
        "proof PRF-000002 was removed: the log tells of it",
    ]
    found = stores.ledger.check()
    assert len(found) == 2
    assert "was changed" in found[0]
    assert removed.id in found[1]
    assert "was removed" in found[1]
