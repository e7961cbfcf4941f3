"""OpenAI's chat completions dialect, from the provider's side. Pure: ids and time are passed in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from kintsugi.simulator.script import BadRequest, Response, Script, ToolCall, Usage

_CHARS_PER_TOKEN = 4
_WORD = re.compile(r"\s*\S+|\s+")
_CHOICES_MAX = 128

_ERROR_TYPES = {400: "invalid_request_error", 401: "invalid_request_error", 429: "requests"}
_ERROR_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


class ChatRequest(msgspec.Struct, frozen=True):
    """The part of a chat request that an answer depends on; everything else is accepted."""

    messages: list[dict[str, Any]]
    model: str
    stream: bool | None = False
    n: int | None = 1
    tools: list[dict[str, Any]] | None = None
    stream_options: dict[str, Any] | None = None

    @property
    def last_user_message(self) -> str:
        """Its text; empty when no user spoke."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return text_of(message)
        return ""

    @property
    def text(self) -> str:
        """What all messages say, one to a line."""
        return "\n".join(text_of(message) for message in self.messages)

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with a usage chunk."""
        return bool((self.stream_options or {}).get("include_usage"))


class Said(msgspec.Struct, frozen=True):
    """A response worked out for one request: what every choice says.

    Attributes:
        pieces: ``text`` as a stream cuts it.
    """

    text: str
    pieces: tuple[str, ...]
    reasoning: str
    refusal: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str
    usage: Usage
    chunk_chars: int


def parse_request(body: bytes) -> ChatRequest:
    """Read a request.

    Raises:
        BadRequest: it is no JSON, or lacks what every chat request has.
    """
    try:
        request = msgspec.json.decode(body, type=ChatRequest)
    except msgspec.ValidationError as error:
        raise BadRequest(f"{error}") from None
    except msgspec.DecodeError as error:
        raise BadRequest(f"We could not parse the JSON body of your request: {error}") from None
    if not request.messages:
        raise BadRequest("[] is too short - 'messages'")
    if not 1 <= (request.n or 1) <= _CHOICES_MAX:
        raise BadRequest(f"'n' must be between 1 and {_CHOICES_MAX}")
    return request


def text_of(message: dict[str, Any]) -> str:
    """A message's text, whichever of its two shapes it has."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return ""


def choose(script: Script, request: ChatRequest) -> Response:
    """The script's response to a request."""
    return script.response_for(
        model=request.model,
        last_user_message=request.last_user_message,
        messages=request.text,
    )


def say(request: ChatRequest, response: Response) -> Said:
    """Work a response out."""
    tool_calls = response.tool_calls
    text = _text(request, response)
    if response.offered_tool:
        tool_calls, text = _offered_tool(request)
    if response.refusal or (tool_calls and response.text is None):
        text = ""
    pieces = response.chunks if response.chunks is not None else cut(text, response.chunk_chars)
    spoken = text + response.reasoning + response.refusal
    spoken += "".join(call.name + arguments_of(call) for call in tool_calls)
    count = request.n or 1
    prompt = sum(len(text_of(message)) for message in request.messages)
    return Said(
        text=text,
        pieces=pieces,
        reasoning=response.reasoning,
        refusal=response.refusal,
        tool_calls=tool_calls,
        finish_reason=response.finish_reason or ("tool_calls" if tool_calls else "stop"),
        usage=response.usage or Usage(_tokens(prompt), _tokens(len(spoken)) * count),
        chunk_chars=response.chunk_chars,
    )


def completion(request: ChatRequest, said: Said, *, name: str, created: int) -> dict[str, Any]:
    """The whole answer as one document.

    Args:
        name: what its id ends with.
        created: Unix seconds.
    """
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if said.refusal or (said.tool_calls and not said.text) else said.text,
        "refusal": said.refusal or None,
    }
    if said.reasoning:
        message["reasoning_content"] = said.reasoning
    choices = []
    for index in range(request.n or 1):
        own = dict(message)
        if said.tool_calls:
            own["tool_calls"] = [
                _tool_call(call, _call_id(call, name, index, position))
                for position, call in enumerate(said.tool_calls)
            ]
        choices.append(
            {"index": index, "message": own, "logprobs": None, "finish_reason": said.finish_reason}
        )
    return {
        "id": f"chatcmpl-{name}",
        "object": "chat.completion",
        "created": created,
        "model": request.model,
        "choices": choices,
        "usage": _usage(said.usage),
        "system_fingerprint": "fp_simulator",
    }


