"""Tool calls as rules see them: names, arguments, what was declared, what came before."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Sequence, Set
from typing import Any, Literal, NamedTuple

import msgspec

from kintsugi.model.content import Part

Problem = Literal["", "not_json", "repeated_key", "not_object"]

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_compact = msgspec.json.format
_canonical = msgspec.json.Encoder(order="deterministic").encode
# Where a dialect puts the arguments of a tool that takes any text instead of JSON.
_FREE_FORM = re.compile(r"/custom/input\Z|\A/(?:input|output)/\d+/input\Z")
# Where the dialects put the schema of a tool's arguments.
_SCHEMA_FIELDS = ("/parameters", "/input_schema", "/inputSchema")
# Deeper arguments than any tool takes are not walked: they are refused as unreadable.
DEPTH_MAX = 64


class ToolCall(NamedTuple):
    """One call of a tool.

    Attributes:
        text: the arguments as sent.
        path: JSON pointer of that text.
        arguments: the same, decoded; empty where they could not be read or are no object.
        problem: why not: ``not_json``, ``repeated_key`` (two parsers could read two things) or
            ``not_object``; empty when nothing is wrong.
    """

    name: str
    text: str
    path: str
    arguments: dict[str, Any]
    problem: Problem = ""


class Leaf(NamedTuple):
    """One value in a call's arguments that holds no other.

    Attributes:
        name: the argument, or the key, that it stands under; of a list, the list's.
    """

    name: str
    value: str | float | int | bool | None


class Step(NamedTuple):
    """One call in a conversation and its result; None where none followed."""

    call: ToolCall
    result: Part | None


def calls_in(parts: Sequence[Part]) -> list[ToolCall]:
    """The tool calls among some parts, in order."""
    return [read_call(part) for part in parts if part.kind == "tool_call"]


def read_call(part: Part) -> ToolCall:
    """Read a part of kind ``tool_call``."""
    name, text, path = part.name, part.text, part.path
    if not text.strip():  # how a call without arguments is sent
        return ToolCall(name, text, path, {})
    try:
        value = _decode(text)
        brackets = text.count("{") + text.count("[")
        if brackets > DEPTH_MAX and not _depth_within(value, DEPTH_MAX):
            return ToolCall(name, text, path, {}, "not_json")
        # Encoding never repeats a key: a text equal to its own re-encoding repeats none. Only
        # what differs has to be read again to look for repeats.
        if not isinstance(value, dict):
            return ToolCall(name, text, path, {}, "not_object")
        again = _encode(value).decode()
        if again not in (text, _compact(text, indent=-1)):
            json.loads(text, object_pairs_hook=_without_repeats)
    except _RepeatedKey:
        return ToolCall(name, text, path, {}, "repeated_key")
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ToolCall(name, text, path, {}, "not_json")
    return ToolCall(name, text, path, value)


def is_free_form(call: ToolCall) -> bool:
    """Whether the tool takes any text rather than JSON (OpenAI's custom tools)."""
    return _FREE_FORM.search(call.path) is not None


def declared_tools(parts: Sequence[Part]) -> dict[str, str]:
    """The tools that a request offers: the JSON text of each one's schema by name, empty where it
    has none. What carries no name (a response format) is no tool."""
    found: dict[str, str] = {}
    for part in parts:
        if part.kind == "tool_definition" and part.name:
            schema = part.text if part.path.endswith(_SCHEMA_FIELDS) else ""
            found[part.name] = schema or found.get(part.name, "")
    return found


def leaves(value: Any, name: str = "") -> Iterator[Leaf]:
    """Every value in some arguments that holds no other, in order."""
    stack: list[tuple[str, Any]] = [(name, value)]
    while stack:
        key, found = stack.pop()
        if isinstance(found, dict):
            stack.extend((str(below), inner) for below, inner in reversed(found.items()))
        elif isinstance(found, list):
            stack.extend((key, inner) for inner in reversed(found))
        else:
            yield Leaf(key, found)


def values_of(value: Any, names: Set[str]) -> Iterator[Any]:
    """Every value under one of some names, at any depth, the elements of lists one by one.

    Args:
        names: as ``same_name`` gives them.
    """
    stack: list[tuple[bool, Any]] = [(False, value)]
    while stack:
        named, found = stack.pop()
        if isinstance(found, list):
            stack.extend((named, inner) for inner in reversed(found))
            continue
        if named:
            yield found
        if isinstance(found, dict):
            items = reversed(found.items())
            stack.extend((same_name(str(key)) in names, inner) for key, inner in items)


def texts(call: ToolCall) -> Iterator[Leaf]:
    """Every text that a call sends, keys of objects included: what a tool might act upon. All of
    it as one where the arguments are not readable."""
    if call.problem or is_free_form(call):
        yield Leaf("", call.text)
        return
    for leaf in leaves(call.arguments):
        if isinstance(leaf.value, str) and leaf.value:
            yield leaf


def canonical(call: ToolCall) -> bytes:
    """The same for two calls that ask the same, whatever their spelling."""
    arguments = call.text.encode("utf-8", "replace") if call.problem else _canonical(call.arguments)
    return call.name.encode("utf-8", "replace") + b"\n" + arguments


def same_name(name: str) -> str:
    """An argument's name without what differs between spellings: ``accountId``, ``account_id``."""
    return name.replace("_", "").replace("-", "").casefold()


def history(parts: Sequence[Part]) -> list[Step]:
    """The calls of a conversation and their results.

    A result belongs to the oldest open call of its name; one without a name to the oldest open
    call: on the wire results carry an id, here their order tells.
    """
    steps: list[Step] = []
    waiting = _Waiting()
    answered = ""
    for part in parts:
        if part.kind == "tool_call":
            waiting.add(part.name, len(steps))
            steps.append(Step(read_call(part), None))
        elif part.kind == "tool_result":
            message = _message_of(part)
            at = waiting.take(part.name) if message != answered else None
            answered = message
            if at is not None:
                steps[at] = Step(steps[at].call, part)
    return steps


def latest_results(parts: Sequence[Part]) -> list[tuple[str, Part]]:
    """The tool results that came with a request for the first time, with their tools' names: those
    after the last thing that the model said. What stands before was in earlier requests too."""
    spoke = max(
        (at for at, part in enumerate(parts) if part.role == "assistant"), default=len(parts)
    )
    fresh = {part.path for part in parts[spoke:] if part.kind == "tool_result"}
    if not fresh:
        return []
    names = {step.result.path: step.call.name for step in history(parts) if step.result is not None}
    return [
        (part.name or names.get(part.path, ""), part)
        for part in parts[spoke:]
        if part.path in fresh
    ]


class _Waiting:
    """Calls that have no result yet, by position."""

    def __init__(self) -> None:
        self._in_order: deque[int] = deque()
        self._by_name: dict[str, deque[int]] = {}
        self._taken: set[int] = set()

    def add(self, name: str, at: int) -> None:
        self._in_order.append(at)
        self._by_name.setdefault(name, deque()).append(at)

    def take(self, name: str) -> int | None:
        """The oldest one of a name, of any name when empty."""
        places = self._by_name.get(name, deque()) if name else self._in_order
        while places:
            at = places.popleft()
            if at not in self._taken:
                self._taken.add(at)
                return at
        return None


def _message_of(part: Part) -> str:
    """Where the whole of a result stands. A message of the role ``tool`` is one result, whatever
    the number of its texts; elsewhere each block of a message is one."""
    depth = 3 if part.role in ("tool", "function") else 5
    return "/".join(part.path.split("/")[:depth])


class _RepeatedKey(ValueError):
    """An object gives one key two values."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RepeatedKey
    return found


def _depth_within(value: Any, deepest: int) -> bool:
    level = [value]
    for _ in range(deepest):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return True
    return False
