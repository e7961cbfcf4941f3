"""Tool calls must fit what was declared: known tools, readable arguments, JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from kintsugi.model.config import SecretRef
from kintsugi.model.content import ExchangeView
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts
from kintsugi.model.verdict import Verdict
from kintsugi.policy.rule import (
    ActionOptions,
    Observation,
    OptionInvalid,
    OptionNote,
    Rule,
    RuleKind,
)
from kintsugi.policy.tool_calls import ToolCall, calls_in, declared_tools, is_free_form
from kintsugi.policy.tool_schemas import SchemaUnusable, ToolSchema, schema_of

_UNKNOWN = "tool_validation.unknown_tool"
_INVALID = "tool_validation.invalid_arguments"
_UNUSABLE = "tool_validation.schema_unusable"


class SemanticValidation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that judges arguments; understood, without effect."""

    enabled: bool = False
    endpoint: str = ""
    model: str = ""
    secret_key_ref: SecretRef | None = None
    timeout_ms: int = 0


class Options(ActionOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    declared_tools: the tools that there are. Empty, and without ``schemas``: those that the
        request offers.
    schemas: JSON Schema of a tool's arguments, by its name; goes before the request's own.
    allow_undeclared: let calls of other tools pass.
    request_schemas: also check against the schemas of the tools that the request offers.
    extra_arguments: ``reject`` those that a schema does not name, where it does not say itself.
    semantic_validation: no effect.
    """

    declared_tools: tuple[str, ...] = ()
    schemas: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    allow_undeclared: bool = False
    request_schemas: bool = True
    extra_arguments: Literal["reject", "allow"] = "reject"
    semantic_validation: SemanticValidation = SemanticValidation()


class ValidationRule(Rule):
    """Judges each call in an answer on its own."""

    judges = True

    def __init__(self, options: Options) -> None:
        self._extra = options.extra_arguments == "allow"
        self._known = frozenset((*options.declared_tools, *options.schemas))
        self._allow_undeclared = options.allow_undeclared
        self._request_schemas = options.request_schemas
        self._schemas: dict[str, ToolSchema] = {}
        for name, schema in options.schemas.items():
            try:
                self._schemas[name] = ToolSchema(schema, extra=self._extra)
            except SchemaUnusable as error:
                raise OptionInvalid(
                    f"schemas.{name}", f"not a JSON Schema: {error}", "see json-schema.org"
                ) from None

    def judge(self, exchange: ExchangeView, facts: Facts) -> Sequence[Observation]:  # noqa: ARG002
        """See ``Rule``."""
        calls = calls_in(exchange.parts)
        if not calls:
            return ()
        offered = declared_tools(exchange.request)
        return [seen for call in calls for seen in self._about(call, offered)]

    def _about(self, call: ToolCall, offered: Mapping[str, str]) -> Iterator[Observation]:
        known = self._known or offered.keys()
        if call.name not in known and not self._allow_undeclared:
            yield _observed(call, _UNKNOWN, "unknown_tool")
            return
        if is_free_form(call):
            return
        if call.problem:
            yield _observed(call, _INVALID, call.problem)
            return
        schema = self._schemas.get(call.name)
        if schema is None and self._request_schemas:
            try:
                schema = schema_of(offered.get(call.name, ""), extra=self._extra)
            except SchemaUnusable as error:
                yield _observed(call, _UNUSABLE, "schema_unusable", str(error))
        if schema is not None:
            for violation in schema.violations(call.arguments):
                yield _observed(call, _INVALID, violation.fault, violation.keyword)


def _observed(call: ToolCall, reason_code: str, rule: str, detail: str = "") -> Observation:
    return Observation(rule=rule, reason_code=reason_code, path=call.path, detail=detail)


def _notes(options: Options) -> Sequence[OptionNote]:
    if not options.semantic_validation.enabled:
        return ()
    return [
        OptionNote(
            "semantic_validation",
            "has no effect: arguments are checked by schema",
            "groundedness or custom can judge what a schema cannot",
        )
    ]


def build(options: Options, phase: Phase) -> Rule:  # noqa: ARG001
    """The rule for the tool phase."""
    return ValidationRule(options)


KIND = RuleKind(
    name="tool-validation",
    title="Tool validation",
    options=Options,
    phases=(Phase.TOOL,),
    default_action=Verdict.BLOCK,
    actions=(Verdict.ALLOW, Verdict.FLAG, Verdict.ESCALATE, Verdict.QUARANTINE, Verdict.BLOCK),
    reasons=(_UNKNOWN, _INVALID, _UNUSABLE),
    detector_version=1,
    message="A tool call does not fit the tool's declaration.",
    method="JSON Schema, compiled once per schema; strict JSON; names to the letter.",
    cost="About 3 microseconds per call; about 500 for a schema that is new.",
    limits=(
        "Formats (date, email) are not checked.",
        "It says whether a call fits its declaration, not whether it is wise.",
    ),
    build=build,
    notes=_notes,
)
