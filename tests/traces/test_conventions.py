"""One canonical form, whatever a sender calls things."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kintsugi.model.span import SpanContent, SpanEvent, Step
from kintsugi.traces.contents import messages, read_content, unflatten
from kintsugi.traces.conventions import ROWS, canonical_attributes, convention_of, step_of

QUESTION = {"role": "user", "parts": [{"type": "text", "content": "Where is it?"}]}
SCHEMA = "https://opentelemetry.io/schemas/1.37.0"

# The same call of a model, as each convention writes it.
CALLS: dict[str, tuple[str, dict[str, Any], tuple[SpanEvent, ...]]] = {
    "otel-genai 1.37.0": (
        SCHEMA,
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "m",
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.request.temperature": 0.2,
            "gen_ai.input.messages": json.dumps([QUESTION]),
        },
        (),
    ),
    "otel-genai before 1.37": (
        "",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "m",
            "gen_ai.usage.prompt_tokens": 3,
            "gen_ai.request.temperature": 0.2,
        },
        (SpanEvent("gen_ai.user.message", None, {"content": "Where is it?"}),),
    ),
    "openllmetry": (
        "",
        {
            "llm.request.type": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "m",
            "gen_ai.usage.prompt_tokens": 3,
            "gen_ai.request.temperature": 0.2,
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "Where is it?",
        },
        (),
    ),
    "openinference": (
        "",
        {
            "openinference.span.kind": "LLM",
            "llm.provider": "openai",
            "llm.model_name": "m",
            "llm.token_count.prompt": 3,
            "llm.invocation_parameters": '{"temperature": 0.2}',
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "Where is it?",
        },
        (),
    ),
}


@pytest.mark.parametrize("convention", CALLS)
def test_every_convention_comes_out_the_same(convention: str) -> None:
    schema_url, given, events = CALLS[convention]
    attributes = canonical_attributes(given)
    assert convention_of(given, schema_url) == convention
    assert step_of(attributes, given) is Step.MODEL
    assert attributes["gen_ai.provider.name"] == "openai"
    assert attributes["gen_ai.request.model"] == "m"
    assert attributes["gen_ai.usage.input_tokens"] == 3
    assert attributes["gen_ai.request.temperature"] == 0.2
    content = SpanContent(attributes=given, events=events)
    assert read_content(content, Step.MODEL)["input_messages"] == [QUESTION]


def test_no_name_stands_in_two_rows() -> None:
    names = [name for row in ROWS for name in row.names]
    assert len(names) == len(set(names))


def test_the_newer_of_two_names_counts_in_whatever_order_they_come() -> None:
    both = {"gen_ai.system": "old", "gen_ai.provider.name": "new"}
    for given in (both, dict(reversed(both.items()))):
        assert canonical_attributes(given) == {"gen_ai.provider.name": "new"}


def test_a_value_of_another_kind_is_content_and_a_long_text_is_cut() -> None:
    given = {
        "gen_ai.request.model": ["a prompt"],
        "gen_ai.usage.input_tokens": True,
        "gen_ai.request.stream": "yes",
        "user.id": "x" * 5000,
        "kintsugi.records": "order/1",
        "some.prompt": "secret",
    }
    found = canonical_attributes(given)
    assert found.keys() == {"user.id", "kintsugi.records"}
    assert len(found["user.id"]) == 256
    assert found["kintsugi.records"] == ["order/1"]


@pytest.mark.parametrize(
    ("given", "step"),
    [
        ({"kintsugi.step": "approval", "gen_ai.operation.name": "chat"}, Step.APPROVAL),
        ({"kintsugi.step": "nonsense"}, Step.OTHER),
        ({"mcp.method.name": "tools/call"}, Step.TOOL),
        ({"gen_ai.operation.name": "execute_tool"}, Step.TOOL),
        ({"gen_ai.operation.name": "embeddings"}, Step.EMBEDDING),
        ({"gen_ai.operation.name": "invoke_agent"}, Step.AGENT),
        ({"openinference.span.kind": "RERANKER"}, Step.RETRIEVAL),
        ({"openinference.span.kind": "GUARDRAIL"}, Step.VALIDATION),
        ({"traceloop.span.kind": "workflow"}, Step.WORKFLOW),
        ({"db.system": "postgresql", "db.operation": "INSERT"}, Step.WRITE),
        ({"db.system.name": "postgresql", "db.operation.name": "SELECT"}, Step.OTHER),
        ({"db.system": "pinecone", "db.operation": "query"}, Step.RETRIEVAL),
        ({"messaging.operation.type": "send"}, Step.WRITE),
        ({"http.request.method": "GET"}, Step.OTHER),
    ],
)
def test_what_a_span_did_is_told_by_whatever_says_it(given: dict[str, Any], step: Step) -> None:
    assert step_of(canonical_attributes(given), given) is step


def test_tool_calls_and_results_take_one_form() -> None:
    call = {"id": "c1", "function": {"name": "look_up", "arguments": '{"a":1}'}}
    wire = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    shaped = messages(wire)
    assert shaped[0]["parts"] == [
        {"type": "tool_call", "id": "c1", "name": "look_up", "arguments": {"a": 1}}
    ]
    assert shaped[1]["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "sunny"}]
    flat = {
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "look_up",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"a":1}',
    }
    read = read_content(SpanContent(attributes=flat), Step.MODEL)
    assert read["output_messages"][0]["parts"] == shaped[0]["parts"]


def test_retrieved_documents_tell_their_ranks_and_their_age() -> None:
    flat = {
        "retrieval.documents.0.document.id": "d1",
        "retrieval.documents.0.document.score": 0.9,
        "retrieval.documents.0.document.metadata": '{"updated_at": "2026-01-01"}',
        "input.value": "returns",
    }
    read = read_content(SpanContent(attributes=flat), Step.RETRIEVAL)
    assert read["documents"][0]["id"] == "d1"
    assert read["document_scores"] == [0.9]
    assert read["document_times"] == ["2026-01-01"]
    assert read["retrieval_query"] == "returns"


def test_one_pair_of_attributes_means_what_the_step_takes_and_gives() -> None:
    content = SpanContent(attributes={"input.value": '{"a": 1}', "output.value": "done"})
    assert read_content(content, Step.TOOL) == {"tool_arguments": {"a": 1}, "tool_result": "done"}
    assert "input_messages" in read_content(content, Step.AGENT)


def test_hostile_lists_neither_grow_nor_nest_without_end() -> None:
    deep = "x." * 5000
    attributes = {f"p.0.{deep}y": 1, "p.999999999999.a": 2, "p.3.b": 3, "p.0.x": "taken"}
    found = unflatten(attributes, "p.")
    assert len(found) == 2
    nested = "[" * 500 + "]" * 500
    assert read_content(SpanContent(attributes={"gen_ai.prompt": nested}), Step.MODEL)
