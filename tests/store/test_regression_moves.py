"""No sequence of changes takes away or weakens what binds without an entry and its leaf."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from kintsugi.errors import KintsugiError
from kintsugi.model.config import CaseExpected
from kintsugi.model.regression_ledger import Binding, BoundFilter
from kintsugi.model.strength import weakened
from kintsugi.store.memory import memory_stores
from tests.contract.test_proof_store import case, edited, entry
from tests.databases import NOON

NAMES = st.sampled_from(["REG-000001", "REG-000002", "REG-000003"])
EXPECTED = st.builds(
    CaseExpected,
    verdict=st.sampled_from(["allow", "flag", "block", None]),
    policy=st.sampled_from(["dlp-filter", None]),
    response_excludes=st.sampled_from(["aurora", "a", None]),
)
CHANGES = st.one_of(
    st.fixed_dictionaries({"state": st.sampled_from(["proposed", "approved", "rejected"])}),
    st.fixed_dictionaries(
        {"state": st.just("replaced"), "replaced_by": NAMES, "reason": st.sampled_from(["", "old"])}
    ),
    st.fixed_dictionaries({"expected": EXPECTED}),
    st.just({"bind": True}),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(NAMES, CHANGES), max_size=12))
def test_what_binds_goes_only_with_a_tombstone_and_only_grows_stronger(
    steps: list[tuple[str, dict[str, Any]]],
) -> None:
    stores = memory_stores(now=lambda: NOON)
    for number in (1, 2, 3):
        case(stores, number=number)
    for number, (name, asked) in enumerate(steps):
        before = stores.regressions.get(name)
        bound = {one.regression_id: one for one in stores.ledger.bound(BoundFilter())}
        change = dict(asked)
        if before.state == "replaced":  # it binds no more, and no command changes it
            continue
        if "expected" in change:
            expected = change.pop("expected")
            change["case"] = msgspec.structs.replace(before.case, expected=expected)
        with suppress(KintsugiError):
            if change.pop("bind", False):
                stores.ledger.add(Binding((entry(before, number),)), now=NOON)
            else:
                stores.regressions.change(name, edited(**change))
        after = stores.regressions.get(name)
        now = {one.regression_id: one for one in stores.ledger.bound(BoundFilter())}
        for gone in bound.keys() - now.keys():
            tombstone = stores.ledger.standing([gone])[gone]
            assert tombstone.act == "replaced"
            assert tombstone.reason
            assert tombstone.replaced_by in now
        if name in bound and name in now:
            assert after.state == "approved"
            assert not weakened(before.case, after.case)
            assert now[name].digest == after.digest
        assert stores.ledger.check() == []
