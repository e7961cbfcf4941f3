"""``/v1/traces``: spans in (OTLP), whole chains out."""

from __future__ import annotations

import threading
from itertools import islice
from typing import Annotated, Any, Final

import msgspec
from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from kintsugi.api import otlp
from kintsugi.api.answers import Meta, One, Page, one, reply
from kintsugi.api.control import Caller, Control, Ctl, RawBody
from kintsugi.api.custody import actor_of
from kintsugi.api.event_query import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    TOTAL_CEILING,
    Text,
    TimeText,
    VerdictWord,
)
from kintsugi.api.permissions import Scope
from kintsugi.api.relative_time import parse_time
from kintsugi.api.routing import Routes
from kintsugi.errors import InvalidInput, NotFound
from kintsugi.ledger.completeness import completeness
from kintsugi.model.custody import custody_entry
from kintsugi.model.event import DecisionEvent
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.evidence import Evidence
from kintsugi.model.oversight import Escalation
from kintsugi.model.span import Span, SpanContent, Step, TraceFilter, TraceSummary
from kintsugi.model.stores import Stores
from kintsugi.traces.contents import read_content
from kintsugi.traces.otlp import spans_of
from kintsugi.traces.tree import TraceNode, trace_tree

routes = Routes("traces")

SPANS_SHOWN_MAX: Final = 5_000
EVENTS_SHOWN_MAX: Final = 1_000
# Reading spans is work for the processor; events of gateways must not wait behind all of it.
_AT_ONCE_MAX: Final = 4
_room = threading.BoundedSemaphore(_AT_ONCE_MAX)

TraceId = Annotated[str, Path(max_length=64, description="W3C trace id: 32 hex digits.")]

_ENCODED = {"type": "string", "format": "binary"}
_DOCUMENT = {"type": "object", "additionalProperties": True}
_STATUS = {
    "type": "object",
    "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
}


class TraceView(msgspec.Struct, frozen=True):
    """One trace.

    Attributes:
        nodes: every step, parents before children, see ``TraceNode.depth``.
        completeness: which evidence is held and which is missing (CONTRACT §6).
        truncated: there are more steps than are shown.
    """

    trace: TraceSummary
    nodes: tuple[TraceNode, ...]
    completeness: tuple[Evidence, ...]
    truncated: bool


class TraceQuery(BaseModel):
    """Which traces; a field that is left out does not restrict. Newest first by their beginning."""

    model_config = ConfigDict(extra="forbid")

    since: TimeText = None
    until: TimeText = None
    service: Text = ""
    session: Text = ""
    user: Text = ""
    agent: Text = ""
    step: Annotated[Step | None, Field(description="Traces with a step of this kind.")] = None
    verdict: VerdictWord = None
    failed: Annotated[
        bool | None, Field(description="Whether one of its spans ended in an error.")
    ] = None
    limit: Annotated[int, Field(ge=0, le=LIMIT_MAX, description="0 gives only meta.total.")] = (
        LIMIT_DEFAULT
    )
    cursor: Annotated[str | None, Field(max_length=512)] = None


@routes.add(
    "POST",
    "/v1/traces",
    Scope.TRACES_WRITE,
    raw_body=True,
    body_bytes_max=otlp.SENT_BYTES_MAX,
    media_types=(otlp.PROTOBUF, otlp.JSON),
    render=otlp.refused,
    extra={
        "requestBody": {
            "required": True,
            "content": {otlp.PROTOBUF: {"schema": _ENCODED}, otlp.JSON: {"schema": _DOCUMENT}},
        },
        "responses": {
            "default": {
                "description": "google.rpc.Status, in the encoding of the request.",
                "content": {otlp.PROTOBUF: {"schema": _ENCODED}, otlp.JSON: {"schema": _STATUS}},
            }
        },
    },
)
def receive_spans(control: Ctl, caller: Caller, request: Request, body: RawBody) -> Response:
    """Spans from OpenTelemetry exporters: OTLP in protobuf or JSON, packed with gzip or not.

    Sending again is harmless. Spans that cannot be kept are told as a partial success.
    """
    if not _room.acquire(blocking=False):
        raise HTTPException(429, "Too many span exports at once; send this one again.")
    try:
        export = otlp.read_request(request, body)
        received = spans_of(export, reported_by=caller.name, now=control.clock())
        stored = control.stores.spans.append(received.spans)
    finally:
        _room.release()
    for outcome, count in (
        ("stored", stored.stored),
        ("duplicate", stored.duplicates),
        ("rejected", received.rejected),
    ):
        control.metrics.spans.labels(outcome).inc(count)
    return otlp.accepted(request, received)


