"""What stands around the items of the responses API: the fields of requests and of answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kintsugi.gateway.dialects.json_text import MalformedDocument, json_text, refuse_look_alikes
from kintsugi.gateway.dialects.openai_chat_message import words
from kintsugi.gateway.dialects.openai_responses_items import (
    read_block,
    read_items,
    read_unknown,
)
from kintsugi.gateway.dialects.openai_tools import read_tools
from kintsugi.gateway.dialects.splice import pointer_token
from kintsugi.model.content import Part

# Numbers, switches, identifiers and words from fixed lists, so nothing to judge.
_SETTINGS = words(
    "model stream stream_options temperature top_p max_output_tokens max_tool_calls top_logprobs "
    "tool_choice parallel_tool_calls reasoning service_tier store include truncation background "
    "previous_response_id conversation context_management moderation access_programs image "
    "prompt_cache_options prompt_cache_retention"
)
# The same of an answer; what of them ``stop_frames`` repeats.
SETTINGS_OF_ANSWER = _SETTINGS | words(
    "id object created_at completed_at status usage billing incomplete_details"
)

_Read = Callable[[Any, str, list[Part]], None]


def read_request_document(document: dict[str, Any], parts: list[Part]) -> None:
    """Add what a request says.

    Raises:
        MalformedDocument: a field has a wrong type, or looks like another one.
    """
    if not document.keys() <= _PLAIN_REQUEST:
        refuse_look_alikes(document, _KNOWN_IN_REQUEST, "")
    _read_fields(document, _REQUEST, _SETTINGS, "user", parts)


def read_response_document(document: dict[str, Any], parts: list[Part]) -> None:
    """Add what an answer says, with what it repeats of its request.

    Raises:
        MalformedDocument: a field has a wrong type.
    """
    _read_fields(document, _ANSWER, SETTINGS_OF_ANSWER, "assistant", parts)


def read_usage(document: dict[str, Any]) -> tuple[int, int]:
    """Tokens read and tokens written; 0 where the answer does not say."""
    usage = document.get("usage")
    if type(usage) is not dict:
        return 0, 0
    sent, received = usage.get("input_tokens"), usage.get("output_tokens")
    return (sent if type(sent) is int else 0), (received if type(received) is int else 0)


def _read_fields(
    document: dict[str, Any],
    fields: Mapping[str, _Read],
    settings: frozenset[str],
    role: str,
    parts: list[Part],
) -> None:
    for key, value in document.items():
        if key in settings or value is None:
            continue
        read = fields.get(key)
        if read is None:
            read_unknown(key, value, "", role, parts)
        else:
            read(value, "/" + key, parts)


def _read_input(value: Any, at: str, parts: list[Part]) -> None:
    if type(value) is str:
        parts.append(Part("user", "text", value, at))
    else:
        read_items(value, at, "user", parts)


def _read_output(value: Any, at: str, parts: list[Part]) -> None:
    read_items(value, at, "assistant", parts)


def _read_instructions(value: Any, at: str, parts: list[Part]) -> None:
    """In an answer they may be a list: what a stored prompt became."""
    if type(value) is str:
        parts.append(Part("developer", "text", value, at))
    else:
        read_items(value, at, "developer", parts)


def _read_prompt(value: Any, at: str, parts: list[Part]) -> None:
    """Add what goes into a stored prompt; the prompt itself is with the provider."""
    if type(value) is not dict:
        raise MalformedDocument(f"{at} must be an object")
    for key, below in value.items():
        if key == "variables" and type(below) is dict:
            for name, variable in below.items():
                where = f"{at}/variables/{pointer_token(name)}"
                if isinstance(variable, str | dict):
                    read_block(variable, where, "text", "user", parts)
                elif isinstance(variable, list):
                    parts.append(Part("user", "text", json_text(variable), where))
        elif key not in ("id", "version"):
            read_unknown(key, below, at, "user", parts)


def _read_format(value: Any, at: str, parts: list[Part]) -> None:
    """Add the schema that the answer must fit; plain text needs none."""
    if type(value) is dict and value.keys() <= _FORMAT and value.get("format") in _PLAIN_FORMATS:
        return
    if isinstance(value, str | list | dict):
        text = value if isinstance(value, str) else json_text(value)
        parts.append(Part("user", "tool_definition", text, at))


def _read_metadata(value: Any, at: str, parts: list[Part]) -> None:
    read_unknown(at[1:], value, "", "user", parts)


def _read_error(value: Any, at: str, parts: list[Part]) -> None:
    """Add why the model gave no answer; its code is a word from a list."""
    if type(value) is dict:
        value = {key: below for key, below in value.items() if key != "code"}
    read_block(value, at, "text", "assistant", parts)


_FORMAT = frozenset(("format", "verbosity"))
_PLAIN_FORMATS = (None, {"type": "text"})
_BESIDE: dict[str, _Read] = {
    "instructions": _read_instructions,
    "tools": read_tools,
    "prompt": _read_prompt,
    "text": _read_format,
    "metadata": _read_metadata,
    "user": _read_metadata,
    "safety_identifier": _read_metadata,
    "prompt_cache_key": _read_metadata,
}
_REQUEST: dict[str, _Read] = {"input": _read_input, **_BESIDE}
_ANSWER: dict[str, _Read] = {"output": _read_output, "error": _read_error, **_BESIDE}
_PLAIN_REQUEST = frozenset(("model", "input", "instructions", "stream"))
_KNOWN_IN_REQUEST = _SETTINGS | _REQUEST.keys()
