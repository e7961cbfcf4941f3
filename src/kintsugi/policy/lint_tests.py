"""Lint of what the tests leave out: a policy that no case asks about may be broken unseen."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from kintsugi.model.config import Case, Config, Position
from kintsugi.model.decision import Phase
from kintsugi.policy.diagnostics import Problems
from kintsugi.policy.rules import KINDS


def check_tested(config: Config, others: Iterable[Case], problems: Problems) -> None:
    """Report every policy that no case expects anything of, by name or by reason code.

    Args:
        others: cases that stand in other files.
    """
    own = (case for suite in config.suites for case in suite.cases)
    expected = [case.expected for case in chain(own, others) if not case.skip]
    named = {one.policy for one in expected}
    codes = {one.reason_code for one in expected}
    for block in config.chain:
        kind = KINDS[block.kind]
        if kind.phases == (Phase.AUDIT,) or kind.name in named or codes & {*kind.reasons}:
            continue
        path = f"policy.{kind.name}"
        problems.add(
            "W108",
            f'no test case expects anything of "{kind.name}"',
            config.positions.get(path, Position()),
            path,
            help=f"add one with expected: {{policy: {kind.name}}}; it need not be a long one",
        )
