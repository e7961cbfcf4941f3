"""Rules of your own: CEL expressions over the exchange."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts
from kintsugi.model.verdict import Verdict
from kintsugi.policy.automata import Sighting
from kintsugi.policy.rule import (
    Detection,
    Observation,
    OptionInvalid,
    Rule,
    RuleKind,
    RuleOptions,
    parse_action,
)
from kintsugi.policy.rules.custom.expression import Expression, ExpressionFailed, ExpressionInvalid
from kintsugi.policy.rules.custom.variables import JUDGED, VARIABLES, Scope, values

_MATCHED = "custom.matched"
_NAME_CHARS_MAX = 100
_INPUT_CHARS_MAX = 16 << 20


class CustomRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule.

    Attributes:
        name: becomes the finding's rule.
        when: a CEL expression; true is a finding.
        phases: where it is evaluated.
        action: verdict where it is true; empty for the policy's ``action``.
    """

    name: str
    when: str
    phases: tuple[Literal["input", "tool", "output"], ...] = ("input",)
    action: str = ""


class Options(RuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    rules: your rules, in order.
    action: verdict of a rule that names none.
    message: one sentence for the caller when a rule acts.
    input_chars_max: how much text an expression may be given; more is an error of the rule.
    """

    rules: tuple[CustomRule, ...] = ()
    action: str = ""
    message: str = ""
    input_chars_max: int = 1 << 20


class Compiled(NamedTuple):
    """A rule made ready."""

    name: str
    expression: Expression
    verdict: Verdict


class ExpressionsRule(Rule):
    """Every expression of one phase, in order."""

    def __init__(
        self, compiled: Sequence[Compiled], phase: Phase, message: str, chars_max: int
    ) -> None:
        self.judges = bool(compiled)
        self.message = message
        self.claim_names = tuple(
            dict.fromkeys(name for one in compiled for name in one.expression.claim_names)
        )
        self._compiled = tuple(compiled)
        self._phase = phase
        self._names = tuple(
            dict.fromkeys(name for one in compiled for name in one.expression.names)
        )
        self._chars_max = chars_max

    def judge(self, exchange: ExchangeView, facts: Facts) -> Iterator[Observation]:
        """What is true. A rule that fails keeps no other from being asked.

        Raises:
            ExpressionFailed: one of them could not be evaluated.
            InputTooLarge: there is more text than they may be given.
        """
        scope = Scope(exchange, facts, self._phase)
        given = values(self._names, scope, self._chars_max)
        failed: ExpressionFailed | None = None
        for one in self._compiled:
            try:
                holds = one.expression.holds({name: given[name] for name in one.expression.names})
            except ExpressionFailed as error:
                failed = error
                continue
            if holds:
                yield Observation(rule=one.name, reason_code=_MATCHED, verdict=one.verdict)
        if failed is not None:
            raise failed

    def examine(self, part: Part, sightings: Sequence[Sighting]) -> Sequence[Detection]:  # noqa: ARG002
        """Never called: there are no patterns."""
        return ()


def build(options: Options, phase: Phase) -> Rule:
    """The rule for one phase.

    Raises:
        OptionInvalid: a rule cannot be used; the message says where in its expression.
    """
    if not 1 <= options.input_chars_max <= _INPUT_CHARS_MAX:
        raise OptionInvalid(
            "input_chars_max",
            f"{options.input_chars_max} is out of range",
            f"use 1 to {_INPUT_CHARS_MAX}",
        )
    default = _verdict(options.action, options, "action")
    names: set[str] = set()
    compiled: list[Compiled] = []
    for index, rule in enumerate(options.rules):
        path = f"rules.{index}"
        if not rule.name or len(rule.name) > _NAME_CHARS_MAX or rule.name in names:
            raise OptionInvalid(
                f"{path}.name",
                f'"{rule.name[:_NAME_CHARS_MAX]}" cannot name a rule',
                f"use a name of its own, 1 to {_NAME_CHARS_MAX} characters",
            )
        names.add(rule.name)
        verdict = _verdict(rule.action, options, f"{path}.action") if rule.action else default
        expression = _expression(rule, path)
        if phase.value in rule.phases:
            compiled.append(Compiled(rule.name, expression, verdict))
    return ExpressionsRule(compiled, phase, options.message, options.input_chars_max)


def _verdict(action: str, options: Options, path: str) -> Verdict:
    verdict = parse_action(action, KIND, path=path)
    if verdict is Verdict.TRANSFORM and options.transform is None:
        raise OptionInvalid(
            path,
            '"transform" needs to know what to change',
            "add transform: {inject_text: ..., strip_tools: [...], max_output_tokens: ...}",
        )
    return verdict


def _expression(rule: CustomRule, path: str) -> Expression:
    try:
        expression = Expression(rule.when)
    except ExpressionInvalid as error:
        raise OptionInvalid(f"{path}.when", str(error), error.help, error.suggestion) from error
    phases = {Phase(word) for word in rule.phases}
    for name in expression.names:
        if not phases <= set(VARIABLES[name].phases):
            has = ", ".join(phase.value for phase in VARIABLES[name].phases)
            raise OptionInvalid(
                f"{path}.phases",
                f"{name} has no value in every phase of this rule",
                f"it has one in: {has}",
            )
    return expression


KIND = RuleKind(
    name="custom",
    title="Rules of your own",
    options=Options,
    phases=JUDGED,
    default_action=Verdict.BLOCK,
    actions=(
        Verdict.ALLOW,
        Verdict.FLAG,
        Verdict.TRANSFORM,
        Verdict.ESCALATE,
        Verdict.QUARANTINE,
        Verdict.BLOCK,
    ),
    reasons=(_MATCHED,),
    detector_version=1,
    message="A rule of this service does not allow it.",
    method="CEL expressions, type-checked when the configuration is read (Google's cel-cpp).",
    cost="A few microseconds per expression; see the page.",
    limits=("What is larger than input_chars_max is an error of the rule, never cut short.",),
    build=build,
)
