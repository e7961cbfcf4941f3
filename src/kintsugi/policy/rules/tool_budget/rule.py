"""How much each tool may be used: calls, tokens and money in a session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

import msgspec

from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.model.facts import CounterNeed, Facts, Need
from kintsugi.model.verdict import Verdict
from kintsugi.policy.names import Names
from kintsugi.policy.quotas import SECONDS, Period, Scope, counter_key, estimated_tokens
from kintsugi.policy.rule import ActionOptions, Observation, OptionNote, Rule, RuleKind
from kintsugi.policy.tool_calls import ToolCall, calls_in, latest_results

_EXCEEDED = "tool_budget.exceeded"
_MILLION = 1_000_000


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one tool may use up; what is left out is not limited.

    Attributes:
        max_tokens: of its arguments and results together.
        max_cost_usd: by ``cost_per_call_usd`` and ``cost_per_million_tokens_usd``.
        max_calls: how often.
    """

    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_cost_usd: Annotated[float, msgspec.Meta(gt=0)] | None = None
    max_calls: Annotated[int, msgspec.Meta(ge=1)] | None = None
    cost_per_call_usd: float = 0.0
    cost_per_million_tokens_usd: float = 0.0


class Options(ActionOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    budgets: by tool, ``*`` and ``?`` understood; the first that fits counts. Tools without one
        are not limited.
    per: who has a budget of their own.
    period: the last so much time.
    """

    budgets: dict[str, Budget] = msgspec.field(default_factory=dict)
    per: Scope = "session"
    period: Period = "session"


class _Use(NamedTuple):
    """What this exchange uses of one budget."""

    budget: Budget
    calls: list[ToolCall]
    tokens: int


class _Charge(NamedTuple):
    what: str
    need: CounterNeed
    calls: list[ToolCall]


class BudgetRule(Rule):
    """Charges the calls of an answer, and the results that its request brought."""

    judges = True

    def __init__(self, options: Options) -> None:
        self._options = options
        self._budgets = [(glob, Names((glob,)), b) for glob, b in options.budgets.items()]

    def needs(self, exchange: ExchangeView, facts: Facts) -> Sequence[Need]:
        """See ``Rule``."""
        return [charge.need for charge in self._charges(exchange, facts)]

    def judge(self, exchange: ExchangeView, facts: Facts) -> Sequence[Observation]:
        """See ``Rule``."""
        return [
            Observation(
                rule=f"{charge.what}_per_tool",
                reason_code=_EXCEEDED,
                path=call.path,
                detail=f"{charge.need.limit:g} {charge.what} in a {self._options.period}",
            )
            for charge in self._charges(exchange, facts)
            if charge.calls and not facts.counters[charge.need.key].granted
            for call in charge.calls
        ]

    def _charges(self, exchange: ExchangeView, facts: Facts) -> Iterator[_Charge]:
        for glob, use in self._uses(exchange).items():
            budget = use.budget
            cost = (
                len(use.calls) * budget.cost_per_call_usd
                + use.tokens * budget.cost_per_million_tokens_usd / _MILLION
            )
            for what, amount, limit in (
                ("calls", float(len(use.calls)), budget.max_calls),
                ("tokens", float(use.tokens), budget.max_tokens),
                ("usd", cost, budget.max_cost_usd),
            ):
                if limit is not None:
                    key = counter_key(
                        "tool-budget", self._options.per, facts.identity, exchange.model, glob, what
                    )
                    seconds = SECONDS[self._options.period]
                    need = CounterNeed(key=key, amount=amount, limit=limit, window_seconds=seconds)
                    yield _Charge(what, need, use.calls)

    def _uses(self, exchange: ExchangeView) -> dict[str, _Use]:
        calls = calls_in(exchange.parts)
        if not calls:
            return {}
        results: list[tuple[str, Part]] = latest_results(exchange.request)
        uses: dict[str, _Use] = {}
        for glob, names, budget in self._budgets:
            own = [call for call in calls if call.name in names]
            said = [part.text for name, part in results if name in names]
            if own or said:
                tokens = estimated_tokens([*(call.text for call in own), *said])
                uses[glob] = _Use(budget, own, tokens)
                # The first budget that fits counts: what it has is nobody else's.
                taken = {id(call) for call in own}
                calls = [call for call in calls if id(call) not in taken]
                results = [(name, part) for name, part in results if name not in names]
        return uses


def _notes(options: Options) -> Sequence[OptionNote]:
    return [
        OptionNote(
            f"budgets.{tool}.max_cost_usd",
            "has no effect without a price",
            "add cost_per_call_usd, or cost_per_million_tokens_usd",
        )
        for tool, budget in options.budgets.items()
        if budget.max_cost_usd is not None
        and not budget.cost_per_call_usd
        and not budget.cost_per_million_tokens_usd
    ]


def build(options: Options, phase: Phase) -> Rule:  # noqa: ARG001
    """The rule for the tool phase."""
    return BudgetRule(options)


KIND = RuleKind(
    name="tool-budget",
    title="Tool budget",
    options=Options,
    phases=(Phase.TOOL,),
    default_action=Verdict.BLOCK,
    actions=(Verdict.ALLOW, Verdict.FLAG, Verdict.ESCALATE, Verdict.BLOCK),
    reasons=(_EXCEEDED,),
    detector_version=1,
    message="The budget of a tool is used up.",
    method="Counters that the gateway's workers share, for each tool with a budget.",
    cost="Up to three counters for each tool that an answer calls.",
    limits=(
        "Tokens are estimated from the length.",
        "Results count when the tool calls that follow them are judged.",
        "What a tool costs is what the options say.",
    ),
    build=build,
    notes=_notes,
)
