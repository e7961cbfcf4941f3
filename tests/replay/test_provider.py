"""The model's side of a case: wire bytes of a chat completion, whole or streamed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.replay import provider
from kintsugi.replay.visible_text import visible_text

REQUEST: dict[str, Any] = {
    "model": "sim-echo",
    "messages": [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "second"},
        {"role": "user", "content": [{"type": "text", "text": "third"}, {"type": "image_url"}]},
    ],
}


def frames(response: dict[str, Any] | str | None) -> list[Any]:
    raw = list(provider.stream(REQUEST, response))
    assert raw[-1] == b"data: [DONE]\n\n"
    return [msgspec.json.decode(frame.removeprefix(b"data: ")) for frame in raw[:-1]]


def test_without_an_answer_the_last_user_message_comes_back() -> None:
    body = provider.completion(REQUEST, None)
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "third"}
    assert body["model"] == "sim-echo"


@pytest.mark.parametrize(
    "response",
    [
        "hello",
        {"content": "hello"},
        {"message": {"content": "hello"}},
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}}]},
    ],
)
def test_an_answer_may_be_a_text_a_message_or_a_whole_completion(response: Any) -> None:
    body = provider.completion(REQUEST, response)
    assert body["choices"][0]["message"]["content"] == "hello"
    assert body["object"] == "chat.completion"


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_a_stream_adds_up_to_the_whole_answer(text: str) -> None:
    joined = "".join(
        frame["choices"][0]["delta"].get("content", "") for frame in frames({"content": text})
    )
    assert joined == text


def test_tool_calls_are_streamed_in_pieces_under_their_index() -> None:
    arguments = '{"to": "all@example.org"}'
    call = {"id": "c1", "type": "function", "function": {"name": "mail", "arguments": arguments}}
    deltas = [f["choices"][0]["delta"] for f in frames({"tool_calls": [call]})]
    pieces = [c for delta in deltas for c in delta.get("tool_calls", [])]
    assert pieces[0] == {**call, "index": 0, "function": {"name": "mail", "arguments": ""}}
    assert "".join(piece["function"]["arguments"] for piece in pieces) == arguments
    assert frames({"tool_calls": [call]})[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_every_choice_is_streamed() -> None:
    whole = {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "eins"}},
            {"index": 1, "message": {"role": "assistant", "content": "zwei"}},
        ]
    }
    raw = b"".join(provider.stream(REQUEST, whole))
    shown = visible_text(raw, streamed=True)
    assert "eins" in shown
    assert "zwei" in shown
