"""Export requests in both encodings: the same spans, and hostile ones refused by name."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.errors import InvalidInput
from kintsugi.model.span import Span, Step
from kintsugi.traces.otlp import read_json, read_protobuf, spans_of
from tests.traces.made import NOW, START_NS, TRACE, export, raw_span


def only(*raw: Any, **options: Any) -> Span:
    received = spans_of(export(*raw, **options), reported_by="shop", now=NOW)
    (span,) = received.spans
    return span


def as_json(request: Any) -> bytes:
    """OTLP's JSON: like protobuf's, but for identifiers in hex."""
    document = MessageToDict(request)
    for sender in document["resourceSpans"]:
        for scope in sender["scopeSpans"]:
            for span in scope["spans"]:
                raw = request.resource_spans[0].scope_spans[0].spans[0]
                for name, told in (
                    ("traceId", raw.trace_id),
                    ("spanId", raw.span_id),
                    ("parentSpanId", raw.parent_span_id),
                ):
                    if name in span:
                        span[name] = told.hex().upper()
    return json.dumps(document).encode()


def test_a_span_tells_its_place_its_times_and_its_sender() -> None:
    span = only(raw_span(2, {"x": 1}, parent=1, failed=True), scope="opentelemetry.lib")
    assert span.trace_id == TRACE.hex()
    assert (span.span_id, span.parent_span_id) == ("0000000000000002", "0000000000000001")
    assert span.started_at == NOW
    assert span.ended_at - span.started_at == timedelta(seconds=1)
    assert (span.kind, span.status, span.service) == ("client", "error", "shop")
    assert span.scope == "opentelemetry.lib 1.2"
    assert span.reported_by == "shop"
    assert span.step is Step.OTHER
    assert span.content is not None
    assert span.content.attributes == {"x": 1}
    assert span.content.resource == {"service.name": "shop"}


ATTRIBUTES: dict[str, Any] = {
    "text": "ünï \u202e \x00 end",
    "number": 2**53 + 1,
    "float": 0.5,
    "flag": True,
    "bytes": b"\x00\xff",
    "list": ["a", 1, [True]],
    "map": {"k": {"deep": None}},
}


def test_both_encodings_say_the_same() -> None:
    request = export(raw_span(2, ATTRIBUTES, parent=1))
    binary = read_protobuf(request.SerializeToString())
    text = read_json(as_json(request))
    assert binary == text == request
    content = only(raw_span(2, ATTRIBUTES)).content
    assert content is not None
    assert content.attributes == {**ATTRIBUTES, "bytes": "AP8="}


def test_json_may_hold_what_we_do_not_know() -> None:
    document = {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": TRACE.hex(),
                                "spanId": "00f067aa0ba902b7",
                                "name": "half \ud800 end",
                                "kind": 3,
                                "startTimeUnixNano": str(START_NS),
                                "endTimeUnixNano": START_NS + 5,
                                "newField": {"a": 1},
                                "attributes": [{"key": "i", "value": {"intValue": "7"}}],
                            }
                        ]
                    }
                ]
            }
        ]
    }
    received = spans_of(read_json(json.dumps(document).encode()), reported_by="", now=NOW)
    assert received.spans[0].name == "half \ufffd end"
    assert received.spans[0].content is not None
    assert received.spans[0].content.attributes == {"i": 7}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"trace_id": b""}, "trace id"),
        ({"trace_id": bytes(16)}, "trace id"),
        ({"trace_id": b"short"}, "trace id"),
        ({"span_id": bytes(8)}, "span id"),
        ({"span_id": bytes(9)}, "span id"),
        ({"parent_span_id": b"xyz"}, "parent span id"),
        ({"start_time_unix_nano": 0}, "start must lie"),
        ({"start_time_unix_nano": 2**64 - 1}, "start must lie"),
        ({"end_time_unix_nano": 2**64 - 1}, "end lies"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_costs_no_other_its_place(
    changes: dict[str, Any], why: str
) -> None:
    received = spans_of(export(raw_span(1, **changes), raw_span(2)), reported_by="shop", now=NOW)
    assert [span.span_id for span in received.spans] == ["0000000000000002"]
    assert received.rejected == 1
    assert why in received.reasons[0]


def test_reasons_are_few_however_many_are_refused() -> None:
    bad = [raw_span(n, trace_id=b"") for n in range(1, 40)]
    received = spans_of(export(*bad), reported_by="", now=NOW)
    assert received.rejected == 39
    assert len(received.reasons) == 5


def test_an_end_before_the_beginning_is_no_end() -> None:
    span = only(raw_span(1, end_time_unix_nano=START_NS - 10**9))
    assert span.ended_at == span.started_at
    assert only(raw_span(1, parent_span_id=bytes(8))).parent_span_id == ""


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"resourceSpans": 7}', b"\xff", b"[" * 100_000, b'"x"'],
)
def test_a_body_that_is_no_export_is_refused_in_words(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="body"):
        read_json(body)
    with pytest.raises(InvalidInput, match="body"):
        read_protobuf(b"\xff" + body)


def test_an_identifier_that_is_no_hex_refuses_its_span_only() -> None:
    body = as_json(export(raw_span(1))).replace(TRACE.hex().upper().encode(), b"not hex at all")
    received = spans_of(read_json(body), reported_by="", now=NOW)
    assert (received.spans, received.rejected) == ((), 1)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner)
    ),
    max_leaves=8,
)
NAMES = [
    *("gen_ai.request.model", "gen_ai.input.messages", "llm.input_messages.0.message.role"),
    *("gen_ai.prompt.0.content", "llm.invocation_parameters", "retrieval.documents.0.document.id"),
    *("openinference.span.kind", "kintsugi.step", "gen_ai.completion", "input.value", "user.id"),
    *("gen_ai.prompt.", "llm.tools.0.tool.json_schema", "gen_ai.response.finish_reasons"),
]


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), plain, max_size=6))
def test_whatever_an_attribute_holds_the_span_is_kept_and_can_be_written(
    attributes: dict[str, Any],
) -> None:
    clean = {k.encode("utf-8", "replace").decode(): v for k, v in attributes.items()}
    span = only(raw_span(1, clean))
    again = msgspec.json.decode(msgspec.json.encode(span), type=Span)
    assert msgspec.json.encode(again) == msgspec.json.encode(span)


@given(st.binary(max_size=200))
def test_random_bytes_never_break_the_reader(body: bytes) -> None:
    for read in (read_protobuf, read_json):
        with suppress(InvalidInput):
            spans_of(read(body), reported_by="", now=NOW)
