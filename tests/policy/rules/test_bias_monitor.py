"""Wording about protected groups, and the counts beside it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.errors import ConfigurationInvalid
from kintsugi.model.content import ExchangeView
from kintsugi.model.decision import Decision, Phase
from kintsugi.policy.automata import Pattern, compile_pattern
from kintsugi.policy.decide import decide
from kintsugi.policy.plan import compile_plan
from kintsugi.policy.rules import KINDS
from kintsugi.policy.rules.bias_monitor.wording import CHARACTERISTICS, anchor, wordings
from tests.policy.configs import FACTS, answer, config_of, findings
from tests.policy.growth import cpu_seconds

SENTENCES = {
    "gender.trait": "Women are less rational.",
    "race.trait": "Black people are less intelligent.",
    "religion.decision": "Given her religion, she is not a good fit.",
    "age.preference": "We prefer young people for this position.",
    "disability.trait": "Disabled people are a burden on the team.",
    "orientation.trait": "Gay people are sick.",
    "nationality.rule": "Go back to your country.",
    "family.decision": "Do not hire pregnant women.",
}


def judged(text: str, **options: Any) -> Decision:
    plan = compile_plan(config_of({"bias-monitor": options}))
    return decide(plan, Phase.OUTPUT, ExchangeView([answer(text)]), FACTS)


@pytest.mark.parametrize(("rule", "text"), SENTENCES.items())
def test_every_characteristic_is_watched(rule: str, text: str) -> None:
    characteristic = rule.partition(".")[0]
    found = findings(judged(text, protected_characteristics=[characteristic]))
    assert rule in {finding.rule for finding in found}


def test_mentions_are_counted_and_change_nothing() -> None:
    decision = judged("Men and women, and more women; seniors too.")
    (note,) = findings(decision)
    assert (note.reason_code, note.detail) == ("bias.mentioned", "age=1 gender=3 wording=0")
    assert decision.evaluations[0].outcome == "clear"


@pytest.mark.parametrize("characteristic", CHARACTERISTICS)
def test_whatever_a_pattern_matches_has_its_anchor(characteristic: str) -> None:
    expression = compile_pattern(Pattern("anchor", anchor(characteristic)))
    for rule, text in SENTENCES.items():
        if rule.startswith(characteristic):
            assert expression.search(text)
    for wording in wordings(characteristic):
        compile_pattern(Pattern(wording.name, wording.regex))


@given(st.text())
def test_any_text_is_watched(text: str) -> None:
    for finding in findings(judged(text)):
        assert 0 <= finding.offset <= finding.offset + finding.length <= len(text)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"threshold": 2}, "threshold"),
        ({"protected_characteristics": ["agee"]}, "protected_characteristics.0"),
        ({"action": "redact"}, "action"),
    ],
)
def test_what_cannot_be_used_is_said(options: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigurationInvalid) as error:
        judged("", **options)
    assert error.value.diagnostics[0].path == f"policy.bias-monitor.{path}"


def test_a_stricter_action_that_only_monitors_is_pointed_out() -> None:
    kind = KINDS["bias-monitor"]
    assert [note.path for note in kind.notes(kind.options(action="block"))] == ["action"]  # type: ignore[call-arg]
    assert not kind.notes(kind.options(action="block", mode="enforce"))  # type: ignore[call-arg]
    assert not kind.notes(kind.options(action="nonsense"))  # type: ignore[call-arg]


@pytest.mark.parametrize("piece", ["women ", "all the men ", "because of age ", "women are ", "’"])
def test_time_is_linear_in_the_text(piece: str) -> None:
    plan = compile_plan(config_of({"bias-monitor": {}}))

    def seconds(count: int) -> float:
        text = (piece * (count // len(piece) + 1))[:count]
        return cpu_seconds(lambda: decide(plan, Phase.OUTPUT, ExchangeView([answer(text)]), FACTS))

    small = max(seconds(1 << 16), 0.005)
    assert seconds(1 << 20) < 80 * small
