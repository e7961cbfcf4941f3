"""Which of the evidence that a decision must leave (CONTRACT §6) is held, and which is missing.

A pure function of what is at hand: decisions with the payload as it can be read, and the spans
that applications reported. It never guesses. Where nothing tells that there was a retrieval, a
tool or a review at all, the table says "none seen", which is neither held nor missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from kintsugi.model.decision import Phase
from kintsugi.model.event import DecisionEvent, ExchangeStatus
from kintsugi.model.evidence import Evidence, State
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
_RETRIEVED: Final[Mapping[str, tuple[Held, ...]]] = {
    "documents": ("documents",),
    "ranks": ("document_scores",),
    "query and filters": ("retrieval_filters", "retrieval_query"),
    "freshness": ("document_times",),
}


class Share(NamedTuple):
    """Of so many places where a part belongs, so many have it. None of none: not seen."""

    have: int
    of: int


def completeness(
    events: Iterable[DecisionEvent],
    spans: Iterable[Span] = (),
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
    tally = Tally()
    for event in events:
        tally.add_event(event)
    for span in spans:
        tally.add_span(span)
    return tally.table(configurations=configurations, resolved=resolved)


class Tally:
    """What the table is made of, counted one decision and one span at a time. All decisions come
    first: a model call that a span tells of is counted only where none stands below it.

    What it keeps grows with the number of parent spans, escalations and configurations, not with
    the content.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._steps: Counter[Step] = Counter()
        self._parents_of_events: set[str] = set()
        self._parents_of_spans: set[str] = set()
        self._span_ids: set[str] = set()
        self._config_versions: set[str] = set()
        self._asked: set[str] = set()

    def add_event(self, event: DecisionEvent) -> None:
        """Count a decision, with its payload as far as it can be read."""
        count, payload = self._counts, event.payload
        count["events"] += 1
        if event.trace_id:
            count["joined"] += 1
        if event.parent_span_id:
            self._parents_of_events.add(event.parent_span_id)
        if event.user_id:
            count["named"] += 1
        if event.config_version:
            count["versions"] += 1
            self._config_versions.add(event.config_version)
        if event.status is not ExchangeStatus.INTERRUPTED:
            count["ended"] += 1
        if event.escalation is not None or event.approval is not None:
            count["reviews"] += 1
        if event.escalation is not None:
            self._asked.add(event.id)
        if event.mcp_method == "tools/call":
            count["mcp_calls"] += 1
            count["mcp_arguments"] += bool(payload.request)
            count["mcp_responses"] += bool(payload.response)
            count["expired mcp calls"] += payload.expired is not None
        if event.status not in _UNJUDGED:
            self._add_judged(event)

    def add_span(self, span: Span) -> None:
        """Count a step that an application reported."""
        count, known, holds = self._counts, span.attributes, span.holds
        count["spans"] += 1
        self._steps[span.step] += 1
        self._span_ids.add(span.span_id)
        if span.parent_span_id:
            self._parents_of_spans.add(span.parent_span_id)
        else:
            count["roots"] += 1
        for kind in holds:
            count[f"holding {kind}"] += 1
        count["telling prompt version"] += "gen_ai.prompt.version" in known
        count["telling user"] += "user.id" in known
        if span.step is Step.RETRIEVAL:
            for part, kinds in _RETRIEVED.items():
                count[f"retrieved {part}"] += any(kind in holds for kind in kinds)
        elif span.step is Step.WRITE:
            count["records"] += "kintsugi.records" in known
        elif span.step is Step.APPROVAL:
            count["told outcomes"] += "kintsugi.approval.decision" in known
        elif span.step is Step.MODEL and span.span_id not in self._parents_of_events:
            # A model call that did not come through a gateway: no decision stands below it.
            count["calls elsewhere"] += 1
            count["their input"] += "input_messages" in holds
            count["their prompt"] += "input_messages" in holds or "system_instructions" in holds
            count["their output"] += "output_messages" in holds
            count["their provider"] += "gen_ai.provider.name" in known
            count["their model"] += "gen_ai.request.model" in known
            # What a request leaves out is the provider's default, so any setting tells all.
            names = known.keys() - {"gen_ai.request.model"}
            count["their settings"] += any(name.startswith("gen_ai.request.") for name in names)

    def table(
        self, *, configurations: Collection[str] = (), resolved: Collection[str] = ()
    ) -> tuple[Evidence, ...]:
        """The table of what was counted so far."""
        shares = self._shares(frozenset(configurations), frozenset(resolved))
        expired = self._expired()
        return tuple(_line(key, title, parts, shares, expired) for key, title, parts in _TABLE)

    def _add_judged(self, event: DecisionEvent) -> None:
        count, payload = self._counts, event.payload
        count["judged"] += 1
        count["expired"] += payload.expired is not None
        count["requests"] += bool(payload.request) and not payload.truncated
        count["rule results"] += bool(event.evaluations)
        count["permissions"] += any(
            found.policy_name in _PERMISSION_POLICIES and found.outcome != "skipped"
            for found in event.evaluations
        )
        if event.upstream_status:
            count["called"] += 1
            count["validated"] += any(
                found.phase in (Phase.OUTPUT, Phase.TOOL) for found in event.evaluations
            )
        if event.status is ExchangeStatus.ANSWERED and not event.verdict.stops:
            count["answered"] += 1
            count["answers"] += bool(payload.response)
            count["expired answers"] += payload.expired is not None
        if event.dialect == "mcp":
            return
        count["model_events"] += 1
        count["model names"] += bool(event.model)
        count["called models"] += bool(event.upstream_status)
        count["providers"] += bool(event.upstream_status) and bool(event.provider)
        count["calls in answers"] += any(word in payload.response for word in _CALLS)
        count["results in requests"] += any(word in payload.request for word in _RESULTS)
        document = _read(payload.request)
        if isinstance(document, dict):
            prompt = document.get("prompt")
            count["documents"] += 1
            count["tool lists"] += bool(document.get("tools"))
            count["prompt versions"] += isinstance(prompt, dict) and bool(prompt.get("version"))

    def _shares(self, configurations: frozenset[str], resolved: frozenset[str]) -> _Shares:
        """How much there is of each part."""
        count, steps = self._counts, self._steps
        events, judged, elsewhere = count["events"], count["judged"], count["calls elsewhere"]
        asked_of_models = count["model_events"] + elsewhere
        shares = {
            "request": Share(count["requests"] + count["their input"], judged + elsewhere),
            "business event (root span)": Share(min(1, count["roots"]), 1)
            if count["spans"] or count["joined"]
            else _NONE,
            "prompt": Share(count["documents"] + count["their prompt"], asked_of_models),
            "prompt version": Share(
                min(asked_of_models, count["prompt versions"] + count["telling prompt version"]),
                asked_of_models,
            ),
            "provider": Share(
                count["providers"] + count["their provider"], count["called models"] + elsewhere
            ),
            "name": Share(count["model names"] + count["their model"], asked_of_models),
            # What a request leaves out is the provider's default, so the whole tells all of them.
            "settings": Share(count["documents"] + count["their settings"], asked_of_models),
            "validation results": Share(
                count["validated"] + steps[Step.VALIDATION],
                count["called"] + steps[Step.VALIDATION],
            ),
            "permission checks": _all(count["permissions"] + steps[Step.PERMISSION]),
            "reviews": _all(count["reviews"] + steps[Step.APPROVAL]),
            "their outcome": Share(
                len(self._asked & resolved) + count["told outcomes"],
                len(self._asked) + steps[Step.APPROVAL],
            ),
            "writes": _all(steps[Step.WRITE]),
            "answer": Share(
                count["answers"] + count["their output"], count["answered"] + elsewhere
            ),
            "records": Share(count["records"], steps[Step.WRITE]),
            "version": Share(count["versions"], events),
            "text of the configuration": Share(
                len(self._config_versions & configurations), len(self._config_versions)
            ),
            "results of rules": Share(count["rule results"], judged),
            "times": _all(events + count["spans"]),
            "trace ids": Share(count["joined"], events),
            "parent steps": self._known_parents(),
            "status": self._outcomes(),
            "user": self._users(),
        }
        shares.update(
            {part: Share(count[f"retrieved {part}"], steps[Step.RETRIEVAL]) for part in _RETRIEVED}
        )
        shares.update(self._tools())
        return shares

    def _expired(self) -> Mapping[str, int]:
        """How much of each part is missing because contents went away at the end of their time."""
        count = self._counts
        asked = count["expired"]
        return {
            "request": asked,
            "prompt": asked,
            "prompt version": asked,
            "settings": asked,
            "answer": count["expired answers"],
            "arguments": count["expired mcp calls"],
            "responses": count["expired mcp calls"],
        }

    def _tools(self) -> _Shares:
        """One call may be told of by an answer, by its span and by an MCP server's gateway, so the
        largest of these counts."""
        count, spans = self._counts, self._steps[Step.TOOL]
        results, at_gateway = count["results in requests"], count["mcp_calls"]
        on_wire = max(count["calls in answers"], results)
        calls = max(on_wire, spans, at_gateway)
        schemas = count["tool lists"] + count["holding tool_definitions"]
        arguments = max(on_wire, count["mcp_arguments"], count["holding tool_arguments"])
        responses = max(results, count["mcp_responses"], count["holding tool_result"])
        # The gateway marks every failed result that it sees, and an MCP call's own event tells how
        # it ended; a span's end is the end of the tool.
        errors = max(results, at_gateway, spans)
        return {
            "schemas": Share(min(1, schemas), 1) if calls or schemas else _NONE,
            "arguments": Share(min(arguments, calls), calls),
            "responses": Share(min(responses, calls), calls),
            "errors and retries": Share(min(errors, calls), calls),
        }

    def _known_parents(self) -> Share:
        wanted = self._parents_of_events | self._parents_of_spans
        return Share(len(wanted & self._span_ids), len(wanted))

    def _outcomes(self) -> Share:
        count = self._counts
        if count["events"]:
            return Share(count["ended"], count["events"])
        return Share(count["roots"], max(1, count["roots"])) if count["spans"] else _NONE

    def _users(self) -> Share:
        count = self._counts
        if not count["events"]:
            return Share(min(1, count["telling user"]), 1) if count["spans"] else _NONE
        named = count["events"] if count["telling user"] else count["named"]
        return Share(named, count["events"])


