"""OpenAI's responses dialect, from the provider's side. Pure: ids and time are passed in.

It says what the chat dialect would say to the same conversation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from kintsugi.simulator.openai_chat import (
    ChatRequest,
    Said,
    arguments_of,
    cut,
    error_document,
    say,
)
from kintsugi.simulator.script import BadRequest, Response, Script, ToolCall, Usage

__all__ = ["choose", "error_document", "frames", "parse_request", "whole"]

_OUTPUTS = frozenset(("function_call_output", "custom_tool_call_output"))
# Why an answer ends early, in the words of the chat dialect and of this one.
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponsesRequest(msgspec.Struct, frozen=True):
    """The part of a request that an answer depends on; everything else is accepted."""

    model: str
    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    stream: bool | None = False
    tools: list[dict[str, Any]] | None = None
    text: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None

    @property
    def chat(self) -> ChatRequest:
        """The same conversation in the chat dialect."""
        messages: list[dict[str, Any]] = []
        if self.instructions:
            messages.append({"role": "developer", "content": self.instructions})
        if isinstance(self.input, str):
            messages.append({"role": "user", "content": self.input})
        for item in self.input if isinstance(self.input, list) else ():
            if item.get("type") in _OUTPUTS:
                messages.append({"role": "tool", "content": item.get("output")})
            elif "role" in item:
                messages.append({"role": item["role"], "content": item.get("content")})
        tools = [{"type": "function", "function": tool} for tool in self.tools or ()]
        return ChatRequest(messages or [{"role": "user"}], self.model, self.stream, 1, tools)


def parse_request(body: bytes) -> ResponsesRequest:
    """Read a request.

    Raises:
        BadRequest: it is no JSON, or lacks what every request has.
    """
    try:
        return msgspec.json.decode(body, type=ResponsesRequest)
    except msgspec.ValidationError as error:
        raise BadRequest(f"{error}") from None
    except msgspec.DecodeError as error:
        raise BadRequest(f"We could not parse the JSON body of your request: {error}") from None


def choose(script: Script, request: ResponsesRequest) -> Response:
    """The script's response to a request."""
    chat = request.chat
    return script.response_for(
        model=request.model, last_user_message=chat.last_user_message, messages=chat.text
    )


def whole(request: ResponsesRequest, response: Response, name: str, created: int) -> dict[str, Any]:
    """The whole answer as one document."""
    return _Answer(request, response, name, created).document()


def frames(
    request: ResponsesRequest, response: Response, name: str, created: int
) -> Iterator[tuple[str, bytes]]:
    """The same as events: every text in pieces, then whole, then again as part of what it is in."""
    answer = _Answer(request, response, name, created)
    for number, (kind, fields) in enumerate(answer.events()):
        event = {"type": kind, "sequence_number": number, **fields}
        yield kind, msgspec.json.encode(event)


