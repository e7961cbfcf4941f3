"""Rules about tools, limits and people on MCP exchanges."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from kintsugi.gateway import commands as c
from kintsugi.gateway import events as e
from kintsugi.gateway.in_force import InForce
from kintsugi.model.event import ExchangeStatus, Quarantine, UsedApproval
from kintsugi.model.facts import Counter
from kintsugi.model.oversight import Resolution
from kintsugi.model.verdict import Verdict
from tests.gateway.mcp_playbook import McpPlaybook, asking, call, mcp_in_force, result, said
from tests.gateway.playbook import NOW

BUDGET = 'tool-budget: {budgets: {"*": {max_calls: 2}}}'
LIMITS = "rate-limit: {global: {rpm: 2}}"
FIREWALL = "agent-firewall: {blocked_tools: ['wire_*']}"
CUSTOM = (
    "agent-firewall: {action: %s, blocked_tools: ['wire_*'], quarantine: user, "
    "escalation: {hold_seconds: %d}}"
)
ADA: e.Headers = [(b"x-user-id", b"ada")]


def gathered(book: McpPlaybook, *, granted: bool) -> list[c.Command]:
    """Answer the last wish: every counter says the same."""
    wish = book.sent(c.Gather)[-1]
    counters = {need.key: Counter(used=1, granted=granted) for need in wish.counters}
    return book.step(e.Gathered(book.tick(), counters, reservation=7))


@pytest.mark.parametrize("policy", [BUDGET, LIMITS])
def test_what_is_counted_is_counted_before_the_server_hears_of_a_call(policy: str) -> None:
    book = McpPlaybook(mcp_in_force(policy))
    first = book.request(call(), headers=ADA)
    assert [type(command) for command in first] == [c.Admit, c.Gather]
    assert book.sent(c.Gather)[0].counters
    assert [type(command) for command in gathered(book, granted=True)] == [c.CallUpstream]
    book.answered(said("ok"))
    (settle,) = book.sent(c.Settle)
    assert settle.reservation == 7
    assert settle.used is not None
    assert book.record.facts is not None
    assert book.record.facts.counters


@pytest.mark.parametrize("policy", [BUDGET, LIMITS])
def test_a_budget_that_is_used_up_stops_the_call_and_gives_the_reservation_back(
    policy: str,
) -> None:
    book = McpPlaybook(mcp_in_force(policy))
    book.request(call(), headers=ADA)
    gathered(book, granted=False)
    book.durable()
    assert not book.sent(c.CallUpstream)
    assert book.document["result"]["isError"] is True
    assert book.sent(c.Settle)[0].used is None


def test_small_talk_is_not_counted() -> None:
    book = McpPlaybook(mcp_in_force(LIMITS))
    book.request(asking("ping"))
    assert not book.sent(c.Gather)
    assert book.sent(c.CallUpstream)


def test_lists_of_tools_are_cut_by_every_policy_that_names_tools() -> None:
    book = McpPlaybook(mcp_in_force(FIREWALL, LIMITS))
    book.request(asking("tools/list"))
    gathered(book, granted=True)
    tools = [{"name": name, "inputSchema": {"type": "object"}} for name in ("read", "wire_money")]
    book.answered(result(tools=tools))
    assert [tool["name"] for tool in book.document["result"]["tools"]] == ["read"]
    book = McpPlaybook(mcp_in_force(FIREWALL))
    book.request(call("wire_money"))
    assert book.record.reason_code == "agent_firewall.tool_denied"


def test_arguments_must_fit_the_schema_that_the_operator_gave() -> None:
    schemas = (
        "tool-validation: {schemas: {pay: {type: object, required: [amount], "
        "properties: {amount: {type: number}}}}, allow_undeclared: true}"
    )
    for arguments, stopped in (({"amount": 5}, False), ({"amount": "5"}, True), ({}, True)):
        book = McpPlaybook(mcp_in_force(schemas))
        book.request(call("pay", **arguments))
        assert bool(book.sent(c.CallUpstream)) is not stopped
    book = McpPlaybook(mcp_in_force("tool-validation: {}"))
    book.request(call("whatever_the_server_has", a=1))
    assert book.sent(c.CallUpstream)


# People


def with_approval(configuration: InForce, digest: str, *, revision: str = "") -> InForce:
    approved = Resolution(
        escalation_id="esc-1",
        approved=True,
        action_digest=digest,
        revision=revision or configuration.plan.revision,
        expires_at=NOW + timedelta(hours=1),
    )
    configuration.oversight.replace_resolutions([approved])
    return configuration


def escalated(number: int = 1, **more: Any) -> McpPlaybook:
    book = McpPlaybook(mcp_in_force(CUSTOM % ("escalate", 0)))
    book.request(call("wire_money", number, amount=5, **more), headers=ADA)
    return book


def test_an_escalated_call_is_answered_with_what_to_ask_for() -> None:
    book = escalated()
    book.durable()
    told = book.document["result"]["_meta"]["kintsugi/policy_violation"]
    assert told["code"] == "escalation_required"
    assert told["escalation_id"] == book.record.id
    assert book.record.escalation is not None
    assert book.record.verdict is Verdict.ESCALATE


def test_an_approval_is_for_the_same_call_whatever_the_messages_id_and_for_no_other() -> None:
    asked = escalated(1).record.escalation
    assert asked is not None
    for number, amount, approved in ((2, 5, True), (2, 6, False)):
        configuration = mcp_in_force(CUSTOM % ("escalate", 0))
        book = McpPlaybook(with_approval(configuration, asked.action_digest))
        book.request(call("wire_money", number, amount=amount), headers=ADA)
        assert bool(book.sent(c.Redeem)) is approved
    configuration = with_approval(mcp_in_force(CUSTOM % ("escalate", 0)), asked.action_digest)
    book = McpPlaybook(configuration)
    book.request(call("wire_money", 2, amount=5), headers=[(b"x-user-id", b"eve")])
    assert not book.sent(c.Redeem)


def test_an_approved_call_goes_on_once() -> None:
    asked = escalated().record.escalation
    assert asked is not None
    book = McpPlaybook(with_approval(mcp_in_force(CUSTOM % ("escalate", 0)), asked.action_digest))
    book.request(call("wire_money", 2, amount=5), headers=ADA)
    commands = book.step(e.Redeemed(book.tick(), UsedApproval("esc-1", "bob")))
    assert [type(command) for command in commands] == [c.CallUpstream]
    book.answered(said("wired"))
    assert book.record.approval is not None
    assert book.record.status is ExchangeStatus.ANSWERED


def test_a_call_may_be_held_for_a_reviewer() -> None:
    for approved in (True, False):
        book = McpPlaybook(mcp_in_force(CUSTOM % ("escalate", 20)))
        book.request(call("wire_money"), headers=ADA)
        assert book.sent(c.Hold)[0].seconds == 20
        book.step(e.HoldOver(book.tick(), approved))
        if approved:
            book.step(e.Redeemed(book.tick(), UsedApproval("esc-1", "bob")))
        else:
            book.durable()
            told = book.document["result"]["_meta"]["kintsugi/policy_violation"]
            assert told["code"] == "escalation_rejected"
        assert bool(book.sent(c.CallUpstream)) is approved


def test_a_quarantine_freezes_and_what_is_frozen_is_not_even_read() -> None:
    book = McpPlaybook(mcp_in_force(CUSTOM % ("quarantine", 0)))
    book.request(call("wire_money"), headers=ADA)
    (freeze,) = book.sent(c.Freeze)
    assert (freeze.quarantine.scope, freeze.quarantine.subject) == ("user", "ada")
    configuration = mcp_in_force()
    configuration.oversight.freeze(Quarantine("e-1", "user", "ada"))
    for method in (b"POST", b"GET", b"DELETE"):
        book = McpPlaybook(configuration)
        book.request(b"{", headers=ADA, method=method)
        book.durable()
        assert book.answer.status == 409
        assert json.loads(book.answer.body)["error"]["data"]["code"] == "contained"
        assert book.record.reason_code == "quarantine.in_force"
