"""Telephone numbers in texts that are nearly full of them."""

from __future__ import annotations

import re
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from kintsugi.model.content import ExchangeView
from kintsugi.model.decision import Phase
from kintsugi.policy.decide import decide
from kintsugi.policy.plan import compile_plan
from kintsugi.policy.rules.pii_detector import checks
from tests.policy.configs import FACTS, config_of, findings, user

PLAN = compile_plan(config_of({"pii-detector": {}}))
GROUPS = st.sampled_from(
    [
        *("4 ", "4 ", "1.", "22 ", "12-", "(5) ", "7  ", "555-", "0187 ", "+", "; ", "call "),
        *("212-555-0187", "+1 212 555 0187 ", "01 42 68 53 00 "),
    ]
)


@given(st.lists(GROUPS, min_size=3, max_size=60).map("".join))
def test_skipping_runs_of_small_groups_misses_no_number(text: str) -> None:
    skipped = findings(decide(PLAN, Phase.INPUT, ExchangeView(user(text)), FACTS))
    with patch.object(checks, "_SMALL_GROUPS", re.compile(r"(?!)")):
        assert findings(decide(PLAN, Phase.INPUT, ExchangeView(user(text)), FACTS)) == skipped
