"""How often, and how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kintsugi.model.facts import CounterNeed
from kintsugi.model.verdict import Verdict
from kintsugi.policy.amounts import Amounts, AmountUnreadable
from kintsugi.policy.names import Names
from kintsugi.policy.quotas import Scope, counter_key
from kintsugi.policy.rule import Observation
from kintsugi.policy.rules.agent_firewall.checks import (
    APPROVAL,
    LIMIT,
    LIMIT_NEAR,
    TRANSACTION,
    Check,
    Turn,
    about,
)
from kintsugi.policy.rules.agent_firewall.options import Options, TransactionLimits
from kintsugi.policy.tool_calls import ToolCall

_MINUTE = 60
_DAY = 86_400


class _Limit(NamedTuple):
    """At most so many calls of some tools.

    Attributes:
        tools: whose calls count together; ``*`` each for itself where ``each``.
    """

    rule: str
    tools: Names
    most: int
    window_seconds: int
    each: bool = False


class CallLimit(Check):
    """Calls per minute and per session."""

    def __init__(self, options: Options) -> None:
        everything = Names(("*",))
        named = tuple(tool for tool in options.rate_limits if tool != "default")
        self._limits: list[_Limit] = []
        sessions = (options.max_actions_per_session, options.rate_limit.max_calls_per_session)
        if most := min((n for n in sessions if n is not None), default=0):
            self._limits.append(_Limit("calls_per_session", everything, most, 0))
        if most := options.rate_limit.max_calls_per_minute or 0:
            self._limits.append(_Limit("calls_per_minute", everything, most, _MINUTE))
        for tool in named:
            most = options.rate_limits[tool]
            self._limits.append(_Limit(f"{tool}_per_minute", Names((tool,)), most, _MINUTE))
        self._default = options.rate_limits.get("default", 0)
        self._named = Names(named)
        self._near = options.monitoring.alert_threshold_percent / 100

    def needs(self, turn: Turn) -> Iterator[CounterNeed]:
        """See ``Check``."""
        return (need for _, need, _ in self._reservations(turn))

    def judge(self, turn: Turn) -> Iterator[Observation]:
        """See ``Check``."""
        for rule, need, calls in self._reservations(turn):
            counter = turn.facts.counters[need.key]
            window = f"in {need.window_seconds} s" if need.window_seconds else "in a session"
            if not counter.granted:
                yield from (about(c, rule, LIMIT, f"{need.limit:g} calls {window}") for c in calls)
            elif self._near and counter.used + need.amount >= need.limit * self._near:
                detail = f"{counter.used + need.amount:g} of {need.limit:g} calls {window}"
                yield about(calls[0], rule, LIMIT_NEAR, detail, Verdict.FLAG)

    def _reservations(self, turn: Turn) -> Iterator[tuple[str, CounterNeed, list[ToolCall]]]:
        for limit in self._limits:
            calls = [call for call in turn.calls if call.name in limit.tools]
            if calls:
                yield (
                    limit.rule,
                    _need(turn, limit.rule, limit.most, limit.window_seconds, calls),
                    calls,
                )
        if self._default:
            rest: dict[str, list[ToolCall]] = {}
            for call in turn.calls:
                if call.name not in self._named:
                    rest.setdefault(call.name, []).append(call)
            for name, calls in rest.items():
                need = _need(turn, f"default/{name}", self._default, _MINUTE, calls)
                yield "tool_per_minute", need, calls


def _need(
    turn: Turn, what: str, most: int, window_seconds: int, calls: Sequence[ToolCall]
) -> CounterNeed:
    key = counter_key(
        "agent-firewall", "session", turn.facts.identity, turn.exchange.model, "calls", what
    )
    return CounterNeed(key=key, amount=len(calls), limit=most, window_seconds=window_seconds)


class TransactionLimit(Check):
    """Amounts: of one call, of a session, of a user's day; and what a person must approve."""

    def __init__(self, options: Options) -> None:
        self._limits: TransactionLimits = options.transaction_limits
        self._tools = Names(self._limits.tools)
        self._amounts = Amounts(self._limits.amount_arguments)
        sessions = (self._limits.max_session_total, options.transaction_limit.max_cost_per_session)
        session = min((n for n in sessions if n is not None), default=0.0)
        self._totals: list[tuple[str, Scope, float, int]] = []
        if session:
            self._totals.append(("session_total", "session", session, 0))
        if self._limits.max_daily_total:
            self._totals.append(("daily_total", "user", self._limits.max_daily_total, _DAY))

    def needs(self, turn: Turn) -> Iterator[CounterNeed]:
        """See ``Check``."""
        total = sum(amount for _, amount in self._read(turn) if amount is not None)
        if total:
            for rule, scope, most, seconds in self._totals:
                key = self._key(turn, rule, scope)
                yield CounterNeed(key=key, amount=total, limit=most, window_seconds=seconds)

    def judge(self, turn: Turn) -> Iterator[Observation]:
        """See ``Check``."""
        read = self._read(turn)
        for call, amount in read:
            yield from self._about(call, amount)
        if any(amount for _, amount in read):
            for rule, scope, most, _ in self._totals:
                if not turn.facts.counters[self._key(turn, rule, scope)].granted:
                    yield from (
                        about(call, rule, TRANSACTION, f"more than {most:g}")
                        for call, amount in read
                        if amount
                    )

    def _about(self, call: ToolCall, amount: float | None) -> Iterator[Observation]:
        most, approve = self._limits.max_single_transaction, self._limits.require_approval_above
        if amount is None:
            yield about(call, "amount_unreadable", TRANSACTION, "an amount is no number")
        elif most is not None and amount > most:
            yield about(call, "single_transaction", TRANSACTION, f"more than {most:g}")
        elif approve is not None and amount > approve:
            yield about(call, "amount", APPROVAL, f"more than {approve:g}", Verdict.ESCALATE)

    def _read(self, turn: Turn) -> list[tuple[ToolCall, float | None]]:
        """The calls that have an amount; None for one that cannot be read."""
        found: list[tuple[ToolCall, float | None]] = []
        for call in turn.calls:
            if call.name in self._tools:
                try:
                    total = self._amounts.total(call)
                except AmountUnreadable:
                    found.append((call, None))
                    continue
                if total is not None:
                    found.append((call, total))
        return found

    def _key(self, turn: Turn, rule: str, scope: Scope) -> str:
        who = turn.facts.identity
        return counter_key("agent-firewall", scope, who, turn.exchange.model, "amount", rule)

    @property
    def limits_anything(self) -> bool:
        """Whether any limit is set; without one, amounts are not read."""
        limits = self._limits
        return bool(self._totals) or not (
            limits.max_single_transaction is None and limits.require_approval_above is None
        )