def chunks(
    request: ChatRequest, said: Said, *, name: str, created: int
) -> Iterator[dict[str, Any]]:
    """The same as a stream's chunks; choices take turns. ``[DONE]`` is the caller's."""
    head: dict[str, Any] = {
        "id": f"chatcmpl-{name}",
        "object": "chat.completion.chunk",
        "created": created,
        "model": request.model,
        "system_fingerprint": "fp_simulator",
    }
    usage: dict[str, Any] = {"usage": None} if request.include_usage else {}
    indexes = range(request.n or 1)

    def chunk(
        index: int, delta: dict[str, Any], finish_reason: str | None = None
    ) -> dict[str, Any]:
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": None,
            "finish_reason": finish_reason,
        }
        return {**head, "choices": [choice], **usage}

    for index in indexes:
        yield chunk(index, {"role": "assistant", "content": "", "refusal": None})
    for key, pieces in (
        ("reasoning_content", cut(said.reasoning, said.chunk_chars)),
        ("refusal", cut(said.refusal, said.chunk_chars)),
        ("content", said.pieces),
    ):
        for piece in pieces:
            for index in indexes:
                yield chunk(index, {key: piece})
    for position, call in enumerate(said.tool_calls):
        for index in indexes:
            opening = _tool_call(call, _call_id(call, name, index, position))
            opening["function"]["arguments"] = ""
            yield chunk(index, {"tool_calls": [{"index": position, **opening}]})
        for piece in cut(arguments_of(call), said.chunk_chars or 8):
            for index in indexes:
                part = {"index": position, "function": {"arguments": piece}}
                yield chunk(index, {"tool_calls": [part]})
    for index in indexes:
        yield chunk(index, {}, said.finish_reason)
    if request.include_usage:
        yield {**head, "choices": [], "usage": _usage(said.usage)}


def whole(request: ChatRequest, response: Response, name: str, created: int) -> dict[str, Any]:
    """The answer as one document."""
    return completion(request, say(request, response), name=name, created=created)


def frames(
    request: ChatRequest, response: Response, name: str, created: int
) -> Iterator[tuple[str, bytes]]:
    """The answer as server-sent events without names."""
    for document in chunks(request, say(request, response), name=name, created=created):
        yield "", msgspec.json.encode(document)
    yield "", b"[DONE]"


def models(names: list[str], *, created: int) -> dict[str, Any]:
    """The answer of ``GET /v1/models``."""
    data = [
        {"id": name, "object": "model", "created": created, "owned_by": "kintsugi-simulator"}
        for name in names
    ]
    return {"object": "list", "data": data}


def error_document(status: int, message: str) -> dict[str, Any]:
    """OpenAI's error body."""
    return {
        "error": {
            "message": message or f"The simulator was asked for status {status}",
            "type": _ERROR_TYPES.get(
                status, "server_error" if status >= 500 else "invalid_request_error"
            ),
            "param": None,
            "code": _ERROR_CODES.get(status),
        }
    }


def cut(text: str, chunk_chars: int) -> tuple[str, ...]:
    """Cut a text into pieces of so many characters, or after each word when 0."""
    if chunk_chars <= 0:
        return tuple(_WORD.findall(text))
    return tuple(text[start : start + chunk_chars] for start in range(0, len(text), chunk_chars))


def arguments_of(call: ToolCall) -> str:
    """The arguments as they go over the wire."""
    if isinstance(call.arguments, str):
        return call.arguments
    return msgspec.json.encode(call.arguments).decode()


def _text(request: ChatRequest, response: Response) -> str:
    if response.chunks is not None:
        return "".join(response.chunks)
    if response.text is None:
        return request.last_user_message
    return response.text.replace("{last}", request.last_user_message)


def _offered_tool(request: ChatRequest) -> tuple[tuple[ToolCall, ...], str]:
    last = request.messages[-1]
    if last.get("role") == "tool":
        return (), f"The tool answered: {text_of(last)}"
    for tool in request.tools or ():
        function = tool.get("function")
        if isinstance(function, dict):
            arguments = _example(function.get("parameters") or {})
            return (ToolCall(str(function.get("name", "")), arguments),), ""
    return (), "No tool was offered."


def _example(schema: Any) -> Any:
    """A value that fits a JSON schema of the simple kind that tools have."""
    if not isinstance(schema, dict):
        return {}
    if schema.get("enum"):
        return schema["enum"][0]
    match schema.get("type", "object"):
        case "string":
            return "example"
        case "integer" | "number":
            return 1
        case "boolean":
            return True
        case "array":
            return []
        case "object":
            properties = schema.get("properties") or {}
            wanted = schema.get("required", list(properties))
            return {key: _example(properties.get(key)) for key in wanted}
    return None


def _tool_call(call: ToolCall, call_id: str) -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments_of(call)},
    }


def _call_id(call: ToolCall, name: str, index: int, position: int) -> str:
    return call.id or f"call_{name}_{index}_{position}"


def _tokens(chars: int) -> int:
    return -(-chars // _CHARS_PER_TOKEN)


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
