"""Nothing relaxed is hidden: it is listed, and has an owner, a reason and a last day."""

from __future__ import annotations

from datetime import date

import pytest

from kintsugi.policy.lint import LintReport, lint
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import revision
from kintsugi.policy.relaxed import relaxed
from kintsugi.policy.rules import KINDS
from tests.policy.configs import config_of

BY = "relaxed: {owner: ada, reason: measuring, expires: 2026-12-31}"


def source(options: str = "{}", gateway: str = "{}", kind: str = "pii-detector") -> str:
    return f"""\
pack: {{name: p, version: 1.0.0}}
gateway: {gateway}
providers: {{targets: [{{id: local, provider: simulator}}]}}
policies: {{chain: [{kind}]}}
policy:
  {kind}: {options}
"""


def found(report: LintReport) -> list[tuple[str, str]]:
    return [(d.code, d.path) for d in report.diagnostics]


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ("mode: monitor", "mode"),
        ("action: flag", "action"),
        ("action: pass", "action"),
        ("output_action: flag", "output_action"),
        ("on_error: allow", "on_error"),
    ],
)
def test_what_is_weaker_than_it_could_be_needs_somebody_who_answers(
    options: str, path: str
) -> None:
    report = lint(source(f"{{{options}}}"))
    assert report.valid
    assert found(report) == [("W111", f"policy.pii-detector.{path}")]
    report = lint(source(f"{{{options}, {BY}}}"), today=date(2026, 12, 31))
    assert report.diagnostics == ()
    (one,) = report.relaxed
    assert one.by is not None
    assert (one.by.owner, one.setting) == ("ada", options)


@pytest.mark.parametrize("options", ["action: block", "on_error: block", "mode: enforce"])
def test_what_is_as_strict_as_its_kind_is_not_relaxed(options: str) -> None:
    assert lint(source(f"{{{options}}}")).relaxed == ()


@pytest.mark.parametrize("kind", ["audit-logger", "bias-monitor"])
def test_a_kind_that_only_records_or_watches_is_not_relaxed(kind: str) -> None:
    assert lint(source(kind=kind)).relaxed == ()


def test_an_industry_in_the_place_of_a_mode_is_not_relaxed() -> None:
    assert lint(source("{mode: education}", kind="safety-filter")).relaxed == ()


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_does_by_default_is_never_relaxed(kind: str) -> None:
    assert relaxed(config_of({kind: {}})) == ()


def test_another_word_for_a_mode_that_acts_is_not_relaxed() -> None:
    assert lint(source("{mode: education}", kind="safety-filter")).relaxed == ()


def test_an_action_in_an_inner_block_counts_too() -> None:
    report = lint(source("{response: {action: flag}}", kind="prompt-injection"))
    assert found(report) == [("W111", "policy.prompt-injection.response.action")]


def test_a_relaxation_whose_last_day_is_over_is_an_error() -> None:
    text = source(f"{{mode: monitor, {BY}}}")
    report = lint(text, today=date(2027, 1, 1))
    assert not report.valid
    assert found(report) == [("E029", "policy.pii-detector.relaxed.expires")]
    assert "ada" in report.diagnostics[0].message
    assert lint(text).valid  # who does not say what day it is gets no error for it


def test_the_gateway_s_own_settings_are_relaxed_in_its_section() -> None:
    report = lint(source(gateway="{fail_mode: allow}"))
    assert found(report) == [("W103", "gateway.fail_mode")]
    assert lint(source(gateway=f"{{fail_mode: allow, {BY}}}")).diagnostics == ()
    text = source("{mode: monitor, " + BY + "}", gateway="{streaming: observe}")
    assert found(lint(text)) == [("W111", "gateway.streaming")]


def test_answering_for_nothing_is_a_warning() -> None:
    report = lint(source(f"{{{BY}}}", gateway=f"{{{BY}}}"))
    assert found(report) == [
        ("W114", "gateway.relaxed"),
        ("W114", "policy.pii-detector.relaxed"),
    ]


def test_an_owner_must_be_named_and_a_day_be_a_day() -> None:
    bad = "relaxed: {owner: '', reason: x, expires: soon}"
    report = lint(source(f"{{mode: monitor, {bad}}}"))
    assert ("E008", "policy.pii-detector.relaxed.expires") in found(report)
    bad = "relaxed: {owner: '', reason: x, expires: 2026-12-31}"
    report = lint(source(f"{{mode: monitor, {bad}}}"))
    assert found(report) == [("E009", "policy.pii-detector.relaxed.owner")]


def test_who_answers_changes_nothing_that_is_decided() -> None:
    plain, owned = source("{mode: monitor}"), source(f"{{mode: monitor, {BY}}}")
    assert revision(parse_config(plain)) == revision(parse_config(owned))
