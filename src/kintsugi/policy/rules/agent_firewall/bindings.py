"""Arguments that must be what the session is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kintsugi.policy.names import Names
from kintsugi.policy.roles import claim_name
from kintsugi.policy.rule import Observation, OptionInvalid
from kintsugi.policy.rules.agent_firewall.checks import BINDING, UNREADABLE, Check, Turn, about
from kintsugi.policy.rules.agent_firewall.options import Binding
from kintsugi.policy.tool_calls import ToolCall, same_name, values_of


class _Bound(NamedTuple):
    binding: Binding
    argument: str
    tools: Names
    claim: str


class EntityBinding(Check):
    """Compares arguments with claims, identity, or their first use.

    Raises:
        OptionInvalid: a binding says no, or more than one, thing to compare with.
    """

    def __init__(self, bindings: Sequence[Binding]) -> None:
        self._bound: list[_Bound] = []
        for at, one in enumerate(bindings):
            path = f"bindings.{at}"
            ways = sum((bool(one.claim), bool(one.identity), one.first_use))
            if ways != 1:
                raise OptionInvalid(
                    path,
                    f"{ways} things to compare with; one is needed",
                    "add claim: X-Account-ID, or identity: user_id, or first_use: true",
                )
            if not same_name(one.argument):
                raise OptionInvalid(f"{path}.argument", "it is empty", "write argument: account_id")
            claim = claim_name(one.claim, f"{path}.claim") if one.claim else ""
            self._bound.append(_Bound(one, same_name(one.argument), Names(one.tools), claim))
        self.claim_names = tuple(bound.claim for bound in self._bound if bound.claim)

    def judge(self, turn: Turn) -> Iterator[Observation]:
        """See ``Check``."""
        for bound in self._bound:
            wanted = self._wanted(bound, turn)
            for call in turn.calls:
                if call.name not in bound.tools:
                    continue
                if call.problem:
                    yield about(call, "binding", UNREADABLE, call.problem)
                    continue
                values = _values(call, bound.argument)
                if not values:
                    if bound.binding.required:
                        yield about(call, "missing_argument", BINDING, bound.binding.argument)
                    continue
                if wanted is None and bound.binding.first_use:
                    wanted = values[0]  # what comes first, nothing else
                if any(value != wanted for value in values):
                    rule = "binding" if wanted else "missing_claim"
                    yield about(call, rule, BINDING, bound.binding.argument)

    def _wanted(self, bound: _Bound, turn: Turn) -> str | None:
        """What the argument must be; empty where nobody said, which no value equals; None where
        its first use is still to come."""
        if bound.claim:
            return turn.facts.claims.get(bound.claim, "").strip()
        if bound.binding.identity:
            return str(getattr(turn.facts.identity, bound.binding.identity))
        for step in turn.steps:
            if step.call.name in bound.tools and (values := _values(step.call, bound.argument)):
                return values[0]
        return None


def _values(call: ToolCall, argument: str) -> list[str]:
    """Every value that stands under a name, as text: 7 and "7" are one account."""
    return [
        # What is no single value equals nothing; nor does the empty text, or a claim that is
        # missing would admit it.
        "\0" if isinstance(value, dict) else str(value).strip() or "\0"
        for value in values_of(call.arguments, frozenset((argument,)))
        if value is not None
    ]
