"""The texts in a chat message: the same fields in requests, whole answers and stream deltas."""

from __future__ import annotations

from typing import Any

import msgspec

from kintsugi.gateway.dialects.json_text import MalformedDocument, json_text
from kintsugi.gateway.dialects.splice import pointer_token
from kintsugi.model.content import PartKind

_ONLY_CONTENT = frozenset(("role", "content"))
_REASONING = frozenset(("reasoning", "reasoning_content", "thinking"))
_SILENT = frozenset(("role", "tool_call_id", "id"))
_SILENT_IN_CALL = frozenset(("index", "id", "type"))


def words(text: str) -> frozenset[str]:
    """A set of field names, written as a line of words."""
    return frozenset(text.split())


class Said(msgspec.Struct, frozen=True, gc=False):
    """One text in a message.

    Attributes:
        pointer: where it stands, seen from the message.
        path: where it stands in the whole message when this is a delta of it; tool calls are
            numbered by their ``index`` there.
        name: the tool's name (or the part of it that this delta brings) for tool calls.
    """

    kind: PartKind
    text: str
    pointer: str
    path: str
    name: str = ""


def said_in(message: dict[str, Any], *, whole_structures: bool = False) -> list[Said]:
    """Every text in a message or a delta, in one fixed order.

    Args:
        whole_structures: give a structure without a known reading as one JSON text. Otherwise as
            its strings, one by one, so that a text which arrives in pieces can be joined.

    Raises:
        MalformedDocument: a known field has a wrong type.
    """
    content = message.get("content")
    said: list[Said] = []
    if content.__class__ is str:
        if content:
            said.append(Said("text", content, "/content", "/content"))
    elif content is not None:
        _read_unknown(content, "/content", said, whole_structures)
    if message.keys() <= _ONLY_CONTENT:
        return said
    for key in sorted(message):
        value = message[key]
        if value is None or key in _ONLY_CONTENT or key in _SILENT:
            continue
        if key == "tool_calls":
            _read_tool_calls(value, said, whole_structures)
        elif key == "function_call":
            _read_function(value, "/function_call", "/function_call", said)
        elif isinstance(value, str):
            kind: PartKind = "reasoning" if key in _REASONING else "text"
            at = "/" + pointer_token(key)
            if value:
                said.append(Said(kind, value, at, at))
        elif key == "audio" and isinstance(value, dict):
            transcript = value.get("transcript")  # the rest of it is sound
            if isinstance(transcript, str) and transcript:
                said.append(Said("text", transcript, "/audio/transcript", "/audio/transcript"))
        else:
            _read_unknown(value, "/" + pointer_token(key), said, whole_structures)
    return said


def _read_tool_calls(calls: object, said: list[Said], whole_structures: bool) -> None:
    if not isinstance(calls, list):
        raise MalformedDocument('"tool_calls" must be a list')
    for position, call in enumerate(calls):
        if not isinstance(call, dict):
            raise MalformedDocument("a tool call must be an object")
        index = call.get("index", position)
        if type(index) is not int or index < 0:
            raise MalformedDocument("the index of a tool call must be a whole number")
        for key, value in call.items():
            token = pointer_token(key)
            at, path = f"/tool_calls/{position}/{token}", f"/tool_calls/{index}/{token}"
            if key in ("function", "custom"):
                _read_function(value, at, path, said)
            elif key not in _SILENT_IN_CALL:
                _read_unknown(value, at, said, whole_structures)


def _read_function(function: object, at: str, path: str, said: list[Said]) -> None:
    """A call of a function (``arguments``) or of a custom tool (``input``)."""
    if function is None:
        return
    if not isinstance(function, dict):
        raise MalformedDocument(f"{at} must be an object")
    name = function.get("name")
    name = name if isinstance(name, str) else ""
    named = False
    for key, value in function.items():
        if key == "name" or value is None:
            continue
        if not isinstance(value, str):
            # Some servers send arguments as an object where the contract says a string.
            value = json_text(value)
        token = pointer_token(key)
        said.append(Said("tool_call", value, f"{at}/{token}", f"{path}/{token}", name))
        named = True
    if name and not named:
        said.append(Said("tool_call", "", f"{at}/arguments", f"{path}/arguments", name))


def _read_unknown(value: object, at: str, said: list[Said], whole_structures: bool) -> None:
    if whole_structures:
        if isinstance(value, list | dict):
            said.append(Said("text", json_text(value), at, at))
    elif isinstance(value, str):
        if value:
            said.append(Said("text", value, at, at))
    elif isinstance(value, dict):
        for key, below in value.items():
            _read_unknown(below, f"{at}/{pointer_token(key)}", said, whole_structures)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            _read_unknown(below, f"{at}/{index}", said, whole_structures)
