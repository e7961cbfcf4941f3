"""Lint of what rules look for, of what the tests leave out, and of deprecated keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
from msgspec import Meta

import kintsugi.policy
from kintsugi.model.config import Case, CaseExpected, CaseInput
from kintsugi.model.decision import Phase
from kintsugi.policy.automata import width
from kintsugi.policy.diagnostics import Problems
from kintsugi.policy.document import read_document
from kintsugi.policy.lint import LintReport, lint
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import compile_plan
from kintsugi.policy.rules import KINDS
from kintsugi.policy.typed import TypedReader
from tests.policy.configs import WITHOUT_OPTIONS, config_of

TEMPLATES = sorted((Path(kintsugi.policy.__file__).parent / "templates").glob("*/*.yaml"))

HEAD = """\
pack: {{name: dlp, version: 1.0.0}}
providers: {{targets: [{{id: local, provider: simulator}}]}}
policies: {{chain: [{kind}]}}
policy: {{{kind}: {options}}}
"""


def linted(options: str, kind: str = "dlp-filter") -> LintReport:
    return lint(HEAD.format(kind=kind, options=options), file="d.yaml")


def found(report: LintReport) -> list[tuple[str, str]]:
    return [(d.code, d.path) for d in report.diagnostics]


def test_a_policy_that_runs_in_none_of_its_phases_is_an_error() -> None:
    report = linted("{phases: [output]}", "prompt-injection")
    assert not report.valid
    assert found(report) == [("E030", "policy.prompt-injection.phases")]
    assert "it can run in: input" in report.diagnostics[0].help


def test_a_policy_with_nothing_to_look_for_is_a_warning() -> None:
    report = linted("{}")
    assert report.valid
    assert found(report) == [("W110", "policy.dlp-filter")]
    assert linted("{}", "audit-logger").diagnostics == ()


def test_the_same_entry_twice_is_found_in_any_list() -> None:
    report = linted("{blocked_terms: [a, b, a]}")
    assert found(report) == [("W109", "policy.dlp-filter.blocked_terms.2")]
    report = linted("{detection: {attack_patterns: [abc, abc]}}", "prompt-injection")
    assert found(report) == [("W109", "policy.prompt-injection.detection.attack_patterns.1")]


@pytest.mark.parametrize(
    ("options", "shadowed"),
    [
        ("{action: block, blocked_terms: [project aurora, aurora]}", "blocked_terms.0"),
        ("{action: block, blocked_terms: [aurora, borealis]}", ""),
        ("{action: block, blocked_terms: [auroras, aurora]}", ""),  # whole words only
        ("{action: redact, blocked_terms: [project aurora, aurora]}", ""),  # not the same extent
        ("{action: block, mode: monitor, blocked_terms: [project aurora, aurora]}", ""),
        ("{action: block, detect_patterns: ['[0-9]{4}', 'id 1234 x']}", "detect_patterns.1"),
        (r"{action: block, detect_patterns: ['\\b1234\\b', '1234']}", ""),  # not within a word
        ("{action: block, detect_patterns: ['id.*'], blocked_terms: ['id one']}", ""),
    ],
)
def test_what_another_entry_stops_already_is_shadowed(options: str, shadowed: str) -> None:
    paths = [d.path for d in linted(options).diagnostics if d.code == "W109"]
    assert paths == ([f"policy.dlp-filter.{shadowed}"] if shadowed else [])


def test_a_pattern_that_costs_more_than_all_others_is_a_warning() -> None:
    report = linted("{detect_patterns: ['a.{0,900}b.{0,900}c']}")
    assert found(report) == [("W113", "policy.dlp-filter.detect_patterns.0")]


def case(expected: CaseExpected, skip: str = "") -> Case:
    return Case("c", CaseInput(messages=({"role": "user", "content": "x"},)), expected, skip=skip)


@pytest.mark.parametrize(
    ("cases", "tested"),
    [
        ([], False),
        ([case(CaseExpected(policy="dlp-filter"))], True),
        ([case(CaseExpected(reason_code="dlp.term_matched"))], True),
        ([case(CaseExpected(reason_code="pii.detected"))], False),
        ([case(CaseExpected(verdict="block"))], False),
        ([case(CaseExpected(policy="dlp-filter"), skip="later")], False),
    ],
)
def test_a_policy_that_no_case_names_is_untested(cases: list[Case], tested: bool) -> None:
    source = HEAD.format(kind="dlp-filter", options="{blocked_terms: [a]}")
    report = lint(source, cases=cases)
    assert found(report) == ([] if tested else [("W108", "policy.dlp-filter")])
    assert lint(source).diagnostics == ()  # nobody knows what other files hold


@pytest.mark.parametrize("kind", KINDS)
def test_lint_never_raises_on_a_kind_without_options(kind: str) -> None:
    assert linted("{}", kind).file == "d.yaml"


def test_observe_refuses_a_policy_that_acts_on_tool_calls() -> None:
    source = HEAD.format(kind="tool-validation", options="{}") + "gateway: {streaming: observe}\n"
    assert "E023" in {d.code for d in lint(source).diagnostics}
    assert lint(source.replace("{}", "{mode: monitor}", 1)).valid
    assert lint(source.replace("observe", "window")).valid


@pytest.mark.parametrize(
    "secret",
    [
        "sk-" + "a1B2" * 8,
        "glpat-" + "a1B2" * 6,
        "sk_" + "live_" + "a1B2" * 6,
        "hf_" + "a1B2" * 9,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "a1B2" * 6,
        "-----BEGIN RSA PRIVATE KEY-----",
    ],
)
def test_a_secret_is_found_wherever_it_stands_and_never_shown(secret: str) -> None:
    report = linted(f"{{blocked_terms: ['{secret}']}}")
    (one,) = [d for d in report.diagnostics if d.code == "E018"]
    assert one.path == "policy.dlp-filter.blocked_terms.0"
    assert all(secret not in d.message + d.help for d in report.diagnostics)


class Renamed(msgspec.Struct):
    new_name: str = ""
    old_name: Annotated[str, Meta(extra={"deprecated": "use new_name"})] = ""


def test_a_deprecated_key_is_read_and_reported_at_its_place() -> None:
    problems = Problems("d.yaml")
    node = read_document("new_name: a\nold_name: b\n", problems)
    assert node is not None
    assert TypedReader(problems).read(node, Renamed, "policy.x") == Renamed("a", "b")
    (one,) = problems.found
    assert (one.code, one.path, one.position.line) == ("W112", "policy.x.old_name", 2)
    assert one.help == "use new_name"


def test_a_case_that_expects_only_the_empty_text_asserts_nothing() -> None:
    report = lint(
        "testing: {suites: [{name: s, cases: [{name: c, input: {messages: [{}]}, "
        'expected: {response_contains: ""}}]}]}'
    )
    assert [d.code for d in report.diagnostics] == ["E017"]


@pytest.mark.parametrize("kind", WITHOUT_OPTIONS)
def test_patterns_that_come_with_a_kind_need_no_lint(kind: str) -> None:
    """Lint does not compile them: they are accepted, and end, which a streaming window needs."""
    plan = compile_plan(config_of({kind: {}}))
    for phase, in_phase in plan.phases.items():
        for rule in in_phase.rules:
            for pattern in rule.rule.patterns if phase is Phase.OUTPUT else ():
                assert None not in width(pattern), pattern.name


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.parent.name)
def test_lint_and_the_compiler_agree_on_streaming(template: Path) -> None:
    source = template.read_text(encoding="utf-8")
    for mode in ("window", "buffer"):
        text = re.sub(r"streaming: \w+", f"streaming: {mode}", source)
        plan = compile_plan(parse_config(text))
        refused = "E023" in {one.code for one in lint(text).diagnostics}
        unbounded = plan.hold_chars is None
        assert refused is (plan.config.gateway.streaming == "window" and unbounded)
        assert refused or lint(text).revision == plan.revision
