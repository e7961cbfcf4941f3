"""A test case as parts that can be taken away and texts that can be shortened.

What makes a request one at all (roles, types, names, ids) stays, and a tool's result stays with its
call: what is left of a case is still something that a caller could send.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import msgspec

from kintsugi.model.config import Case, CaseInput

#: Of the case as it was at first, however much has been taken away since.
Path = tuple[str | int, ...]

_SECTIONS: Final = ("messages", "headers", "request", "upstream_response", "facts")
# Entries that their surroundings cannot do without.
_KEPT: Final = frozenset(
    {
        *("role", "type", "content", "name", "id", "tool_call_id", "tool_use_id", "call_id"),
        *("function", "arguments", "input", "input_schema", "text", "source", "message", "index"),
        *("method", "params", "jsonrpc", "json_schema", "schema", "output", "delta"),
    }
)
# Their values say which one is meant: shorter, they would mean another.
_NAMES: Final = frozenset(
    {
        *("role", "type", "name", "id", "tool_call_id", "tool_use_id", "call_id", "model"),
        *("method", "jsonrpc", "object", "finish_reason", "stop_reason", "status", "media_type"),
        *("required", "enum", "format", "tool_choice", "encoding_format", "service_tier", "user"),
    }
)
_GONE: Final = object()


class CaseParts:
    """What a case consists of.

    Attributes:
        levels: what can be taken away, the outermost first; in the order of the case.
        texts: what can be shortened.
        roles: who says each of these texts; empty where nobody is named.
    """

    def __init__(self, case: Case) -> None:
        self._case = case
        self._encoded: set[Path] = set()
        whole = msgspec.to_builtins(case.input)
        self._tree = {key: self._opened(whole[key], (key,)) for key in _SECTIONS}
        self._dangling = _dangling(self._tree)
        self.levels: list[list[Path]] = []
        self.texts: dict[Path, str] = {}
        self.roles: dict[Path, str] = {}
        for key, section in self._tree.items():
            if key == "upstream_response" and section is not None:
                self._removable((key,))
            self._walk(section, (key,), "")

    def without(self, removed: Collection[Path], texts: Mapping[Path, str]) -> Case | None:
        """The case without some parts and with other texts; None where a tool's result would be
        left without its call."""
        tree = {key: self._pruned(self._tree[key], (key,), removed, texts) for key in _SECTIONS}
        if _dangling(tree) - self._dangling:
            return None
        if tree["upstream_response"] is _GONE:
            tree["upstream_response"] = None
        if not tree["request"]:
            tree["request"] = self._tree["request"] if self._tree["request"] == {} else None
        told = {**tree, "stream": self._case.input.stream, "endpoint": self._case.input.endpoint}
        return msgspec.structs.replace(self._case, input=msgspec.convert(told, CaseInput))

    def _opened(self, value: Any, path: Path) -> Any:
        """With the arguments of tool calls, which are JSON in a text, as what they say."""
        if isinstance(value, dict):
            return {key: self._opened(one, (*path, key)) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._opened(one, (*path, number)) for number, one in enumerate(value)]
        if isinstance(value, str) and path[-1] == "arguments":
            said = _object(value)
            if said is not None:
                self._encoded.add(path)
                return said
        return value

    def _walk(self, value: Any, path: Path, role: str) -> None:
        if isinstance(value, dict):
            role = _speaker(value) or role
            for key, one in value.items():
                below = (*path, key)
                if path != ("facts",) and (len(path) == 1 or key not in _KEPT):
                    self._removable(below)
                # What a header or a fact says is one thing: there or not.
                if path[0] != "headers" and (path[0] != "facts" or len(below) == 2):
                    self._walk(one, below, role)
        elif isinstance(value, list):
            for number, one in enumerate(value):
                self._removable((*path, number))
                self._walk(one, (*path, number), role)
        elif isinstance(value, str) and value and _NAMES.isdisjoint(path[-2:]):
            self.texts[path] = value
            self.roles[path] = role

    def _removable(self, path: Path) -> None:
        while len(self.levels) < len(path):
            self.levels.append([])
        self.levels[len(path) - 1].append(path)

    def _pruned(
        self, value: Any, path: Path, removed: Collection[Path], texts: Mapping[Path, str]
    ) -> Any:
        if path in removed:
            return _GONE
        pruned = value
        if isinstance(value, dict):
            below = (
                (key, self._pruned(one, (*path, key), removed, texts)) for key, one in value.items()
            )
            pruned = {key: one for key, one in below if one is not _GONE}
        elif isinstance(value, list):
            items = (
                self._pruned(one, (*path, number), removed, texts)
                for number, one in enumerate(value)
            )
            pruned = [one for one in items if one is not _GONE]
        elif isinstance(value, str):
            return texts.get(path, value)
        return msgspec.json.encode(pruned).decode() if path in self._encoded else pruned


def text_chars(case: Case) -> int:
    """How long all texts of a case's input are together: what minimising can shorten."""
    return sum(map(len, CaseParts(case).texts.values()))


def _speaker(node: dict[str, Any]) -> str:
    if node.get("type") in ("tool_result", "function_call_output"):
        return "tool"
    role = node.get("role")
    return role if isinstance(role, str) else ""


def _object(text: str) -> dict[str, Any] | None:
    try:
        said = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    return said if isinstance(said, dict) else None


def _dangling(tree: Any) -> set[str]:
    """Ids of tool calls that have a result and are nowhere."""
    calls: set[str] = set()
    results: set[str] = set()
    for node in _dicts(tree):
        for key in ("tool_call_id", "tool_use_id"):
            if isinstance(node.get(key), str):
                results.add(node[key])
        if isinstance(node.get("call_id"), str):
            is_result = str(node.get("type", "")).endswith("_output")
            (results if is_result else calls).add(node["call_id"])
        elif isinstance(node.get("id"), str):
            calls.add(node["id"])
    return results - calls


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for one in value.values():
            yield from _dicts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _dicts(one)
