"""Which policies the cases exercised: fired in one at least, and stayed quiet in another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from kintsugi.model.config import PolicyBlock
from kintsugi.model.decision import Phase
from kintsugi.policy.rules import KINDS
from kintsugi.replay.results import CaseResult, Coverage, PolicyCoverage


def measure(chain: Iterable[PolicyBlock], results: Sequence[CaseResult]) -> Coverage:
    """Coverage of a chain by cases that ran.

    A policy that only writes the record has nothing to fire at and is left out.
    """
    judging = [block.kind for block in chain if KINDS[block.kind].phases != (Phase.AUDIT,)]
    return Coverage(tuple(_policy(kind, results) for kind in judging))


def _policy(kind: str, results: Sequence[CaseResult]) -> PolicyCoverage:
    fired = quiet = 0
    rules: Counter[str] = Counter()
    for result in results:
        own = [e for e in result.evaluations if e.policy_name == kind]
        matched = [e for e in own if e.outcome == "matched"]
        fired += bool(matched)
        # A policy that was skipped because an earlier one blocked has shown nothing.
        quiet += bool(own) and all(e.outcome == "clear" for e in own)
        rules.update({finding.rule for e in matched for finding in e.findings})
    return PolicyCoverage(kind, fired, quiet, dict(sorted(rules.items())))
