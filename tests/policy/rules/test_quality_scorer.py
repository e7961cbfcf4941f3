"""Scores of answers: in their bounds, on record, and in reports."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.errors import ConfigurationInvalid
from kintsugi.model.config import CaseExpected, Position
from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Decision, Phase
from kintsugi.policy.decide import decide
from kintsugi.policy.plan import compile_plan
from kintsugi.policy.rules.quality_scorer.scores import SCORES, Bounds, scored
from kintsugi.replay.reports import json as json_report
from kintsugi.replay.results import CaseOutcome, CaseResult, RunReport
from tests.policy.configs import FACTS, answer, config_of, findings
from tests.policy.growth import cpu_seconds

ANY = Bounds(chars_min=1, chars_max=0, sentences_min=0, cut_off=False)


def judged(view: ExchangeView, **options: Any) -> Decision:
    plan = compile_plan(config_of({"quality-scorer": options}))
    return decide(plan, Phase.OUTPUT, view, FACTS)


@given(st.text(), st.integers(0, 50), st.integers(0, 50), st.booleans())
def test_every_score_of_any_text_is_a_share(text: str, least: int, most: int, cut: bool) -> None:
    bounds = Bounds(chars_min=least, chars_max=most, sentences_min=least, cut_off=cut)
    scores = scored(text, bounds)
    assert scores.keys() == SCORES.keys()
    assert all(0 <= score <= 1 for score in scores.values())


def test_a_good_answer_leaves_its_scores_and_changes_nothing() -> None:
    decision = judged(ExchangeView([answer("Paris.")]))
    (evaluation,) = decision.evaluations
    assert (evaluation.outcome, evaluation.reason_code) == ("clear", "quality.scored")
    (note,) = findings(decision)
    assert note.detail.startswith("aggregate=1.000 length=1.000 refusal=1.000")


def test_an_answer_that_used_up_its_tokens_is_cut_off() -> None:
    view = ExchangeView([answer("Paris.")], output_tokens=5, output_tokens_max=5)
    found = findings(judged(view, thresholds={"min_truncation": 1}))
    assert {one.rule for one in found} == {"scores", "truncation"}


def test_each_choice_is_scored() -> None:
    parts = [Part("assistant", "text", "x.", f"/choices/{n}/message/content") for n in range(3)]
    assert len(findings(judged(ExchangeView(parts)))) == 3


def test_reports_carry_the_scores_of_the_worst_answer() -> None:
    parts = [
        Part("assistant", "text", text, f"/choices/{n}/message/content")
        for n, text in enumerate(("Paris.", "I'm sorry, I can't."))
    ]
    decision = judged(ExchangeView(parts))
    result = CaseResult(
        "suite",
        "case",
        "f.yaml",
        Position(),
        CaseOutcome.PASS,
        CaseExpected(),
        evaluations=decision.evaluations,
    )
    assert '"refusal": 0.0' in json_report.run(RunReport("f.yaml", (result,)))


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"thresholds": {"min_length": 2}}, "thresholds.min_length"),
        ({"weights": {"length": -1}}, "weights.length"),
        ({"weights": dict.fromkeys(SCORES, 0)}, "weights"),
        ({"min_output_chars": -1}, "min_output_chars"),
        ({"action": "redact"}, "action"),
    ],
)
def test_what_cannot_be_used_is_said(options: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigurationInvalid) as error:
        judged(ExchangeView([]), **options)
    assert error.value.diagnostics[0].path == f"policy.quality-scorer.{path}"


@pytest.mark.parametrize("piece", ["word ", "a. ", "{{a}} ", "```\n", "i can't ", "\n1. ", "é"])
def test_time_is_linear_in_the_text(piece: str) -> None:
    def seconds(count: int) -> float:
        text = (piece * (count // len(piece) + 1))[:count]
        return cpu_seconds(lambda: scored(text, ANY))

    small = max(seconds(1 << 16), 0.005)
    assert seconds(1 << 20) < 80 * small
