"""Tool calls as rules see them, and the names, roles and amounts around them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.model.content import Identity, Part
from kintsugi.model.facts import Facts
from kintsugi.policy.amounts import Amounts, AmountUnreadable
from kintsugi.policy.names import Names
from kintsugi.policy.quotas import counter_key, estimated_tokens
from kintsugi.policy.roles import Members, RoleBook, claim_name
from kintsugi.policy.rule import OptionInvalid
from kintsugi.policy.tool_calls import (
    canonical,
    declared_tools,
    history,
    is_free_form,
    latest_results,
    leaves,
    read_call,
    values_of,
)
from tests.policy.configs import FACTS


def call(arguments: str, name: str = "pay", path: str = "/x/arguments") -> Part:
    return Part("assistant", "tool_call", arguments, path, 0, name)


def result(text: str, path: str, name: str = "", role: str = "tool") -> Part:
    return Part(role, "tool_result", text, path, 0, name)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", ""),
        ("", ""),
        (" \n", ""),
        ('{"a": 1, "b": {"a": 2}}', ""),
        ('{"a": 1, "a": 1}', "repeated_key"),
        ('{"b": {"a": 1, "a": 2}}', "repeated_key"),
        ('{"a": 1, "\\u0061": 2}', "repeated_key"),
        ("[1]", "not_object"),
        ("7", "not_object"),
        ("{", "not_json"),
        ('{"a": NaN}', "not_json"),
        ("{'a': 1}", "not_json"),
        ('{"a": ' + "[" * 200 + "]" * 200 + "}", "not_json"),
        ("[" * 100_000, "not_json"),
    ],
)
def test_arguments_are_read_in_one_way_only(text: str, problem: str) -> None:
    read = read_call(call(text))
    assert read.problem == problem
    assert not problem or read.arguments == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    arguments=st.dictionaries(st.text(max_size=4), JSON, max_size=4),
    indent=st.sampled_from([None, 1]),
)
def test_every_spelling_of_the_same_arguments_is_the_same_call(
    arguments: dict[str, Any], indent: int | None
) -> None:
    turned = dict(reversed(arguments.items()))
    one = read_call(call(json.dumps(arguments, indent=indent)))
    other = read_call(call(json.dumps(turned, ensure_ascii=False, separators=(",", ":"))))
    assert one.arguments == arguments
    assert canonical(one) == canonical(other)
    assert canonical(one) != canonical(read_call(call(json.dumps(arguments), name="other")))


@given(text=st.text(max_size=60))
def test_no_arguments_break_the_reading(text: str) -> None:
    canonical(read_call(call(text)))


def test_tools_that_take_any_text_are_known_by_where_it_stands() -> None:
    assert is_free_form(
        read_call(call("SELECT 1", path="/choices/0/message/tool_calls/0/custom/input"))
    )
    assert is_free_form(read_call(call("SELECT 1", path="/output/2/input")))
    assert not is_free_form(read_call(call("{}", path="/content/2/input")))


def test_what_a_request_offers_comes_with_its_schema() -> None:
    def part(text: str, path: str, name: str) -> Part:
        return Part("system", "tool_definition", text, path, 0, name)

    assert declared_tools(
        [
            part("Adds.", "/tools/0/function/description", "add"),
            part('{"type": "object"}', "/tools/0/function/parameters", "add"),
            part("", "/tools/1/function", "now"),
            part('{"type": "array"}', "/tools/2/input_schema", "list"),
            part("{}", "/response_format", ""),
        ]
    ) == {"add": '{"type": "object"}', "now": "", "list": '{"type": "array"}'}


def test_results_are_paired_with_the_calls_they_answer() -> None:
    steps = history(
        [
            call("{}", "a"),
            call("{}", "b"),
            call("{}", "c"),
            result("of b", "/messages/2/content", "b"),
            result("of a, begun", "/messages/3/content/0/text"),
            result("of a, ended", "/messages/3/content/1/text"),
        ]
    )
    said = {step.call.name: step.result and step.result.text for step in steps}
    assert said == {"a": "of a, begun", "b": "of b", "c": None}


def test_blocks_of_one_user_message_are_results_of_their_own() -> None:
    steps = history(
        [
            call("{}", "a"),
            call("{}", "b"),
            result("of a", "/messages/2/content/0/content", role="user"),
            result("of b", "/messages/2/content/1/content", role="user"),
        ]
    )
    assert [step.result and step.result.text for step in steps] == ["of a", "of b"]


def test_only_what_came_after_the_model_spoke_is_new() -> None:
    parts = [
        call("{}", "a", "/messages/1/tool_calls/0"),
        result("old", "/messages/2/content"),
        call("{}", "b", "/messages/3/tool_calls/0"),
        result("new", "/messages/4/content"),
    ]
    assert [(name, part.text) for name, part in latest_results(parts)] == [("b", "new")]
    assert latest_results(parts[:1]) == []
    assert latest_results([]) == []


def test_a_long_conversation_is_paired_in_linear_time() -> None:
    parts = [call("{}", f"tool{index % 7}") for index in range(20_000)]
    parts += [result("x", f"/messages/{index}/content", "tool3") for index in range(20_000)]
    assert sum(step.result is not None for step in history(parts)) == 20_000 // 7


def test_every_value_is_found_under_its_name() -> None:
    arguments = {"a": [1, {"A_b": [2, [3]]}], "aB": {"c": 4}, "d": "x"}
    assert [(leaf.name, leaf.value) for leaf in leaves(arguments)] == [
        ("a", 1),
        ("A_b", 2),
        ("A_b", 3),
        ("c", 4),
        ("d", "x"),
    ]
    assert list(values_of(arguments, frozenset(["ab"]))) == [2, 3, {"c": 4}]


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (5, 5),
        (-5.5, 5.5),
        ("1,234.56", 1234.56),
        ("1.234,56", 1234.56),
        ("1 234,56 €", 1234.56),
        ("$1,500", 1500),
        ("1.500", 1500),
        ("0.125", 0.125),
        ("1e6", 1_000_000),
        ("USD 12", 12),
        ("９００", 900),
        ([1, 2], 3),
        ({"value": "70", "currency": "USD", "scale": 2}, 70),
        (None, None),
    ],
)
def test_an_amount_is_read_as_people_and_programs_write_it(
    value: Any, amount: float | None
) -> None:
    read = read_call(call(json.dumps({"order": {"Total-Amount": value}})))
    assert Amounts(["total_amount"]).total(read) == amount


@pytest.mark.parametrize(
    "value", ["plenty", "", True, "NaN", "1e999", {"a": "b"}, "5 or 500", 10**400]
)
def test_what_is_no_amount_is_not_taken_for_a_small_one(value: Any) -> None:
    with pytest.raises(AmountUnreadable):
        Amounts(["amount"]).total(read_call(call(json.dumps({"amount": value}))))


@given(text=st.text(max_size=30))
def test_no_text_breaks_the_reading_of_amounts(text: str) -> None:
    try:
        total = Amounts(["amount"]).total(read_call(call(json.dumps({"amount": text}))))
    except AmountUnreadable:
        return
    assert total is not None
    assert total >= 0


@pytest.mark.parametrize(
    ("glob", "name", "is_in"),
    [
        ("read_file", "read_file", True),
        ("read_*", "read_file", True),
        ("read_*", "unread_file", False),
        ("*.read", "files.read", True),
        ("read_?", "read_1", True),
        ("read_?", "read_12", False),
        ("a.b", "aXb", False),
        ("*", "", True),
        ("read_*", "read_\n", True),
        ("[ab]", "a", False),
    ],
)
def test_a_glob_stands_for_what_it_says(glob: str, name: str, is_in: bool) -> None:
    assert (name in Names([glob])) == is_in


@pytest.mark.parametrize("name", ["WIRE_MONEY", " wire_money", "wire_money\u200b", "ｗire_money"])
def test_refused_names_are_known_in_look_alike_spellings(name: str) -> None:
    assert name in Names(["wire_money"], loose=True)
    assert name not in Names(["wire_money"])


def test_no_names_are_nothing() -> None:
    assert not Names([])
    assert Names(["*"])


BOOK = RoleBook(
    {"clerk": Members(users=("ada",), teams=("sales",)), "admin": Members(keys=("ops-*",))},
    header="X-User-Role",
    default="",
)


@pytest.mark.parametrize(
    ("identity", "claim", "role"),
    [
        (Identity(), "", ""),
        (Identity(user_id="ada"), "", "clerk"),
        (Identity(user_id="ada"), "admin", "clerk"),
        (Identity(user_id="ada", key_name="ops-1"), "clerk", "admin"),
        (Identity(user_id="eve"), "admin", "admin"),
        (Identity(user_id="eve"), "root", ""),
        (Identity(team_id="sales"), "", "clerk"),
    ],
)
def test_a_role_comes_from_the_most_trusted_word(identity: Identity, claim: str, role: str) -> None:
    facts = Facts(now=FACTS.now, identity=identity, claims={"x-user-role": claim} if claim else {})
    assert BOOK.role_of(facts) == role


@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "Cookie", "", "a b"])
def test_a_header_that_carries_a_secret_is_no_claim(header: str) -> None:
    with pytest.raises(OptionInvalid):
        claim_name(header, "role_header")


def test_counters_of_different_callers_never_meet() -> None:
    one = counter_key("rate-limit", "user", Identity(user_id="a/b"), "m", "c")
    other = counter_key("rate-limit", "user", Identity(user_id="a"), "m", "b/c")
    assert one != other


def test_tokens_are_estimated_from_bytes() -> None:
    assert estimated_tokens([]) == 0
    assert estimated_tokens(["four", "five!"]) == 3
    assert estimated_tokens(["日本語"]) == 3
