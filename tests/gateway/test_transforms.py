"""Changes to requests and answers, per dialect: what is asked is changed, all else is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kintsugi.gateway.dialects.changes import CannotChange
from kintsugi.gateway.transforms import Changed, change_request, confirm_answer
from kintsugi.model.decision import Phase
from kintsugi.model.transform import Transform

CHAT: dict[str, Any] = {
    "model": "m",
    "unknown": {"kept": [1, 2.5]},
    "messages": [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "first question, a long one"},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "a long result " * 5},
        {"role": "user", "content": "last"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "run_shell", "parameters": {}}},
        {"type": "function", "function": {"name": "look", "parameters": {}}},
    ],
    "tool_choice": {"type": "function", "function": {"name": "run_shell"}},
    "parallel_tool_calls": True,
}
RESPONSES: dict[str, Any] = {
    "model": "m",
    "unknown": 1,
    "instructions": "be kind",
    "input": [
        {"role": "user", "content": "first question, a long one"},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "a long result " * 5},
        {"role": "user", "content": "last"},
    ],
    "tools": [{"type": "function", "name": "run_shell"}, {"type": "web_search"}],
    "tool_choice": {"type": "function", "name": "run_shell"},
}
ANTHROPIC: dict[str, Any] = {
    "model": "m",
    "unknown": None,
    "max_tokens": 4096,
    "system": [{"type": "text", "text": "be kind"}],
    "messages": [
        {"role": "user", "content": "first question, a long one"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "1", "name": "look", "input": {}}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "1", "content": "long " * 20}],
        },
        {"role": "assistant", "content": "done"},
        {"role": "user", "content": "last"},
    ],
    "tools": [{"name": "run_shell", "input_schema": {}}, {"name": "look", "input_schema": {}}],
    "tool_choice": {"type": "tool", "name": "run_shell"},
}
REQUESTS = {
    "openai.chat": CHAT,
    "openai.responses": RESPONSES,
    "anthropic.messages": ANTHROPIC,
}


def change(dialect: str, request: dict[str, Any], *wanted: Transform) -> tuple[Any, Changed]:
    changed = change_request(
        dialect, json.dumps(request).encode(), wanted, phase=Phase.INPUT, policy_name="custom"
    )
    return json.loads(changed.body), changed


def messages_of(document: dict[str, Any]) -> list[Any]:
    found: list[Any] = document.get("messages") or document["input"]
    return found


@pytest.mark.parametrize("dialect", REQUESTS)
def test_nothing_asked_changes_not_a_byte(dialect: str) -> None:
    body = json.dumps(REQUESTS[dialect]).encode()
    changed = change_request(dialect, body, [Transform()], phase=Phase.INPUT, policy_name="p")
    assert changed == Changed(body, ())


@pytest.mark.parametrize("dialect", REQUESTS)
def test_a_text_is_put_before_everything_and_the_rest_is_kept(dialect: str) -> None:
    document, changed = change(dialect, REQUESTS[dialect], Transform(inject_text="Mind the rules."))
    assert json.dumps(document).index("Mind the rules.") < json.dumps(document).index("be kind")
    assert "unknown" in document
    assert [one.kind for one in changed.made] == ["inject_text"]
    assert changed.made[0].policy_name == "custom"
    as_user, _ = change(
        dialect, REQUESTS[dialect], Transform(inject_text="Hello.", inject_role="user")
    )
    assert messages_of(as_user)[0] == {"role": "user", "content": "Hello."}


@pytest.mark.parametrize("dialect", REQUESTS)
def test_tools_are_taken_out_by_name_with_the_choice_of_them(dialect: str) -> None:
    document, changed = change(dialect, REQUESTS[dialect], Transform(strip_tools=("RUN_*",)))
    assert len(document["tools"]) == 1
    assert "run_shell" not in json.dumps(document)
    assert changed.made[0].detail == "stripped: run_shell"
    none_left, _ = change(dialect, REQUESTS[dialect], Transform(strip_tools=("*",)))
    assert "tools" not in none_left
    assert "tool_choice" not in none_left


@pytest.mark.parametrize("dialect", REQUESTS)
def test_the_answer_is_bounded_and_a_tighter_bound_stays(dialect: str) -> None:
    document, changed = change(dialect, REQUESTS[dialect], Transform(max_output_tokens=100))
    keys = [key for key in document if key.endswith("_tokens")]
    assert [document[key] for key in keys] == [100]
    assert changed.made
    again, unchanged = change(dialect, document, Transform(max_output_tokens=200))
    assert again == document
    assert not unchanged.made


def test_both_bounds_of_a_chat_are_lowered() -> None:
    request = {**CHAT, "max_tokens": 500, "max_completion_tokens": 50}
    document, _ = change("openai.chat", request, Transform(max_output_tokens=100))
    assert document["max_tokens"] == 100
    assert document["max_completion_tokens"] == 50


@pytest.mark.parametrize("dialect", REQUESTS)
def test_the_oldest_messages_go_with_their_results_and_the_last_one_stays(dialect: str) -> None:
    document, changed = change(dialect, REQUESTS[dialect], Transform(max_context_chars=30))
    assert messages_of(document)[-1]["content"] == "last"
    text = json.dumps(document)
    assert "long" not in text  # neither the question nor the result without its call
    assert "be kind" in text
    assert changed.made[0].detail.startswith("left out: ")
    whole, untouched = change(dialect, REQUESTS[dialect], Transform(max_context_chars=10_000))
    assert whole == REQUESTS[dialect]
    assert not untouched.made


@pytest.mark.parametrize("dialect", [*REQUESTS, "openai.embeddings"])
def test_another_model_is_asked_in_every_dialect(dialect: str) -> None:
    document, changed = change(dialect, {"model": "m", "input": "x"}, Transform(model="small"))
    assert document["model"] == "small" == changed.model


def test_what_a_dialect_has_no_place_for_cannot_be_changed() -> None:
    with pytest.raises(CannotChange):
        change("openai.embeddings", {"model": "m", "input": "x"}, Transform(inject_text="hello"))
    with pytest.raises(CannotChange):
        change("anthropic.messages", {"messages": [], "system": 5}, Transform(inject_text="hello"))


ANSWERS: dict[str, dict[str, Any]] = {
    "openai.chat": {
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "1",
                            "type": "function",
                            "function": {"name": "pay", "arguments": '{"amount":5}'},
                        }
                    ],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 1},
    },
    "openai.responses": {
        "output": [
            {"type": "reasoning", "summary": []},
            {"type": "function_call", "name": "pay", "arguments": '{"amount":5}', "call_id": "1"},
        ],
        "usage": {},
    },
    "anthropic.messages": {
        "content": [{"type": "tool_use", "id": "1", "name": "pay", "input": {"amount": 5}}],
        "stop_reason": "tool_use",
        "usage": {},
    },
}


@pytest.mark.parametrize("dialect", ANSWERS)
def test_a_confirmation_says_what_the_calls_would_have_done_in_their_place(dialect: str) -> None:
    body = json.dumps(ANSWERS[dialect]).encode()
    changed, count = confirm_answer(dialect, body, "May I do this?")
    document = json.loads(changed)
    text = json.dumps(document)
    assert count == 1
    assert "May I do this?" in text
    assert 'pay({\\"amount\\":5})' in text
    assert "tool_calls" not in text
    assert "tool_use" not in text
    assert "function_call" not in text
    assert "usage" in document


@pytest.mark.parametrize("dialect", ANSWERS)
def test_an_answer_without_calls_is_not_touched(dialect: str) -> None:
    words = {"openai.chat": b'{"choices": [ {"message":{"content":"hi"}}]}'}
    body = words.get(dialect, b'{"output": [], "content": []}')
    assert confirm_answer(dialect, body, "May I?") == (body, 0)


def test_the_words_decide_where_the_calls_stand() -> None:
    body = json.dumps(ANSWERS["openai.chat"]).encode()
    changed, _ = confirm_answer("openai.chat", body, "Before: {calls} - agreed?")
    said = json.loads(changed)["choices"][0]["message"]["content"]
    assert said == 'Before: - pay({"amount":5}) - agreed?'
