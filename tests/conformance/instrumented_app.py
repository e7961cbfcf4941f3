"""An application under OpenTelemetry, as its makers instrument it, that asks a model through a
gateway. Run as a process of its own: instrumentations change the libraries that they watch.

    python -m tests.conformance.instrumented_app LIBRARY GATEWAY_URL API_URL TOKEN

prints the trace id, and the id of the decision.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import anthropic
import openai
from httpx2 import Client, Request
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look something up.",
        "parameters": {"type": "object", "properties": {"subject": {"type": "string"}}},
    },
}


def main(library: str, gateway_url: str, api_url: str, token: str) -> None:
    """Trace one run of a small agent."""
    exporter = OTLPSpanExporter(
        endpoint=f"{api_url}/v1/traces",
        headers={"authorization": f"Bearer {token}"},
        compression=Compression.Gzip,
    )
    provider = TracerProvider(resource=Resource.create({"service.name": f"shop-{library}"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    instrument(library)
    tracer = trace.get_tracer("shop")
    with tracer.start_as_current_span("answer a customer") as root:
        with tracer.start_as_current_span(
            "search the handbook",
            attributes={
                "gen_ai.operation.name": "retrieval",
                "gen_ai.retrieval.query.text": "returns",
                "gen_ai.retrieval.documents": json.dumps([{"id": "d1", "score": 0.7}]),
            },
        ):
            pass
        with Client(event_hooks={"request": [_carry_on]}) as http:
            event_id = ask(library, gateway_url, http)
        with tracer.start_as_current_span(
            "refund",
            attributes={
                "kintsugi.step": "write",
                "kintsugi.write.system": "orders",
                "kintsugi.records": ["order/7"],
            },
        ):
            pass
    provider.shutdown()
    trace_id = trace.format_trace_id(root.get_span_context().trace_id)
    sys.stdout.write(json.dumps({"trace_id": trace_id, "event_id": event_id}) + "\n")


def instrument(library: str) -> None:
    """Switch one of the instrumentations on."""
    match library:
        case "openllmetry":
            from opentelemetry.instrumentation.openai import OpenAIInstrumentor as OpenLLMetry

            OpenLLMetry().instrument()
        case "openinference":
            from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInference

            OpenInference().instrument()
        case "openinference-anthropic":
            from openinference.instrumentation.anthropic import AnthropicInstrumentor

            AnthropicInstrumentor().instrument()


def ask(library: str, gateway_url: str, http: Client) -> str:
    """One question with a tool on offer; the id of its decision."""
    question: Any = [{"role": "user", "content": "Look up the returns policy"}]
    if library.endswith("anthropic"):
        client = anthropic.Anthropic(base_url=gateway_url, api_key="any", http_client=http)
        told = client.messages.with_raw_response.create(
            model="sim-echo", max_tokens=50, messages=question
        )
        return str(told.headers["x-kt-event-id"])
    openai_client = openai.OpenAI(base_url=f"{gateway_url}/v1", api_key="any", http_client=http)
    answer = openai_client.chat.completions.with_raw_response.create(
        model="sim-tools", messages=question, tools=[TOOL], temperature=0.2
    )
    answer.parse()
    return str(answer.headers["x-kt-event-id"])


def _carry_on(request: Request) -> None:
    """Hand the trace on, as an instrumented HTTP client does."""
    propagate.inject(request.headers)


if __name__ == "__main__":
    main(*sys.argv[1:])
