"""The events of a responses stream: which texts they bring, and where those stand in the answer.

Source: the OpenAPI description of ``POST /v1/responses`` with ``stream: true``.
"""

from __future__ import annotations

import re

import msgspec

from kintsugi.gateway.dialects.openai_chat_message import words
from kintsugi.model.content import PartKind


class Place(msgspec.Struct, frozen=True):
    """Where the text of one kind of event stands in an item.

    Attributes:
        field: of the item.
        index: the event's key with the position in that field, where it is a list.
        below: what follows the position.
        whole: the event's key with the whole text, in ``.done``.
    """

    kind: PartKind
    field: str
    index: str = ""
    below: str = ""
    whole: str = ""


PLACES: dict[str, Place] = {
    "response.output_text": Place("text", "content", "content_index", "/text", "text"),
    "response.refusal": Place("text", "content", "content_index", "/refusal", "refusal"),
    "response.reasoning_text": Place("reasoning", "content", "content_index", "/text", "text"),
    "response.reasoning_summary_text": Place(
        "reasoning", "summary", "summary_index", "/text", "text"
    ),
    "response.function_call_arguments": Place("tool_call", "arguments", whole="arguments"),
    "response.mcp_call_arguments": Place("tool_call", "arguments", whole="arguments"),
    "response.custom_tool_call_input": Place("tool_call", "input", whole="input"),
    "response.code_interpreter_call_code": Place("tool_call", "code", whole="code"),
    "response.shell_call_command": Place(
        "tool_call", "action/commands", "command_index", whole="command"
    ),
}
# Texts that deltas may add to after an item or a part was opened with their beginning.
GROWING = re.compile(
    r"/output/\d+/(?:(?:content|summary)/\d+/(?:text|refusal)|arguments|input|code|"
    r"action/commands/\d+)"
)
LAST = words("response.completed response.failed response.incomplete response.cancelled error")
SILENT = words("type sequence_number item_id call_id obfuscation")
# Events of which these fields carry no text: sound, pictures, words from lists.
SILENT_IN_EVENT = {
    "error": words("code param"),
    "response.audio.delta": words("delta"),
    "response.image_generation_call.partial_image": words(
        "partial_image_b64 background output_format quality size"
    ),
}
BESIDE_TEXT = words("logprobs name")
