"""What was said in a recorded exchange, read with the gateway's own dialects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from kintsugi.gateway.dialects import DIALECTS
from kintsugi.gateway.dialects.json_text import MalformedDocument
from kintsugi.model.content import Part
from kintsugi.model.event import DecisionEvent
from kintsugi.policy.tool_calls import history

_DIALECTS: Final = {dialect.name: dialect for dialect in DIALECTS}
_MCP: Final = "mcp"


class Said(msgspec.Struct, frozen=True):
    """The texts of an exchange.

    Attributes:
        asked, answered: the parts of the request and of the answer, in order, without tool
            definitions.
        tools: names of the tools on offer.
        unread: why some of it could not be read.
    """

    asked: tuple[Part, ...] = ()
    answered: tuple[Part, ...] = ()
    tools: tuple[str, ...] = ()
    unread: str = ""


def read_said(event: DecisionEvent) -> Said:
    """The texts of a recorded exchange, as far as they can be read."""
    if event.dialect == _MCP:
        return _read_mcp(event)
    dialect = _DIALECTS.get(event.dialect)
    if dialect is None:
        return Said(unread=f'the dialect "{event.dialect}" is not known here')
    if not event.payload.request:
        return Said(unread="no text was recorded, or it was erased")
    try:
        asked = dialect.read_request(_bytes(event.payload.request)).parts
    except MalformedDocument as error:
        cut = "it was cut short: " if event.payload.truncated else ""
        return Said(unread=f"request: {cut}{error}")
    answered: tuple[Part, ...] = ()
    unread = ""
    if event.payload.response and 200 <= event.upstream_status < 300:
        try:
            answered = dialect.read_answer(_bytes(event.payload.response)).parts
        except MalformedDocument as error:
            unread = f"answer: {error}"
    return Said(
        asked=_named([part for part in asked if part.kind != "tool_definition"]),
        answered=answered,
        tools=tuple(dict.fromkeys(p.name for p in asked if p.kind == "tool_definition" and p.name)),
        unread=unread,
    )


def _named(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Results under the names of the calls that they answer; few dialects repeat them."""
    names = {step.result.path: step.call.name for step in history(parts) if step.result is not None}
    return tuple(
        msgspec.structs.replace(part, name=names[part.path])
        if part.kind == "tool_result" and not part.name and part.path in names
        else part
        for part in parts
    )


def _read_mcp(event: DecisionEvent) -> Said:
    """A call of a tool and its result; other methods carry no conversation."""
    if event.mcp_method != "tools/call":
        return Said()
    if not event.payload.request:
        return Said(unread="no text was recorded, or it was erased")
    arguments = _member(_member(_json(event.payload.request), "params"), "arguments")
    called = Part(
        "assistant",
        "tool_call",
        msgspec.json.encode(arguments if arguments is not None else {}).decode(),
        "/params/arguments",
        0,
        event.tool_name,
    )
    if not event.payload.response:
        return Said(asked=(called,))
    result = _member(_json(event.payload.response), "result")
    text = event.payload.response if result is None else msgspec.json.encode(result).decode()
    return Said(
        asked=(called,),
        answered=(Part("tool", "tool_result", text, "/result", 0, event.tool_name),),
    )


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
