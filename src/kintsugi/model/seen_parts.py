"""What one decision or span tells of the workflow that it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from kintsugi.model.event import DecisionEvent

PartKind = Literal["model", "prompt", "tool", "data_source"]
PART_KINDS: Final[tuple[PartKind, ...]] = ("model", "prompt", "tool", "data_source")
_CHARS_MAX: Final = 200


class Sighting(msgspec.Struct, frozen=True):
    """What a batch tells of one workflow.

    Attributes:
        events: how many decisions; spans are none.
        parts: how often each part was told, by kind, name and version.
    """

    workflow: str
    first_at: datetime
    last_at: datetime
    events: int
    parts: Mapping[tuple[PartKind, str, str], int]


class _Function(msgspec.Struct, frozen=True):
    name: str = ""


class _Tool(msgspec.Struct, frozen=True):
    name: str = ""
    function: _Function = _Function()


class _Prompt(msgspec.Struct, frozen=True):
    id: str = ""
    version: str | None = None


class _Request(msgspec.Struct, frozen=True):
    tools: list[_Tool] = []


class _Prompted(msgspec.Struct, frozen=True):
    prompt: _Prompt = _Prompt()


_TOOLS: Final = msgspec.json.Decoder(_Request)
_PROMPT: Final = msgspec.json.Decoder(_Prompted)
_BAD = (msgspec.MsgspecError, ValueError, RecursionError)


def of_events(events: Iterable[DecisionEvent]) -> list[Sighting]:
    """What decisions tell, one sighting for each workflow, by name.

    Tools are those that a request offers to the model, and those called on MCP servers; a prompt is
    the one that an OpenAI request names with its version. A payload that is not recorded tells of
    neither.
    """
    found = _Gathered()
    for event in events:
        if event.workflow:
            found.add(event.workflow, event.timestamp, 1, _parts(event))
    return found.sightings()


def of_spans(spans: Iterable[tuple[datetime, Mapping[str, Any]]]) -> list[Sighting]:
    """The same of the attributes of spans that applications reported, with when they began."""
    found = _Gathered()
    for at, attributes in spans:
        workflow = attributes.get("gen_ai.workflow.name")
        if isinstance(workflow, str) and workflow:
            found.add(workflow, at, 0, _told(attributes))
    return found.sightings()


class _Gathered:
    def __init__(self) -> None:
        self._times: dict[str, list[datetime]] = {}
        self._events: dict[str, int] = {}
        self._parts: dict[str, dict[tuple[PartKind, str, str], int]] = {}

    def add(
        self,
        workflow: str,
        at: datetime,
        events: int,
        parts: Iterable[tuple[PartKind, str, str]],
    ) -> None:
        name = _cut(workflow)
        self._times.setdefault(name, []).append(at)
        self._events[name] = self._events.get(name, 0) + events
        counts = self._parts.setdefault(name, {})
        for kind, part, version in parts:
            key = kind, _cut(part), _cut(version)
            counts[key] = counts.get(key, 0) + 1

    def sightings(self) -> list[Sighting]:
        return [
            Sighting(name, min(times), max(times), self._events[name], self._parts[name])
            for name, times in sorted(self._times.items())
        ]


def _parts(event: DecisionEvent) -> Iterator[tuple[PartKind, str, str]]:
    if event.model:
        other = event.response_model if event.response_model != event.model else ""
        yield "model", event.model, other
    if event.tool_name:
        yield "tool", event.tool_name, ""
    request = event.payload.request
    if '"tools"' in request:
        for name in _offered(request):
            yield "tool", name, ""
    if '"prompt"' in request and event.dialect == "openai.responses":
        prompt = _prompt(request)
        if prompt.id:
            yield "prompt", prompt.id, prompt.version or ""


def _told(attributes: Mapping[str, Any]) -> Iterator[tuple[PartKind, str, str]]:
    def text(name: str) -> str:
        value = attributes.get(name)
        return value if isinstance(value, str) else ""

    if model := text("gen_ai.request.model"):
        answered = text("gen_ai.response.model")
        yield "model", model, answered if answered != model else ""
    if prompt := text("gen_ai.prompt.name"):
        yield "prompt", prompt, text("gen_ai.prompt.version")
    if tool := text("gen_ai.tool.name"):
        yield "tool", tool, ""
    if source := text("gen_ai.data_source.id"):
        yield "data_source", source, ""


def _offered(request: str) -> set[str]:
    try:
        tools = _TOOLS.decode(request).tools
    except _BAD:
        return set()  # cut, or no request for a model
    return {tool.name or tool.function.name for tool in tools} - {""}


def _prompt(request: str) -> _Prompt:
    try:
        return _PROMPT.decode(request).prompt
    except _BAD:
        return _Prompt()


def _cut(text: str) -> str:
    """As a column holds it."""
    return text[:_CHARS_MAX].replace("\0", "\u2400").encode("utf-8", "replace").decode()
