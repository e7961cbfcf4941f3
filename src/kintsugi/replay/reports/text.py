"""Reports for people. Plain text; ``styled`` adds colour where a terminal shows it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from kintsugi.model.harmless import harmless
from kintsugi.policy.diagnostics import format_diagnostic, summary
from kintsugi.policy.lint import LintReport
from kintsugi.policy.relaxed import Relaxed
from kintsugi.replay.reports.words import describe
from kintsugi.replay.results import CaseOutcome, CaseResult, Coverage, RunReport

if TYPE_CHECKING:
    from rich.text import Text


def lint(report: LintReport) -> str:
    """Every diagnostic, then whether the file is valid and what it holds."""
    lines = [format_diagnostic(diagnostic) for diagnostic in report.diagnostics]
    if not report.valid:
        return harmless("\n".join([*lines, f"policy lint failed: {summary(report.diagnostics)}"]))
    lines.append(f"{report.file} is valid")
    if report.pack is not None:
        lines.append(f"  pack      {report.pack.name} {report.pack.version}")
    if report.chain:
        lines.append(f"  chain     {' → '.join(report.chain)}")
        lines.append(f"  policies  {report.policy_count}")
    lines.append(f"  cases     {report.case_count}")
    if report.revision:
        lines.append(f"  revision  {report.revision}")
    lines.extend(f"  relaxed   {_relaxed(one)}" for one in report.relaxed)
    return harmless("\n".join(lines))


def _relaxed(one: Relaxed) -> str:
    """``policy.pii-detector mode: monitor, until 2026-12-31 by ada: measuring``."""
    if one.by is None:
        return f"{one.place} {one.setting}: nobody answers for it"
    return f"{one.place} {one.setting}, until {one.by.expires} by {one.by.owner}: {one.by.reason}"


def run(report: RunReport) -> str:
    """Every case by suite, what went wrong below it, and the counts."""
    lines = [format_diagnostic(error) for error in report.errors]
    for suite, results in groupby(report.results, key=lambda result: result.suite):
        lines.append(suite)
        for result in results:
            lines.extend(_case(result))
    lines.extend(f"not ok: {trouble}" for trouble in report.trouble)
    lines.append(_counts(report))
    return harmless("\n".join(lines))


def coverage(measured: Coverage) -> str:
    """A table: each policy, how often it fired and stayed quiet, and which of its rules fired."""
    width = max((len(p.policy_name) for p in measured.policies), default=6)
    lines = [f"{'policy':<{width}}  fired  quiet  rules that fired"]
    for policy in measured.policies:
        rules = ", ".join(f"{rule} ({count})" for rule, count in policy.rules.items())
        missing = " and ".join(
            word
            for word, count in (("never fired", policy.fired), ("never stayed quiet", policy.quiet))
            if not count
        )
        note = f"  ← {missing}" if missing else ""
        name = f"{policy.policy_name:<{width}}"
        lines.append(f"{name}  {policy.fired:>5}  {policy.quiet:>5}  {rules}{note}".rstrip())
    lines.append(f"coverage {measured.percent:.1f} %")
    return harmless("\n".join(lines))


def styled(plain: str) -> Text:
    """Text with the words of outcomes coloured."""
    from rich.text import Text  # here: only terminals pay for it

    shown = Text(plain)
    shown.highlight_regex(r"(?m)^  PASS\b|\bis valid$|^ok\b", "green")
    shown.highlight_regex(r"(?m)^  (FAIL|ERROR)\b|^not ok\b|\berror E\d+|\bfailed\b", "bold red")
    shown.highlight_regex(r"(?m)^  SKIP\b|\bwarning W\d+|never \w+( quiet)?", "yellow")
    shown.highlight_regex(r"(?m)^    help:.*$", "dim")
    return shown


def _case(result: CaseResult) -> list[str]:
    head = f"  {result.outcome.value.upper():<5} {result.name}"
    if result.outcome in (CaseOutcome.FAIL, CaseOutcome.ERROR):
        head += f"  ({result.file}:{result.position.line}:{result.position.column})"
    return [head, *(f"        {line}" for line in describe(result))]


def _counts(report: RunReport) -> str:
    words = {
        CaseOutcome.PASS: "passed",
        CaseOutcome.FAIL: "failed",
        CaseOutcome.ERROR: "could not run",
        CaseOutcome.SKIP: "skipped",
    }
    counts = [f"{n} {word}" for outcome, word in words.items() if (n := report.count(outcome))]
    state = "ok" if report.ok else "not ok"
    return f"{state}: {', '.join(counts) or 'no cases'}"
