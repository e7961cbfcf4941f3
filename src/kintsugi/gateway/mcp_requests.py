"""What the head of a request to an MCP server says, and whether it may be believed."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import urlsplit

from kintsugi.gateway.events import Headers
from kintsugi.gateway.mcp_messages import Body, Message

MCP_PATH = b"/mcp/"

# Revisions are dates; drafts and whatever follows may not be (specification, "Versioning").
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: The only revision that knows batches; also the one of a client that does not say.
BATCH_VERSION = "2025-03-26"

_ONCE = frozenset(
    (
        b"mcp-session-id",
        b"mcp-protocol-version",
        b"mcp-method",
        b"mcp-name",
        b"last-event-id",
        b"origin",
        b"content-type",
    )
)
_NAME_FIELDS = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
#: Headers that repeat arguments begin with this.
PARAM = b"mcp-param-"
_LOCAL_HOSTS = frozenset(("localhost", "127.0.0.1", "::1"))


class Head:
    """The headers that matter to MCP."""

    def __init__(self, headers: Headers) -> None:
        self.all = headers
        self._told: dict[bytes, bytes] = {}
        self.repeated = False
        for name, value in headers:
            if name in _ONCE:
                self.repeated |= name in self._told
                self._told[name] = value.strip()

    def value(self, name: bytes) -> bytes:
        """One header; empty when it is not there."""
        return self._told.get(name, b"")

    @property
    def version(self) -> str | None:
        """The protocol version that the client names, empty for none; None where it is none."""
        text = self.value(b"mcp-protocol-version").decode("latin-1")
        return text if not text or _VERSION.fullmatch(text) else None

    @property
    def sends_json(self) -> bool:
        """Whether the body is JSON. Web pages cannot say so without being asked first."""
        media_type = self.value(b"content-type").partition(b";")[0]
        return media_type.strip().lower() == b"application/json"

    @property
    def takes_events(self) -> bool:
        """Whether the client accepts server-sent events."""
        return any(
            name == b"accept" and (b"text/event-stream" in value.lower() or b"*/*" in value)
            for name, value in self.all
        )

    def origin_allowed(self, allowed: Collection[str]) -> bool:
        """Whether the page that asks, if one does, may.

        A page whose name was made to point at this machine keeps its own origin, which is how it
        is told apart (DNS rebinding).
        """
        raw = self._told.get(b"origin")
        if raw is None:
            return True
        origin = raw.decode("latin-1")
        if origin in allowed:
            return True
        try:
            return urlsplit(origin).hostname in _LOCAL_HOSTS
        except ValueError:
            return False

    def agrees_with(self, asked: Body) -> bool:
        """Whether headers that repeat the body say the same. Whoever routes or judges by the one
        must not be told another story than whoever acts on the other."""
        method, name = self._told.get(b"mcp-method"), self._told.get(b"mcp-name")
        parameters = [value for key, value in self.all if key.startswith(PARAM)]
        if method is None and name is None and not parameters:
            return True
        if asked.is_batch:
            return False
        (message,) = asked.messages
        if method is not None and decoded(method) != message.method:
            return False
        if name is not None and decoded(name) != _name_in(message):
            return False
        return not parameters or _mirrors(message, parameters)

    def still_true(self, asked: Body) -> Headers:
        """The headers without those that repeat what the body does not say any more: what was
        redacted there must not go on here."""
        message = asked.messages[0]
        return [
            (name, value)
            for name, value in self.all
            if not (name.startswith(PARAM) and not _mirrors(message, [value]))
            and not (name == b"mcp-name" and decoded(value.strip()) != _name_in(message))
        ]


def server_in(target: bytes) -> bytes | None:
    """The server that a request target names; None where it names none."""
    path = target.partition(b"?")[0]
    if not path.startswith(MCP_PATH):
        return None
    return path[len(MCP_PATH) :]


def decoded(value: bytes) -> str | None:
    """A header that stands for a text of the body; None when it is not well formed.

    Source: specification 2026-07-28, "Standard headers": ``=?base64?...?=`` where the text itself
    could not stand in a header.
    """
    text = value.decode("latin-1")
    if not (text.startswith("=?base64?") and text.endswith("?=")):
        return text
    try:
        return b64decode(text[9:-2], validate=True).decode()
    except ValueError:
        return None


def _name_in(message: Message) -> str | None:
    params = message.document.get("params")
    field = _NAME_FIELDS.get(message.method)
    value = params.get(field) if type(params) is dict and field is not None else None
    return value if type(value) is str else None


def _mirrors(message: Message, values: Collection[bytes]) -> bool:
    params = message.document.get("params")
    arguments = params.get("arguments") if type(params) is dict else None
    said = set(_scalars(arguments))
    return all(decoded(value) in said for value in values)


def _scalars(value: Any) -> Iterator[str]:
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            stack += node.values()
        elif isinstance(node, bool):
            yield "true" if node else "false"
        elif isinstance(node, str | int | float):
            yield str(node)
