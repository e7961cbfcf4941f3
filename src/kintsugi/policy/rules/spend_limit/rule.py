"""Money per caller and time, by a table of prices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from kintsugi.model.content import ExchangeView
from kintsugi.model.decision import Phase
from kintsugi.model.facts import CounterNeed, Facts, Need
from kintsugi.model.verdict import Verdict
from kintsugi.policy.names import Names
from kintsugi.policy.quotas import SECONDS, Period, Scope, counter_key, input_tokens
from kintsugi.policy.rule import ActionOptions, Observation, OptionInvalid, Rule, RuleKind

_EXCEEDED = "spend_limit.exceeded"
_NEAR = "spend_limit.near"
_UNKNOWN = "spend_limit.price_unknown"
_MILLION = 1_000_000


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars for a million tokens."""

    input_per_million: float
    output_per_million: float


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many US dollars in a period, for each of those whom ``per`` tells apart.

    Attributes:
        period: the last so much time, not the calendar's: ``month`` is 30 days.
    """

    usd: float
    per: Scope = "global"
    period: Period = "day"


class Options(ActionOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    limits: all of them must hold.
    prices: by model, ``*`` and ``?`` understood; the first that fits counts.
    unknown_model: what to do about a model without a price: ``block`` it or ``allow`` it, free.
    output_tokens_default: what an answer is taken to need where the request sets no bound.
    warn_at_percent: flag from so much of a limit on; 0 never does.
    """

    limits: tuple[Limit, ...] = ()
    prices: dict[str, Price] = msgspec.field(default_factory=dict)
    unknown_model: Literal["block", "allow"] = "block"
    output_tokens_default: int = 1024
    warn_at_percent: float = 0.0


class SpendRule(Rule):
    """Reserves what the exchange may cost at most; settles what it did cost."""

    judges = True

    def __init__(self, options: Options) -> None:
        self._options = options
        self._prices = [(Names((glob,)), price) for glob, price in options.prices.items()]

    def needs(self, exchange: ExchangeView, facts: Facts) -> Sequence[Need]:
        """See ``Rule``."""
        price = self._price(exchange.model)
        if price is None:
            return ()
        tokens = exchange.output_tokens_max or self._options.output_tokens_default
        cost = _cost(price, input_tokens(exchange.parts), tokens)
        return [
            CounterNeed(
                key=key,
                amount=cost,
                limit=limit.usd,
                window_seconds=SECONDS[limit.period],
            )
            for limit, key in self._keys(exchange, facts)
        ]

    def judge(self, exchange: ExchangeView, facts: Facts) -> Sequence[Observation]:
        """See ``Rule``."""
        if self._price(exchange.model) is None:
            if self._options.unknown_model == "allow":
                return ()
            detail = "the model has no price"
            return [Observation(rule="price", reason_code=_UNKNOWN, detail=detail)]
        seen: list[Observation] = []
        warn_at = self._options.warn_at_percent / 100
        for limit, key in self._keys(exchange, facts):
            counter = facts.counters[key]
            name = f"usd_per_{limit.per}"
            detail = f"{limit.usd:g} USD in a {limit.period}"
            if not counter.granted:
                seen.append(
                    Observation(
                        rule=name,
                        reason_code=_EXCEEDED,
                        detail=detail,
                        retry_after_seconds=counter.retry_after_seconds,
                    )
                )
            elif warn_at and counter.used >= limit.usd * warn_at:
                detail = f"{counter.used / limit.usd:.0%} of {detail}"
                seen.append(
                    Observation(rule=name, reason_code=_NEAR, detail=detail, verdict=Verdict.FLAG)
                )
        return seen

    def settle(self, exchange: ExchangeView, facts: Facts) -> Mapping[str, float]:
        """See ``Rule``."""
        price = self._price(exchange.model)
        if price is None or not exchange.input_tokens + exchange.output_tokens:
            return {}
        cost = _cost(price, exchange.input_tokens, exchange.output_tokens)
        return {key: cost for _, key in self._keys(exchange, facts)}

    def _price(self, model: str) -> Price | None:
        return next((price for names, price in self._prices if model in names), None)

    def _keys(self, exchange: ExchangeView, facts: Facts) -> Iterator[tuple[Limit, str]]:
        for limit in self._options.limits:
            yield (
                limit,
                counter_key(
                    "spend-limit",
                    limit.per,
                    facts.identity,
                    exchange.model,
                    f"{limit.usd:g}",
                    limit.period,
                ),
            )


def _cost(price: Price, sent: int, received: int) -> float:
    return (sent * price.input_per_million + received * price.output_per_million) / _MILLION


def build(options: Options, phase: Phase) -> Rule:  # noqa: ARG001
    """The rule for the input phase.

    Raises:
        OptionInvalid: a limit or a price that is no amount of money.
    """
    for at, limit in enumerate(options.limits):
        if not 0 < limit.usd < float("inf"):
            raise OptionInvalid(f"limits.{at}.usd", "a limit must be more than 0", "use 25.0")
    for model, price in options.prices.items():
        if not min(price.input_per_million, price.output_per_million) >= 0:
            raise OptionInvalid(f"prices.{model}", "a price cannot be negative", "use 0 or more")
    if options.limits and not options.prices and options.unknown_model == "block":
        raise OptionInvalid(
            "prices",
            "no model has a price, so every request would be blocked",
            'add prices: {"*": {input_per_million: 3.0, output_per_million: 15.0}}',
        )
    return SpendRule(options)


KIND = RuleKind(
    name="spend-limit",
    title="Spend limit",
    options=Options,
    phases=(Phase.INPUT,),
    default_action=Verdict.BLOCK,
    actions=(Verdict.ALLOW, Verdict.FLAG, Verdict.ESCALATE, Verdict.BLOCK),
    reasons=(_EXCEEDED, _NEAR, _UNKNOWN),
    detector_version=1,
    message="The spending limit is reached.",
    method="A price table; the most that an exchange may cost is reserved, then settled.",
    cost="One counter for each limit and request.",
    limits=(
        "Prices are the operator's; discounts and cached tokens are not known.",
        "Without a bound on the answer, output_tokens_default stands in for it.",
    ),
    build=build,
)
