"""Tool definitions as OpenAI's endpoints take them."""

from __future__ import annotations

from kintsugi.gateway.dialects.json_text import MalformedDocument, json_text
from kintsugi.gateway.dialects.splice import pointer_token
from kintsugi.model.content import Part

_SILENT = frozenset(("type", "name", "strict"))


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
    """Add a tool's description and its parameters, which carry descriptions of their own."""
    if type(tool) is not dict:
        raise MalformedDocument(f"{at} must be an object")
    function = tool.get("function")
    if type(function) is dict:
        at += "/function"
        tool = function
    name = tool.get("name")
    name = name if type(name) is str else ""
    for key, value in tool.items():
        if key in _SILENT or not isinstance(value, str | list | dict):
            continue
        text = value if isinstance(value, str) else json_text(value)
        path = f"{at}/{pointer_token(key)}"
        parts.append(Part("system", "tool_definition", text, path, 0, name))
