"""Lint: parse, compile, and what only the compiled plan can tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from kintsugi.model.config import Position
from kintsugi.policy.diagnostics import CODES
from kintsugi.policy.lint import LintReport, lint, lint_fragment

DOCS = Path(__file__).parents[2] / "docs" / "lint"

DLP = """\
pack: {{name: dlp, version: 1.0.0}}
gateway: {gateway}
providers: {{targets: [{{id: local, provider: simulator}}]}}
policies: {{chain: [dlp-filter, audit-logger]}}
policy:
  dlp-filter: {options}
  audit-logger: {audit}
"""


def dlp(*, gateway: str = "{}", options: str = "{}", audit: str = "{}") -> LintReport:
    return lint(DLP.format(gateway=gateway, options=options, audit=audit), file="d.yaml")


def found(report: LintReport) -> list[tuple[str, str]]:
    """What was found, relaxed settings aside: they have their own tests."""
    return [(d.code, d.path) for d in report.diagnostics if d.code != "W111"]


def test_a_valid_configuration_is_summed_up() -> None:
    report = dlp(options="{blocked_terms: [aurora]}")
    assert report.valid
    assert report.diagnostics == ()
    assert report.pack is not None
    assert (report.pack.name, report.pack.version) == ("dlp", "1.0.0")
    assert (report.chain, report.policy_count) == (("dlp-filter", "audit-logger"), 2)
    assert report.revision.startswith("sha256:")


def test_a_pattern_that_re2_refuses_is_found_at_its_place() -> None:
    report = dlp(options="{detect_patterns: [ok, '(?=x)']}")
    assert not report.valid
    (diagnostic,) = report.diagnostics
    assert (diagnostic.code, diagnostic.path) == ("E014", "policy.dlp-filter.detect_patterns.1")
    assert diagnostic.position == Position(6, 38)
    assert report.revision == ""


def test_an_action_that_a_kind_cannot_carry_out_is_refused() -> None:
    report = dlp(options="{action: blok}")
    assert found(report) == [("E008", "policy.dlp-filter.action")]
    assert dlp(options="{action: denied}").valid


def test_problems_of_the_parser_and_of_the_compiler_are_reported_together() -> None:
    report = dlp(gateway="{prot: 1}", options="{detect_patterns: ['(?=x)']}")
    assert found(report) == [
        ("E002", "gateway.prot"),
        ("E014", "policy.dlp-filter.detect_patterns.0"),
    ]


@pytest.mark.parametrize(
    ("options", "valid"),
    [
        ("{action: redact, blocked_terms: [a]}", False),
        ("{action: flag, blocked_terms: [a]}", True),
        ("{action: block, output_action: flag, blocked_terms: [a]}", True),
        ("{mode: monitor, action: block, blocked_terms: [a]}", True),
        ("{phases: [input], action: block, blocked_terms: [a]}", True),
    ],
)
def test_observe_takes_only_policies_that_do_not_act_on_answers(options: str, valid: bool) -> None:
    report = dlp(gateway="{streaming: observe}", options=options)
    assert report.valid is valid
    assert found(report) == ([] if valid else [("E023", "gateway.streaming")])


def test_window_refuses_a_policy_that_it_cannot_hold_back_for() -> None:
    options = "{action: redact, detect_patterns: ['secret.*end']}"
    assert dlp(gateway="{streaming: buffer}", options=options).valid
    report = dlp(gateway="{streaming: window}", options=options)
    assert found(report) == [("E023", "gateway.streaming")]


def test_an_option_without_effect_is_a_warning() -> None:
    report = dlp(options="{blocked_terms: [a]}", audit="{immutable: false}")
    assert report.valid
    assert found(report) == [("W107", "policy.audit-logger.immutable")]


def test_a_fragment_of_tests_is_checked_as_one() -> None:
    source = """\
testing:
  suites:
    - name: s
      cases:
        - {name: c, input: {messages: [{}]}, expected: {policy: pii-detector}}
"""
    report = lint(source, file="f.yaml")
    assert report.valid
    assert (report.pack, report.case_count) == (None, 1)
    report = lint_fragment(source, file="f.yaml", chain=("dlp-filter",))
    assert found(report) == [("E025", "testing.suites.0.cases.0.expected.policy")]


def test_lint_never_raises() -> None:
    for source in (b"\xff", "", "[", "policies: []", "policies: {chain: [x]}", "testing: 1"):
        assert not lint(source, file="f").valid


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert {page.stem for page in DOCS.glob("*.md")} == CODES.keys()
    for code, title in CODES.items():
        head, *_ = (DOCS / f"{code}.md").read_text(encoding="utf-8").splitlines()
        assert head == f"# {code}: {title}"
