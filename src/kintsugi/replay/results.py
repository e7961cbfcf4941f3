"""What became of test cases: one value that every report format renders."""

from __future__ import annotations

from enum import Enum

import msgspec

from kintsugi.model.config import CaseExpected, Diagnostic, Position, Severity
from kintsugi.model.decision import Evaluation


class CaseOutcome(Enum):
    """How a case ended. "Could not run" is never "failed"."""

    PASS = "pass"  # noqa: S105  # not a password
    FAIL = "fail"
    SKIP = "skip"
    ERROR = "error"


class Mismatch(msgspec.Struct, frozen=True):
    """One expectation that was not met."""

    field: str
    expected: str
    got: str


class CaseResult(msgspec.Struct, frozen=True):
    """One case and what the gateway did with it.

    Attributes:
        position: where the case stands in ``file``.
        verdict, reason_code, policy_name: the decision's; empty when the case did not run.
        status: how the exchange ended, ``answered`` or ``blocked`` for most.
        http_status: what the caller got; 0 when the case did not run.
        why: the reason for ``skip`` or ``error``.
    """

    suite: str
    name: str
    file: str
    position: Position
    outcome: CaseOutcome
    expected: CaseExpected
    verdict: str = ""
    reason_code: str = ""
    policy_name: str = ""
    status: str = ""
    http_status: int = 0
    mismatches: tuple[Mismatch, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    why: str = ""

    @property
    def id(self) -> str:
        """The name that ``--run`` matches: ``suite/case``."""
        return f"{self.suite}/{self.name}"

    @property
    def passed(self) -> bool:
        """Whether it ran and met every expectation."""
        return self.outcome is CaseOutcome.PASS


class PolicyCoverage(msgspec.Struct, frozen=True):
    """How often one policy of the chain fired and stayed quiet over all cases.

    Attributes:
        rules: recognisers within the policy that fired, with the number of cases.
    """

    policy_name: str
    fired: int
    quiet: int
    rules: dict[str, int] = {}

    @property
    def covered(self) -> int:
        """0, 1 or 2: one for having fired, one for having stayed quiet."""
        return (self.fired > 0) + (self.quiet > 0)


class Coverage(msgspec.Struct, frozen=True):
    """Coverage of the chain."""

    policies: tuple[PolicyCoverage, ...]

    @property
    def percent(self) -> float:
        """Share of "fired" and "stayed quiet" that some case showed; 100 for an empty chain."""
        wanted = 2 * len(self.policies)
        if not wanted:
            return 100.0
        return 100.0 * sum(policy.covered for policy in self.policies) / wanted


class RunReport(msgspec.Struct, frozen=True):
    """A whole run.

    Attributes:
        config_version, revision: empty when the configuration has errors, and nothing ran.
        trouble: why the run as a whole is not fine although no case says so: nothing was
            executed, or coverage is below the threshold.
        diagnostics: what is wrong with the configuration and with files of cases.
    """

    file: str
    results: tuple[CaseResult, ...] = ()
    coverage: Coverage = Coverage(())
    config_version: str = ""
    revision: str = ""
    trouble: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

    def count(self, outcome: CaseOutcome) -> int:
        """How many cases ended so."""
        return sum(result.outcome is outcome for result in self.results)

    @property
    def ok(self) -> bool:
        """Whether something was executed and everything that was asked for holds."""
        bad = self.count(CaseOutcome.FAIL) + self.count(CaseOutcome.ERROR) + len(self.errors)
        return not bad and not self.trouble

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that keep a file from being used."""
        return tuple(d for d in self.diagnostics if d.severity is Severity.ERROR)
