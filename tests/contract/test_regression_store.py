"""Regression cases: numbered, versioned, in the log, and within reach of an erasure."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import msgspec
import psycopg
import pytest

from kintsugi.errors import InvalidInput, NotFound, StateConflict, VersionConflict
from kintsugi.ledger.leaves import RegressionLeaf, regression_leaf
from kintsugi.model.config import Case, CaseExpected, CaseInput
from kintsugi.model.regression import (
    NO_CASE,
    CaseSource,
    KeptSensitive,
    Regression,
    RegressionFilter,
    erased,
)
from kintsugi.model.stores import Stores
from tests.contract.conftest import Maker
from tests.databases import NOON
from tests.store.made import event

MINUTE = timedelta(minutes=1)
INCIDENT = event(900).id
OTHER = event(901).id
EVENT = event(1).id
SECRET = "ada.lovelace@fatal.example"


def made(number: int = 1, text: str = "hello", **more: Any) -> Regression:
    values: dict[str, Any] = {
        "id": "",
        "version": 0,
        "kind": "case",
        "state": "proposed",
        "incident_id": INCIDENT,
        "config_id": "support",
        "case": Case(
            f"case {number}",
            CaseInput(messages=({"role": "user", "content": text},)),
            CaseExpected(verdict="block"),
        ),
        "source": CaseSource("event", EVENT, EVENT, "support@3", "sha256:r"),
        "created_at": NOON,
        "created_by": "ana/1",
        "changed_at": NOON,
        "changed_by": "ana/1",
        "subject": "user:ada",
    }
    return Regression(**{**values, **more})


def kept(number: int = 1, **more: Any) -> Regression:
    by = KeptSensitive("pii.email", 1, "ana/1", "the failure hangs on this very address")
    return made(number, f"write to {SECRET}", kept=(by,), **more)


def add(stores: Stores, *new: Regression) -> list[Regression]:
    return stores.regressions.add(new, now=NOON)


def approved(before: Regression) -> Regression:
    return msgspec.structs.replace(
        before, state="approved", changed="approved", changed_by="otto/2", changed_at=NOON + MINUTE
    )


def leaves(stores: Stores) -> list[RegressionLeaf]:
    found = stores.log.leaves(before=None, limit=99)
    return [
        msgspec.json.decode(one.data, type=RegressionLeaf)
        for one in found
        if one.kind == "regression"
    ]


def test_cases_get_numbers_and_come_back_whole(stores: Stores) -> None:
    first, second = add(stores, made(1), made(2))
    [third] = add(stores, made(3))
    assert [one.id for one in (first, second, third)] == [
        "REG-000001",
        "REG-000002",
        "REG-000003",
    ]
    assert stores.regressions.get("reg-2") == second
    assert (second.version, second.case) == (1, made(2).case)
    for unknown in ("REG-4", "nonsense", "REG-0"):
        with pytest.raises(NotFound):
            stores.regressions.get(unknown)
        with pytest.raises(NotFound):
            stores.regressions.history(unknown)
    assert add(stores) == []


def test_a_change_is_a_new_version_and_the_old_one_stays(stores: Stores) -> None:
    [first] = add(stores, made())
    second = stores.regressions.change(first.id, approved, expected_version=1)
    assert (second.version, second.state) == (2, "approved")
    assert stores.regressions.get(first.id) == second
    assert stores.regressions.get(first.id, 1) == first
    assert stores.regressions.history(first.id) == [second, first]
    with pytest.raises(VersionConflict, match="version 2"):
        stores.regressions.change(first.id, approved, expected_version=1)
    assert stores.regressions.change(first.id, lambda same: same) == second
    with pytest.raises(NotFound):
        stores.regressions.get(first.id, 3)


def test_every_version_has_its_leaf_and_its_notice(stores: Stores) -> None:
    [first, twin] = add(stores, made(1), made(2, kind="twin"))
    second = stores.regressions.change(first.id, approved)
    assert leaves(stores) == [regression_leaf(one) for one in (second, twin, first)]
    told = stores.notices.page(limit=9)[0]
    assert [(one.type, one.data["regression_id"]) for one in told] == [
        ("regression.approved", "REG-000001"),
        ("regression.proposed", "REG-000001"),
    ]
    assert told[1].data["cases"] == 2


def test_pages_and_scans_are_narrowed(stores: Stores) -> None:
    cases = add(
        stores,
        made(1),
        made(2, kind="twin", parent="REG-000001"),
        made(3, incident_id=OTHER, config_id="billing"),
        made(4, source=CaseSource("report", OTHER), state="approved"),
    )
    for where, wanted in (
        (RegressionFilter(), [1, 2, 3, 4]),
        (RegressionFilter(incident=INCIDENT), [1, 2, 4]),
        (RegressionFilter(incident="nonsense"), []),
        (RegressionFilter(config_id="billing"), [3]),
        (RegressionFilter(kind="twin"), [2]),
        (RegressionFilter(parent="reg-1"), [2]),
        (RegressionFilter(state="approved"), [4]),
        (RegressionFilter(source=EVENT), [1, 2, 3]),
        (RegressionFilter(source=OTHER), [4]),
    ):
        found = [cases[number - 1] for number in wanted]
        assert list(stores.regressions.scan(where)) == found
        assert stores.regressions.page(where, limit=9) == (found[::-1], None)
    page, cursor = stores.regressions.page(RegressionFilter(), limit=3)
    rest, end = stores.regressions.page(RegressionFilter(), limit=3, cursor=cursor)
    assert ([*page, *rest], end) == (cases[::-1], None)
    with pytest.raises(InvalidInput):
        stores.regressions.page(RegressionFilter(), limit=3, cursor="bm9uc2Vuc2U")


def test_a_clean_case_outlives_the_erasure_of_its_subject(stores: Stores) -> None:
    [case, derived] = add(stores, made(1), made(2, parent="REG-000001", kind="twin", subject=""))
    assert derived.subject == "user:ada"
    before = stores.regressions.change(case.id, approved)
    assert stores.regressions.matter("user:ada") == 2
    assert stores.regressions.forget("user:ada", by="dpo/3", now=NOON + MINUTE) == 2
    after = stores.regressions.get(case.id)
    assert after.source == CaseSource("event", "", "", "support@3", "sha256:r")
    assert (after.subject, after.case, after.digest) == ("", before.case, before.digest)
    assert (after.state, after.version) == ("approved", 2)
    assert all(EVENT not in repr(one) for one in stores.regressions.history(case.id))
    assert stores.regressions.forget("user:ada", by="dpo/3", now=NOON + MINUTE) == 0
    assert stores.regressions.matter("user:ada") == 0


def test_what_was_kept_goes_in_every_version(stores: Stores) -> None:
    [case] = add(stores, kept())
    before = stores.regressions.change(case.id, approved)
    assert before.case == case.case
    stores.regressions.forget("user:ada", by="dpo/3", now=NOON + MINUTE)
    history = stores.regressions.history(case.id)
    assert [one.state for one in history] == ["erased", "approved", "proposed"]
    assert all(one.case == NO_CASE for one in history)
    assert {one.digest for one in history} == {case.digest}
    assert all(one.lost for one in history)
    assert SECRET not in repr(history)
    assert leaves(stores)[0] == regression_leaf(history[0])
    [told, *_] = stores.notices.page(limit=9)[0]
    assert told.type == "regression.erased"


def test_an_erased_case_can_still_be_replaced(stores: Stores) -> None:
    [case] = add(stores, kept())
    stores.regressions.forget("user:ada", by="dpo/3", now=NOON)
    after = stores.regressions.change(
        case.id,
        lambda one: msgspec.structs.replace(one, state="replaced", replaced_by="REG-000009"),
    )
    assert stores.regressions.get(case.id) == after
    assert (after.state, after.digest) == ("replaced", case.digest)
    assert erased(after, by="x/1", now=NOON).digest == case.digest


def test_what_was_kept_lies_sealed_under_its_subjects_key(stores: Stores, maker: Maker) -> None:
    if not maker.conninfo:
        return  # memory keeps nothing that could be read
    [case] = add(stores, made(1))
    stores.regressions.change(
        case.id,
        lambda one: msgspec.structs.replace(one, case=kept().case, kept=kept().kept),
    )
    with psycopg.connect(maker.conninfo) as connection:
        rows = connection.execute(
            "SELECT v::text, r::text FROM kintsugi.regression_versions AS v"
            " JOIN kintsugi.regressions AS r USING (number)"
        ).fetchall()
        assert SECRET not in str(rows)
        assert SECRET.encode().hex() not in str(rows)
        # As an erasure of the user does, before it comes to the places.
        connection.execute(
            "UPDATE kintsugi.data_keys SET wrapped = NULL, erased_at = now()"
            " WHERE subject = 'user:ada'"
        )
    found = stores.regressions.get(case.id)
    assert (found.case, "is gone" in found.lost) == (NO_CASE, True)
    assert found.digest == kept().digest
    assert stores.regressions.get(case.id, 1).case == made(1).case


def test_what_is_there_already_is_kept_once(stores: Stores) -> None:
    [first] = add(stores, made())
    with pytest.raises(StateConflict, match=f"{first.id} is this case already; it is proposed"):
        stores.regressions.require_new(made())
    with pytest.raises(StateConflict, match="is this case already"):
        stores.regressions.add([made(text="new"), made()], now=NOON, once=True)
    assert len(list(stores.regressions.scan(RegressionFilter()))) == 1
    other = CaseSource("event", EVENT[:-1] + "9", "", "support@3", "sha256:r")
    anew = (made(text="new"), made(source=other))
    assert len(stores.regressions.add(anew, now=NOON, once=True)) == 2
    gone = msgspec.structs.replace(first, state="rejected", changed="rejected")
    stores.regressions.change(first.id, lambda _: gone)
    assert len(stores.regressions.add([made()], now=NOON, once=True)) == 1


def test_of_several_who_add_the_same_at_once_one_has_it(stores: Stores) -> None:
    begin = Barrier(4)

    def add_once(_: int) -> bool:
        begin.wait()
        try:
            return bool(stores.regressions.add([made()], now=NOON, once=True))
        except StateConflict:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(add_once, range(4))) == [False, False, False, True]
