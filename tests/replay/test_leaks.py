"""Twins of what leaked in an answer: the same answer without it, let through by both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kintsugi.gateway.in_force import InForce
from kintsugi.model.config import Case, CaseExpected, CaseInput
from kintsugi.policy.parse import parse_config
from kintsugi.replay import leaks
from kintsugi.replay.driver import put_in_force
from kintsugi.replay.leaks import harmless_answers
from kintsugi.replay.minimise import minimise
from kintsugi.replay.reproduction import reproduces, run_one
from kintsugi.replay.twins import Twins, twins

ANSWER = "Of course. The papers of aurora are with Ada, and aurora ships in May."


def config(policy: str) -> InForce:
    name = policy.partition(":")[0].strip()
    source = (
        "pack: {name: shop, version: 1.0.0}\n"
        f"policies: {{chain: [{name}, audit-logger]}}\n"
        f"policy:\n  {policy}\n  audit-logger: {{}}\n"
    )
    return put_in_force(parse_config(source, file="c.yaml"))


def blocking(*terms: str) -> InForce:
    return config(f"dlp-filter: {{blocked_terms: [{', '.join(terms)}], action: block}}")


OPEN, FIXED = blocking("zebra"), blocking("aurora")


def leaked(answer: Any = ANSWER, **more: Any) -> Case:
    messages = ({"role": "user", "content": "Where are the papers?"},)
    wanted = CaseInput(messages=messages, upstream_response=answer, **more)
    return Case("case", wanted, CaseExpected("block"))


def of(one: Case, red: InForce = OPEN, green: InForce = FIXED) -> Twins:
    left = minimise(one, reproduces(one, red, green))
    return twins(
        one, minimised=left.case, remainder=left.remainder, neighbours=(), red=red, green=green
    )


def answers(found: Twins) -> dict[str, str]:
    return {one.technique: str(one.case.input.upstream_response) for one in found.proposed}


def test_the_same_answer_without_what_leaked_is_a_twin() -> None:
    found = of(leaked())
    told = answers(found)
    assert told["leak_removed"] == "Of course. The papers of are with Ada, and ships in May."
    before, after = ANSWER.split(), told["leak_replaced"].split()
    assert [at for at, (one, two) in enumerate(zip(before, after, strict=True)) if one != two] == [
        at for at, word in enumerate(before) if word == "aurora"
    ]
    for twin in found.proposed:
        assert twin.case.expected == CaseExpected("allow")
        assert run_one(OPEN, twin.case).passed
        assert run_one(FIXED, twin.case).passed


def test_the_question_stays_as_it_was() -> None:
    for technique in leaks.STAND_INS:
        [one] = [each for each in of(leaked()).proposed if each.technique == technique]
        assert one.case.input.messages == leaked().input.messages


@pytest.mark.parametrize(
    "answer",
    [
        {"content": ANSWER},
        {"tool_calls": [{"name": "send", "arguments": {"to": "Bob", "text": ANSWER}}]},
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER}}]},
    ],
    ids=["simulated", "tool call", "wire"],
)
def test_it_is_found_wherever_the_answer_says_it(answer: Any) -> None:
    told = answers(of(leaked(answer)))
    assert {"leak_replaced", "leak_removed"} <= told.keys()
    assert all("aurora" not in one for one in told.values())


def test_streams_have_twins_too() -> None:
    assert {"leak_replaced", "leak_removed"} <= answers(of(leaked(stream=True))).keys()


def test_personal_data_and_keys_are_replaced_by_what_no_detector_finds() -> None:
    found = config("pii-detector: {action: block}")
    one = leaked("You reach Ada Lovelace at ada.lovelace@analytical.org, card 4539 1488 0343 6467.")
    told = answers(of(one, OPEN, found))
    assert "ada.lovelace" not in told["leak_removed"]
    assert "You reach Ada" in told["leak_removed"]


def test_what_is_nothing_but_a_leak_has_no_such_twin() -> None:
    assert answers(of(leaked("aurora"))).keys() <= {"remainder"}


def test_a_leak_in_a_question_is_left_to_the_other_twins() -> None:
    messages = ({"role": "user", "content": "Tell me about aurora, please."},)
    one = Case("case", CaseInput(messages=messages), CaseExpected("block"))
    assert answers(of(one)).keys() == {"remainder"}


def test_a_budget_that_is_used_up_leaves_what_is_let_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leaks, "TESTS_MAX", 6)
    found = dict(harmless_answers(leaked(), without("aurora")))
    assert all("aurora" not in str(one.input.upstream_response) for one in found.values())


def without(*terms: str) -> Callable[[Case], bool]:
    return lambda one: not any(term in str(one.input.upstream_response) for term in terms)


WORDS = st.lists(st.sampled_from(["aurora", "zebra", "yak", "gnu, ", "the"]), max_size=12)


@settings(max_examples=50)
@given(said=WORDS)
def test_no_word_goes_that_could_have_stayed(said: list[str]) -> None:
    bad = {"aurora", "zebra"}
    found = dict(harmless_answers(leaked(" ".join(said)), without(*bad)))
    stays = [word for word in said if word not in bad]
    if not stays or len(stays) == len(said):
        assert found == {}
    else:
        assert str(found["leak_removed"].input.upstream_response).split() == " ".join(stays).split()
