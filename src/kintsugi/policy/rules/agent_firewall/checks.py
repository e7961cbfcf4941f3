"""What the checks of agent-firewall have in common: one answer's calls, and what comes of them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from kintsugi.model.content import ExchangeView
from kintsugi.model.facts import CounterNeed, Facts
from kintsugi.model.verdict import Verdict
from kintsugi.policy.rule import Observation
from kintsugi.policy.tool_calls import Step, ToolCall, calls_in, history

TOOL_DENIED = "agent_firewall.tool_denied"
UNREADABLE = "agent_firewall.arguments_unreadable"
BINDING = "agent_firewall.binding_violated"
REPEATED = "agent_firewall.repeated_call"
LIMIT = "agent_firewall.limit_reached"
LIMIT_NEAR = "agent_firewall.limit_near"
TRANSACTION = "agent_firewall.transaction_limit"
APPROVAL = "agent_firewall.approval_required"
EGRESS = "agent_firewall.egress_denied"
HIJACK = "agent_firewall.hijack_suspected"
HALTED = "agent_firewall.halted"


class Turn:
    """The calls of one answer, with the conversation that they answer."""

    def __init__(self, exchange: ExchangeView, facts: Facts) -> None:
        self.exchange = exchange
        self.facts = facts
        self.calls: list[ToolCall] = calls_in(exchange.parts)

    @cached_property
    def steps(self) -> list[Step]:
        """The calls that came before, with their results."""
        return history(self.exchange.request)


class Check:
    """One subject."""

    def needs(self, turn: Turn) -> Iterable[CounterNeed]:  # noqa: ARG002
        """Counters to reserve on."""
        return ()

    def judge(self, turn: Turn) -> Iterable[Observation]:  # noqa: ARG002
        """What is wrong with the calls."""
        return ()


def about(
    call: ToolCall, rule: str, reason_code: str, detail: str = "", verdict: Verdict | None = None
) -> Observation:
    """An observation about one call."""
    return Observation(
        rule=rule, reason_code=reason_code, path=call.path, detail=detail, verdict=verdict
    )
