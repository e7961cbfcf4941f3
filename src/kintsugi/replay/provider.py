"""The model's side of a test case: what it answers, as wire bytes of OpenAI chat completions.

``upstream_response`` may be a text (the assistant's message), a whole chat completion, or only its
``message``. Without one, the last user message comes back, as ``kt simulate`` does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

# Small enough that most patterns are cut in two: a case that streams tests the seams too.
PIECE_CHARS = 7
_CREATED = 1_700_000_000


def answer(request: dict[str, Any], response: dict[str, Any] | str | None) -> bytes:
    """The body of an answer that is not streamed."""
    return msgspec.json.encode(completion(request, response))


def stream(request: dict[str, Any], response: dict[str, Any] | str | None) -> Iterator[bytes]:
    """The same answer as server-sent events, one frame at a time."""
    whole = completion(request, response)
    head = {"id": whole["id"], "object": "chat.completion.chunk", "created": whole["created"]}
    head["model"] = whole["model"]
    for choice in whole["choices"]:
        index = choice.get("index", 0)
        for delta in _deltas(choice.get("message") or {}):
            yield _frame({**head, "choices": [{"index": index, "delta": delta}]})
        last = {"index": index, "delta": {}, "finish_reason": choice.get("finish_reason", "stop")}
        yield _frame({**head, "choices": [last]})
    yield b"data: [DONE]\n\n"


def completion(request: dict[str, Any], response: dict[str, Any] | str | None) -> dict[str, Any]:
    """A whole chat completion; what ``response`` leaves out is filled in."""
    if isinstance(response, dict) and ("choices" in response or "error" in response):
        body = dict(response)
    else:
        message = _message(request, response)
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        body = {"choices": [{"index": 0, "message": message, "finish_reason": reason}]}
    defaults = {
        "id": "chatcmpl-case",
        "object": "chat.completion",
        "created": _CREATED,
        "model": request.get("model", ""),
        "choices": [],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }
    return {**defaults, **body}


def last_user_text(request: dict[str, Any]) -> str:
    """The text of the last user message; empty when there is none."""
    messages = request.get("messages")
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and message.get("role") == "user":
            return _text(message.get("content"))
    return ""


def _message(request: dict[str, Any], response: dict[str, Any] | str | None) -> dict[str, Any]:
    match response:
        case None:
            return {"role": "assistant", "content": last_user_text(request)}
        case str():
            return {"role": "assistant", "content": response}
        case {"message": dict(message)}:
            return {"role": "assistant", **message}
        case _:
            return {"role": "assistant", **response}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": message.get("role", "assistant")}
    for key, value in message.items():
        if key == "role":
            continue
        if isinstance(value, str):
            for piece in pieces(value):
                yield {key: piece}
        elif key == "tool_calls" and isinstance(value, list):
            yield from _tool_call_deltas(value)
        elif value is not None:
            yield {key: value}


def _tool_call_deltas(calls: list[Any]) -> Iterator[dict[str, Any]]:
    for index, call in enumerate(calls):
        function = dict(call.get("function") or {}) if isinstance(call, dict) else {}
        arguments = function.pop("arguments", "")
        head = {**(call if isinstance(call, dict) else {}), "index": index}
        yield {"tool_calls": [{**head, "function": {**function, "arguments": ""}}]}
        for piece in pieces(arguments if isinstance(arguments, str) else ""):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def pieces(text: str) -> tuple[str, ...]:
    """A text as a stream delivers it."""
    starts = range(0, len(text), PIECE_CHARS)
    return tuple(text[start : start + PIECE_CHARS] for start in starts)


def _frame(body: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"
