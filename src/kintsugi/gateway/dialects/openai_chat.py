"""OpenAI chat completions: requests, whole answers, and errors. Streams: openai_chat_stream.py.

Source: the OpenAPI description of ``POST /v1/chat/completions``, and the fields that compatible
servers add (``reasoning``, ``reasoning_content``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kintsugi.gateway.dialects.dialect import AnswerView, Problem, RequestView
from kintsugi.gateway.dialects.json_text import (
    MalformedDocument,
    is_binary,
    json_text,
    read_json,
    refuse_look_alikes,
)
from kintsugi.gateway.dialects.openai_chat_message import said_in, words
from kintsugi.gateway.dialects.openai_chat_stream import ChatStream
from kintsugi.gateway.dialects.openai_error import error_body
from kintsugi.gateway.dialects.openai_tools import read_tools
from kintsugi.gateway.dialects.request_head import bound_in, messages_in, read_head
from kintsugi.gateway.dialects.splice import pointer_token
from kintsugi.model.content import Edit, Part, PartKind

# Settings of the request: numbers, switches and words from fixed lists, so nothing to judge.
_SETTINGS = words(
    "model stream stream_options temperature top_p n max_tokens max_completion_tokens "
    "presence_penalty frequency_penalty logit_bias logprobs top_logprobs seed stop "
    "tool_choice function_call parallel_tool_calls reasoning_effort verbosity modalities "
    "service_tier store top_k min_p repetition_penalty"
)
_READ = frozenset(["messages", "tools", "functions"])
_KNOWN = _SETTINGS | _READ
_USUAL_MESSAGE = frozenset(("role", "content"))

# A message field that carries no text of the conversation.
_MESSAGE_SETTINGS = frozenset(("role", "tool_call_id", "id", "audio"))
# Binary content: no rule of this stage reads pictures, sound or documents.
_BINARY = {"image_url": "image_url", "input_audio": "input_audio", "file": "file"}


class OpenAIChat:
    """The dialect of ``/v1/chat/completions``."""

    name = "openai.chat"
    path = b"/v1/chat/completions"
    upstream_path = b"/chat/completions"

    def read_request(self, body: bytes) -> RequestView:
        """See ``Dialect``."""
        document, model, streamed = read_head(body)
        parts: list[Part] = []
        called: dict[str, str] = {}
        for index, message in enumerate(messages_in(document)):
            _read_message(message, f"/messages/{index}", parts, called)
        if not document.keys() <= _SETTINGS_AND_MESSAGES:
            _read_beside_messages(document, parts)
        bound = bound_in(document, "max_completion_tokens", "max_tokens")
        return RequestView(model, streamed, tuple(parts), bound)

    def read_answer(self, body: bytes) -> AnswerView:
        """See ``Dialect``."""
        document = read_json(body)
        if type(document) is not dict or type(document.get("choices")) is not list:
            raise MalformedDocument('the answer has no "choices"')
        parts: list[Part] = []
        for index, choice in enumerate(document["choices"]):
            message = choice.get("message") if type(choice) is dict else None
            if type(message) is not dict:
                raise MalformedDocument("a choice of the answer has no message")
            role = message.get("role")
            pointer = f"/choices/{index}/message"
            word = role if type(role) is str else "assistant"
            parts += [
                Part(word, said.kind, said.text, pointer + said.pointer, 0, said.name)
                for said in said_in(message)
            ]
        model = document.get("model")
        usage = document.get("usage")
        sent, received = read_usage(usage) if usage is not None else (0, 0)
        return AnswerView(tuple(parts), model if type(model) is str else "", sent, received)

    def clears(self, edits: Sequence[Edit]) -> Sequence[str]:
        """See ``Dialect``. Log probabilities spell a text out token by token."""
        choices = {edit.path.split("/")[2] for edit in edits if edit.path.startswith("/choices/")}
        return [f"/choices/{choice}/logprobs" for choice in sorted(choices)]

    def open_stream(self) -> ChatStream:
        """See ``Dialect``."""
        return ChatStream()

    def problem_body(self, problem: Problem) -> bytes:
        """See ``Dialect``."""
        return error_body(problem)


_SETTINGS_AND_MESSAGES = _SETTINGS | {"messages"}


def read_usage(usage: object) -> tuple[int, int]:
    """Tokens of input and output; 0 where not told."""
    if not isinstance(usage, dict):
        return 0, 0
    sent, received = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return sent if type(sent) is int else 0, received if type(received) is int else 0


def _read_message(message: object, pointer: str, parts: list[Part], called: dict[str, str]) -> None:
    """Add what one message of a request says.

    Args:
        called: tools by the id of their call; a result says no more of its tool than that id.
    """
    if type(message) is not dict:
        raise MalformedDocument(f"{pointer} must be an object")
    role = message.get("role")
    if type(role) is not str:
        raise MalformedDocument(f"{pointer}/role must be a word")
    kind: PartKind = "tool_result" if role in ("tool", "function") else "text"
    name = message.get("name")
    name = name if type(name) is str else ""
    if kind == "tool_result" and not name:
        call_id = message.get("tool_call_id")
        name = called.get(call_id, "") if type(call_id) is str else ""
    content = message.get("content")
    if type(content) is str:
        parts.append(Part(role, kind, content, pointer + "/content", 0, name))
    elif type(content) is list:
        for index, item in enumerate(content):
            _read_content_part(item, f"{pointer}/content/{index}", role, kind, name, parts)
    elif content is not None:
        raise MalformedDocument(f"{pointer}/content must be text or a list of parts")
    if message.keys() <= _USUAL_MESSAGE:
        return
    refuse_look_alikes(message, ("role", "content"), pointer)
    called |= _names_of_calls(message.get("tool_calls"))
    rest = {key: v for key, v in message.items() if key not in ("content", *_MESSAGE_SETTINGS)}
    parts += [
        Part(role, said.kind, said.text, pointer + said.pointer, 0, said.name)
        for said in said_in(rest, whole_structures=True)
    ]


def _names_of_calls(calls: object) -> dict[str, str]:
    """Names of the tools that a message calls, by the id of the call."""
    found: dict[str, str] = {}
    for call in calls if type(calls) is list else ():
        match call:
            case {"id": str(call_id), "function": {"name": str(name)}}:
                found[call_id] = name
            case {"id": str(call_id), "custom": {"name": str(name)}}:
                found[call_id] = name
    return found


def _read_content_part(
    item: object, pointer: str, role: str, kind: PartKind, name: str, parts: list[Part]
) -> None:
    """Add one element of a message's content list."""
    if type(item) is str:
        parts.append(Part(role, kind, item, pointer, 0, name))
        return
    if type(item) is not dict:
        raise MalformedDocument(f"{pointer} must be an object")
    match item:
        case {"type": "text", "text": str(text), **rest} if not rest:
            parts.append(Part(role, kind, text, pointer + "/text", 0, name))
        case {"type": "image_url" | "input_audio" | "file" as binary, **rest}:
            _read_binary(rest.get(_BINARY[binary]), f"{pointer}/{binary}", role, parts)
        case _:
            parts.append(Part(role, kind, json_text(item), pointer, 0, name))


def _read_binary(value: object, pointer: str, role: str, parts: list[Part]) -> None:
    """Add the texts that stand around binary content: addresses, file names, plain-text files."""
    if not isinstance(value, dict):
        parts.append(Part(role, "text", json_text(value), pointer))
        return
    for key, text in value.items():
        if isinstance(text, str) and key != "data" and not is_binary(text):
            parts.append(Part(role, "text", text, f"{pointer}/{pointer_token(key)}"))


def _read_beside_messages(document: dict[str, Any], parts: list[Part]) -> None:
    """Add tools, and every field that is no setting: what is unknown is judged, never skipped."""
    refuse_look_alikes(document, _KNOWN, "")
    for field in ("tools", "functions"):
        tools = document.get(field)
        if tools is not None:
            read_tools(tools, f"/{field}", parts)
    for key, value in document.items():
        if key not in _KNOWN and isinstance(value, str | list | dict):
            text = value if isinstance(value, str) else json_text(value)
            kind: PartKind = "tool_definition" if key == "response_format" else "text"
            parts.append(Part("user", kind, text, "/" + pointer_token(key)))
