"""Anthropic messages: requests, whole answers, and the counting of tokens.

Streams: anthropic_messages_stream.py. Errors: anthropic_error.py.

Source: the types of the official SDK (``anthropic.types``, 2.11), beta fields included.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kintsugi.gateway.dialects.anthropic_error import error_body
from kintsugi.gateway.dialects.anthropic_messages_blocks import BlockReader, Speaker
from kintsugi.gateway.dialects.anthropic_messages_stream import (
    SETTINGS_OF_ANSWER,
    MessageStream,
    read_usage,
)
from kintsugi.gateway.dialects.dialect import AnswerView, Problem, RequestView
from kintsugi.gateway.dialects.json_text import (
    MalformedDocument,
    json_text,
    read_json,
    refuse_look_alikes,
)
from kintsugi.gateway.dialects.openai_chat_message import words
from kintsugi.gateway.dialects.request_head import bound_in, messages_in, read_head
from kintsugi.gateway.dialects.splice import pointer_token
from kintsugi.gateway.dialects.text_tree import path_rank
from kintsugi.model.content import Edit, Part

# Numbers, switches, identifiers and words from fixed lists, so nothing to judge.
_SETTINGS = words(
    "model stream max_tokens temperature top_p top_k tool_choice thinking service_tier speed "
    "inference_geo cache_control container user_profile_id workspace_id fallback_credit_token"
)
_READ = words("messages system tools mcp_servers metadata stop_sequences output_config")
_KNOWN = _SETTINGS | _READ
_USUAL = words("model stream max_tokens messages system")
_USUAL_MESSAGE = frozenset(("role", "content"))
_SILENT_IN_TOOL = words("type name cache_control strict defer_loading allowed_callers max_uses")
_THINKING = re.compile(r"(/content/\d+)/thinking")
_VERSION = re.compile(r"_\d{8}\Z")
_USER, _MODEL = Speaker("user"), Speaker("assistant")


class AnthropicMessages:
    """The dialect of ``/v1/messages``."""

    name = "anthropic.messages"
    path = b"/v1/messages"
    upstream_path = b"/messages"

    def read_request(self, body: bytes) -> RequestView:
        """See ``Dialect``."""
        document, model, streamed = read_head(body)
        reader = BlockReader()
        system = document.get("system")
        if system is not None:
            reader.read_content(system, "/system", Speaker("system"))
        for index, message in enumerate(messages_in(document)):
            _read_message(message, f"/messages/{index}", reader)
        if not document.keys() <= _USUAL:
            _read_beside_messages(document, reader)
        bound = bound_in(document, "max_tokens")
        return RequestView(model, streamed, tuple(reader.parts), bound)

    def read_answer(self, body: bytes) -> AnswerView:
        """See ``Dialect``."""
        document = read_json(body)
        if type(document) is not dict or type(document.get("content")) is not list:
            raise MalformedDocument('the answer has no "content"')
        reader = BlockReader()
        for index, block in enumerate(document["content"]):
            reader.read_block(block, f"/content/{index}", _MODEL)
        for key, value in document.items():
            if key == "stop_details" and type(value) is dict:
                reader.read_block(value, "/stop_details", _MODEL)
            elif key != "content" and key not in SETTINGS_OF_ANSWER:
                reader.read_field(key, value, "", _MODEL)
        reader.parts.sort(key=lambda part: path_rank(part.path))
        model = document.get("model")
        sent, received = read_usage(document.get("usage"))
        return AnswerView(tuple(reader.parts), model if type(model) is str else "", sent, received)

    def clears(self, edits: Sequence[Edit]) -> Sequence[str]:
        """See ``Dialect``. A signature is over the thinking as the model wrote it, and holds it
        too, sealed."""
        found = (_THINKING.fullmatch(edit.path) for edit in edits)
        return sorted({match[1] + "/signature" for match in found if match is not None})

    def open_stream(self) -> MessageStream:
        """See ``Dialect``."""
        return MessageStream()

    def problem_body(self, problem: Problem) -> bytes:
        """See ``Dialect``."""
        return error_body(problem)


class AnthropicCountTokens(AnthropicMessages):
    """The dialect of ``/v1/messages/count_tokens``.

    The provider reads the whole request to count it, so it is judged like any other. The answer
    is a number; it is no usage, because nothing was generated.
    """

    name = "anthropic.count_tokens"
    path = b"/v1/messages/count_tokens"
    upstream_path = b"/messages/count_tokens"

    def read_answer(self, body: bytes) -> AnswerView:
        """See ``Dialect``."""
        document = read_json(body)
        if type(document) is not dict:
            raise MalformedDocument("the answer must be a JSON object")
        reader = BlockReader()
        for key, value in document.items():
            reader.read_field(key, value, "", _MODEL)
        return AnswerView(tuple(reader.parts))


def _read_message(message: object, at: str, reader: BlockReader) -> None:
    if type(message) is not dict:
        raise MalformedDocument(f"{at} must be an object")
    role = message.get("role")
    if type(role) is not str:
        raise MalformedDocument(f"{at}/role must be a word")
    speaker = Speaker(role)
    content = message.get("content")
    if type(content) is str:
        reader.parts.append(speaker.part(content, at + "/content"))
    elif type(content) is list:
        reader.read_content(content, at + "/content", speaker)
    else:
        raise MalformedDocument(f"{at}/content must be text or a list of blocks")
    if message.keys() <= _USUAL_MESSAGE:
        return
    refuse_look_alikes(message, _USUAL_MESSAGE, at)
    for key, value in message.items():
        if key not in _USUAL_MESSAGE:
            reader.read_field(key, value, at, speaker)


def _read_beside_messages(document: dict[str, Any], reader: BlockReader) -> None:
    """Add tools, and every field that is no setting: what is unknown is judged, never skipped."""
    refuse_look_alikes(document, _KNOWN, "")
    for key, value in document.items():
        if key in _USUAL or key in _SETTINGS or value is None:
            continue
        if key == "tools":
            _read_tools(value, reader.parts)
        elif key == "mcp_servers":
            _read_servers(value, reader)
        elif key == "metadata" and type(value) is dict:
            for name, text in value.items():
                reader.read_field(name, text, "/metadata", _USER)
        elif key == "stop_sequences" and type(value) is list:
            reader.read_content(value, "/stop_sequences", _USER)
        elif key == "output_config" and type(value) is dict:
            for name, below in value.items():
                if name != "effort":
                    speaker = Speaker("user", "tool_definition" if name == "format" else "text")
                    reader.read_field(name, below, "/output_config", speaker)
        else:
            reader.read_field(key, value, "", _USER)


def _read_tools(tools: object, parts: list[Part]) -> None:
    """Add what tools say of themselves: the model reads every word of it. A tool without a
    description is there all the same, so it has a part without text."""
    if type(tools) is not list:
        raise MalformedDocument("/tools must be a list")
    for index, tool in enumerate(tools):
        where = f"/tools/{index}"
        if type(tool) is not dict:
            raise MalformedDocument(f"{where} must be an object")
        refuse_look_alikes(tool, _KNOWN_IN_TOOL, where)
        speaker = Speaker("system", "tool_definition", _tool_name(tool))
        described = False
        for key, value in tool.items():
            if key not in _SILENT_IN_TOOL and isinstance(value, str | list | dict):
                text = value if isinstance(value, str) else json_text(value)
                parts.append(speaker.part(text, f"{where}/{pointer_token(key)}"))
                described = True
        if speaker.name and not described:
            parts.append(speaker.part("", where))


def _tool_name(tool: dict[str, Any]) -> str:
    """What calls of it are named after: its own name, else its MCP server or the kind of tool,
    without the date of its version."""
    for key in ("name", "mcp_server_name"):
        name = tool.get(key)
        if type(name) is str and name:
            return name
    kind = tool.get("type")
    return _VERSION.sub("", kind) if type(kind) is str else ""


def _read_servers(servers: object, reader: BlockReader) -> None:
    """Add the MCP servers that the provider shall call: their tools are tools of the model."""
    if type(servers) is not list:
        raise MalformedDocument("/mcp_servers must be a list")
    for index, server in enumerate(servers):
        if type(server) is not dict:
            raise MalformedDocument(f"/mcp_servers/{index} must be an object")
        name = server.get("name")
        speaker = Speaker("user", "tool_definition", name if type(name) is str else "")
        for key, value in server.items():
            if key not in ("type", "name"):
                reader.read_field(key, value, f"/mcp_servers/{index}", speaker)


_KNOWN_IN_TOOL = _SILENT_IN_TOOL | words("description input_schema")
