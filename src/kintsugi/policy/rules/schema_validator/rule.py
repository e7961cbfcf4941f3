"""Answers that have to be JSON of a certain form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts
from kintsugi.model.verdict import Verdict
from kintsugi.policy.answers import Answer, answers
from kintsugi.policy.automata import Sighting
from kintsugi.policy.rule import (
    Detection,
    Observation,
    OptionInvalid,
    Rule,
    RuleKind,
    RuleOptions,
    parse_action,
)
from kintsugi.policy.rules.schema_validator.schema import (
    NotJson,
    Schema,
    SchemaInvalid,
    asked_for,
    json_in,
)

_NOT_JSON, _VIOLATED = "schema.not_json", "schema.violated"
# Where dialects put the form that a request asks for.
_FORMATS = ("/response_format", "/text", "/text/format", "/output_format", "/output_config")

JsonType = Literal["", "object", "array", "string", "number", "integer", "boolean"]


class Options(RuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    action: verdict of an answer that does not fit.
    schema: a JSON Schema that every answer has to fit.
    type: the type that every answer has to be, for want of a schema.
    required_keys: keys that every answer has to have, for want of a schema.
    response_format: also judge by what the request itself asks for.
    fenced: take JSON in a fenced block, with words around it.
    """

    action: str = ""
    schema: dict[str, Any] | None = None
    type: JsonType = ""
    required_keys: tuple[str, ...] = ()
    response_format: bool = True
    fenced: bool = True


class SchemaRule(Rule):
    """Judges each answer by the configured schema and by the one that was asked for."""

    judges = True

    def __init__(self, schema: Schema | None, options: Options) -> None:
        self.action = parse_action(options.action, KIND)
        self._schema = schema
        self._options = options

    def judge(self, exchange: ExchangeView, facts: Facts) -> Iterator[Observation]:  # noqa: ARG002
        """What is no JSON, or does not fit.

        Raises:
            SchemaInvalid: the request asks for a form that cannot be understood.
        """
        schemas = [self._schema] if self._schema is not None else []
        if self._options.response_format:
            schemas += _asked_for(exchange.request)
        if not schemas:
            return
        found = answers(exchange.parts)
        calls = any(part.kind == "tool_call" for part in exchange.parts)
        refused = any(part.path.endswith("/refusal") for part in exchange.parts)
        read = any(part.path for part in exchange.parts)
        if not found and not calls and not refused and (read or not exchange.parts):
            yield Observation(rule="empty", reason_code=_NOT_JSON, detail="there is no text")
        for answer in found:
            if answer.text or not calls:
                yield from self._judged(answer, schemas)

    def _judged(self, answer: Answer, schemas: Sequence[Schema]) -> Iterator[Observation]:
        path = answer.parts[0].path
        try:
            value = json_in(answer.text, fenced=self._options.fenced)
        except NotJson as error:
            yield Observation(rule="json", reason_code=_NOT_JSON, path=path, detail=str(error))
            return
        for schema in schemas:
            for violation in schema.violations(value):
                where = violation.pointer or "the whole"
                yield Observation(
                    rule=violation.keyword,
                    reason_code=_VIOLATED,
                    path=path,
                    detail=f"{where}: {violation.message}",
                )

    def examine(self, part: Part, sightings: Sequence[Sighting]) -> Sequence[Detection]:  # noqa: ARG002
        """Never called: there are no patterns."""
        return ()


def _asked_for(request: Sequence[Part]) -> list[Schema]:
    schemas = (
        asked_for(part.text)
        for part in request
        if part.path in _FORMATS and part.text.lstrip().startswith("{")
    )
    return [schema for schema in schemas if schema is not None]


def build(options: Options, phase: Phase) -> Rule:  # noqa: ARG001
    """The rule for answers.

    Raises:
        OptionInvalid: the schema is none; the message says where in it.
    """
    wanted: dict[str, Any] = {}
    if options.type:
        wanted["type"] = options.type
    if options.required_keys:
        wanted["required"] = list(options.required_keys)
        wanted.setdefault("type", "object")
    if options.schema is not None:
        wanted = {"allOf": [options.schema, wanted]} if wanted else options.schema
        try:
            Schema(options.schema)
        except SchemaInvalid as error:
            path = ".".join(["schema", *map(str, error.place)])
            raise OptionInvalid(path, str(error), "see json-schema.org") from error
    return SchemaRule(Schema(wanted) if wanted else None, options)


KIND = RuleKind(
    name="schema-validator",
    title="Form of answers",
    options=Options,
    phases=(Phase.OUTPUT,),
    default_action=Verdict.BLOCK,
    actions=(Verdict.ALLOW, Verdict.FLAG, Verdict.ESCALATE, Verdict.BLOCK),
    reasons=(_NOT_JSON, _VIOLATED),
    detector_version=1,
    message="The answer does not have the form that was asked for.",
    method="JSON Schema, compiled once; patterns in linear time; nothing is fetched.",
    cost="Decoding the answer, and a few microseconds.",
    limits=("It judges the form, not whether the values are right.",),
    build=build,
)
