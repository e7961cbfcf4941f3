"""Export requests to read, as exporters write them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

NOW = datetime(2026, 4, 23, 12, 0, tzinfo=UTC)
START_NS = int(NOW.timestamp()) * 1_000_000_000
TRACE = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")


def value(plain: Any) -> AnyValue:
    """One value in OTLP."""
    match plain:
        case bool():
            return AnyValue(bool_value=plain)
        case int():
            return AnyValue(int_value=plain)
        case float():
            return AnyValue(double_value=plain)
        case bytes():
            return AnyValue(bytes_value=plain)
        case list():
            return AnyValue(array_value=ArrayValue(values=[value(each) for each in plain]))
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=pairs(plain)))
        case None:
            return AnyValue()
        case _:
            return AnyValue(string_value=str(plain))


def pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Attributes in OTLP."""
    return [KeyValue(key=key, value=value(plain)) for key, plain in attributes.items()]


def raw_span(
    number: int = 1,
    attributes: Mapping[str, Any] | None = None,
    *,
    parent: int = 0,
    failed: bool = False,
    **changes: Any,
) -> Span:
    """A span of a second."""
    values: dict[str, Any] = {
        "trace_id": TRACE,
        "span_id": number.to_bytes(8, "big"),
        "parent_span_id": parent.to_bytes(8, "big") if parent else b"",
        "name": f"step {number}",
        "kind": Span.SPAN_KIND_CLIENT,
        "start_time_unix_nano": START_NS,
        "end_time_unix_nano": START_NS + 1_000_000_000,
        "attributes": pairs(attributes or {}),
        "status": Status(code=Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_OK),
    }
    return Span(**{**values, **changes})


def export(*spans: Span, schema_url: str = "", scope: str = "lib") -> ExportTraceServiceRequest:
    """An export request of one sender."""
    of_scope = ScopeSpans(spans=spans, schema_url=schema_url)
    of_scope.scope.name = scope
    of_scope.scope.version = "1.2"
    sender = ResourceSpans(scope_spans=[of_scope])
    sender.resource.attributes.extend(pairs({"service.name": "shop"}))
    return ExportTraceServiceRequest(resource_spans=[sender])
