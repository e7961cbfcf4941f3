"""What one decision or span tells of the workflow that it belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec

from kintsugi.model.event import DecisionEvent

# What a registration names.
PartKind = Literal["model", "prompt", "tool", "data_source"]
# What only traffic tells, so that a change of it is seen: the instructions that requests begin
# with, how tools are declared, and as of when a source of retrieval is. Their versions are digests
# or times, which no registration names.
StateKind = Literal["instructions", "tool_schema", "source_state"]
SeenKind = PartKind | StateKind
STATE_KINDS: Final[tuple[StateKind, ...]] = ("instructions", "tool_schema", "source_state")
_CHARS_MAX: Final = 200
_NOTHING: Final = msgspec.Raw(b"")


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
    parts: Mapping[tuple[SeenKind, str, str], int]


class _Function(msgspec.Struct, frozen=True):
    name: str = ""


class _Tool(msgspec.Struct, frozen=True):
    name: str = ""
    function: _Function = _Function()


class _Prompt(msgspec.Struct, frozen=True):
    id: str = ""
    version: str | None = None


class _Request(msgspec.Struct, frozen=True):
    tools: list[msgspec.Raw] = []


class _Result(msgspec.Struct, frozen=True):
    result: _Request = _Request()


class _Message(msgspec.Struct, frozen=True):
    role: str = ""
    content: msgspec.Raw = _NOTHING


class _Instructed(msgspec.Struct, frozen=True):
    """Where the dialects have instructions; ``input`` may be text as well."""

    system: msgspec.Raw = _NOTHING
    instructions: msgspec.Raw = _NOTHING
    messages: list[_Message] = []
    input: list[_Message] | str | None = None


class _Prompted(msgspec.Struct, frozen=True):
    prompt: _Prompt = _Prompt()


_TOOLS: Final = msgspec.json.Decoder(_Request)
_TOOL: Final = msgspec.json.Decoder(_Tool)
_LISTED: Final = msgspec.json.Decoder(_Result)
_INSTRUCTED: Final = msgspec.json.Decoder(_Instructed)
_DIGITS: Final = re.compile(rb"[0-9]+")
_DIGEST_CHARS: Final = 16
_PROMPT: Final = msgspec.json.Decoder(_Prompted)
_INSTRUCTING: Final = ('"system"', '"developer"', '"instructions"')
_EMPTY: Final = (_NOTHING, msgspec.Raw(b"null"), msgspec.Raw(b'""'))
_BAD = (msgspec.MsgspecError, ValueError, RecursionError)


def of_events(events: Iterable[DecisionEvent]) -> list[Sighting]:
    """What decisions tell, one sighting for each workflow, by name.

    Tools are those that a request offers to the model, and those called on MCP servers; a prompt is
    the one that an OpenAI request names with its version. How tools are declared, and the
    instructions that a request begins with, are told by digests. A payload that is not recorded
    tells of none.
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
        self._parts: dict[str, dict[tuple[SeenKind, str, str], int]] = {}

    def add(
        self,
        workflow: str,
        at: datetime,
        events: int,
        parts: Iterable[tuple[SeenKind, str, str]],
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


def _parts(event: DecisionEvent) -> Iterator[tuple[SeenKind, str, str]]:
    if event.model:
        other = event.response_model if event.response_model != event.model else ""
        yield "model", event.model, other
    if event.tool_name:
        yield "tool", event.tool_name, ""
    request = event.payload.request
    if '"tools"' in request:
        for name, schema in _offered(request).items():
            yield "tool", name, ""
            yield "tool_schema", name, schema
    if event.mcp_method == "tools/list":
        for name, schema in _listed(event.payload.response).items():
            yield "tool_schema", f"{event.target_id}/{name}", schema
    if any(word in request for word in _INSTRUCTING) and (digest := _instructions(request)):
        yield "instructions", "system prompt", digest
    if '"prompt"' in request and event.dialect == "openai.responses":
        prompt = _prompt(request)
        if prompt.id:
            yield "prompt", prompt.id, prompt.version or ""


def _told(attributes: Mapping[str, Any]) -> Iterator[tuple[SeenKind, str, str]]:
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
        if fresh := text("kintsugi.retrieval.fresh_as_of"):
            yield "source_state", source, fresh


def _offered(request: str) -> dict[str, str]:
    """Digests of how tools are declared, by their names."""
    try:
        return _schemas(_TOOLS.decode(request).tools)
    except _BAD:
        return {}  # cut, or no request for a model


def _listed(answer: str) -> dict[str, str]:
    """The same of the tools that an MCP server lists, where it answers with one document."""
    try:
        return _schemas(_LISTED.decode(answer).result.tools)
    except _BAD:
        return {}


def _schemas(declared: Iterable[msgspec.Raw]) -> dict[str, str]:
    found = {}
    for raw in declared:
        tool = _TOOL.decode(raw)
        if name := tool.name or tool.function.name:
            found[name] = _digest(bytes(raw))
    return found


def _instructions(request: str) -> str:
    """A digest of what a request begins with; empty where that is no instruction. Numbers do not
    count: a date in a prompt is no other prompt."""
    try:
        found = _INSTRUCTED.decode(request)
    except _BAD:
        return ""
    said = [bytes(raw) for raw in (found.system, found.instructions) if raw not in _EMPTY]
    items = found.input if isinstance(found.input, list) else found.messages
    for message in items:
        if message.role not in ("system", "developer"):
            break
        said.append(bytes(message.content))
    return _digest(_DIGITS.sub(b"0", b"\n".join(said))) if said else ""


def _digest(text: bytes) -> str:
    return sha256(text).hexdigest()[:_DIGEST_CHARS]


def _prompt(request: str) -> _Prompt:
    try:
        return _PROMPT.decode(request).prompt
    except _BAD:
        return _Prompt()


def _cut(text: str) -> str:
    """As a column holds it."""
    return text[:_CHARS_MAX].replace("\0", "\u2400").encode("utf-8", "replace").decode()
