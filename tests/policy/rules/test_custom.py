"""Expressions of operators: checked when they are written, bounded when they run."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kintsugi.policy.rules.custom as custom
from kintsugi.errors import ConfigurationInvalid
from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.decide import decide
from kintsugi.policy.plan import Plan, compile_plan
from kintsugi.policy.rules.custom.expression import Expression, ExpressionFailed, ExpressionInvalid
from kintsugi.policy.rules.custom.variables import JUDGED, VARIABLES, Scope, values
from tests.policy.configs import FACTS, config_of, findings, user
from tests.policy.growth import cpu_seconds


def plan_of(when: str, *, name: str = "mine", **options: Any) -> Plan:
    phases = options.pop("phases", ["input"])
    rules = [{"name": name, "when": when, "phases": phases}]
    return compile_plan(config_of({"custom": {"rules": rules, **options}}))


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("answer.txt == 'a'", r'column 7: unknown name "answer.txt"'),
        ("model ==\n  foo", r'line 2, column 3: unknown name "foo"'),
        ("model + 1 == 'a'", r"column 7: found no matching overload"),
        ("model ==", r"column 9: Syntax error"),
        ("model", "gives string"),
        ("", "is empty"),
        (f"model == '{'a' * 5000}'", "longer than 4096"),
        ("(" * 40 + "true" + ")" * 40, "recursion limit"),
        ("request.text.matches('(a')", r"column 22: missing \)"),
        ("request.text.matches(model)", "must stand in the expression itself"),
        ("matches(request.text, 'a')", "must stand in the expression itself"),
        ("parts.exists(p, request.text.contains(p.text))", "column 17: request.text inside a loop"),
        ("parts.all(a, parts.all(b, parts.all(c, true)))", "more than 2 deep"),
        ("claims['X-Role'] == 'admin'", "lower case"),
        ("claims['authorization'] == 'x'", "is a credential"),
    ],
)
def test_what_cannot_be_used_is_said_when_the_configuration_is_read(
    when: str, message: str
) -> None:
    with pytest.raises(ExpressionInvalid, match=message):
        Expression(when)
    with pytest.raises(ConfigurationInvalid) as error:
        plan_of(when)
    (found,) = error.value.diagnostics[:1]
    assert found.path == "policy.custom.rules.0.when"


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ExpressionInvalid) as error:
        Expression("identity.userid == 'ada'")
    assert error.value.suggestion == "identity.user_id"


def test_a_rule_may_only_name_what_its_phases_have() -> None:
    with pytest.raises(ConfigurationInvalid, match=r"answer\.text has no value in every phase"):
        plan_of("answer.text == ''", phases=["input", "output"])


@pytest.mark.parametrize(
    "rules",
    [
        [{"name": "", "when": "true"}],
        [{"name": "one", "when": "true"}, {"name": "one", "when": "false"}],
        [{"name": "one", "when": "true", "action": "redact"}],
        [{"name": "one", "when": "true", "action": "transform"}],
    ],
)
def test_names_are_unique_and_actions_can_be_carried_out(rules: list[dict[str, Any]]) -> None:
    with pytest.raises(ConfigurationInvalid):
        compile_plan(config_of({"custom": {"rules": rules}}))


def test_no_rule_in_a_phase_costs_nothing_there() -> None:
    plan = plan_of("true")
    assert plan.judges(Phase.INPUT)
    assert not plan.judges(Phase.OUTPUT)
    assert plan.hold_chars is not None


def test_headers_that_an_expression_names_are_asked_for() -> None:
    plan = plan_of("claims['x-role'] == 'a' || 'x-team' in claims || has(claims.plan)")
    assert plan.claim_names == {b"x-role", b"x-team", b"plan"}


def test_a_rule_that_fails_keeps_no_other_from_being_asked() -> None:
    rules = [
        {"name": "fails", "when": "claims['x-none'] == 'a'"},
        {"name": "holds", "when": "true", "action": "escalate"},
    ]
    plan = compile_plan(config_of({"custom": {"rules": rules, "on_error": "flag"}}))
    decision = decide(plan, Phase.INPUT, ExchangeView(user("hello")), FACTS)
    assert decision.verdict is Verdict.ESCALATE
    assert decision.evaluations[0].outcome == "error"
    assert [finding.rule for finding in findings(decision)] == ["holds"]


def test_too_much_text_is_an_error_and_is_not_judged_in_part() -> None:
    plan = plan_of("request.text.contains('x')", input_chars_max=10)
    decision = decide(plan, Phase.INPUT, ExchangeView(user("x" * 11)), FACTS)
    assert (decision.verdict, decision.evaluations[0].why) == (Verdict.BLOCK, "InputTooLarge")


def test_too_many_loop_steps_are_an_error() -> None:
    parts = [{"role": "user", "kind": "text", "name": "", "text": "a"}] * 200
    with pytest.raises(ExpressionFailed):
        Expression("parts.all(a, parts.all(b, a.text != 'x'))").holds({"parts": parts})


@given(st.text(), st.text(), st.text())
def test_any_text_has_a_value_for_every_name(text: str, name: str, arguments: str) -> None:
    parts = [
        Part("user", "text", text, "/a"),
        Part("assistant", "tool_call", arguments, "/b", 0, name),
        Part("system", "tool_definition", text, "/c", 0, name),
    ]
    for phase in JUDGED:
        scope = Scope(ExchangeView(parts, parts), FACTS, phase)
        given_values = values(tuple(VARIABLES), scope, 1 << 20)
        plain = "request.text == '' || parts.exists(p, p.name == 'x') || tools.calls.size() == 1"
        expression = Expression(plain)
        assert expression.holds({name: given_values[name] for name in expression.names})


@given(st.text(max_size=200))
def test_any_text_compiles_or_is_refused(source: str) -> None:
    with suppress(ExpressionInvalid):
        Expression(source)


def test_a_lone_surrogate_is_no_way_around() -> None:
    plan = plan_of("request.text.contains('secret')")
    decision = decide(plan, Phase.INPUT, ExchangeView(user("\ud800 secret")), FACTS)
    assert decision.verdict is Verdict.BLOCK


def test_time_is_linear_in_the_text() -> None:
    expression = Expression("request.text.matches('(a+)+$') || request.text.contains('zzz')")

    def seconds(count: int) -> float:
        given_values = {"request.text": "a" * count + "b"}
        return cpu_seconds(lambda: expression.holds(given_values))

    seconds(1 << 10)
    assert seconds(1 << 20) < 0.5


def test_the_page_lists_every_name() -> None:
    page = (Path(custom.__file__).parent / "page.md").read_text()
    for variable in VARIABLES.values():
        assert f"`{variable.name}`" in page
