"""The texts in the documents of the responses API: items, content parts, and what stands beside.

Requests, whole answers and the events of a stream are made of the same pieces, so they are read
here once. A field that is not known is judged as text; what a field below is known to be silent
about (numbers, identifiers, words from fixed lists) is passed over.

Source: the OpenAPI description of ``POST /v1/responses``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from kintsugi.gateway.dialects.json_text import (
    MalformedDocument,
    is_binary,
    json_text,
    refuse_look_alikes,
)
from kintsugi.gateway.dialects.openai_chat_message import words
from kintsugi.gateway.dialects.openai_tools import read_tools
from kintsugi.gateway.dialects.splice import pointer_token
from kintsugi.model.content import Part, PartKind


class Reading(msgspec.Struct, frozen=True):
    """How items of one type are read.

    Attributes:
        fields: those with texts, and what kind of text that is. Calls are read as one JSON text.
        role: who speaks in the other fields.
        tool: the tool's name where the item does not give one.
        silent: fields of this type alone that carry no text.
    """

    fields: Mapping[str, PartKind]
    role: str = "assistant"
    tool: str = ""
    silent: frozenset[str] = frozenset()

    @property
    def call(self) -> str:
        """The field with a call's arguments, which is there even where it is left out."""
        return next((name for name, kind in self.fields.items() if kind == "tool_call"), "")


_ARGUMENTS = Reading({"arguments": "tool_call"})
_RESULT = Reading({"output": "tool_result"}, role="tool")
_TOOLS = Reading({"tools": "tool_definition"}, role="system")

ITEMS: dict[str, Reading] = {
    "reasoning": Reading({"summary": "reasoning", "content": "reasoning"}),
    "function_call": _ARGUMENTS,
    "mcp_approval_request": _ARGUMENTS,
    "mcp_call": Reading(
        {"arguments": "tool_call", "output": "tool_result", "error": "tool_result"}
    ),
    "mcp_approval_response": Reading({}, role="user"),
    "custom_tool_call": Reading({"input": "tool_call"}),
    "tool_search_call": Reading({"arguments": "tool_call"}, tool="tool_search"),
    "web_search_call": Reading({"action": "tool_call"}, tool="web_search"),
    "file_search_call": Reading(
        {"queries": "tool_call", "results": "tool_result"}, tool="file_search"
    ),
    "code_interpreter_call": Reading(
        {"code": "tool_call", "outputs": "tool_result"}, tool="code_interpreter"
    ),
    "computer_call": Reading({"action": "tool_call", "actions": "tool_call"}, tool="computer"),
    "local_shell_call": Reading({"action": "tool_call"}, tool="local_shell"),
    "shell_call": Reading({"action": "tool_call"}, tool="shell"),
    "apply_patch_call": Reading({"operation": "tool_call"}, tool="apply_patch"),
    "program": Reading({"code": "tool_call"}, tool="program"),
    "image_generation_call": Reading({}, silent=frozenset(("result",))),
    "mcp_list_tools": _TOOLS,
    "tool_search_output": _TOOLS,
    "additional_tools": _TOOLS,
    "function_call_output": _RESULT,
    "custom_tool_call_output": _RESULT,
    "computer_call_output": _RESULT,
    "local_shell_call_output": _RESULT,
    "shell_call_output": _RESULT,
    "apply_patch_call_output": _RESULT,
    "program_output": Reading({"result": "tool_result"}, role="tool"),
}

_SILENT = words("type id status role call_id")
_SILENT_IN_ITEM = _SILENT | words(
    "phase name object namespace caller async server_label approval_request_id container_id "
    "created_by fingerprint execution background output_format quality size"
)
_SILENT_IN_BLOCK = words(
    "type id file_id container_id status detail logprobs created_by prompt_cache_breakpoint"
)
# Fields whose value may be a data: address, which is no text.
_ADDRESSES = frozenset(("image_url", "file_data", "file_url", "url"))
_USUAL_MESSAGE = frozenset(("type", "role", "content", "id", "status"))
_KNOWN_IN_ITEM = _SILENT_IN_ITEM | words("content output arguments input summary tools action")
_KNOWN_IN_BLOCK = _SILENT_IN_BLOCK | _ADDRESSES | words("text refusal input_audio annotations")
# What a provider has sealed for itself (a Fernet token): nobody else can read or write it.
_SEALED = re.compile(r"gAAAA[A-Za-z0-9_-]+={0,2}")


def read_items(items: object, at: str, role: str, parts: list[Part]) -> None:
    """Add what a list of items says.

    Args:
        role: who speaks in items that do not say who.

    Raises:
        MalformedDocument: it is no list of objects, or an item cannot be read in one way only.
    """
    if type(items) is not list:
        raise MalformedDocument(f"{at} must be a list of items")
    called: dict[str, str] = {}
    for index, item in enumerate(items):
        read_item(item, f"{at}/{index}", role, parts, called)


