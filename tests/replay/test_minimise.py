"""Minimised cases still reproduce, nothing more can go, and every run gives the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.model.config import Case, CaseCounter, CaseExpected, CaseFacts, CaseInput
from kintsugi.replay.case_parts import CaseParts, text_chars
from kintsugi.replay.minimise import Progress, minimise, smallest

WORDS = st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon"]), max_size=12)


def case(*messages: dict[str, Any], **changes: Any) -> Case:
    return Case("case", CaseInput(messages=messages, **changes), CaseExpected(verdict="block"))


def said(*texts: str) -> Case:
    return case(*({"role": "user", "content": text} for text in texts))


def texts_of(one: Case) -> str:
    return "\n".join(CaseParts(one).texts.values())


def holding(*wanted: str) -> Callable[[Case], bool]:
    return lambda one: all(word in texts_of(one) for word in wanted)


@given(st.lists(st.integers(0, 30), max_size=40), st.sets(st.integers(0, 30), max_size=4))
def test_what_is_left_of_items_is_enough_and_none_can_be_spared(
    items: list[int], wanted: set[int]
) -> None:
    def holds(kept: Sequence[int]) -> bool:
        return wanted.intersection(items) <= set(kept)

    left = smallest(items, holds)
    assert holds(left)
    assert not any(holds([*left[:at], *left[at + 1 :]]) for at in range(len(left)))


@given(st.lists(WORDS, min_size=1, max_size=4), st.sets(st.sampled_from(("alpha", "delta"))))
def test_a_minimised_case_reproduces_and_each_of_its_words_is_needed(
    messages: list[list[str]], wanted: set[str]
) -> None:
    one = said(*(" ".join(words) for words in messages))
    needed = wanted.intersection(word for words in messages for word in words)
    result = minimise(one, holding(*needed), finest="word")
    assert result.complete
    assert sorted(texts_of(result.case).split()) == sorted(needed)
    assert len(result.case.input.messages) <= max(len(needed), 1)
    assert result == minimise(one, holding(*needed), finest="word")


def test_characters_go_where_they_are_asked_for() -> None:
    one = said("please ignooore cafe\u0301 and more")
    result = minimise(one, holding("oo", "e\u0301"), finest="character")
    assert result.case.input.messages[0]["content"] == "ooe\u0301"
    assert (result.original_chars, result.minimised_chars) == (30, 4)


def test_everything_around_the_trigger_goes() -> None:
    one = case(
        {"role": "system", "content": "You help."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Hi."}, {"type": "text", "text": "x"}],
        },
        {"role": "user", "content": "First.\n\nSecond sentence. The bad word is here."},
        request={"temperature": 0.3, "tools": [{"type": "function", "function": {"name": "f"}}]},
        headers={"x-team": "a"},
        facts=CaseFacts(counters={"tokens/*": CaseCounter(used=3)}),
        upstream_response="A long answer.",
    )
    result = minimise(one, holding("bad"))
    assert result.case == said("bad")
    assert result.remainder is not None
    assert (
        result.remainder.input.messages[2]["content"]
        == "First.\n\nSecond sentence. The word is here."
    )
    assert result.remainder.input.upstream_response == "A long answer."


def test_what_is_expected_and_where_it_goes_stay() -> None:
    one = case({"role": "user", "content": "so bad indeed"}, endpoint="/v1/messages", stream=True)
    result = minimise(one, holding("bad"))
    assert result.case.input.endpoint == "/v1/messages"
    assert result.case.input.stream
    assert result.case.expected == one.expected


def test_a_tools_result_keeps_its_call() -> None:
    one = case(
        {"role": "user", "content": "Read it."},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "r", "arguments": '{"a": 1}'},
                },
                {"id": "c2", "type": "function", "function": {"name": "s", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a bad page"},
        {"role": "tool", "tool_call_id": "c2", "content": "a good page"},
    )
    messages = minimise(one, holding("bad")).case.input.messages
    assert [message["role"] for message in messages] == ["assistant", "tool"]
    assert [call["id"] for call in messages[0]["tool_calls"]] == ["c1"]
    assert messages[1]["content"] == "bad"


def test_arguments_of_a_call_stay_json() -> None:
    arguments = msgspec.json.encode({"to": "x@evil.example", "body": ["one two", "three"]}).decode()
    call = {"id": "c", "type": "function", "function": {"name": "mail", "arguments": arguments}}
    one = case({"role": "assistant", "content": None, "tool_calls": [call]})
    (message,) = minimise(one, holding("evil", "two")).case.input.messages
    left = msgspec.json.decode(message["tool_calls"][0]["function"]["arguments"])
    assert left == {"to": "x@evil.example", "body": ["two"]}


def test_a_budget_that_is_used_up_leaves_what_reproduces() -> None:
    one = said(" ".join(f"word{number}" for number in range(200)))
    reproduces = holding("word3 ", "word77 ", "word150 ")
    for tests_max in (1, 5, 20):
        result = minimise(one, reproduces, tests_max=tests_max)
        assert not result.complete
        assert result.tests_run <= tests_max
        assert reproduces(result.case)
    assert minimise(one, reproduces, stop=lambda: True).case == one


def test_progress_is_told_as_it_gets_shorter() -> None:
    told: list[Progress] = []
    result = minimise(said("one two bad three"), holding("bad"), progress=told.append)
    lengths = [one.chars for one in told]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] == result.minimised_chars == 3


def test_a_case_that_does_not_reproduce_is_refused() -> None:
    with pytest.raises(ValueError, match="does not reproduce"):
        minimise(said("fine"), holding("bad"))


def test_what_is_minimal_stays_as_it_is_and_has_no_remainder() -> None:
    result = minimise(said("bad"), holding("bad"))
    assert (result.case, result.remainder) == (said("bad"), None)


def test_names_and_ids_are_no_texts() -> None:
    one = case({"role": "user", "content": "abc"}, request={"model": "gpt", "user": "u-1"})
    assert text_chars(one) == 3
