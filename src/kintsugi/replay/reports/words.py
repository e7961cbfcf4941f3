"""Sentences about case results that several formats share."""

from __future__ import annotations

from kintsugi.model.decision import Evaluation, Finding, Mode
from kintsugi.model.harmless import one_line
from kintsugi.replay.results import CaseOutcome, CaseResult, RunReport


def bad_results(report: RunReport) -> list[CaseResult]:
    """Cases that failed or could not run, in order."""
    return [r for r in report.results if r.outcome in (CaseOutcome.FAIL, CaseOutcome.ERROR)]


def describe(result: CaseResult) -> list[str]:
    """What was expected, what came, and which rule decided where; empty for a pass."""
    match result.outcome:
        case CaseOutcome.PASS:
            return []
        case CaseOutcome.SKIP:
            return [f"skipped: {result.why}"]
        case CaseOutcome.ERROR:
            return [f"could not run: {result.why}"]
        case CaseOutcome.FAIL:
            mismatches = [
                line
                for m in result.mismatches
                for line in (
                    f"expected {m.field}: {one_line(m.expected, width_max=200)}",
                    f"     got {m.field}: {one_line(m.got, width_max=200)}",
                )
            ]
            return [*mismatches, decided_by(result), *trace(result)]


def decided_by(result: CaseResult) -> str:
    """The policy that set the verdict, in a sentence."""
    if not result.policy_name:
        return f"decided by: no policy; {result.verdict} ({result.reason_code})"
    return f"decided by: {result.policy_name}; {result.verdict} ({result.reason_code})"


def trace(result: CaseResult) -> list[str]:
    """Every policy's own result, its findings below it."""
    lines = []
    for evaluation in result.evaluations:
        lines.append(f"  {evaluation_line(evaluation)}")
        lines.extend(f"    {finding_line(finding)}" for finding in evaluation.findings)
    return lines


def evaluation_line(evaluation: Evaluation) -> str:
    """``pii-detector, input: matched, redact (pii.detected)``."""
    words = f"{evaluation.policy_name}, {evaluation.phase.value}: {evaluation.outcome}"
    if evaluation.outcome == "matched":
        words += f", {evaluation.verdict.value} ({evaluation.reason_code})"
    if evaluation.mode is Mode.MONITOR:
        words += ", only monitored"
    return f"{words}: {evaluation.why}" if evaluation.why else words


def finding_line(finding: Finding) -> str:
    """``us_ssn at /messages/0/content, characters 10 to 21, plain, score 0.85``."""
    place = ""
    if finding.path:
        end = finding.offset + finding.length
        place = f" at {finding.path}, characters {finding.offset} to {end}"
    detail = f", {finding.detail}" if finding.detail else ""
    return f"{finding.rule}{place}, {finding.layer}, score {finding.score:.2f}{detail}"
