"""Reports as SARIF 2.1.0, which code scanning services read."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from kintsugi import __version__
from kintsugi.model.config import Diagnostic, Position
from kintsugi.model.harmless import json_text
from kintsugi.policy.diagnostics import CODES
from kintsugi.policy.lint import LintReport
from kintsugi.replay.reports.words import bad_results, describe
from kintsugi.replay.results import CaseOutcome, RunReport

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_FAILED, _ERROR, _RUN = "case-failed", "case-error", "run"
_RUN_RULES = {
    _FAILED: "a policy test case failed",
    _ERROR: "a policy test case could not run",
    _RUN: "the run as a whole is not fine",
}


def lint(report: LintReport) -> str:
    """One result per diagnostic; every known code is described."""
    return _log(CODES, [_diagnostic(diagnostic) for diagnostic in report.diagnostics])


def run(report: RunReport) -> str:
    """One result per case that failed or could not run."""
    results = [
        _result(
            _ERROR if result.outcome is CaseOutcome.ERROR else _FAILED,
            "error",
            "\n".join([result.id, *describe(result)]),
            result.file,
            result.position,
        )
        for result in bad_results(report)
    ]
    results += [_result(_RUN, "error", t, report.file, Position()) for t in report.trouble]
    results += [_diagnostic(diagnostic) for diagnostic in report.errors]
    return _log({**_RUN_RULES, **CODES}, results)


def _diagnostic(diagnostic: Diagnostic) -> dict[str, Any]:
    text = ". ".join(part for part in (diagnostic.message, diagnostic.help) if part)
    level = diagnostic.severity.value
    result = _result(diagnostic.code, level, text, diagnostic.file, diagnostic.position)
    if diagnostic.path:
        result["locations"][0]["logicalLocations"] = [{"fullyQualifiedName": diagnostic.path}]
    return result


def _result(rule: str, level: str, text: str, file: str, at: Position) -> dict[str, Any]:
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(file.replace("\\", "/"))},
                    "region": {"startLine": at.line, "startColumn": at.column},
                }
            }
        ],
    }


def _log(rules: dict[str, str], results: list[dict[str, Any]]) -> str:
    described = [
        {
            "id": code,
            "shortDescription": {"text": title},
            "defaultConfiguration": {"level": "warning" if code.startswith("W") else "error"},
        }
        for code, title in rules.items()
    ]
    order = {code: index for index, code in enumerate(rules)}
    driver = {"name": "Kintsugi", "semanticVersion": __version__, "rules": described}
    return json_text(
        {
            "$schema": _SCHEMA,
            "version": "2.1.0",
            "runs": [
                {
                    "tool": {"driver": driver},
                    "columnKind": "unicodeCodePoints",
                    "results": [{**r, "ruleIndex": order[r["ruleId"]]} for r in results],
                }
            ],
        }
    )
