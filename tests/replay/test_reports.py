"""Every format of lint and test reports is what its readers expect."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import jsonschema
import msgspec
import pytest

from kintsugi.model.config import CaseExpected, Position
from kintsugi.policy.lint import lint
from kintsugi.replay.reports import LINT_FORMATS, RUN_FORMATS
from kintsugi.replay.reports.text import coverage, styled
from kintsugi.replay.results import (
    CaseOutcome,
    CaseResult,
    Coverage,
    Mismatch,
    PolicyCoverage,
    RunReport,
)

# The parts of the SARIF 2.1.0 schema that a log of ours touches.
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "additionalProperties": False,
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "properties": {
                                                "shortDescription": {"required": ["text"]},
                                                "defaultConfiguration": {
                                                    "properties": {
                                                        "level": {"enum": ["warning", "error"]}
                                                    }
                                                },
                                            },
                                        },
                                    }
                                },
                            }
                        },
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message"],
                            "additionalProperties": False,
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": {"required": ["text"]},
                                "locations": {
                                    "items": {
                                        "required": ["physicalLocation"],
                                        "properties": {
                                            "physicalLocation": {
                                                "required": ["artifactLocation", "region"],
                                                "properties": {
                                                    "artifactLocation": {
                                                        "properties": {
                                                            "uri": {"pattern": "^[!-~]+$"}
                                                        }
                                                    },
                                                    "region": {
                                                        "properties": {
                                                            "startLine": {"minimum": 1},
                                                            "startColumn": {"minimum": 1},
                                                        }
                                                    },
                                                },
                                            }
                                        },
                                    }
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}

BAD = lint("gateway: {prot: 1, fail_mode: allow}", file="my config,1.yaml")
GOOD = lint(
    "pack: {name: a, version: 1.0.0}\nproviders: {targets: [{id: l, provider: simulator}]}\n"
    "policies: {chain: [dlp-filter]}\npolicy: {dlp-filter: {blocked_terms: [aurora]}}\n",
    file="good.yaml",
)


def case(name: str, outcome: CaseOutcome, **fields: Any) -> CaseResult:
    return CaseResult(
        suite="suite",
        name=name,
        file="c.yaml",
        position=Position(3, 5),
        outcome=outcome,
        expected=CaseExpected(),
        **fields,
    )


RUN = RunReport(
    file="c.yaml",
    results=(
        case("good", CaseOutcome.PASS, verdict="allow"),
        case(
            "bad # \x1b[31m<&>",
            CaseOutcome.FAIL,
            verdict="allow",
            reason_code="policy.passed",
            mismatches=(Mismatch("verdict", "block", "allow"),),
        ),
        case("broken", CaseOutcome.ERROR, why="HTTP 422\nsecond line"),
        case("later", CaseOutcome.SKIP, why="until spring"),
    ),
    coverage=Coverage((PolicyCoverage("dlp-filter", 2, 0, {"term_1": 2}),)),
    trouble=("coverage 50.0 % is below the threshold of 80 %",),
    diagnostics=BAD.diagnostics,
)


@pytest.mark.parametrize("name", LINT_FORMATS)
def test_every_lint_format_says_something_about_good_and_bad_files(name: str) -> None:
    assert LINT_FORMATS[name](GOOD)
    assert "prot" in LINT_FORMATS[name](BAD)


@pytest.mark.parametrize("name", RUN_FORMATS)
def test_no_run_format_lets_an_escape_sequence_through(name: str) -> None:
    assert "\x1b" not in RUN_FORMATS[name](RUN)


@pytest.mark.parametrize("text", [LINT_FORMATS["sarif"](BAD), RUN_FORMATS["sarif"](RUN)])
def test_sarif_is_valid_and_every_result_points_at_its_rule(text: str) -> None:
    log = msgspec.json.decode(text)
    jsonschema.validate(log, SARIF)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["results"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]


def test_sarif_of_a_good_file_has_no_results() -> None:
    log = msgspec.json.decode(LINT_FORMATS["sarif"](GOOD))
    jsonschema.validate(log, SARIF)
    assert log["runs"][0]["results"] == []


def test_junit_keeps_failures_errors_and_skips_apart() -> None:
    root = _xml(RUN_FORMATS["junit"](RUN))
    suite = root.find("testsuite[@name='suite']")
    assert suite is not None
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    assert root.get("failures") == str(1 + len(BAD.diagnostics) - 2 + 1)  # two are warnings
    failure = root.find(".//failure[@type='fail']")
    assert failure is not None
    assert "got verdict: allow" in (failure.text or "")


def test_junit_of_lint_fails_on_errors_only() -> None:
    root = _xml(LINT_FORMATS["junit"](BAD))
    errors = [d for d in BAD.diagnostics if d.code.startswith("E")]
    assert root.get("tests") == str(len(BAD.diagnostics))
    assert root.get("failures") == str(len(errors))
    assert _xml(LINT_FORMATS["junit"](GOOD)).get("failures") == "0"


def test_github_annotations_are_escaped() -> None:
    lines = LINT_FORMATS["github"](BAD).splitlines()
    assert any(
        line.startswith("::error file=my config%2C1.yaml,line=1,col=11,title=E002::unknown key")
        for line in lines
    )
    assert any(line.startswith("::warning ") for line in lines)
    shown = RUN_FORMATS["github"](RUN)
    assert "HTTP 422%0Asecond line" in shown
    assert not re.search(r"(?m)^second line", shown)


def test_tap_has_a_plan_and_a_point_for_everything() -> None:
    lines = RUN_FORMATS["tap"](RUN).splitlines()
    points = [line for line in lines if re.match(r"(not )?ok \d+", line)]
    assert lines[0] == "TAP version 14"
    assert lines[1] == f"1..{len(points)}"
    assert points[0] == "ok 1 - suite/good"
    assert points[1].startswith("not ok 2 - suite/bad \\# ")
    assert points[3] == "ok 4 - suite/later # SKIP until spring"
    assert lines.count("  ---") == lines.count("  ...") == 2


def test_text_shows_counts_and_trouble() -> None:
    shown = RUN_FORMATS["text"](RUN)
    assert "not ok: 1 passed, 1 failed, 1 could not run, 1 skipped" in shown
    assert "not ok: coverage 50.0 %" in shown
    assert "skipped: until spring" in shown
    assert styled(shown).plain == shown


def test_the_coverage_table_names_what_is_missing() -> None:
    shown = coverage(RUN.coverage)
    assert "dlp-filter      2      0  term_1 (2)  ← never stayed quiet" in shown
    assert shown.endswith("coverage 50.0 %")


def _xml(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314  # our own
