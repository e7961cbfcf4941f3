"""The texts in the content blocks of Anthropic messages: in requests, answers and streams alike.

A field that is not known is judged as text; what a field below is known to be silent about
(identifiers, settings, words from fixed lists) is passed over.

Source: the types of the official SDK (``anthropic.types``, 2.11), beta blocks included.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from kintsugi.gateway.dialects.json_text import MalformedDocument, json_text, refuse_look_alikes
from kintsugi.gateway.dialects.openai_chat_message import words
from kintsugi.gateway.dialects.splice import pointer_token
from kintsugi.model.content import Part, PartKind

_SILENT = words(
    "type id tool_use_id file_id caller cache_control is_error media_type page_age retrieved_at "
    "container_id"
)
# Fields that hold further blocks.
_NESTED = words("content source citations citation tool_references")
_KNOWN = frozenset().union(
    _SILENT,
    _NESTED,
    words("text thinking signature data input name title context url cited_text document_title"),
    words("stdout stderr"),
)
# What a provider has sealed for itself, and files: base64, which no rule reads as text.
_SEALED = re.compile(r"[A-Za-z0-9+/_=\r\n-]*")
_SEALED_FIELDS = words("signature encrypted_content encrypted_index encrypted_stdout")
_SEALED_DATA = frozenset(("base64", "redacted_thinking"))


class Speaker(NamedTuple):
    """Who says the texts of a block, and what kind of texts they are.

    Attributes:
        name: the tool's, else empty.
    """

    role: str
    kind: PartKind = "text"
    name: str = ""

    def part(self, text: str, at: str) -> Part:
        """One of the texts."""
        return Part(self.role, self.kind, text, at, 0, self.name)


# A citation quotes what was retrieved; its words are not the model's.
_QUOTED = Speaker("tool", "tool_result", "citation")


class BlockReader:
    """Reads the blocks of one document, in order.

    Attributes:
        parts: what they say; one is added for each text.
    """

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._tools: dict[str, str] = {}  # the name of the tool by the id of its call

    def read_content(self, content: object, at: str, speaker: Speaker) -> None:
        """Take in a text, a block or a list of both.

        Raises:
            MalformedDocument: it is something else, or a block can be read in more than one way.
        """
        if type(content) is list:
            for index, block in enumerate(content):
                self.read_block(block, f"{at}/{index}", speaker)
        else:
            self.read_block(content, at, speaker)

    def read_block(self, block: object, at: str, speaker: Speaker) -> None:
        """Take in one block; see ``read_content``."""
        if type(block) is str:
            self.parts.append(speaker.part(block, at))
            return
        if type(block) is not dict:
            raise MalformedDocument(f"{at} must be text or an object")
        text = block.get("text")
        kind = block.get("type")
        if len(block) == 2 and kind == "text" and type(text) is str:  # the common case
            self.parts.append(speaker.part(text, at + "/text"))
            return
        if kind is not None and type(kind) is not str:
            raise MalformedDocument(f"{at}/type must be a word")
        refuse_look_alikes(block, _KNOWN, at)
        if kind is not None and kind.endswith("tool_use"):
            self._read_call(block, at, speaker)
            return
        self._read_fields(block, at, kind or "", self._speaker_of(kind or "", block, speaker))

    def read_field(self, key: str, value: object, at: str, speaker: Speaker) -> None:
        """Take in a field without a reading of its own: as it stands, or as one JSON text."""
        if type(value) is str:
            if value and not (key in _SEALED_FIELDS and is_sealed(value)):
                self.parts.append(speaker.part(value, f"{at}/{pointer_token(key)}"))
        elif isinstance(value, list | dict) and value:
            self.parts.append(speaker.part(json_text(value), f"{at}/{pointer_token(key)}"))

    def _read_fields(self, block: dict[str, Any], at: str, kind: str, speaker: Speaker) -> None:
        for key, value in block.items():
            if key in _SILENT or value is None:
                continue
            if key == "data" and kind in _SEALED_DATA and type(value) is str and is_sealed(value):
                continue
            if key in _NESTED and isinstance(value, list | dict):
                quoted = key == "citations" or key == "citation"
                self.read_content(value, f"{at}/{key}", _QUOTED if quoted else speaker)
            else:
                self.read_field(key, value, at, speaker)

    def _read_call(self, block: dict[str, Any], at: str, speaker: Speaker) -> None:
        """Take in a call of a tool; its arguments are an object, judged as one JSON text."""
        name, call_id = block.get("name"), block.get("id")
        name = name if type(name) is str else ""
        if type(call_id) is str:
            self._tools[call_id] = name
        arguments = block.get("input")
        if arguments is None:
            arguments = {}  # a call without arguments
        text = arguments if type(arguments) is str else json_text(arguments)
        self.parts.append(Part(speaker.role, "tool_call", text, at + "/input", 0, name))
        for key, value in block.items():
            if key not in _SILENT_IN_CALL:
                self.read_field(key, value, at, speaker)

    def _speaker_of(self, kind: str, block: dict[str, Any], speaker: Speaker) -> Speaker:
        """Who says the texts of a block of this type, in the message of somebody."""
        if kind == "thinking":
            return Speaker(speaker.role, "reasoning")
        if speaker.kind != "text":  # what is inside a result is of the result
            return speaker
        retrieved = kind in ("document", "search_result")
        if not retrieved and not kind.endswith("tool_result"):
            return speaker
        # What a server's tool returned stands in the model's message, but is not the model's.
        role = "tool" if speaker.role == "assistant" else speaker.role
        call_id = block.get("tool_use_id")
        name = self._tools.get(call_id, "") if type(call_id) is str else ""
        return Speaker(role, "tool_result", kind if retrieved else name)


_SILENT_IN_CALL = _SILENT | words("input name")


def is_sealed(text: str) -> bool:
    """Whether a text is base64, as far as its characters tell."""
    return _SEALED.fullmatch(text) is not None
