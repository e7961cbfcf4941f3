"""Tool definitions as OpenAI's endpoints take them."""

from __future__ import annotations

import re
from typing import Any

from kintsugi.gateway.dialects.json_text import MalformedDocument, json_text
from kintsugi.gateway.dialects.splice import pointer_token
from kintsugi.model.content import Part

_SILENT = frozenset(("type", "name", "strict"))
# Types whose tools have a name of their own.
_NAMELESS = frozenset(("function", "custom", "mcp", "namespace"))
_VERSION = re.compile(r"(?:_use)?_preview(?:_\d{4}_\d{2}_\d{2})?\Z|_\d{4}_\d{2}_\d{2}\Z")


def read_tools(tools: object, at: str, parts: list[Part]) -> None:
    """Add what a list of tools says: the model reads every word of it.

    Raises:
        MalformedDocument: it is no list of objects.
    """
    if type(tools) is not list:
        raise MalformedDocument(f"{at} must be a list")
    for index, tool in enumerate(tools):
        _read_tool(tool, f"{at}/{index}", parts)


def _read_tool(tool: object, at: str, parts: list[Part]) -> None:
    """Add a tool's description and its parameters, which carry descriptions of their own. A tool
    without either is there all the same, so it has a part without text."""
    if type(tool) is not dict:
        raise MalformedDocument(f"{at} must be an object")
    name = _name_of(tool)
    function = tool.get("function")
    if type(function) is dict:
        at += "/function"
        tool = function
    described = False
    for key, value in tool.items():
        if key in _SILENT or not isinstance(value, str | list | dict):
            continue
        text = value if isinstance(value, str) else json_text(value)
        path = f"{at}/{pointer_token(key)}"
        parts.append(Part("system", "tool_definition", text, path, 0, name))
        described = True
    if name and not described:
        parts.append(Part("system", "tool_definition", "", at, 0, name))


def _name_of(tool: dict[str, Any]) -> str:
    """What calls of it are named after: its own name, else its MCP server or the kind of tool,
    without the date of its version."""
    inner = tool.get("function", tool.get("custom"))
    holder = inner if type(inner) is dict else tool
    for name in (holder.get("name"), tool.get("server_label")):
        if type(name) is str and name:
            return name
    kind = tool.get("type")
    return _VERSION.sub("", kind) if type(kind) is str and kind not in _NAMELESS else ""
