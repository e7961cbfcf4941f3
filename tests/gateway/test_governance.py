"""Rules about tools, money and rates, in whole exchanges."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kintsugi.gateway import commands as c
from kintsugi.gateway import events as e
from kintsugi.model.event import ExchangeStatus
from kintsugi.model.facts import Counter
from kintsugi.model.verdict import Verdict
from tests.gateway.playbook import Playbook, chat, completion, error_of, in_force, kinds_of

LIMITS = "rate-limit: {global: {rpm: 2}}"
PRICES = '{"*": {input_per_million: 1, output_per_million: 1}}'
SPEND = f"spend-limit: {{limits: [{{usd: 1}}], prices: {PRICES}}}"
TOOLS = "agent-firewall: {blocked_tools: [wire_*], max_actions_per_session: 5}"


def gathered(play: Playbook, *, granted: bool, wait: float = 0.0) -> list[c.Command]:
    """Answer the last wish: every counter says the same."""
    wish = play.only(c.Gather)
    told = Counter(used=1, granted=granted, retry_after_seconds=wait)
    counters = {need.key: told for need in wish.counters}
    return play.step(e.Gathered(play.tick(), counters, reservation=7))


def call_of(name: str, arguments: str = "{}") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": "call_1", "type": "function", "function": function}


@pytest.mark.parametrize(
    ("policy", "wait", "code", "headers"),
    [
        (LIMITS, 11.2, "rate_limited", {b"retry-after": b"12"}),
        (LIMITS, 0.0, "rate_limited", {b"x-should-retry": b"false"}),
        (
            SPEND,
            7200.0,
            "budget_exceeded",
            {b"retry-after": b"7200", b"x-should-retry": b"false"},
        ),
    ],
)
def test_a_limit_that_is_reached_is_429_and_says_when_to_come_back(
    policy: str, wait: float, code: str, headers: dict[bytes, bytes]
) -> None:
    play = Playbook(in_force(policy))
    play.request()
    gathered(play, granted=False, wait=wait)
    play.recorded()
    answer = play.only(c.Answer)
    assert answer.status == 429
    assert (error_of(answer)["type"], error_of(answer)["code"]) == ("rate_limit", code)
    told = {
        name: value for name, value in answer.headers if name in (b"retry-after", b"x-should-retry")
    }
    assert told == headers
    assert (play.event.status, play.event.http_status) == (ExchangeStatus.BLOCKED, 429)


def test_what_was_reserved_is_settled_with_what_was_used() -> None:
    play = Playbook(in_force(SPEND))
    play.request(chat("hello"))
    assert "CallUpstream" in kinds_of(gathered(play, granted=True))
    usage = {"prompt_tokens": 100, "completion_tokens": 900, "total_tokens": 1000}
    play.exchange_of(completion("hi", usage=usage))
    (settle,) = play.all(c.Settle)
    assert settle.used is not None
    assert list(settle.used.values()) == [pytest.approx(0.001)]


def test_a_forbidden_tool_call_is_stopped_in_the_answer() -> None:
    play = Playbook(in_force(TOOLS))
    play.request(chat("hello"))
    play.admitted()
    play.head()
    said = {"role": "assistant", "content": None, "tool_calls": [call_of("wire_money")]}
    play.data(completion(choices=[said]))
    play.end()
    gathered(play, granted=True)
    play.recorded()
    answer = play.only(c.Answer)
    assert answer.status == 409
    assert error_of(answer)["code"] == "tool_blocked"
    assert error_of(answer)["reason_code"] == "agent_firewall.tool_denied"
    assert play.event.verdict is Verdict.BLOCK


def test_a_forbidden_tool_is_not_offered_to_the_model() -> None:
    play = Playbook(in_force(TOOLS))
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
        for name in ("look_up", "wire_money")
    ]
    play.request(chat("hello", tools=tools))
    sent = json.loads(play.only(c.CallUpstream).body)
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["look_up"]
