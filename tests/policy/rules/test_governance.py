"""Rules about tools, roles, money and routes: what they ask for, settle, bind to and refuse."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kintsugi.errors import ConfigurationInvalid
from kintsugi.model.config import Config, DataPolicy, GatewayKey, Target
from kintsugi.model.content import ExchangeView, Identity, Part
from kintsugi.model.decision import Decision, Phase
from kintsugi.model.facts import Counter, CounterNeed, Facts
from kintsugi.model.transform import Escalation, Transform
from kintsugi.model.verdict import Verdict
from kintsugi.policy.decide import decide, needs, settlements
from kintsugi.policy.plan import Plan, compile_plan, revision
from kintsugi.policy.rules import KINDS
from kintsugi.policy.rules.agent_firewall.repeats import cycle_length
from tests.policy.configs import FACTS, config_of, findings, user

ADA = msgspec.structs.replace(FACTS, identity=Identity(user_id="ada", session_id="s"))


def call(name: str, arguments: str = "{}", index: int = 0) -> Part:
    path = f"/choices/0/message/tool_calls/{index}/function/arguments"
    return Part("assistant", "tool_call", arguments, path, 0, name)


def answer(*calls: Part, request: list[Part] | None = None) -> ExchangeView:
    return ExchangeView(list(calls), request or [], model="small-1")


def plan(kind: str, **options: Any) -> Plan:
    return compile_plan(config_of({kind: options}))


def asked(found: Plan, phase: Phase, view: ExchangeView, facts: Facts = ADA) -> list[CounterNeed]:
    wanted = needs(found, phase, view, facts)
    return [need for need in wanted if isinstance(need, CounterNeed)]


def judged(
    found: Plan, phase: Phase, view: ExchangeView, facts: Facts = ADA, *, granted: bool = True
) -> Decision:
    """The decision when every counter says the same."""
    counters = {need.key: Counter(0, granted) for need in asked(found, phase, view, facts)}
    return decide(found, phase, view, msgspec.structs.replace(facts, counters=counters))


def rules(decision: Decision) -> list[str]:
    return [finding.rule for finding in findings(decision)]


PRICES = {"*": {"input_per_million": 1, "output_per_million": 1}}
ANYTHING = answer(call("a"))


@pytest.mark.parametrize(
    ("kind", "phase", "options"),
    [
        ("rate-limit", Phase.INPUT, {"per_user": {"rpm": 1, "tpm": 9}, "global": {"rpm": 5}}),
        ("spend-limit", Phase.INPUT, {"limits": [{"usd": 1}], "prices": PRICES}),
        ("tool-budget", Phase.TOOL, {"budgets": {"*": {"max_tokens": 1, "max_calls": 2}}}),
        (
            "agent-firewall",
            Phase.TOOL,
            {
                "max_actions_per_session": 3,
                "rate_limits": {"default": 2, "a": 1},
                "rate_limit": {"max_calls_per_minute": 4},
            },
        ),
        ("agent-firewall", Phase.TOOL, {"repeats": {"once_tools": ["a"]}}),
        ("agent-firewall", Phase.TOOL, {"repeats": {"max_identical_per_session": 2}}),
    ],
)
def test_what_cannot_be_reserved_is_refused_and_what_can_passes(
    kind: str, phase: Phase, options: dict[str, Any]
) -> None:
    made = plan(kind, **options)
    view = ANYTHING if phase is Phase.TOOL else ExchangeView(user("hello"), model="small-1")
    keys = [need.key for need in asked(made, phase, view)]
    assert keys
    assert len(keys) == len(set(keys))
    assert judged(made, phase, view).verdict is Verdict.ALLOW
    assert judged(made, phase, view, granted=False).verdict is Verdict.BLOCK
    unread = decide(made, phase, view, ADA)
    assert [one.why for one in unread.evaluations] == ["KeyError"]
    assert unread.verdict is Verdict.BLOCK


def test_a_request_reserves_what_it_may_need_and_settles_what_it_used() -> None:
    made = plan("rate-limit", per_user={"tpm": 5000, "rpm": 60}, output_tokens_default=100)
    view = ExchangeView(user("x" * 400), model="small-1")
    requests, tokens = asked(made, Phase.INPUT, view)
    assert (requests.amount, requests.limit, requests.window_seconds) == (1, 60, 60)
    assert (tokens.amount, tokens.keeps) == (200, False)
    bounded = msgspec.structs.replace(view, output_tokens_max=10)
    assert asked(made, Phase.INPUT, bounded)[1].amount == 110
    ended = msgspec.structs.replace(view, input_tokens=90, output_tokens=7)
    assert settlements(made, Phase.INPUT, ended, ADA) == {tokens.key: 97.0}
    assert settlements(made, Phase.INPUT, view, ADA) == {}


def test_money_is_reserved_at_its_most_and_settled_at_its_price() -> None:
    made = plan(
        "spend-limit",
        limits=[{"per": "user", "usd": 2, "period": "hour"}],
        prices={"small-*": {"input_per_million": 1, "output_per_million": 10}},
        output_tokens_default=1000,
    )
    view = ExchangeView(user("x" * 4000), model="small-1")
    (need,) = asked(made, Phase.INPUT, view)
    assert need.amount == pytest.approx(0.001 + 0.01)
    assert (need.limit, need.window_seconds) == (2, 3600)
    ended = msgspec.structs.replace(view, input_tokens=500, output_tokens=100)
    assert settlements(made, Phase.INPUT, ended, ADA)[need.key] == pytest.approx(0.0015)
    free = msgspec.structs.replace(view, model="other")
    assert asked(made, Phase.INPUT, free) == []
    assert rules(judged(made, Phase.INPUT, free)) == ["price"]


def test_callers_without_a_name_share_one_counter() -> None:
    made = plan("rate-limit", per_user={"rpm": 1})
    view = ExchangeView(user("hello"))
    assert asked(made, Phase.INPUT, view, FACTS) == asked(made, Phase.INPUT, view, FACTS)
    assert asked(made, Phase.INPUT, view, FACTS) != asked(made, Phase.INPUT, view, ADA)


def test_a_budget_is_charged_for_calls_and_fresh_results() -> None:
    made = plan("tool-budget", budgets={"look_*": {"max_tokens": 100}, "*": {"max_calls": 5}})
    request = [
        Part("assistant", "tool_call", "{}", "/messages/1/tool_calls/0", 0, "look_up"),
        Part("tool", "tool_result", "y" * 40, "/messages/2/content"),
    ]
    view = answer(call("look_up", '{"q":1}'), call("pay", "{}", 1), request=request)
    tokens, calls = asked(made, Phase.TOOL, view)
    assert (tokens.amount, tokens.limit) == (12, 100)
    assert (calls.amount, calls.limit) == (1, 5)


def test_a_cost_without_a_price_is_noted() -> None:
    kind = KINDS["tool-budget"]
    options = msgspec.convert({"budgets": {"a": {"max_cost_usd": 1}}}, kind.options)
    assert [note.path for note in kind.notes(options)] == ["budgets.a.max_cost_usd"]


def config(kind: str, options: dict[str, Any], **changes: Any) -> Config:
    made = config_of({kind: options})
    keys = changes.pop("keys", ())
    gateway = msgspec.structs.replace(made.gateway, keys=keys)
    return msgspec.structs.replace(made, gateway=gateway, **changes)


KEY = GatewayKey("bot", "00" * 32, role="ops")
TOOLS = {"roles": {"ops": {"allowed": ["deploy"]}, "guest": {"users": ["*"], "denied": ["*"]}}}


def test_the_role_of_a_key_counts_before_everything_else() -> None:
    made = compile_plan(config("agent-firewall", {"tools": TOOLS}, keys=(KEY,)))
    facts = msgspec.structs.replace(
        ADA, identity=Identity(user_id="ada", key_name="bot"), claims={"x-user-role": "guest"}
    )
    assert judged(made, Phase.TOOL, answer(call("deploy")), facts).verdict is Verdict.ALLOW
    assert judged(made, Phase.TOOL, answer(call("deploy"))).verdict is Verdict.BLOCK


def test_the_role_of_a_key_is_part_of_the_revision() -> None:
    one = config("agent-firewall", {"tools": TOOLS}, keys=(KEY,))
    other = config(
        "agent-firewall", {"tools": TOOLS}, keys=(GatewayKey("bot", "00" * 32, "guest"),)
    )
    assert revision(one) != revision(other)


@pytest.mark.parametrize(
    ("kind", "options", "path"),
    [
        ("agent-firewall", {"tools": {"roles": {"guest": {}}}}, "tools.roles"),
        ("rbac", {"roles": {"guest": {}}}, "roles"),
    ],
)
def test_a_key_with_a_role_that_nobody_knows_is_refused(
    kind: str, options: dict[str, Any], path: str
) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        compile_plan(config(kind, options, keys=(KEY,)))
    assert {one.path for one in caught.value.diagnostics} == {f"policy.{kind}.{path}"}


@pytest.mark.parametrize(
    ("kind", "options", "path"),
    [
        ("rbac", {"require_auth": True}, "require_auth"),
        ("rbac", {"deny_if_missing": ["Authorization"]}, "deny_if_missing.0"),
        ("rbac", {"roles": {"a": {}}, "default_role": "b"}, "default_role"),
        (
            "rbac",
            {"roles": {"a": {}}, "data_access": {"b": {"max_sensitivity": "public"}}},
            "data_access.b",
        ),
        ("rate-limit", {"limits": [{"per": "user"}]}, "limits.0"),
        (
            "rate-limit",
            {"limits": [{"requests": 1, "window_seconds": 0}]},
            "limits.0.window_seconds",
        ),
        ("spend-limit", {"limits": [{"usd": 0}], "prices": PRICES}, "limits.0.usd"),
        ("spend-limit", {"limits": [{"usd": 1}]}, "prices"),
        (
            "spend-limit",
            {"prices": {"a": {"input_per_million": -1, "output_per_million": 1}}},
            "prices.a",
        ),
        ("tool-validation", {"schemas": {"a": {"type": "colour"}}}, "schemas.a"),
        ("agent-firewall", {"bindings": [{"argument": "a"}]}, "bindings.0"),
        (
            "agent-firewall",
            {"bindings": [{"argument": "a", "claim": "Cookie"}]},
            "bindings.0.claim",
        ),
        (
            "agent-firewall",
            {"egress": {"allowed_hosts": ["*example.com"]}},
            "egress.allowed_hosts.0",
        ),
        ("agent-firewall", {"dangerous": {"allow": ["nothing"]}}, "dangerous.allow.0"),
        ("agent-firewall", {"action": "transform"}, "action"),
        ("human-oversight", {"require_human_for": ["finance"]}, "require_human_for.0"),
        ("data-routing-policy", {"rules": [{"found": ["no.such_code"]}]}, "rules.0.found.0"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_where_it_stands(
    kind: str, options: dict[str, Any], path: str
) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        plan(kind, **options)
    assert f"policy.{kind}.{path}" in {one.path for one in caught.value.diagnostics}


def test_only_the_forbidden_tools_are_taken_out_of_a_request() -> None:
    made = plan("agent-firewall", blocked_tools=["wire_*"])
    offered = [
        Part("system", "tool_definition", "", f"/tools/{at}/function", 0, name)
        for at, name in enumerate(["look_up", "wire_money", "wire_back"])
    ]
    decision = judged(made, Phase.INPUT, ExchangeView(offered))
    assert decision.verdict is Verdict.TRANSFORM
    assert decision.transforms == (
        Transform(strip_tools=("wire_money",)),
        Transform(strip_tools=("wire_back",)),
    )


def test_a_tool_whose_name_would_take_others_along_is_refused() -> None:
    made = plan("agent-firewall", allowed_tools=["look_up"])
    part = Part("system", "tool_definition", "", "/tools/0/function", 0, "*")
    assert judged(made, Phase.INPUT, ExchangeView([part])).verdict is Verdict.BLOCK


def test_a_payment_that_failed_may_be_made_again_and_one_that_worked_may_not() -> None:
    made = plan("agent-firewall", repeats={"once_tools": ["pay"]})

    def after(result: str) -> Decision:
        request = [
            Part("assistant", "tool_call", '{"to": 1}', "/messages/1/tool_calls/0", 0, "pay"),
            Part("tool", "tool_result", result, "/messages/2/content"),
        ]
        return judged(
            made, Phase.TOOL, answer(call("pay", '{"to":1}'), request=request), granted=False
        )

    assert after('{"error": "card declined"}').verdict is Verdict.ALLOW
    assert rules(after('{"status": "paid"}')) == ["once"]


def test_the_same_payment_twice_in_one_answer_is_refused() -> None:
    made = plan("agent-firewall", repeats={"once_tools": ["pay"]})
    twice = answer(call("pay", '{"to":1}'), call("pay", '{"to": 1}', 1))
    assert [one.path for one in findings(judged(made, Phase.TOOL, twice))] == [twice.parts[1].path]


def test_the_same_call_twice_in_one_answer_counts_twice() -> None:
    made = plan("agent-firewall", repeats={"max_identical_per_session": 5})
    view = answer(call("a"), call("a", "{ }", 1), call("b", "{}", 2))
    assert [need.amount for need in asked(made, Phase.TOOL, view)] == [2, 1]


def test_keys_of_counters_tell_nothing_of_a_call() -> None:
    made = plan("agent-firewall", repeats={"once_tools": ["pay"]})
    (need,) = asked(made, Phase.TOOL, answer(call("pay", '{"card": "4111111111111111"}')))
    assert "4111" not in need.key


def test_circles_are_seen_and_repetition_alone_is_none() -> None:
    a, b, c = b"a", b"b", b"c"
    assert cycle_length([a, b] * 3, 2) == 2
    assert cycle_length([c, a, b, c, a, b, c, a, b], 2) == 3
    assert cycle_length([a] * 20, 2) == 0
    assert cycle_length([a, b, a, b, a, c], 2) == 0
    assert cycle_length([], 2) == 0


EU = Target("eu", "openai", region="eu-west-1", tags=("dpa",), data_policy=DataPolicy(True, True))
US = Target("us", "openai", region="us-east-1", data_policy=DataPolicy(retention_days=30))


@pytest.mark.parametrize(
    ("options", "found", "left"),
    [
        ({}, (), None),
        ({"require_no_training": True}, (), ("eu",)),
        ({"require_zero_data_retention": True}, (), ("eu",)),
        ({"max_retention_days": 30}, (), None),
        ({"max_retention_days": 7}, (), ("eu",)),
        ({"rules": [{"data": ["pii"], "regions": ["eu-west-1"]}]}, (), None),
        ({"rules": [{"data": ["pii"], "regions": ["eu-west-1"]}]}, ("pii.detected",), ("eu",)),
        ({"rules": [{"found": ["iban"], "targets": ["us"]}]}, ("pii.detected", "iban"), ("us",)),
        ({"rules": [{"tags": ["dpa"], "users": ["a*"]}]}, (), ("eu",)),
        ({"rules": [{"tags": ["dpa"], "users": ["b*"]}]}, (), None),
    ],
)
def test_targets_are_narrowed_down_to_those_that_may_have_the_data(
    options: dict[str, Any], found: tuple[str, ...], left: tuple[str, ...] | None
) -> None:
    made = compile_plan(config("data-routing-policy", options, targets=(EU, US)))
    view = ExchangeView(user("hello"), target_ids=("us", "eu"))
    decision = judged(made, Phase.ROUTE, view, msgspec.structs.replace(ADA, found=found))
    assert decision.verdict is Verdict.ALLOW
    assert decision.target_ids == left


def test_nothing_is_sent_where_no_target_is_left() -> None:
    options = {"rules": [{"regions": ["eu-west-1"]}, {"targets": ["us"]}]}
    made = compile_plan(config("data-routing-policy", options, targets=(EU, US)))
    view = ExchangeView(user("hello"), target_ids=("us", "eu"))
    decision = judged(made, Phase.ROUTE, view)
    assert (decision.verdict, decision.reason_code) == (Verdict.BLOCK, "data_routing.no_target")


def test_a_rule_for_a_target_that_does_not_exist_is_refused() -> None:
    options = {"rules": [{"targets": ["asia"]}]}
    with pytest.raises(ConfigurationInvalid, match="asia"):
        compile_plan(config("data-routing-policy", options, targets=(EU, US)))


def test_a_sample_is_as_large_as_it_should_be_and_always_the_same() -> None:
    made = plan("human-oversight", sample_percent=20)

    def sampled(index: int) -> bool:
        text = Part("assistant", "text", "hello", "/choices/0/message/content")
        view = ExchangeView([text], user(f"question {index}"))
        return judged(made, Phase.OUTPUT, view).verdict is Verdict.ESCALATE

    first = [sampled(index) for index in range(500)]
    assert 60 < sum(first) < 140
    assert first[:50] == [sampled(index) for index in range(50)]


def test_a_time_out_says_how_long_a_person_may_take() -> None:
    kind = KINDS["human-oversight"]
    options = msgspec.convert(
        {"timeout_seconds": 60, "default_assignee": "a@b.example"}, kind.options
    )
    assert options.escalation == Escalation(hold_seconds=60, expires_seconds=60)
    made = plan("human-oversight", tools=["pay"], default_assignee="a@b.example")
    (finding,) = findings(judged(made, Phase.TOOL, answer(call("pay"))))
    assert finding.detail == "for a@b.example"


def test_subjects_alone_hold_no_stream_to_its_end() -> None:
    assert plan("human-oversight", require_human_for=["legal_opinions"]).hold_chars is not None
    assert plan("human-oversight", sample_percent=1).hold_chars is None


def test_nothing_is_judged_or_asked_where_no_tool_is_called() -> None:
    made = plan("agent-firewall", max_actions_per_session=1)
    text = Part("assistant", "text", "hello", "/choices/0/message/content")
    assert asked(made, Phase.TOOL, answer(text)) == []
    assert judged(made, Phase.TOOL, answer(text)).verdict is Verdict.ALLOW


def test_switches_that_cannot_be_turned_off_say_so() -> None:
    kind = KINDS["agent-firewall"]
    options = msgspec.convert({"monitoring": {"alert_on_rate_limit": False}}, kind.options)
    assert [note.path for note in kind.notes(options)] == ["monitoring.alert_on_rate_limit"]


@pytest.mark.parametrize(
    ("kind", "phase", "options"),
    [
        ("agent-firewall", Phase.INPUT, {}),
        ("agent-firewall", Phase.INPUT, {"blocked_tools": ["a"], "offered_tools": "ignore"}),
        ("rbac", Phase.ROUTE, {"roles": {"a": {}}}),
        ("rbac", Phase.TOOL, {}),
        ("human-oversight", Phase.TOOL, {"sample_percent": 1}),
    ],
)
def test_a_phase_in_which_nothing_could_be_found_is_not_judged(
    kind: str, phase: Phase, options: dict[str, Any]
) -> None:
    assert not plan(kind, **options).judges(phase)
