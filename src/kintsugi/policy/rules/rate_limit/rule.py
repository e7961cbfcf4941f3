"""Requests and tokens per caller and time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from kintsugi.model.content import ExchangeView
from kintsugi.model.decision import Phase
from kintsugi.model.facts import CounterNeed, Facts, Need
from kintsugi.model.verdict import Verdict
from kintsugi.policy.names import Names
from kintsugi.policy.quotas import Scope, counter_key, input_tokens
from kintsugi.policy.rule import ActionOptions, Observation, OptionInvalid, Rule, RuleKind

_EXCEEDED = "rate_limit.exceeded"


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So much in so much time, for each of those whom ``per`` tells apart.

    Attributes:
        requests, tokens: at most so many in the window; 0 for no limit.
        models: which models count.
    """

    per: Scope = "global"
    requests: int = 0
    tokens: int = 0
    window_seconds: int = 60
    models: tuple[str, ...] = ("*",)


class PerMinute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests and tokens per minute; 0 for no limit."""

    rpm: int = 0
    tpm: int = 0


class Options(ActionOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    limits: all of them must hold.
    per_key, per_user, per_team, everybody: the same for a minute, in short.
    output_tokens_default: what an answer is taken to need where the request sets no bound.
    """

    limits: tuple[Limit, ...] = ()
    per_key: PerMinute | None = None
    per_user: PerMinute | None = None
    per_team: PerMinute | None = None
    everybody: PerMinute | None = msgspec.field(name="global", default=None)
    output_tokens_default: int = 1024


class _Counted(NamedTuple):
    limit: Limit
    models: Names
    what: str
    allowed: int


class RateRule(Rule):
    """Reserves one request and its estimated tokens; blocks where one did not fit."""

    judges = True

    def __init__(self, limits: Sequence[Limit], output_tokens_default: int) -> None:
        self._output_tokens = output_tokens_default
        self._counted = [
            _Counted(limit, Names(limit.models), what, allowed)
            for limit in limits
            for what, allowed in (("requests", limit.requests), ("tokens", limit.tokens))
            if allowed
        ]

    def needs(self, exchange: ExchangeView, facts: Facts) -> Sequence[Need]:
        """See ``Rule``."""
        return [need for _, need in self._reservations(exchange, facts)]

    def judge(self, exchange: ExchangeView, facts: Facts) -> Sequence[Observation]:
        """See ``Rule``."""
        seen: list[Observation] = []
        for counted, need in self._reservations(exchange, facts):
            counter = facts.counters[need.key]
            if not counter.granted:
                limit = counted.limit
                detail = f"{counted.allowed} {counted.what} in {limit.window_seconds} s"
                seen.append(
                    Observation(
                        rule=f"{counted.what}_per_{limit.per}",
                        reason_code=_EXCEEDED,
                        detail=detail,
                        retry_after_seconds=counter.retry_after_seconds,
                    )
                )
        return seen

    def settle(self, exchange: ExchangeView, facts: Facts) -> Mapping[str, float]:
        """See ``Rule``."""
        used = exchange.input_tokens + exchange.output_tokens
        if not used:
            return {}
        return {
            need.key: float(used)
            for counted, need in self._reservations(exchange, facts)
            if counted.what == "tokens"
        }

    def _reservations(
        self, exchange: ExchangeView, facts: Facts
    ) -> Iterator[tuple[_Counted, CounterNeed]]:
        tokens = 0
        for counted in self._counted:
            if exchange.model not in counted.models:
                continue
            limit = counted.limit
            is_tokens = counted.what == "tokens"
            if is_tokens and not tokens:
                answer = exchange.output_tokens_max or self._output_tokens
                tokens = input_tokens(exchange.parts) + answer
            # Limits that differ count apart, also where they count the same.
            terms = f"{counted.allowed}-{limit.window_seconds}-{','.join(limit.models)}"
            yield (
                counted,
                CounterNeed(
                    key=counter_key(
                        "rate-limit", limit.per, facts.identity, exchange.model, counted.what, terms
                    ),
                    amount=tokens if is_tokens else 1,
                    limit=counted.allowed,
                    window_seconds=limit.window_seconds,
                    keeps=not is_tokens,
                ),
            )


def build(options: Options, phase: Phase) -> Rule:  # noqa: ARG001
    """The rule for the input phase.

    Raises:
        OptionInvalid: a limit limits nothing, or has no time.
    """
    limits = list(options.limits)
    for at, limit in enumerate(limits):
        if limit.requests <= 0 and limit.tokens <= 0:
            raise OptionInvalid(
                f"limits.{at}", "this limits nothing", "add requests: N, or tokens: N"
            )
        if limit.window_seconds <= 0:
            raise OptionInvalid(
                f"limits.{at}.window_seconds", "a window needs at least a second", "use 60"
            )
    short: tuple[tuple[Scope, PerMinute | None], ...] = (
        ("key", options.per_key),
        ("user", options.per_user),
        ("team", options.per_team),
        ("global", options.everybody),
    )
    limits += [
        Limit(per=scope, requests=minute.rpm, tokens=minute.tpm)
        for scope, minute in short
        if minute is not None
    ]
    return RateRule(limits, options.output_tokens_default)


KIND = RuleKind(
    name="rate-limit",
    title="Rate limit",
    options=Options,
    phases=(Phase.INPUT,),
    default_action=Verdict.BLOCK,
    actions=(Verdict.ALLOW, Verdict.FLAG, Verdict.BLOCK),
    reasons=(_EXCEEDED,),
    detector_version=1,
    message="Too many requests; try again later.",
    method="Counters that the gateway's workers share; tokens are reserved, then settled.",
    cost="One counter for each limit and request.",
    limits=(
        "Callers who do not say who they are share one counter.",
        "Tokens are estimated from the length until upstream tells them.",
    ),
    build=build,
)
