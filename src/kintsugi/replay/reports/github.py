"""Reports as workflow commands, which GitHub shows beside the lines of a change."""

from __future__ import annotations

from kintsugi.model.config import Diagnostic, Position
from kintsugi.model.harmless import harmless
from kintsugi.policy.diagnostics import summary
from kintsugi.policy.lint import LintReport
from kintsugi.replay.reports.words import bad_results, describe
from kintsugi.replay.results import RunReport


def lint(report: LintReport) -> str:
    """One annotation per diagnostic."""
    lines = [_diagnostic(diagnostic) for diagnostic in report.diagnostics]
    return "\n".join([*lines, f"policy lint: {summary(report.diagnostics)}"])


def run(report: RunReport) -> str:
    """One annotation per case that failed or could not run."""
    lines = [_diagnostic(diagnostic) for diagnostic in report.errors]
    lines += [
        _command("error", result.file, result.position, result.id, "\n".join(describe(result)))
        for result in bad_results(report)
    ]
    lines += [
        _command("error", report.file, Position(), "kt policy test", trouble)
        for trouble in report.trouble
    ]
    return "\n".join([*lines, f"policy test: {'ok' if report.ok else 'failed'}"])


def _diagnostic(d: Diagnostic) -> str:
    message = "\n".join(part for part in (d.message, d.path, d.help) if part)
    return _command(d.severity.value, d.file, d.position, d.code, message)


def _command(level: str, file: str, at: Position, title: str, message: str) -> str:
    place = f"file={_property(file)},line={at.line},col={at.column},title={_property(title)}"
    return f"::{level} {place}::{_data(message)}"


def _data(text: str) -> str:
    """Without escapes a message could end its command and begin one of its own."""
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return harmless(escaped)


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