def read_item(
    item: object, at: str, role: str, parts: list[Part], called: dict[str, str] | None = None
) -> None:
    """Add what one item says; see ``read_items``.

    Args:
        called: tools by the id of their call, which is all that a result says of its tool; grows
            with each call. None where there are no items before this one.
    """
    if type(item) is not dict:
        raise MalformedDocument(f"{at} must be an object")
    kind = item.get("type")
    if kind is not None and type(kind) is not str:
        raise MalformedDocument(f"{at}/type must be a word")
    if kind == "message" or (kind is None and "role" in item):
        _read_message(item, at, parts)
        return
    refuse_look_alikes(item, _KNOWN_IN_ITEM, at)
    reading = ITEMS.get(kind or "")
    if reading is None:
        speaker = item.get("role")
        role = speaker if type(speaker) is str else role
        for key, value in item.items():
            if key not in _SILENT:
                read_unknown(key, value, at, role, parts)
        return
    name = tool_name(item)
    call_id = item.get("call_id")
    if called is not None and type(call_id) is str:
        name = name or called.get(call_id, "")
        called[call_id] = name
    call = reading.call
    if call and all(item.get(field) is None for field in reading.fields):
        parts.append(Part(reading.role, "tool_call", "", f"{at}/{call}", 0, name))
    for key, value in item.items():
        field = reading.fields.get(key)
        if field is None:
            if key not in _SILENT_IN_ITEM and key not in reading.silent:
                read_unknown(key, value, at, reading.role, parts)
        elif field == "tool_definition" and value is not None:
            read_tools(value, f"{at}/{key}", parts)
        elif kind == "shell_call":
            _read_shell_action(value, f"{at}/{key}", name, parts)
        else:
            speaker = "tool" if field == "tool_result" else reading.role
            _read_value(value, f"{at}/{key}", field, speaker, name, parts)


def tool_name(item: Mapping[str, Any]) -> str:
    """The name of the tool that an item is about; empty where it is about none."""
    name = item.get("name")
    if type(name) is str and name:
        return name
    reading = ITEMS.get(item.get("type") or "")
    return reading.tool if reading is not None else ""


def read_block(
    block: object, at: str, kind: PartKind, role: str, parts: list[Part], name: str = ""
) -> None:
    """Add what one content part says: text, a refusal, a result; of pictures, sound and files
    their addresses and names. Annotations quote what a tool found, not the model."""
    if type(block) is str:
        parts.append(Part(role, kind, block, at, 0, name))
        return
    if type(block) is not dict:
        raise MalformedDocument(f"{at} must be an object")
    text = block.get("text")
    if len(block) == 2 and type(text) is str and "type" in block:  # the common case
        parts.append(Part(role, kind, text, at + "/text", 0, name))
        return
    refuse_look_alikes(block, _KNOWN_IN_BLOCK, at)
    for key, value in block.items():
        if key in _SILENT_IN_BLOCK:
            continue
        if key == "annotations" and type(value) is list:
            for index, annotation in enumerate(value):
                where = f"{at}/annotations/{index}"
                read_block(annotation, where, "tool_result", "tool", parts)
        elif key == "input_audio" and type(value) is dict:
            rest = {field: text for field, text in value.items() if field != "data"}
            read_block(rest, f"{at}/input_audio", kind, role, parts, name)
        elif key in _ADDRESSES and type(value) is str and is_binary(value):
            continue
        elif isinstance(value, str | list | dict):
            text = value if isinstance(value, str) else json_text(value)
            parts.append(Part(role, kind, text, f"{at}/{pointer_token(key)}", 0, name))


def read_unknown(key: str, value: object, at: str, role: str, parts: list[Part]) -> None:
    """Add a field without a reading of its own: as it stands, or as one JSON text."""
    if isinstance(value, str):
        if not value or (key == "encrypted_content" and _SEALED.fullmatch(value)):
            return
        parts.append(Part(role, "text", value, f"{at}/{pointer_token(key)}"))
    elif isinstance(value, list | dict) and value:
        parts.append(Part(role, "text", json_text(value), f"{at}/{pointer_token(key)}"))


def _read_message(message: dict[str, Any], at: str, parts: list[Part]) -> None:
    role = message.get("role")
    if type(role) is not str:
        raise MalformedDocument(f"{at}/role must be a word")
    kind: PartKind = "tool_result" if role == "tool" else "text"
    content = message.get("content")
    if type(content) is str:
        parts.append(Part(role, kind, content, at + "/content"))
    elif type(content) is list:
        for index, block in enumerate(content):
            read_block(block, f"{at}/content/{index}", kind, role, parts)
    elif content is not None:
        raise MalformedDocument(f"{at}/content must be text or a list of parts")
    if message.keys() <= _USUAL_MESSAGE:
        return
    refuse_look_alikes(message, _KNOWN_IN_ITEM, at)
    for key, value in message.items():
        if key == "name" or (key != "content" and key not in _SILENT_IN_ITEM):
            read_unknown(key, value, at, role, parts)


def _read_value(
    value: Any, at: str, kind: PartKind, role: str, name: str, parts: list[Part]
) -> None:
    """Add the value of a field with a reading."""
    if isinstance(value, str):
        parts.append(Part(role, kind, value, at, 0, name))
    elif kind == "tool_call" and isinstance(value, list | dict):
        parts.append(Part(role, kind, json_text(value), at, 0, name))
    elif isinstance(value, list):
        for index, block in enumerate(value):
            read_block(block, f"{at}/{index}", kind, role, parts, name)
    elif isinstance(value, dict):
        read_block(value, at, kind, role, parts, name)


def _read_shell_action(action: Any, at: str, name: str, parts: list[Part]) -> None:
    """Add the commands of a shell call one by one, because streams bring them so."""
    if not isinstance(action, dict) or not isinstance(action.get("commands"), list):
        _read_value(action, at, "tool_call", "assistant", name, parts)
        return
    for index, command in enumerate(action["commands"]):
        where = f"{at}/commands/{index}"
        _read_value(command, where, "tool_call", "assistant", name, parts)
    for key, value in action.items():
        if key != "commands":
            read_unknown(key, value, at, "assistant", parts)
