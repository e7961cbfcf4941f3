"""MCP messages as rules see them: JSON-RPC 2.0, read in one way only, and every text in them.

What a message says is found by the shape of its ``params`` and its ``result``, not by its method:
a resumed stream brings answers to questions that another connection asked, and a hostile server
may answer anything to anything. A field without a reading of its own is judged as its JSON text,
and passes unharmed.

Source: MCP specification, revisions 2025-03-26 to 2026-07-28, "Base protocol" and "Schema".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from kintsugi.gateway.dialects.json_text import (
    MalformedDocument,
    json_text,
    read_json,
    refuse_look_alikes,
)
from kintsugi.gateway.dialects.splice import pointer_token
from kintsugi.model.content import Part, PartKind

Sender = Literal["client", "server"]
MessageKind = Literal["request", "notification", "response"]
MessageId = str | int | float | None

BATCH_MAX = 64

_KNOWN = frozenset(("jsonrpc", "id", "method", "params", "result", "error"))
_CALL_KEYS = frozenset(("name", "arguments"))
# Tokens of the protocol: nobody reads them as text, and no model sees them.
_SILENT = frozenset(
    (
        "cursor",
        "nextCursor",
        "progressToken",
        "protocolVersion",
        "requestId",
        "mimeType",
        "level",
        "type",
        "role",
        "action",
        "stopReason",
        "resultType",
        "lastModified",
    )
)


class Message(msgspec.Struct, frozen=True):
    """One JSON-RPC message.

    Attributes:
        method: empty for responses.
        id: None for notifications, and for errors that name no request.
        tool: the tool that a ``tools/call`` names, else empty.
        at: JSON pointer of the message in the body: empty, or ``/0`` in a batch.
        parts: every text in it; paths begin at the body.
    """

    kind: MessageKind
    method: str
    id: MessageId
    tool: str
    at: str
    parts: tuple[Part, ...]
    document: dict[str, Any]

    @property
    def is_error(self) -> bool:
        """Whether it says that something failed: an error, or a tool's own ``isError``."""
        result = self.document.get("result")
        return "error" in self.document or (type(result) is dict and result.get("isError") is True)


class Body(msgspec.Struct, frozen=True):
    """What one body, or the data of one event, carries.

    Attributes:
        is_batch: it is a list, as revision 2025-03-26 allows.
    """

    messages: tuple[Message, ...]
    is_batch: bool = False


def read_body(data: bytes, sender: Sender) -> Body:
    """Read the messages of a body.

    Raises:
        MalformedDocument: it cannot be read, or not in one way only.
    """
    document = read_json(data)
    if type(document) is not list:
        return Body((_read_message(document, sender, ""),))
    if not 1 <= len(document) <= BATCH_MAX:
        raise MalformedDocument(f"a batch holds 1 to {BATCH_MAX} messages")
    found = [_read_message(one, sender, f"/{index}") for index, one in enumerate(document)]
    return Body(tuple(found), True)


def _read_message(document: object, sender: Sender, at: str) -> Message:
    if type(document) is not dict:
        raise MalformedDocument("a message must be a JSON object")
    if not document.keys() <= _KNOWN:
        refuse_look_alikes(document, _KNOWN, at)
    if document.get("jsonrpc") != "2.0":
        raise MalformedDocument('"jsonrpc" must be "2.0"')
    identifier = document.get("id")
    if isinstance(identifier, bool) or not isinstance(identifier, str | int | float | None):
        raise MalformedDocument('"id" must be a string or a number')
    answers = "result" in document or "error" in document
    if "method" in document:
        if answers:
            raise MalformedDocument("a message cannot ask and answer at once")
        return _read_asking(document, identifier, sender, at)
    if not answers or ("result" in document and "error" in document):
        raise MalformedDocument('a message has one of "method", "result" and "error"')
    if identifier is None and "error" not in document:
        raise MalformedDocument("a result must name the request that it answers")
    reader = _Reader(sender, "")
    reader.others(document, at, skip=_KNOWN)
    if "error" in document:
        reader.error(document["error"], f"{at}/error")
    else:
        reader.body(document["result"], f"{at}/result")
    return Message("response", "", identifier, "", at, tuple(reader.parts), document)


