"""What a test case says, apart from the dialect that it says it in.

Only what every dialect can say: texts, calls of tools and what they returned. A case with anything
else (pictures, files, thinking) is not read, so nothing is lost unseen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Final

import msgspec

from kintsugi.model.config import CASE_ENDPOINT, Case, CaseInput

RESPONSES: Final = "/v1/responses"
MESSAGES: Final = "/v1/messages"
#: Where a conversation can be held.
ENDPOINTS: Final = (CASE_ENDPOINT, RESPONSES, MESSAGES)

_INSTRUCTING: Final = ("system", "developer")
# Mean the same in every dialect; a model is only known to its own provider.
_SHARED: Final = ("temperature", "top_p")


class Said(msgspec.Struct, frozen=True):
    """A text of one speaker: ``system``, ``user`` or ``assistant``."""

    role: str
    text: str


class Called(msgspec.Struct, frozen=True):
    """A tool that the model called."""

    id: str
    name: str
    arguments: dict[str, Any]


class Returned(msgspec.Struct, frozen=True):
    """What a tool gave back."""

    id: str
    text: str


Turn = Said | Called | Returned


class Tool(msgspec.Struct, frozen=True):
    """A tool that was offered."""

    name: str
    description: str
    parameters: dict[str, Any]


class Conversation(msgspec.Struct, frozen=True):
    """A whole exchange.

    Attributes:
        answer: what the model says and calls; None where the last user message comes back.
        shared: settings that mean the same everywhere.
    """

    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    answer: tuple[Turn, ...] | None = None
    shared: dict[str, Any] = {}


class _Unreadable(Exception):
    """Something that not every dialect can say."""


def conversation(case: Case) -> Conversation | None:
    """What a case says; None where it says something that not every dialect can say."""
    wanted = case.input
    if wanted.endpoint not in ENDPOINTS or wanted.facts.counters or wanted.facts.remote:
        return None
    own = dict(wanted.request or {})
    try:
        return Conversation(
            turns=tuple(_turns(wanted, own)),
            tools=tuple(_tool(one) for one in own.get("tools") or ()),
            answer=_answer(wanted.upstream_response),
            shared={key: own[key] for key in _SHARED if key in own},
        )
    except (_Unreadable, KeyError, TypeError, AttributeError, msgspec.DecodeError):
        return None  # a request that some caller wrote: whatever is odd about it is not read


def case_input(held: Conversation, like: CaseInput, endpoint: str) -> CaseInput:
    """The same conversation as a request to an endpoint.

    Args:
        like: gives the headers, and whether it is streamed.
    """
    request: dict[str, Any] = dict(held.shared)
    if endpoint == CASE_ENDPOINT:
        messages = list(_chat_messages(held.turns))
    elif endpoint == RESPONSES:
        messages = list(_items(held.turns))
    else:
        messages = list(_blocks(held.turns))
        system = "\n\n".join(_instructions(held.turns))
        if system:
            request["system"] = system
    if held.tools:
        request["tools"] = [_tool_document(one, endpoint) for one in held.tools]
    return CaseInput(
        messages=tuple(messages),
        headers=like.headers,
        request=request or None,
        upstream_response=_answer_document(held.answer, endpoint),
        stream=like.stream,
        endpoint=endpoint,
    )


def _turns(wanted: CaseInput, own: dict[str, Any]) -> Iterator[Turn]:
    for key in ("system", "instructions"):
        if own.get(key):
            yield Said("system", _text(own[key]))
    messages = wanted.messages or own.get("messages") or own.get("input") or ()
    if isinstance(messages, str):
        messages = ({"role": "user", "content": messages},)
    for message in messages:
        yield from _message(message)


def _message(message: dict[str, Any]) -> Iterator[Turn]:
    """A message of any dialect: what is told apart by type needs no dialect to be read."""
    kind = message.get("type")
    if kind == "function_call":
        yield Called(message["call_id"], message["name"], _arguments(message["arguments"]))
    elif kind == "function_call_output":
        yield Returned(message["call_id"], _text(message["output"]))
    elif kind not in (None, "message"):
        raise _Unreadable(kind)
    elif message["role"] == "tool":
        yield Returned(message["tool_call_id"], _text(message["content"]))
    else:
        yield from _content(message)


def _content(message: dict[str, Any]) -> Iterator[Turn]:
    role = "system" if message["role"] in _INSTRUCTING else message["role"]
    content = message.get("content")
    parts: Any = [content] if isinstance(content, str) else content or ()
    for part in parts:
        match part:
            case {"type": "tool_use"}:
                yield Called(part["id"], part["name"], part["input"])
            case {"type": "tool_result"}:
                yield Returned(part["tool_use_id"], _text(part.get("content") or ""))
            case _:
                yield Said(role, _text([part]))
    for call in message.get("tool_calls") or ():
        function = call["function"]
        yield Called(call["id"], function["name"], _arguments(function["arguments"]))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif part["type"] in ("text", "input_text", "output_text"):
            texts.append(part["text"])
        else:
            raise _Unreadable(part["type"])
    return "\n".join(texts)


def _arguments(said: Any) -> dict[str, Any]:
    arguments = msgspec.json.decode(said) if isinstance(said, str) else said
    if not isinstance(arguments, dict):
        raise _Unreadable("arguments")
    return arguments


def _tool(document: dict[str, Any]) -> Tool:
    function = document.get("function", document)
    if document.get("type", "custom") not in ("function", "custom"):
        raise _Unreadable(document["type"])
    parameters = function.get("parameters") or function.get("input_schema") or {"type": "object"}
    return Tool(function["name"], function.get("description", ""), parameters)


def _answer(stated: dict[str, Any] | str | None) -> tuple[Turn, ...] | None:
    if stated is None:
        return None
    if isinstance(stated, str):
        return (Said("assistant", stated),)
    match stated:
        case {"choices": [{"message": message}]} | {"message": message}:
            return tuple(_message({"role": "assistant", **message}))
        case {"choices": _}:
            raise _Unreadable("choices")
        case {"output": items}:
            return tuple(turn for item in items for turn in _message(item))
        case _ if set(stated) <= {"text", "tool_calls"}:
            said = [Said("assistant", stated["text"])] if stated.get("text") else []
            return (*said, *map(_simulated_call, stated.get("tool_calls") or ()))
        case _:
            return tuple(_message({"role": "assistant", **stated}))


def _simulated_call(call: dict[str, Any]) -> Called:
    arguments = _arguments(call.get("arguments") or {})
    return Called(call.get("id") or f"call_{call['name']}", call["name"], arguments)


def _answer_document(answer: tuple[Turn, ...] | None, endpoint: str) -> dict[str, Any] | str | None:
    if answer is None:
        return None
    text = "\n".join(one.text for one in answer if isinstance(one, Said))
    calls = [one for one in answer if isinstance(one, Called)]
    if not calls:
        return text
    if endpoint == CASE_ENDPOINT:
        return {"content": text or None, "tool_calls": [_call(one) for one in calls]}
    told = [{"id": one.id, "name": one.name, "arguments": one.arguments} for one in calls]
    return {"text": text, "tool_calls": told} if text else {"tool_calls": told}


def _chat_messages(turns: Iterable[Turn]) -> Iterator[dict[str, Any]]:
    for kind, group in groupby(turns, type):
        if kind is Called:
            calls = [_call(one) for one in group if isinstance(one, Called)]
            yield {"role": "assistant", "content": None, "tool_calls": calls}
            continue
        for one in group:
            if isinstance(one, Returned):
                yield {"role": "tool", "tool_call_id": one.id, "content": one.text}
            elif isinstance(one, Said):
                yield {"role": one.role, "content": one.text}


def _call(one: Called) -> dict[str, Any]:
    function = {"name": one.name, "arguments": msgspec.json.encode(one.arguments).decode()}
    return {"id": one.id, "type": "function", "function": function}


def _items(turns: Iterable[Turn]) -> Iterator[dict[str, Any]]:
    for one in turns:
        match one:
            case Said(role, text):
                yield {"role": role, "content": text}
            case Called(call_id, name, arguments):
                said = msgspec.json.encode(arguments).decode()
                yield {
                    "type": "function_call",
                    "call_id": call_id,
                    "name": name,
                    "arguments": said,
                }
            case Returned(call_id, text):
                yield {"type": "function_call_output", "call_id": call_id, "output": text}


def _blocks(turns: Iterable[Turn]) -> Iterator[dict[str, Any]]:
    """Messages of content blocks; the system's go elsewhere."""
    for kind, group in groupby((one for one in turns if not _instructs(one)), type):
        if kind is Called:
            uses = [
                {"type": "tool_use", "id": one.id, "name": one.name, "input": one.arguments}
                for one in group
                if isinstance(one, Called)
            ]
            yield {"role": "assistant", "content": uses}
        elif kind is Returned:
            results = [
                {"type": "tool_result", "tool_use_id": one.id, "content": one.text}
                for one in group
                if isinstance(one, Returned)
            ]
            yield {"role": "user", "content": results}
        else:
            for one in group:
                if isinstance(one, Said):
                    yield {"role": one.role, "content": one.text}


def _tool_document(tool: Tool, endpoint: str) -> dict[str, Any]:
    described: dict[str, Any] = {"name": tool.name}
    if tool.description:
        described["description"] = tool.description
    if endpoint == MESSAGES:
        return {**described, "input_schema": tool.parameters}
    function = {**described, "parameters": tool.parameters}
    if endpoint == RESPONSES:
        return {"type": "function", **function}
    return {"type": "function", "function": function}


def _instructs(turn: Turn) -> bool:
    return isinstance(turn, Said) and turn.role == "system"


def _instructions(turns: Iterable[Turn]) -> list[str]:
    return [one.text for one in turns if isinstance(one, Said) and one.role == "system"]
