"""Anthropic's messages dialect, from the provider's side. Pure: ids are passed in.

It says what the chat dialect would say to the same conversation.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from kintsugi.simulator.openai_chat import ChatRequest, Said, arguments_of, cut, say
from kintsugi.simulator.script import BadRequest, Response, Script, ToolCall, Usage

__all__ = ["choose", "error_document", "frames", "parse_request", "whole"]

_ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
# Why an answer ends, in the words of the chat dialect and of this one.
_STOP_REASONS = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
}


class MessagesRequest(msgspec.Struct, frozen=True):
    """The part of a request that an answer depends on; everything else is accepted."""

    messages: list[dict[str, Any]]
    model: str
    max_tokens: int | None = None
    system: str | list[dict[str, Any]] | None = None
    stream: bool | None = False
    tools: list[dict[str, Any]] | None = None

    @property
    def chat(self) -> ChatRequest:
        """The same conversation in the chat dialect."""
        messages: list[dict[str, Any]] = []
        if self.system:
            messages.append({"role": "system", "content": self.system})
        for message in self.messages:
            content = message.get("content")
            results = [
                {"role": "tool", "content": block.get("content")}
                for block in content or ()
                if isinstance(block, dict) and block.get("type") == "tool_result"
            ]
            messages += results or [message]
        tools = [
            {
                "type": "function",
                "function": {"name": tool.get("name"), "parameters": tool.get("input_schema")},
            }
            for tool in self.tools or ()
        ]
        return ChatRequest(messages, self.model, self.stream, 1, tools)


def parse_request(body: bytes) -> MessagesRequest:
    """Read a request.

    Raises:
        BadRequest: it is no JSON, or lacks what every request has.
    """
    request = read_messages(body)
    if request.max_tokens is None:
        raise BadRequest("max_tokens: Field required")
    if request.max_tokens < 1:
        raise BadRequest("max_tokens: must be greater than or equal to 1")
    return request


def read_messages(body: bytes) -> MessagesRequest:
    """Read a request whose answer has no length; see ``parse_request``."""
    try:
        request = msgspec.json.decode(body, type=MessagesRequest)
    except msgspec.ValidationError as error:
        raise BadRequest(f"{error}") from None
    except msgspec.DecodeError as error:
        raise BadRequest(f"The request body is not valid JSON: {error}") from None
    if not request.messages:
        raise BadRequest("messages: at least one message is required")
    return request


def choose(script: Script, request: MessagesRequest) -> Response:
    """The script's response to a request."""
    chat = request.chat
    return script.response_for(
        model=request.model, last_user_message=chat.last_user_message, messages=chat.text
    )


def whole(
    request: MessagesRequest,
    response: Response,
    name: str,
    created: int,  # noqa: ARG001
) -> dict[str, Any]:
    """The answer as one document."""
    said = say(request.chat, response)
    return _message(request, name, _content(said, name), said)


def frames(
    request: MessagesRequest,
    response: Response,
    name: str,
    created: int,  # noqa: ARG001
) -> Iterator[tuple[str, bytes]]:
    """The answer as server-sent events."""
    for event in _events(request, say(request.chat, response), name):
        yield event["type"], msgspec.json.encode(event)


def error_document(status: int, message: str) -> dict[str, Any]:
    """Anthropic's error body."""
    kind = _ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    text = message or f"The simulator was asked for status {status}"
    return {"type": "error", "error": {"type": kind, "message": text}, "request_id": None}


def _events(request: MessagesRequest, said: Said, name: str) -> Iterator[dict[str, Any]]:
    begun = _message(request, name, [], said)
    begun |= {"stop_reason": None, "usage": {**begun["usage"], "output_tokens": 1}}
    yield {"type": "message_start", "message": begun}
    yield {"type": "ping"}
    for index, block in enumerate(_content(said, name)):
        opened, deltas = _in_pieces(block, said)
        yield {"type": "content_block_start", "index": index, "content_block": opened}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {
            "stop_reason": _stop_reason(said),
            "stop_sequence": None,
            "stop_details": None,
        },
        "usage": {"output_tokens": said.usage.completion_tokens},
    }
    yield {"type": "message_stop"}


def _message(
    request: MessagesRequest, name: str, content: list[dict[str, Any]], said: Said
) -> dict[str, Any]:
    return {
        "id": f"msg_{name}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": content,
        "stop_reason": _stop_reason(said),
        "stop_sequence": None,
        "stop_details": None,
        "usage": _usage(said.usage),
    }


def _content(said: Said, name: str) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if said.reasoning:
        signature = base64.b64encode(said.reasoning.encode()).decode()
        blocks.append({"type": "thinking", "thinking": said.reasoning, "signature": signature})
    if said.refusal or said.text:
        blocks.append({"type": "text", "text": said.refusal or said.text})
    blocks += [_call(index, call, name) for index, call in enumerate(said.tool_calls)]
    return blocks


def _call(index: int, call: ToolCall, name: str) -> dict[str, Any]:
    arguments: Any = call.arguments
    if isinstance(arguments, str):
        with suppress(msgspec.DecodeError):  # a script may want what no provider sends
            arguments = msgspec.json.decode(arguments)
    call_id = call.id or f"toolu_{name}_{index}"
    return {"type": "tool_use", "id": call_id, "name": call.name, "input": arguments}


def _in_pieces(block: dict[str, Any], said: Said) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it is opened, and the deltas that fill it."""
    if block["type"] == "thinking":
        deltas = [
            {"type": "thinking_delta", "thinking": piece}
            for piece in cut(block["thinking"], said.chunk_chars)
        ]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
        return {**block, "thinking": "", "signature": ""}, deltas
    if block["type"] == "tool_use":
        text = arguments_of(ToolCall(block["name"], block["input"]))
        pieces = cut("" if text == "{}" else text, said.chunk_chars or 8) or ("",)
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        return {**block, "input": {}}, deltas
    pieces = cut(said.refusal, said.chunk_chars) if said.refusal else said.pieces
    return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces]


def _stop_reason(said: Said) -> str:
    if said.refusal and said.finish_reason == "stop":
        return "refusal"
    return _STOP_REASONS.get(said.finish_reason, said.finish_reason)


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.prompt_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": usage.completion_tokens,
    }