def _read_asking(
    document: dict[str, Any], identifier: MessageId, sender: Sender, at: str
) -> Message:
    method = document["method"]
    if type(method) is not str or not method:
        raise MalformedDocument('"method" must be a name')
    if "id" in document and identifier is None:
        raise MalformedDocument('"id" of a request must not be null')
    params = document.get("params")
    if params is not None and type(params) is not dict:
        raise MalformedDocument('"params" must be an object')
    reader = _Reader(sender, "")
    reader.others(document, at, skip=_KNOWN)
    tool = ""
    if method == "tools/call" and sender == "client":
        tool = reader.call(params or {}, f"{at}/params")
    elif params is not None:
        reader.body(params, f"{at}/params")
    kind: MessageKind = "notification" if identifier is None else "request"
    return Message(kind, method, identifier, tool, at, tuple(reader.parts), document)


class _Reader:
    """Gathers the texts of one message.

    What a server says is no word of the user's: whatever its place, it reaches the model like a
    tool's result, and is judged as one.
    """

    def __init__(self, sender: Sender, tool: str) -> None:
        self.parts: list[Part] = []
        self._role = "user" if sender == "client" else "tool"
        self._kind: PartKind = "text" if sender == "client" else "tool_result"
        self._name = tool
        self._is_client = sender == "client"

    def call(self, params: dict[str, Any], at: str) -> str:
        """A tool call: its arguments as one text, its name as that text's name."""
        if not params.keys() <= _CALL_KEYS:
            refuse_look_alikes(params, _CALL_KEYS, at)
        name = params.get("name")
        if type(name) is not str or not name:
            raise MalformedDocument('"params.name" must be the name of a tool')
        arguments = params.get("arguments")
        if arguments is not None and type(arguments) is not dict:
            raise MalformedDocument('"params.arguments" must be an object')
        text = "" if arguments is None else json_text(arguments)
        self.parts.append(Part("assistant", "tool_call", text, f"{at}/arguments", 0, name))
        self.others(params, at, skip=_CALL_KEYS)
        return name

    def body(self, body: object, at: str) -> None:
        """``params`` or ``result``."""
        if type(body) is not dict:
            self.value(body, at)
            return
        speaker = body.get("role")
        if self._is_client and speaker in ("user", "assistant"):
            self._role = speaker  # the client's model answers a server's question
        for key, value in body.items():
            reader = _READERS.get(key)
            if reader is None or not reader(self, value, f"{at}/{key}"):
                self.field(key, value, at)

    def error(self, error: object, at: str) -> None:
        """A JSON-RPC error."""
        if type(error) is not dict:
            raise MalformedDocument('"error" must be an object')
        self.others(error, at)

    def others(
        self, fields: Mapping[str, Any], at: str, skip: frozenset[str] = frozenset()
    ) -> None:
        """The fields of an object that have no reading of their own."""
        for key, value in fields.items():
            if key not in skip:
                self.field(key, value, at)

    def field(self, key: str, value: object, at: str) -> None:
        """One field."""
        if key in _SILENT and not isinstance(value, list | dict):
            return
        path = f"{at}/{pointer_token(key)}"
        if key == "_meta" and type(value) is dict:
            self.others(value, path)
        else:
            self.value(value, path)

    def value(self, value: object, path: str) -> None:
        """A value without a reading: a text as it is, a structure as its JSON."""
        if isinstance(value, str):
            self._add(value, path)
        elif isinstance(value, list | dict) and value:
            self._add(json_text(value), path)

    def _add(self, text: str, path: str, kind: PartKind | None = None, name: str = "") -> None:
        if text:
            part = Part(self._role, kind or self._kind, text, path, 0, name or self._name)
            self.parts.append(part)

    # Shapes that the protocol knows; each returns False for a value that is not of its shape.

    def content(self, value: object, at: str) -> bool:
        """Blocks of content: one, or a list of them."""
        if type(value) is dict:
            return self._block(value, at)
        if type(value) is not list:
            return False
        for index, block in enumerate(value):
            path = f"{at}/{index}"
            if type(block) is not dict or not self._block(block, path):
                self.value(block, path)
        return True

    def _block(self, block: dict[str, Any], at: str) -> bool:
        kind = block.get("type")
        if kind in ("image", "audio"):
            self.others(block, at, skip=frozenset(("data",)))
        elif kind == "resource":
            self.others(block, at, skip=frozenset(("resource",)))
            self.contents([block.get("resource")], at, single="resource")
        elif kind == "tool_use":
            self._tool_use(block, at)
        elif kind == "tool_result":
            self.others(block, at, skip=frozenset(("content",)))
            return self.content(block.get("content", []), f"{at}/content")
        else:
            self.others(block, at)
        return True

    def _tool_use(self, block: dict[str, Any], at: str) -> None:
        """A tool that the client's model calls for the server that asked it."""
        name = block.get("name")
        name = name if type(name) is str else ""
        self._add(json_text(block.get("input")), f"{at}/input", "tool_call", name)
        self.others(block, at, skip=frozenset(("input", "name", "id")))

    def contents(self, value: object, at: str, *, single: str = "") -> bool:
        """Resources with their text; what is binary passes."""
        if type(value) is not list:
            return False
        for index, item in enumerate(value):
            path = f"{at}/{single or index}"
            if type(item) is dict:
                self.others(item, path, skip=frozenset(("blob",)))
            else:
                self.value(item, path)
        return True

    def messages(self, value: object, at: str) -> bool:
        """Messages of a prompt, or those that a server wants the client's model to read."""
        if type(value) is not list:
            return False
        for index, message in enumerate(value):
            path = f"{at}/{index}"
            if type(message) is not dict:
                self.value(message, path)
                continue
            self.others(message, path, skip=frozenset(("content",)))
            if not self.content(message.get("content"), f"{path}/content"):
                self.value(message.get("content"), f"{path}/content")
        return True

    def tools(self, value: object, at: str) -> bool:
        """Definitions of tools. Their words are instructions of a stranger to the model, so they
        are judged as a tool's result; the schema of the arguments stands for the tool itself."""
        if type(value) is not list:
            return False
        for index, tool in enumerate(value):
            path = f"{at}/{index}"
            name = tool.get("name") if type(tool) is dict else None
            if type(tool) is not dict or type(name) is not str:
                raise MalformedDocument("a tool must be an object with a name")
            schema = tool.get("inputSchema")
            text = json_text(schema) if isinstance(schema, dict) else "{}"
            self._add(text, f"{path}/inputSchema", "tool_definition", name)
            for key, words in tool.items():
                if key == "inputSchema":
                    self._words_of_schema(words, f"{path}/inputSchema", name)
                elif isinstance(words, str):
                    self._add(words, f"{path}/{pointer_token(key)}", name=name)
                elif isinstance(words, list | dict) and words:
                    self._add(json_text(words), f"{path}/{pointer_token(key)}", name=name)
        return True

    def _words_of_schema(self, schema: object, path: str, name: str) -> None:
        """Titles and descriptions within a schema, which the model reads too."""
        stack = [(schema, path, 0)]
        while stack:
            node, at, depth = stack.pop()
            if depth > _SCHEMA_DEPTH_MAX:
                raise MalformedDocument("a tool's schema is nested too deeply")
            if isinstance(node, str) and " " in node:
                self._add(node, at, name=name)
            elif isinstance(node, dict):
                below = [
                    (one, f"{at}/{pointer_token(key)}", depth + 1) for key, one in node.items()
                ]
                stack += reversed(below)
            elif isinstance(node, list):
                stack += [(one, f"{at}/{n}", depth + 1) for n, one in enumerate(node)][::-1]

    def entries(self, value: object, at: str) -> bool:
        """Lists of resources, templates and prompts: names, titles and descriptions."""
        return self.contents(value, at)


_SCHEMA_DEPTH_MAX = 64
_READERS: dict[str, Callable[[_Reader, object, str], bool]] = {
    "content": _Reader.content,
    "contents": _Reader.contents,
    "messages": _Reader.messages,
    "tools": _Reader.tools,
    "resources": _Reader.entries,
    "resourceTemplates": _Reader.entries,
    "prompts": _Reader.entries,
}
