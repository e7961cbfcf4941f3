"""Which of the evidence that a decision must leave (CONTRACT §6) is held, and which is missing.

A pure function of what is at hand: decisions with the payload as it can be read, and the spans
that applications reported. It never guesses. Where nothing tells that there was a retrieval, a
tool or a review at all, the table says "none seen", which is neither held nor missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from enum import Enum
from functools import cached_property
from typing import Any, Final, NamedTuple

import msgspec

from kintsugi.model.decision import Phase
from kintsugi.model.event import DecisionEvent, ExchangeStatus
from kintsugi.model.span import Held, Span, Step

_decode = msgspec.json.Decoder().decode

# Policies whose result says whether somebody was allowed to do something.
_PERMISSION_POLICIES: Final = frozenset(
    ("rbac", "agent-firewall", "tool-validation", "tool-budget", "data-routing-policy")
)
# Keys of the wire formats. In JSON text they cannot be faked by a prompt: there the closing quote
# would be escaped.
_CALLS: Final = ('"tool_calls"', '"tool_use"', '"function_call"')
_RESULTS: Final = ('"tool_call_id"', '"tool_result"', '"function_call_output"')
_UNJUDGED: Final = (ExchangeStatus.REJECTED, ExchangeStatus.INTERRUPTED)


class State(Enum):
    """How much of one kind of evidence there is."""

    HELD = "held"
    PARTIAL = "partial"
    MISSING = "missing"
    NONE_SEEN = "none seen"  # nothing tells that there was any


class Evidence(msgspec.Struct, frozen=True):
    """One line of the table.

    Attributes:
        key: stable: ``request``, ``prompt``, ``model`` …
        title: as CONTRACT §6 names it.
        held, missing: its parts, with how many are missing of how many where that is known.
    """

    key: str
    title: str
    state: State
    held: tuple[str, ...]
    missing: tuple[str, ...]


class Share(NamedTuple):
    """Of so many places where a part belongs, so many have it. None of none: not seen."""

    have: int
    of: int


def completeness(
    events: Sequence[DecisionEvent],
    spans: Sequence[Span] = (),
    *,
    configurations: Collection[str] = (),
    resolved: Collection[str] = (),
) -> tuple[Evidence, ...]:
    """The table for one trace, window or incident: a line for each kind, in the contract's order.

    Args:
        events: with payload, as far as it can be read.
        configurations: ``config_version`` of those whose text is at hand.
        resolved: ids of escalations whose outcome is at hand.
    """
    material = _Material(events, spans, frozenset(configurations), frozenset(resolved))
    return tuple(_line(key, title, parts, material) for key, title, parts in _TABLE)


class _Material:
    """What the checks look at, read once."""

    def __init__(
        self,
        events: Sequence[DecisionEvent],
        spans: Sequence[Span],
        configurations: frozenset[str],
        resolved: frozenset[str],
    ) -> None:
        self.events = events
        self.spans = spans
        self.configurations = configurations
        self.resolved = resolved
        self.judged = [event for event in events if event.status not in _UNJUDGED]
        self.model_events = [event for event in self.judged if event.dialect != "mcp"]
        self.mcp_calls = [event for event in events if event.mcp_method == "tools/call"]

    @cached_property
    def documents(self) -> list[dict[str, Any]]:
        """The requests to models that can be read."""
        return [
            document
            for event in self.model_events
            if isinstance(document := _read(event.payload.request), dict)
        ]

    @cached_property
    def model_spans(self) -> list[Span]:
        """Model calls that did not come through a gateway: no decision stands below them."""
        behind = {event.parent_span_id for event in self.events}
        return [span for span in self.of(Step.MODEL) if span.span_id not in behind]

    @cached_property
    def tool_schemas(self) -> int:
        """Requests and spans that name the tools on offer."""
        return sum(bool(document.get("tools")) for document in self.documents) + self.holding(
            "tool_definitions"
        )

    @cached_property
    def calls(self) -> int:
        """Tool calls. One call may be told of by an answer, by its span and by an MCP server's
        gateway, so the largest of these counts."""
        return max(self.calls_on_wire, len(self.of(Step.TOOL)), len(self.mcp_calls))

    @cached_property
    def calls_on_wire(self) -> int:
        """Answers that called tools, or requests that carry what such calls brought."""
        return max(self._saying(_CALLS, "response"), self.results_on_wire)

    @cached_property
    def results_on_wire(self) -> int:
        """Requests that carry results of tools."""
        return self._saying(_RESULTS, "request")

    def of(self, step: Step) -> list[Span]:
        """Spans of one kind of step."""
        return [span for span in self.spans if span.step is step]

    def holding(self, *kinds: Held) -> int:
        """Spans whose content has one of these."""
        return sum(any(kind in span.holds for kind in kinds) for span in self.spans)

    def telling(self, *names: str) -> int:
        """Spans with one of these attributes."""
        return sum(any(name in span.attributes for name in names) for span in self.spans)

    def _saying(self, words: tuple[str, ...], side: str) -> int:
        texts: Iterable[str] = (getattr(event.payload, side) for event in self.model_events)
        return sum(any(word in text for word in words) for text in texts)


Check = Callable[[_Material], Share]
_NONE: Final = Share(0, 0)


def _line(
    key: str, title: str, parts: Sequence[tuple[str, Check]], material: _Material
) -> Evidence:
    held: list[str] = []
    missing: list[str] = []
    for name, check in parts:
        have, of = check(material)
        if of == 0:
            continue
        if have:
            held.append(name)
        if have < of:
            missing.append(f"{name} ({of - have} of {of})" if of > 1 else name)
    if held:
        state = State.PARTIAL if missing else State.HELD
    else:
        state = State.MISSING if missing else State.NONE_SEEN
    return Evidence(key, title, state, tuple(held), tuple(missing))


def _read(text: str) -> Any:
    try:
        return _decode(text) if text else None
    except (msgspec.DecodeError, RecursionError):
        return None  # cut short, erased, or not JSON


def _request(material: _Material) -> Share:
    recorded = sum(
        bool(event.payload.request) and not event.payload.truncated for event in material.judged
    )
    told = sum("input_messages" in span.holds for span in material.model_spans)
    return Share(recorded + told, len(material.judged) + len(material.model_spans))


def _business_event(material: _Material) -> Share:
    if not material.spans and not any(event.trace_id for event in material.events):
        return _NONE
    return Share(int(any(not span.parent_span_id for span in material.spans)), 1)


def _prompt(material: _Material) -> Share:
    of = len(material.model_events) + len(material.model_spans)
    told = sum(
        "input_messages" in span.holds or "system_instructions" in span.holds
        for span in material.model_spans
    )
    return Share(len(material.documents) + told, of)


def _prompt_version(material: _Material) -> Share:
    of = len(material.model_events) + len(material.model_spans)
    in_requests = sum(
        isinstance(prompt := document.get("prompt"), dict) and bool(prompt.get("version"))
        for document in material.documents
    )
    told = material.telling("gen_ai.prompt.version")
    return Share(min(of, in_requests + told), of)


def _provider(material: _Material) -> Share:
    called = [event for event in material.model_events if event.upstream_status]
    told = sum("gen_ai.provider.name" in span.attributes for span in material.model_spans)
    have = sum(bool(event.provider) for event in called) + told
    return Share(have, len(called) + len(material.model_spans))


def _model_name(material: _Material) -> Share:
    told = sum("gen_ai.request.model" in span.attributes for span in material.model_spans)
    have = sum(bool(event.model) for event in material.model_events) + told
    return Share(have, len(material.model_events) + len(material.model_spans))


def _settings(material: _Material) -> Share:
    # What a request leaves out is the provider's default, so the whole request tells all of them.
    told = sum(
        any(name.startswith("gen_ai.request.") for name in span.attributes.keys() - _NAMES_ONLY)
        for span in material.model_spans
    )
    of = len(material.model_events) + len(material.model_spans)
    return Share(len(material.documents) + told, of)


_NAMES_ONLY: Final = {"gen_ai.request.model"}


def _retrieval(*kinds: Held) -> Check:
    def check(material: _Material) -> Share:
        found = material.of(Step.RETRIEVAL)
        return Share(sum(any(kind in span.holds for kind in kinds) for span in found), len(found))

    return check


def _rule_results(material: _Material) -> Share:
    return Share(sum(bool(event.evaluations) for event in material.judged), len(material.judged))


def _validations(material: _Material) -> Share:
    answered = [event for event in material.judged if event.upstream_status]
    judged = sum(
        any(found.phase in (Phase.OUTPUT, Phase.TOOL) for found in event.evaluations)
        for event in answered
    )
    told = len(material.of(Step.VALIDATION))
    return Share(judged + told, len(answered) + told)


def _tool_schemas(material: _Material) -> Share:
    if not material.calls and not material.tool_schemas:
        return _NONE
    return Share(min(1, material.tool_schemas), 1)


def _tool_arguments(material: _Material) -> Share:
    at_gateway = sum(bool(event.payload.request) for event in material.mcp_calls)
    have = max(material.calls_on_wire, at_gateway, material.holding("tool_arguments"))
    return Share(min(have, material.calls), material.calls)


def _tool_responses(material: _Material) -> Share:
    at_gateway = sum(bool(event.payload.response) for event in material.mcp_calls)
    have = max(material.results_on_wire, at_gateway, material.holding("tool_result"))
    return Share(min(have, material.calls), material.calls)


def _tool_errors(material: _Material) -> Share:
    # The gateway marks every failed result that it sees, and an MCP call's own event tells how it
    # ended; a span says so only where its sender set a status or its end is the end of the tool.
    have = max(material.results_on_wire, len(material.mcp_calls), len(material.of(Step.TOOL)))
    return Share(min(have, material.calls), material.calls)


def _permissions(material: _Material) -> Share:
    ours = sum(
        any(
            found.policy_name in _PERMISSION_POLICIES and found.outcome != "skipped"
            for found in event.evaluations
        )
        for event in material.judged
    )
    return _all(ours + len(material.of(Step.PERMISSION)))


def _reviews(material: _Material) -> Share:
    ours = sum(
        event.escalation is not None or event.approval is not None for event in material.events
    )
    return _all(ours + len(material.of(Step.APPROVAL)))


def _outcomes_of_reviews(material: _Material) -> Share:
    asked = [event for event in material.events if event.escalation is not None]
    approvals = material.of(Step.APPROVAL)
    told = sum("kintsugi.approval.decision" in span.attributes for span in approvals)
    have = sum(event.id in material.resolved for event in asked) + told
    return Share(have, len(asked) + len(approvals))


def _writes(material: _Material) -> Share:
    return _all(len(material.of(Step.WRITE)))


def _outcome(material: _Material) -> Share:
    known = sum(event.status is not ExchangeStatus.INTERRUPTED for event in material.events)
    if material.events:
        return Share(known, len(material.events))
    roots = [span for span in material.spans if not span.parent_span_id]
    return Share(len(roots), max(1, len(roots))) if material.spans else _NONE


def _answers(material: _Material) -> Share:
    answered = [
        event
        for event in material.judged
        if event.status is ExchangeStatus.ANSWERED and not event.verdict.stops
    ]
    told = sum("output_messages" in span.holds for span in material.model_spans)
    have = sum(bool(event.payload.response) for event in answered) + told
    return Share(have, len(answered) + len(material.model_spans))


def _users(material: _Material) -> Share:
    if not material.events:
        return Share(min(1, material.telling("user.id")), 1) if material.spans else _NONE
    told = material.telling("user.id") > 0
    have = sum(bool(event.user_id) or told for event in material.events)
    return Share(have, len(material.events))


def _records(material: _Material) -> Share:
    writes = material.of(Step.WRITE)
    return Share(sum("kintsugi.records" in span.attributes for span in writes), len(writes))


def _config_versions(material: _Material) -> Share:
    return Share(sum(bool(event.config_version) for event in material.events), len(material.events))


def _config_texts(material: _Material) -> Share:
    wanted = {event.config_version for event in material.events if event.config_version}
    return Share(len(wanted & material.configurations), len(wanted))


def _times(material: _Material) -> Share:
    return _all(len(material.events) + len(material.spans))


def _trace_ids(material: _Material) -> Share:
    joined = sum(bool(event.trace_id) for event in material.events)
    return Share(joined, len(material.events))


def _parents(material: _Material) -> Share:
    known = {span.span_id for span in material.spans}
    wanted = {event.parent_span_id for event in material.events}
    wanted |= {span.parent_span_id for span in material.spans}
    wanted -= {""}
    return Share(len(wanted & known), len(wanted))


def _all(count: int) -> Share:
    return Share(count, count)


_TABLE: Final[tuple[tuple[str, str, tuple[tuple[str, Check], ...]], ...]] = (
    (
        "request",
        "Request or business event",
        (("request", _request), ("business event (root span)", _business_event)),
    ),
    (
        "prompt",
        "Prompt and prompt version",
        (("prompt", _prompt), ("prompt version", _prompt_version)),
    ),
    (
        "model",
        "Model provider, name and settings",
        (("provider", _provider), ("name", _model_name), ("settings", _settings)),
    ),
    (
        "retrieval",
        "Retrieved documents, chunks, ranks, filters, freshness",
        (
            ("documents", _retrieval("documents")),
            ("ranks", _retrieval("document_scores")),
            ("query and filters", _retrieval("retrieval_filters", "retrieval_query")),
            ("freshness", _retrieval("document_times")),
        ),
    ),
    ("validation", "Validation results", (("validation results", _validations),)),
    (
        "tools",
        "Tool schemas, arguments, responses, errors, retries",
        (
            ("schemas", _tool_schemas),
            ("arguments", _tool_arguments),
            ("responses", _tool_responses),
            ("errors and retries", _tool_errors),
        ),
    ),
    ("permissions", "Permission checks", (("permission checks", _permissions),)),
    (
        "review",
        "Human review, approval, rejection, override, escalation",
        (("reviews", _reviews), ("their outcome", _outcomes_of_reviews)),
    ),
    ("writes", "Downstream writes", (("writes", _writes),)),
    ("outcome", "Final outcome", (("status", _outcome), ("answer", _answers))),
    (
        "affected",
        "User and records affected",
        (("user", _users), ("records", _records)),
    ),
    (
        "configuration",
        "Configuration version and every rule's result",
        (
            ("version", _config_versions),
            ("text of the configuration", _config_texts),
            ("results of rules", _rule_results),
        ),
    ),
    (
        "joins",
        "Timestamps and identifiers that join them",
        (("times", _times), ("trace ids", _trace_ids), ("parent steps", _parents)),
    ),
)
