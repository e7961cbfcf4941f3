"""Test runs in the Test Anything Protocol, version 14."""

from __future__ import annotations

from kintsugi.model.harmless import one_line
from kintsugi.policy.diagnostics import format_diagnostic
from kintsugi.replay.reports.words import describe
from kintsugi.replay.results import CaseOutcome, CaseResult, RunReport


def run(report: RunReport) -> str:
    """One test point per case; what is wrong with the run as a whole is a point of its own."""
    troubles = [*(format_diagnostic(error) for error in report.errors), *report.trouble]
    points = len(report.results) + len(troubles)
    lines = ["TAP version 14", f"1..{points}" if points else "1..0 # no case was executed"]
    for number, result in enumerate(report.results, 1):
        lines.extend(_point(number, result))
    for number, trouble in enumerate(troubles, len(report.results) + 1):
        lines.append(f"not ok {number} - {_text(trouble)}")
    return "\n".join(lines)


def _point(number: int, result: CaseResult) -> list[str]:
    name = _text(result.id)
    if result.outcome is CaseOutcome.SKIP:
        return [f"ok {number} - {name} # SKIP {_text(result.why)}"]
    if result.passed:
        return [f"ok {number} - {name}"]
    severity = "error" if result.outcome is CaseOutcome.ERROR else "fail"
    details = [f"    {one_line(line, width_max=200)}" for line in describe(result)]
    return [
        f"not ok {number} - {name}",
        "  ---",
        f"  severity: {severity}",
        f"  at: {_quoted(result.file)}",
        f"  line: {result.position.line}",
        "  message: |",
        *details,
        "  ...",
    ]


def _text(text: str) -> str:
    """One line in which # and \\ have no meaning of their own."""
    return one_line(text).replace("\\", "\\\\").replace("#", "\\#")


def _quoted(text: str) -> str:
    return "'" + one_line(text, width_max=1000).replace("'", "''") + "'"
