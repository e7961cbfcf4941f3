"""Whether a changed case still shows what the case shows: the question that minimising asks."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from kintsugi.gateway.in_force import InForce
from kintsugi.model.config import Case, Position
from kintsugi.replay.case_runner import run_case
from kintsugi.replay.results import CaseOutcome, CaseResult
from kintsugi.replay.sources import Located


class NotReproducible(Exception):
    """There is nothing to hold a shorter case against; the message says why, and what to do."""


class Decided(msgspec.Struct, frozen=True):
    """What has to stay the same."""

    outcome: CaseOutcome
    verdict: str
    reason_code: str
    policy_name: str
    unmet: tuple[str, ...]


def run_one(in_force: InForce, case: Case) -> CaseResult:
    """What a configuration makes of one case, whatever file it is from."""
    return run_case(in_force, Located("", case, "", Position()), 1)


def decided(in_force: InForce, case: Case) -> Decided:
    """Which policy decided what, and which expectations were not met."""
    result = run_one(in_force, case)
    return Decided(
        outcome=result.outcome,
        verdict=result.verdict,
        reason_code=result.reason_code,
        policy_name=result.policy_name,
        unmet=tuple(mismatch.field for mismatch in result.mismatches),
    )


def reproduces(case: Case, incident: InForce, candidate: InForce | None) -> Callable[[Case], bool]:
    """Tells whether a shorter case still fails as this one does: the same policy decides the same
    on the configuration of the incident, and the candidate meets all that is expected.

    Args:
        incident: the configuration that let it go wrong.
        candidate: a configuration that puts it right. Not needed where a policy decided on the
            configuration of the incident: that it decides the same again is enough.

    Raises:
        NotReproducible: the case passes on the configuration of the incident, or fails on the
            candidate, or nothing decided it and there is no candidate.
    """
    failed = decided(incident, case)
    if failed.outcome is not CaseOutcome.FAIL:
        raise NotReproducible(_not_red(incident, case, failed))
    if candidate is None:
        if not failed.policy_name:
            raise NotReproducible(
                f"no policy of {incident.config_version} decided it, so every text would do the "
                "same, an empty one too; name a configuration that puts it right: --with "
                "CONFIG@VERSION"
            )
        return lambda shorter: decided(incident, shorter) == failed
    right = run_one(candidate, case)
    if not right.passed:
        raise NotReproducible(
            f"it does not pass on {candidate.config_version} either ({_said(right)}); name a "
            "configuration that puts it right: --with CONFIG@VERSION"
        )
    return lambda shorter: (
        decided(incident, shorter) == failed and run_one(candidate, shorter).passed
    )


def _not_red(incident: InForce, case: Case, failed: Decided) -> str:
    where = incident.config_version
    if failed.outcome is CaseOutcome.PASS:
        return f"it passes on {where}, the configuration of the incident: it shows nothing"
    result = run_one(incident, case)
    return f"it does not run on {where}: {result.why}"


def _said(result: CaseResult) -> str:
    if result.why:
        return result.why
    return "; ".join(f"{one.field} {one.got} for {one.expected}" for one in result.mismatches)
