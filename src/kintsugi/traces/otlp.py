"""OTLP trace exports, in protobuf or JSON, to spans.

https://opentelemetry.io/docs/specs/otlp/. Both encodings become the same protobuf message first, so
that there is one way on. A span that cannot be kept is told to the sender as rejected (partial
success) and does not cost the others their place.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from kintsugi.errors import InvalidInput
from kintsugi.model.span import Span, SpanContent, SpanEvent, SpanKind, SpanLink, SpanStatus
from kintsugi.traces.contents import read_content
from kintsugi.traces.conventions import MAPPING, canonical_attributes, convention_of, step_of

EARLIEST: Final = datetime(2020, 1, 1, tzinfo=UTC)
AHEAD_MAX: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TEXT_CHARS_MAX: Final = 256
_REASONS_MAX: Final = 5
_DEPTH_MAX: Final = 32
_HALF: Final = re.compile("[\ud800-\udfff]")
_KINDS: Final[Mapping[int, SpanKind]] = {
    1: "internal",
    2: "server",
    3: "client",
    4: "producer",
    5: "consumer",
}
_STATUSES: Final[Mapping[int, SpanStatus]] = {1: "ok", 2: "error"}
# In JSON, identifiers are hex where protobuf's own mapping has Base64 (OTLP, "JSON Protobuf
# Encoding").
_IDENTIFIERS: Final = frozenset(("traceId", "spanId", "parentSpanId"))


class Received(msgspec.Struct, frozen=True):
    """What an export request held.

    Attributes:
        rejected: how many spans cannot be kept; ``reasons`` says why of the first few.
    """

    spans: tuple[Span, ...]
    rejected: int = 0
    reasons: tuple[str, ...] = ()


def read_protobuf(body: bytes) -> ExportTraceServiceRequest:
    """An export request in protobuf.

    Raises:
        InvalidInput: it is none.
    """
    try:
        return ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise InvalidInput(f"body: no ExportTraceServiceRequest in protobuf: {error}") from None


def read_json(body: bytes) -> ExportTraceServiceRequest:
    """An export request in JSON. Unknown fields are passed over, as the specification asks.

    Half a surrogate pair, which protobuf cannot hold and no exporter sends, becomes U+FFFD.

    Raises:
        InvalidInput: it is none.
    """
    try:
        document = _prepared(json.loads(body))
        if not isinstance(document, dict):
            raise InvalidInput("body: an export request is a JSON object")
        return ParseDict(document, ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except ParseError as error:
        raise InvalidInput(f"body: no ExportTraceServiceRequest in JSON: {error}") from None
    except (ValueError, RecursionError, TypeError, AttributeError) as error:
        raise InvalidInput(f"body: not JSON in UTF-8: {error}") from None


def spans_of(request: ExportTraceServiceRequest, *, reported_by: str, now: datetime) -> Received:
    """Every span that can be kept, with what it says under canonical names."""
    spans: list[Span] = []
    reasons: list[str] = []
    rejected = 0
    for of_resource in request.resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            sender = _Sender(
                resource=resource,
                scope_name=of_scope.scope.name,
                scope_version=of_scope.scope.version,
                scope=_attributes(of_scope.scope.attributes),
                schema_url=of_scope.schema_url or of_resource.schema_url,
                reported_by=reported_by,
            )
            for raw in of_scope.spans:
                if reason := _refusal(raw, now):
                    rejected += 1
                    if len(reasons) < _REASONS_MAX:
                        reasons.append(reason)
                else:
                    spans.append(_span(raw, sender))
    return Received(tuple(spans), rejected, tuple(reasons))


class _Sender(msgspec.Struct, frozen=True):
    """What all spans of one scope share."""

    resource: dict[str, Any]
    scope_name: str
    scope_version: str
    scope: dict[str, Any]
    schema_url: str
    reported_by: str


def _refusal(raw: trace_pb2.Span, now: datetime) -> str:
    """Why a span cannot be kept; empty where it can."""
    shown = raw.name[:40]
    if len(raw.trace_id) != 16 or not any(raw.trace_id):
        return f'span "{shown}": the trace id must be 16 bytes, not all zero'
    if len(raw.span_id) != 8 or not any(raw.span_id):
        return f'span "{shown}": the span id must be 8 bytes, not all zero'
    if raw.parent_span_id and len(raw.parent_span_id) != 8:
        return f'span "{shown}": the parent span id must be 8 bytes, or none'
    latest = now + AHEAD_MAX
    if not _nanoseconds(EARLIEST) <= raw.start_time_unix_nano <= _nanoseconds(latest):
        return (
            f'span "{shown}": its start must lie between {EARLIEST:%Y-%m-%d} and a day from now; '
            "is the sender's clock right?"
        )
    if raw.end_time_unix_nano > _nanoseconds(latest):
        return f'span "{shown}": its end lies more than a day ahead'
    return ""


def _span(raw: trace_pb2.Span, sender: _Sender) -> Span:
    given = _attributes(raw.attributes)
    attributes = canonical_attributes(given)
    step = step_of(attributes, given)
    started_at = _time(raw.start_time_unix_nano)
    content = SpanContent(
        attributes=given,
        events=tuple(
            SpanEvent(
                event.name,
                _time(event.time_unix_nano) if event.time_unix_nano else None,
                _attributes(event.attributes),
            )
            for event in raw.events
        ),
        links=tuple(
            SpanLink(link.trace_id.hex(), link.span_id.hex(), _attributes(link.attributes))
            for link in raw.links
        ),
        resource=sender.resource,
        scope=sender.scope,
        status_message=raw.status.message,
        trace_state=raw.trace_state,
        dropped=raw.dropped_attributes_count + raw.dropped_events_count + raw.dropped_links_count,
    )
    service = sender.resource.get("service.name")
    return Span(
        trace_id=raw.trace_id.hex(),
        span_id=raw.span_id.hex(),
        # All zeros is how some senders say "none".
        parent_span_id=raw.parent_span_id.hex() if any(raw.parent_span_id) else "",
        name=raw.name[:_TEXT_CHARS_MAX],
        step=step,
        started_at=started_at,
        # A clock that was set back, or a span that was sent before its end.
        ended_at=max(started_at, _time(raw.end_time_unix_nano)),
        kind=_KINDS.get(raw.kind, "unspecified"),
        status=_STATUSES.get(raw.status.code, "unset"),
        service=service[:_TEXT_CHARS_MAX] if isinstance(service, str) else "",
        scope=f"{sender.scope_name} {sender.scope_version}".strip()[:_TEXT_CHARS_MAX],
        convention=convention_of(given, sender.schema_url),
        mapping=MAPPING,
        attributes=attributes,
        holds=tuple(sorted(read_content(content, step))),
        reported_by=sender.reported_by,
        content=content,
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: AnyValue, depth_left: int = _DEPTH_MAX) -> Any:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "bool_value":
            return value.bool_value
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "array_value" if depth_left:
            return [_plain(item, depth_left - 1) for item in value.array_value.values]
        case "kvlist_value" if depth_left:
            return {
                pair.key: _plain(pair.value, depth_left - 1) for pair in value.kvlist_value.values
            }
        case "array_value" | "kvlist_value":
            return "nested too deeply"
        case _:
            return None


def _time(nanoseconds: int) -> datetime:
    # Microseconds are all that the database keeps; the division must not go through a float.
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _prepared(document: Any) -> Any:
    """The JSON document with identifiers as protobuf wants them and texts that it can hold."""
    if isinstance(document, dict):
        return dict(_members(document))
    if isinstance(document, list):
        return [_prepared(item) for item in document]
    return _HALF.sub("\ufffd", document) if isinstance(document, str) else document


def _members(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if key in _IDENTIFIERS and isinstance(value, str):
            yield key, _base64_of_hex(value)
        else:
            yield _HALF.sub("\ufffd", key), _prepared(value)


def _base64_of_hex(text: str) -> str:
    """An identifier that is no hex becomes empty bytes, and its span is refused by name."""
    try:
        return base64.b64encode(bytes.fromhex(text)).decode()
    except ValueError:
        return ""