@routes.add("GET", "/v1/traces", Scope.TRACES_READ, answer=Page[TraceSummary], parameters=True)
def list_traces(control: Ctl, query: Annotated[TraceQuery, Query()]) -> Response:
    """Traces that match, newest first: those of decisions, of reported spans, or of both."""
    now = control.clock()
    where = TraceFilter(
        since=parse_time(query.since, now=now) if query.since else None,
        until=parse_time(query.until, now=now) if query.until else None,
        service=query.service,
        session=query.session,
        user=query.user,
        agent=query.agent,
        step=query.step,
        verdict=query.verdict,
        failed=query.failed,
    )
    spans = control.stores.spans
    counted = spans.count(where, ceiling=TOTAL_CEILING + 1)
    found, cursor = (
        spans.page(where, limit=query.limit, cursor=query.cursor) if query.limit else ([], None)
    )
    meta = Meta(min(counted, TOTAL_CEILING), counted > TOTAL_CEILING, cursor)
    return reply(Page(found, meta))


@routes.add("GET", "/v1/traces/{trace_id}", Scope.TRACES_READ, answer=One[TraceView])
def show_trace(control: Ctl, trace_id: TraceId) -> Response:
    """The whole chain of one trace: decisions, reported steps, reviews, and what is missing.

    Contents of spans are not shown; ``holds`` says which there are, and revealing one is on record.
    """
    return one(view_of_trace(control, trace_id))


class RevealSpan(BaseModel):
    """Why a content is to be seen."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=2000)]


class RevealedSpan(msgspec.Struct, frozen=True):
    """A span with its content.

    Attributes:
        read: the content in canonical form, see ``traces/contents.py``; ``span.content`` is raw.
        custody_id: of the entry that says who was shown it, when and why.
    """

    span: Span
    read: dict[str, Any]
    custody_id: str


@routes.add(
    "POST",
    "/v1/traces/{trace_id}/spans/{span_id}/reveal",
    Scope.PAYLOADS_REVEAL,
    answer=One[RevealedSpan],
)
def reveal_span(
    control: Ctl,
    caller: Caller,
    request: Request,
    trace_id: TraceId,
    span_id: Annotated[str, Path(max_length=64)],
    asked: RevealSpan,
) -> Response:
    """The content of one span, as it was received and in canonical form. Custody says who was shown
    it and why, or nobody is."""
    if not asked.reason.strip():
        raise InvalidInput("body.reason: say why; it is kept with the entry of custody")
    trace_id, span_id = trace_id.strip().lower(), span_id.strip().lower()
    entry = custody_entry(
        "reveal",
        f"span:{trace_id}/{span_id}",
        actor=actor_of(caller),
        now=control.clock(),
        reason=asked.reason.strip(),
    )
    span = control.stores.spans.reveal(trace_id, span_id, entry)
    found = read_content(span.content or SpanContent(), span.step)
    read: dict[str, Any] = {str(key): value for key, value in found.items()}
    told = RevealedSpan(span, read, entry.id)
    # What is kept for a repeated request must not be the content.
    hidden = RevealedSpan(msgspec.structs.replace(span, content=None), {}, entry.id)
    request.state.answer_to_keep = msgspec.json.encode(One(hidden), enc_hook=str)
    return one(told)


def view_of_trace(control: Control, trace_id: str) -> TraceView:
    """One trace as the API, the command line and the console show it.

    Raises:
        NotFound: no decision and no span tells of it.
    """
    stores = control.stores
    trace_id = trace_id.strip().lower()
    summary = stores.spans.trace(trace_id)
    if summary is None:
        raise NotFound(f'no decision and no reported span tells of a trace "{trace_id}"')
    spans = stores.spans.spans(trace_id, limit=SPANS_SHOWN_MAX)
    events = events_of_trace(stores, summary)
    escalations = _escalations(control, events)
    return TraceView(
        trace=summary,
        nodes=trace_tree(events, spans, escalations),
        completeness=completeness(
            events,
            spans,
            configurations=configurations_at_hand(stores, events),
            resolved=[key for key, one in escalations.items() if one.resolved_at is not None],
        ),
        truncated=summary.spans > len(spans) or summary.decisions > len(events),
    )


def events_of_trace(stores: Stores, trace: TraceSummary) -> list[DecisionEvent]:
    """Its decisions with payload, oldest first, at most ``EVENTS_SHOWN_MAX``."""
    if not trace.decisions:
        return []
    where = EventFilter(trace=trace.trace_id, since=trace.started_at, until=trace.ended_at)
    return list(islice(stores.events.scan(where, payload=True), EVENTS_SHOWN_MAX))


def configurations_at_hand(stores: Stores, events: list[DecisionEvent]) -> set[str]:
    """The ``config_version`` of those whose text is stored here."""
    found: set[str] = set()
    for told in {event.config_version for event in events}:
        config_id, _, version = told.rpartition("@")
        if not (config_id and version.isascii() and version.isdigit() and len(version) < 9):
            continue  # a gateway that runs from a file names the pack's own version
        try:
            stores.configurations.get(config_id, int(version))
        except NotFound:
            continue
        found.add(told)
    return found


def _escalations(control: Control, events: list[DecisionEvent]) -> dict[str, Escalation]:
    """What became of the escalations of these events, as of now."""
    found: dict[str, Escalation] = {}
    for event in events:
        if event.escalation is not None:
            try:
                escalation = control.stores.oversight.escalation(event.id)
            except NotFound:
                continue
            status = escalation.at(control.clock())
            found[event.id] = msgspec.structs.replace(escalation, status=status)
    return found