_Shares = Mapping[str, Share]
_NONE: Final = Share(0, 0)


def _line(
    key: str, title: str, parts: Sequence[str], shares: _Shares, gone: Mapping[str, int]
) -> Evidence:
    held: list[str] = []
    missing: list[str] = []
    expired: list[str] = []
    for name in parts:
        have, of = shares[name]
        if of == 0:
            continue
        if have:
            held.append(name)
        over = min(gone.get(name, 0), of - have)
        if over:
            expired.append(_of(name, over, of))
        if have + over < of:
            missing.append(_of(name, of - have - over, of))
    if held:
        state = State.PARTIAL if missing or expired else State.HELD
    elif missing:
        state = State.MISSING
    else:
        state = State.EXPIRED if expired else State.NONE_SEEN
    return Evidence(key, title, state, tuple(held), tuple(missing), tuple(expired))


def _of(name: str, count: int, of: int) -> str:
    return f"{name} ({count} of {of})" if of > 1 else name


def _read(text: str) -> Any:
    try:
        return _decode(text) if text else None
    except (msgspec.DecodeError, RecursionError):
        return None  # cut short, erased, or not JSON


def _all(count: int) -> Share:
    return Share(count, count)


_TABLE: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    (
        "request",
        "Request or business event",
        ("request", "business event (root span)"),
    ),
    (
        "prompt",
        "Prompt and prompt version",
        ("prompt", "prompt version"),
    ),
    (
        "model",
        "Model provider, name and settings",
        ("provider", "name", "settings"),
    ),
    (
        "retrieval",
        "Retrieved documents, chunks, ranks, filters, freshness",
        (
            "documents",
            "ranks",
            "query and filters",
            "freshness",
        ),
    ),
    ("validation", "Validation results", ("validation results",)),
    (
        "tools",
        "Tool schemas, arguments, responses, errors, retries",
        (
            "schemas",
            "arguments",
            "responses",
            "errors and retries",
        ),
    ),
    ("permissions", "Permission checks", ("permission checks",)),
    (
        "review",
        "Human review, approval, rejection, override, escalation",
        ("reviews", "their outcome"),
    ),
    ("writes", "Downstream writes", ("writes",)),
    ("outcome", "Final outcome", ("status", "answer")),
    (
        "affected",
        "User and records affected",
        ("user", "records"),
    ),
    (
        "configuration",
        "Configuration version and every rule's result",
        (
            "version",
            "text of the configuration",
            "results of rules",
        ),
    ),
    (
        "joins",
        "Timestamps and identifiers that join them",
        ("times", "trace ids", "parent steps"),
    ),
)
