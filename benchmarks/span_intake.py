"""What taking spans costs: each stage beside the one before, and storing beside a raw COPY.

    python -m benchmarks.span_intake [--spans 20000]

Spans are those of a small agent (a root, a retrieval with documents, a model call with messages, a
tool, a write), in exports of 500, as the batch processor of the OpenTelemetry SDK sends them. The
baselines: protobuf's own parser on the same bytes, and a COPY of the same rows into tables without
an index.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as RawSpan

from kintsugi.model.span import Span
from kintsugi.store import open_stores
from kintsugi.store.embedded import Embedded
from kintsugi.traces.otlp import read_json, read_protobuf, spans_of
from kintsugi.vault.key_sources import FileKeys

EXPORT_SPANS = 500
NOW = datetime(2026, 4, 23, 12, tzinfo=UTC)
START_NS = int(NOW.timestamp()) * 10**9
_TEXT = "Where is my order? It was promised for Tuesday, and nobody answers the telephone. " * 6
STEPS: tuple[dict[str, Any], ...] = (
    {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support", "user.id": "ada"},
    {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.retrieval.query.text": "late orders",
        "gen_ai.retrieval.documents": json.dumps(
            [{"id": f"doc-{number}", "score": 0.9 - number / 20} for number in range(8)]
        ),
    },
    {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.temperature": 0.2,
        "gen_ai.usage.input_tokens": 812,
        "gen_ai.usage.output_tokens": 96,
        "gen_ai.input.messages": json.dumps(
            [{"role": "user", "parts": [{"type": "text", "content": _TEXT}]}]
        ),
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": _TEXT}]}]
        ),
    },
    {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "order_status",
        "gen_ai.tool.call.arguments": '{"order": 7}',
        "gen_ai.tool.call.result": '{"state": "late"}',
    },
    {"kintsugi.step": "write", "kintsugi.write.system": "orders", "kintsugi.records": "order/7"},
)


def main() -> None:
    """Run everything once and print it."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--spans", type=int, default=20_000)
    total = arguments.parse_args().spans
    exports = [made_export(number) for number in range(max(1, total // EXPORT_SPANS))]
    spans = len(exports) * EXPORT_SPANS
    binary = [export.SerializeToString() for export in exports]
    texts = [json.dumps(as_otlp_json(export)).encode() for export in exports]
    packed = gzip.compress(binary[0])
    print(
        f"{spans:,} spans, {len(binary[0]) / EXPORT_SPANS:,.0f} bytes each in protobuf, "
        f"{len(packed) / EXPORT_SPANS:,.0f} with gzip, {len(texts[0]) / EXPORT_SPANS:,.0f} in JSON"
    )
    print("\nµs per span, one thread")
    parse = timed(spans, lambda: [ExportTraceServiceRequest.FromString(body) for body in binary])
    show("protobuf's own parser", parse, parse)
    show("read and map, protobuf", timed(spans, lambda: read_all(binary, read_protobuf)), parse)
    show("read and map, JSON", timed(spans, lambda: read_all(texts, read_json)), parse)
    store(read_all(binary, read_protobuf))


def store(batches: Sequence[Sequence[Span]]) -> None:
    """Into PostgreSQL: a raw COPY, new spans, and the same spans again."""
    spans = sum(map(len, batches))
    folder = Path(tempfile.mkdtemp(prefix="kt-bench-"))
    folder.chmod(0o755)
    try:
        with (
            Embedded(folder, tell=lambda _: None) as server,
            open_stores(
                server.conninfo, now=lambda: NOW, keys=[FileKeys(folder / "vault-key")]
            ) as stores,
            psycopg.connect(server.conninfo) as connection,
        ):
            raw = timed(spans, lambda: raw_copy(connection, batches))
            show("raw COPY, no index", raw, raw)
            new = timed(spans, lambda: [stores.spans.append(batch) for batch in batches])
            show("seal and store new spans", new, raw)
            again = timed(spans, lambda: [stores.spans.append(batch) for batch in batches])
            show("the same spans again", again, raw)
            trace_id = batches[0][0].trace_id
            began = time.perf_counter()
            for _ in range(50):
                stores.spans.spans(trace_id, limit=1000)
            print(f"  read a trace of five spans     {(time.perf_counter() - began) * 20:8.2f} ms")
    finally:
        shutil.rmtree(folder)


def raw_copy(connection: psycopg.Connection[Any], batches: Sequence[Sequence[Span]]) -> None:
    """The same rows without order, idempotency, partitions or indexes."""
    connection.execute("CREATE TEMP TABLE raw_spans (trace_id text, span_id text, record text)")
    connection.execute("CREATE TEMP TABLE raw_contents (trace_id text, span_id text, content text)")
    for batch in batches:
        for table, rows in (
            ("raw_spans", [(s, msgspec.structs.replace(s, content=None)) for s in batch]),
            ("raw_contents", [(s, s.content) for s in batch]),
        ):
            lines = b"".join(
                f"{span.trace_id}\t{span.span_id}\t".encode()
                + msgspec.json.encode(value).replace(b"\\", b"\\\\")
                + b"\n"
                for span, value in rows
            )
            with connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
                copy.write(lines)
        connection.commit()


def read_all(
    bodies: Sequence[bytes], read: Callable[[bytes], ExportTraceServiceRequest]
) -> list[tuple[Span, ...]]:
    """What the intake does with a body."""
    return [spans_of(read(body), reported_by="bench", now=NOW).spans for body in bodies]


def timed(count: int, work: Callable[[], object]) -> float:
    """Microseconds for each of ``count``."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) / count * 1e6


def show(name: str, microseconds: float, baseline: float) -> None:
    """One line."""
    ratio = microseconds / baseline
    print(
        f"  {name:30} {microseconds:8.1f}   x{ratio:5.1f}   {1e6 / microseconds:10,.0f} per second"
    )


def made_export(number: int) -> ExportTraceServiceRequest:
    """An export of a hundred traces of five spans."""
    spans = []
    for place in range(EXPORT_SPANS):
        trace, step = divmod(place, len(STEPS))
        trace_id = (number * EXPORT_SPANS + trace + 1).to_bytes(16, "big")
        spans.append(
            RawSpan(
                trace_id=trace_id,
                span_id=(step + 1).to_bytes(8, "big"),
                parent_span_id=(1).to_bytes(8, "big") if step else b"",
                name=f"step {step}",
                kind=RawSpan.SPAN_KIND_CLIENT,
                start_time_unix_nano=START_NS + place * 1000,
                end_time_unix_nano=START_NS + place * 1000 + 10**8,
                attributes=[KeyValue(key=k, value=_value(v)) for k, v in STEPS[step].items()],
            )
        )
    sender = ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])
    sender.resource.attributes.append(KeyValue(key="service.name", value=_value("shop")))
    return ExportTraceServiceRequest(resource_spans=[sender])


def as_otlp_json(export: ExportTraceServiceRequest) -> dict[str, Any]:
    """OTLP's JSON: like protobuf's, with identifiers in hex."""
    document: dict[str, Any] = MessageToDict(export)
    written = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    for plain, raw in zip(written, export.resource_spans[0].scope_spans[0].spans, strict=True):
        plain["traceId"], plain["spanId"] = raw.trace_id.hex(), raw.span_id.hex()
        plain["parentSpanId"] = raw.parent_span_id.hex()
    return document


def _value(plain: Any) -> AnyValue:
    if isinstance(plain, str):
        return AnyValue(string_value=plain)
    return AnyValue(double_value=plain) if isinstance(plain, float) else AnyValue(int_value=plain)


if __name__ == "__main__":
    main()