class _Answer:
    """One answer, said whole or bit by bit."""

    def __init__(
        self, request: ResponsesRequest, response: Response, name: str, created: int
    ) -> None:
        self._request = request
        self._said: Said = say(request.chat, response)
        self._error = response.error
        self._name = name
        self._created = created
        self._status, self._reason = "completed", ""
        if self._said.finish_reason in _INCOMPLETE:
            self._status, self._reason = "incomplete", _INCOMPLETE[self._said.finish_reason]
        elif self._said.finish_reason == "failed":
            self._status = "failed"

    def document(self, *, begun: bool = False) -> dict[str, Any]:
        """The response at its end; when it has only begun, without what it says."""
        request = self._request
        failed = self._status == "failed" and not begun
        error = {"code": "server_error", "message": self._error or "The simulator was told to fail"}
        return {
            "id": f"resp_{self._name}",
            "object": "response",
            "created_at": self._created,
            "status": "in_progress" if begun else self._status,
            "error": error if failed else None,
            "incomplete_details": {"reason": self._reason} if self._reason and not begun else None,
            "instructions": request.instructions,
            "max_output_tokens": None,
            "metadata": request.metadata or {},
            "model": request.model,
            "output": [] if begun or failed else self._items(),
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": 1.0,
            "text": request.text or {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": request.tools or [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": None if begun else _usage(self._said.usage),
        }

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The events of a stream: type, and what it has besides."""
        begun = self.document(begun=True)
        yield "response.created", {"response": begun}
        yield "response.in_progress", {"response": begun}
        for index, item in enumerate(self._items()):
            if item["type"] == "reasoning":
                yield from self._reasoning_events(index, item)
            elif item["type"] == "message":
                yield from self._message_events(index, item)
            else:
                yield from self._call_events(index, item)
        yield f"response.{self._status}", {"response": self.document()}

    def _items(self) -> list[dict[str, Any]]:
        said = self._said
        items: list[dict[str, Any]] = []
        if said.reasoning:
            summary = [{"type": "summary_text", "text": said.reasoning}]
            items.append({"id": f"rs_{self._name}", "type": "reasoning", "summary": summary})
        if said.refusal or said.text or not said.tool_calls:
            part = _refusal(said.refusal) if said.refusal else _text(said.text)
            items.append(self._message([part], "completed"))
        items += [self._call(index, call) for index, call in enumerate(said.tool_calls)]
        return items

    def _message(self, content: list[dict[str, Any]], status: str) -> dict[str, Any]:
        return {
            "id": f"msg_{self._name}",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    def _call(self, index: int, call: ToolCall) -> dict[str, Any]:
        return {
            "id": f"fc_{self._name}_{index}",
            "type": "function_call",
            "status": "completed",
            "call_id": call.id or f"call_{self._name}_{index}",
            "name": call.name,
            "arguments": arguments_of(call),
        }

    def _message_events(
        self, index: int, item: dict[str, Any]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        said, (part,) = self._said, item["content"]
        at = {"item_id": item["id"], "output_index": index, "content_index": 0}
        kind, key, empty = "output_text", "text", _text("")
        beside: dict[str, Any] = {"logprobs": []}
        pieces = said.pieces
        if said.refusal:
            kind, key, empty = "refusal", "refusal", _refusal("")
            beside, pieces = {}, cut(said.refusal, said.chunk_chars)
        opened = self._message([], "in_progress")
        yield "response.output_item.added", {"output_index": index, "item": opened}
        yield "response.content_part.added", {**at, "part": empty}
        for piece in pieces:
            yield f"response.{kind}.delta", {**at, "delta": piece, **beside}
        yield f"response.{kind}.done", {**at, key: part[key], **beside}
        yield "response.content_part.done", {**at, "part": part}
        yield "response.output_item.done", {"output_index": index, "item": item}

    def _reasoning_events(
        self, index: int, item: dict[str, Any]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        (part,) = item["summary"]
        at = {"item_id": item["id"], "output_index": index, "summary_index": 0}
        name = "response.reasoning_summary"
        opened = {**item, "summary": []}
        yield "response.output_item.added", {"output_index": index, "item": opened}
        yield f"{name}_part.added", {**at, "part": {**part, "text": ""}}
        for piece in cut(part["text"], self._said.chunk_chars):
            yield f"{name}_text.delta", {**at, "delta": piece}
        yield f"{name}_text.done", {**at, "text": part["text"]}
        yield f"{name}_part.done", {**at, "part": part}
        yield "response.output_item.done", {"output_index": index, "item": item}

    def _call_events(
        self, index: int, item: dict[str, Any]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        at = {"item_id": item["id"], "output_index": index}
        name = "response.function_call_arguments"
        opened = {**item, "status": "in_progress", "arguments": ""}
        yield "response.output_item.added", {"output_index": index, "item": opened}
        for piece in cut(item["arguments"], self._said.chunk_chars or 8):
            yield f"{name}.delta", {**at, "delta": piece}
        yield f"{name}.done", {**at, "name": item["name"], "arguments": item["arguments"]}
        yield "response.output_item.done", {"output_index": index, "item": item}


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _refusal(text: str) -> dict[str, Any]:
    return {"type": "refusal", "refusal": text}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
