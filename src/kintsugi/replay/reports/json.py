"""Reports as JSON, in the documented shape."""

from __future__ import annotations

from typing import Any

import msgspec

from kintsugi.model.config import Diagnostic, Severity
from kintsugi.model.harmless import json_text
from kintsugi.policy.lint import LintReport
from kintsugi.policy.relaxed import Relaxed
from kintsugi.replay.results import CaseOutcome, CaseResult, RunReport


def lint(report: LintReport) -> str:
    """``{"valid", "file", "pack", "chain", "policy_count", "errors", "warnings", ...}``."""
    found = report.diagnostics
    pack = report.pack
    return json_text(
        {
            "valid": report.valid,
            "file": report.file,
            "pack": None if pack is None else {"name": pack.name, "version": pack.version},
            "chain": report.chain,
            "policy_count": report.policy_count,
            "case_count": report.case_count,
            "revision": report.revision or None,
            "relaxed": [_relaxed(one) for one in report.relaxed],
            "errors": [diagnostic_json(d) for d in found if d.severity is Severity.ERROR],
            "warnings": [diagnostic_json(d) for d in found if d.severity is Severity.WARNING],
        }
    )


def run(report: RunReport) -> str:
    """``{"ok", "results": [...]}`` and, beside them, summary and coverage."""
    return json_text(
        {
            "ok": report.ok,
            "results": [_result(result) for result in report.results],
            "file": report.file,
            "config_version": report.config_version or None,
            "revision": report.revision or None,
            "summary": {outcome.value: report.count(outcome) for outcome in CaseOutcome},
            "trouble": report.trouble,
            "errors": [diagnostic_json(d) for d in report.errors],
            "coverage": {
                "percent": round(report.coverage.percent, 1),
                "policies": msgspec.to_builtins(report.coverage.policies),
            },
        }
    )


def diagnostic_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """One diagnostic with its place flattened."""
    return {
        "code": diagnostic.code,
        "path": diagnostic.path,
        "message": diagnostic.message,
        "suggestion": diagnostic.suggestion or None,
        "file": diagnostic.file,
        "line": diagnostic.position.line,
        "column": diagnostic.position.column,
        "help": diagnostic.help or None,
    }


def _relaxed(one: Relaxed) -> dict[str, Any]:
    by = one.by
    return {
        "path": one.path,
        "setting": one.setting,
        "meaning": one.meaning,
        "owner": None if by is None else by.owner,
        "reason": None if by is None else by.reason,
        "expires": None if by is None else by.expires,
    }


def _result(result: CaseResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "suite": result.suite,
        "verdict": result.verdict or None,
        "reason_code": result.reason_code or None,
        "passed": result.passed,
        "outcome": result.outcome.value,
        "file": result.file,
        "line": result.position.line,
        "mismatches": msgspec.to_builtins(result.mismatches),
        "why": result.why or None,
        "details": {
            "policy": result.policy_name or None,
            "status": result.status or None,
            "http_status": result.http_status or None,
            "policy_results": msgspec.to_builtins(result.evaluations),
            "quality_scores": _quality_scores(result),
        },
    }


def _quality_scores(result: CaseResult) -> dict[str, float] | None:
    """What quality-scorer noted of the answer, of the worst where there are several; None where
    it did not run."""
    notes = [
        finding
        for evaluation in result.evaluations
        for finding in evaluation.findings
        if finding.reason_code == "quality.scored"
    ]
    if not notes:
        return None
    worst = min(notes, key=lambda note: note.score)
    pairs = (pair.partition("=") for pair in worst.detail.split())
    return {name: float(score) for name, _, score in pairs}
