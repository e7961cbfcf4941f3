"""The one table from what senders call things to what they are called here.

Canonical names are those of the OpenTelemetry GenAI conventions as of :data:`BASELINE`; all of them
are still in development there, so older and foreign names will go on arriving for years. A row's
first name is the canonical one, the others are what it was or is called elsewhere: in earlier
versions, by OpenInference, by OpenLLMetry. What this table does not know stays content.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from kintsugi.model.span import Step

MAPPING: Final = 1
"""Version of this table; it stands on every span that it read."""
BASELINE: Final = "1.41.0"
"""The conventions' version whose names are canonical."""

_TEXT_CHARS_MAX: Final = 256
_LIST_MAX: Final = 64

ValueKind = Literal["text", "number", "flag", "texts"]


class Row(NamedTuple):
    """One thing that is known of a span besides content, and its names, the canonical one first."""

    kind: ValueKind
    names: tuple[str, ...]


def _text(*names: str) -> Row:
    return Row("text", names)


def _number(*names: str) -> Row:
    return Row("number", names)


ROWS: Final[tuple[Row, ...]] = (
    _text("gen_ai.operation.name", "llm.request.type"),
    _text("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "llm.vendor"),
    _text(
        "gen_ai.request.model",
        "llm.request.model_name",
        "llm.model_name",
        "llm.request.model",
        "embedding.model_name",
        "reranker.model_name",
    ),
    _text("gen_ai.response.model", "llm.response.model_name", "llm.response.model"),
    _text("gen_ai.response.id"),
    Row(
        "texts",
        (
            "gen_ai.response.finish_reasons",
            "gen_ai.response.finish_reason",
            "llm.finish_reason",
            "llm.response.finish_reason",
            "gen_ai.response.stop_reason",
            "llm.response.stop_reason",
        ),
    ),
    _number("gen_ai.request.temperature", "llm.temperature"),
    _number("gen_ai.request.top_p", "llm.top_p"),
    _number("gen_ai.request.top_k", "llm.top_k"),
    _number("gen_ai.request.max_tokens", "gen_ai.request.max_completion_tokens"),
    _number("gen_ai.request.seed", "gen_ai.openai.request.seed"),
    _number("gen_ai.request.choice.count", "gen_ai.request.n"),
    _number("gen_ai.request.frequency_penalty", "llm.frequency_penalty"),
    _number("gen_ai.request.presence_penalty", "llm.presence_penalty"),
    Row("flag", ("gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming")),
    _text(
        "gen_ai.request.reasoning.level",
        "gen_ai.request.reasoning_effort",
        "llm.request.reasoning_effort",
    ),
    _number(
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
    ),
    _number(
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
    ),
    _number(
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    _number(
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write.input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    _number(
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "llm.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
    ),
    _text(
        "gen_ai.conversation.id",
        "session.id",
        "traceloop.association.properties.session_id",
        "mcp.session.id",
    ),
    _text("gen_ai.agent.id"),
    _text("gen_ai.agent.name", "agent.name"),
    _text("gen_ai.agent.version"),
    _text("gen_ai.workflow.name", "traceloop.workflow.name"),
    _text("gen_ai.tool.name", "tool.name", "tool_call.function.name"),
    _text("gen_ai.tool.call.id", "tool_call.id", "tool.id"),
    _text("gen_ai.tool.type"),
    _text("gen_ai.data_source.id"),
    _number("gen_ai.retrieval.top_k", "db.vector.query.top_k", "reranker.top_k"),
    _text("gen_ai.prompt.name", "traceloop.prompt.key", "prompt.id"),
    _text("gen_ai.prompt.version", "traceloop.prompt.version", "llm.prompt_template.version"),
    _text("gen_ai.evaluation.name", "evaluation.name"),
    _text("gen_ai.evaluation.score.label", "evaluation.label"),
    _number("gen_ai.evaluation.score.value", "evaluation.score"),
    _text("gen_ai.security.verdict.type"),
    _text(
        "user.id",
        "enduser.id",
        "gen_ai.user",
        "llm.user",
        "traceloop.association.properties.user_id",
    ),
    _text("mcp.method.name"),
    _text("db.system.name", "db.system"),
    _text("db.operation.name", "db.operation"),
    _text("db.collection.name", "db.sql.table", "db.mongodb.collection"),
    _text("messaging.system"),
    _text("messaging.operation.type", "messaging.operation"),
    _text("messaging.destination.name", "messaging.destination"),
    _text("http.request.method", "http.method"),
    _number("http.response.status_code", "http.status_code"),
    _text("error.type"),
    # Ours, where no convention has a word yet; docs/traces.md tells applications about them.
    _text("kintsugi.step"),
    _text("kintsugi.approval.decision"),
    _text("kintsugi.approval.by"),
    _text("kintsugi.permission.outcome"),
    _text("kintsugi.validation.outcome"),
    _text("kintsugi.write.system"),
    _text("kintsugi.write.operation"),
    _text("kintsugi.write.outcome"),
    _text("kintsugi.retrieval.fresh_as_of"),
    Row("texts", ("kintsugi.records",)),
)

_CANONICAL: Final[Mapping[str, tuple[Row, int]]] = {
    name: (row, rank) for row in ROWS for rank, name in enumerate(row.names)
}

_OPERATIONS: Final[Mapping[str, Step]] = {
    **dict.fromkeys(
        ("chat", "text_completion", "completion", "generate_content", "message", "responses"),
        Step.MODEL,
    ),
    "embeddings": Step.EMBEDDING,
    "embedding": Step.EMBEDDING,
    "execute_tool": Step.TOOL,
    "create_agent": Step.AGENT,
    "invoke_agent": Step.AGENT,
    "invoke_workflow": Step.WORKFLOW,
    "plan": Step.WORKFLOW,
    "retrieval": Step.RETRIEVAL,
    "rerank": Step.RETRIEVAL,
    "search_memory": Step.RETRIEVAL,
    "create_memory": Step.WRITE,
    "update_memory": Step.WRITE,
    "upsert_memory": Step.WRITE,
    "delete_memory": Step.WRITE,
    "run_guardrail": Step.VALIDATION,
}
_MCP_METHODS: Final[Mapping[str, Step]] = {
    "tools/call": Step.TOOL,
    "resources/read": Step.RETRIEVAL,
}
_OPENINFERENCE_KINDS: Final[Mapping[str, Step]] = {
    "LLM": Step.MODEL,
    "EMBEDDING": Step.EMBEDDING,
    "RETRIEVER": Step.RETRIEVAL,
    "RERANKER": Step.RETRIEVAL,
    "TOOL": Step.TOOL,
    "AGENT": Step.AGENT,
    "CHAIN": Step.WORKFLOW,
    "GUARDRAIL": Step.VALIDATION,
    "EVALUATOR": Step.VALIDATION,
}
_TRACELOOP_KINDS: Final[Mapping[str, Step]] = {
    "workflow": Step.WORKFLOW,
    "task": Step.WORKFLOW,
    "agent": Step.AGENT,
    "tool": Step.TOOL,
}
_WRITING: Final = frozenset(
    {
        *("insert", "update", "delete", "merge", "replace", "upsert", "put", "create", "drop"),
        *("alter", "truncate", "add", "set", "write", "insertone", "insertmany", "updateone"),
        *("updatemany", "deleteone", "deletemany", "bulkwrite", "putitem", "updateitem"),
        *("deleteitem", "index"),
    }
)
_SEARCHING: Final = frozenset(("query", "search", "vector_search", "similarity_search"))
_SENDING: Final = frozenset(("send", "publish", "create"))
_OWN_STEPS: Final[Mapping[str, Step]] = {step.value: step for step in Step}
_OPENLLMETRY_SIGNS: Final = (
    "traceloop.",
    "llm.request.type",
    "llm.is_streaming",
    "llm.usage.",
    "gen_ai.is_streaming",
    "gen_ai.usage.total_tokens",
    "gen_ai.prompt.0.",
)
_INVOCATION_PARAMETERS: Final = ("llm.invocation_parameters", "embedding.invocation_parameters")
_SETTINGS: Final[Mapping[str, str]] = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "stream": "gen_ai.request.stream",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "n": "gen_ai.request.choice.count",
}
_SCHEMA_URL: Final = "https://opentelemetry.io/schemas/"


def canonical_attributes(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the table knows, under canonical names; where two names say it, the newer one counts.

    Values of another type than the row's are passed over (they stay in the content), and texts are
    cut: whoever writes a prompt where a model's name belongs must not get it past the sealing.
    """
    found: dict[str, Any] = {}
    ranks: dict[str, int] = {}
    for name, value in given.items():
        place = _CANONICAL.get(name)
        if place is None:
            continue
        row, rank = place
        if rank >= ranks.get(row.names[0], len(row.names)):
            continue
        fitting = _fitting(row.kind, value)
        if fitting is not None:
            found[row.names[0]] = fitting
            ranks[row.names[0]] = rank
    for name in _INVOCATION_PARAMETERS:
        if name in given:
            for setting, fitting in _settings(given[name]).items():
                found.setdefault(setting, fitting)
    return found


def step_of(attributes: Mapping[str, Any], given: Mapping[str, Any]) -> Step:
    """What a span did.

    Args:
        attributes: canonical ones.
        given: as they were received.
    """
    by_table = (
        _OWN_STEPS.get(_word(attributes, "kintsugi.step").lower())
        or _MCP_METHODS.get(_word(attributes, "mcp.method.name"))
        or _OPERATIONS.get(_word(attributes, "gen_ai.operation.name").lower())
        or _OPENINFERENCE_KINDS.get(_word(given, "openinference.span.kind").upper())
        or _TRACELOOP_KINDS.get(_word(given, "traceloop.span.kind").lower())
    )
    if by_table is not None:
        return by_table
    if "gen_ai.tool.name" in attributes:
        return Step.TOOL
    if "gen_ai.request.model" in attributes:
        return Step.MODEL
    operation = _word(attributes, "db.operation.name").lower()
    if operation in _WRITING or "kintsugi.write.system" in attributes:
        return Step.WRITE
    if operation in _SEARCHING or "gen_ai.retrieval.top_k" in attributes:
        return Step.RETRIEVAL
    if _word(attributes, "messaging.operation.type").lower() in _SENDING:
        return Step.WRITE
    return Step.OTHER


def convention_of(given: Mapping[str, Any], schema_url: str) -> str:
    """The naming that a span follows, as ``Span.convention`` tells it."""
    if "openinference.span.kind" in given:
        return "openinference"
    if any(name.startswith(_OPENLLMETRY_SIGNS) for name in given):
        return "openllmetry"
    if not any(name.startswith(("gen_ai.", "mcp.")) for name in given):
        return ""
    version = schema_url.removeprefix(_SCHEMA_URL) if schema_url.startswith(_SCHEMA_URL) else ""
    if version and len(version) <= 32:
        return f"otel-genai {version}"
    # Nothing tells the version; the provider's name was called otherwise before 1.37.
    if "gen_ai.provider.name" in given:
        return "otel-genai from 1.37"
    return "otel-genai before 1.37" if "gen_ai.system" in given else "otel-genai"


def _fitting(kind: ValueKind, value: Any) -> Any:
    match kind:
        case "text":
            return value[:_TEXT_CHARS_MAX] if isinstance(value, str) and value else None
        case "number":
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            return value if numeric else None
        case "flag":
            return value if isinstance(value, bool) else None
        case "texts":
            several = value if isinstance(value, list) else [value]
            texts = [str(item)[:_TEXT_CHARS_MAX] for item in several if isinstance(item, str | int)]
            return texts[:_LIST_MAX] or None


def _settings(told: Any) -> dict[str, Any]:
    """OpenInference gives all settings of a call as one JSON text."""
    try:
        parameters = json.loads(told) if isinstance(told, str) else told
    except (ValueError, RecursionError):
        return {}
    if not isinstance(parameters, dict):
        return {}
    found: dict[str, Any] = {}
    for name, canonical in _SETTINGS.items():
        row = _CANONICAL[canonical][0]
        if (fitting := _fitting(row.kind, parameters.get(name))) is not None:
            found[canonical] = fitting
    return found


def _word(attributes: Mapping[str, Any], name: str) -> str:
    value = attributes.get(name)
    return value if isinstance(value, str) else ""
