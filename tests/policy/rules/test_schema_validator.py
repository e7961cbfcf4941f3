"""Answers that have to be JSON of a certain form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.errors import ConfigurationInvalid
from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Decision, Phase
from kintsugi.policy.answers import answers
from kintsugi.policy.decide import decide
from kintsugi.policy.plan import compile_plan
from kintsugi.policy.rules.schema_validator.schema import NotJson, Schema, asked_for, json_in
from tests.policy.configs import FACTS, answer, config_of, findings
from tests.policy.growth import cpu_seconds

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def judged(text: str, **options: Any) -> Decision:
    plan = compile_plan(config_of({"schema-validator": options}))
    return decide(plan, Phase.OUTPUT, ExchangeView([answer(text)]), FACTS)


def test_a_finding_says_where_and_what_would_fit_and_quotes_nothing() -> None:
    schema = {
        "properties": {"people": {"items": {"properties": {"age": {"type": "integer"}}}}},
        "additionalProperties": False,
    }
    found = findings(judged('{"people": [{"age": 1}, {"age": "my secret"}]}', schema=schema))
    assert [finding.detail for finding in found] == [
        '/people/1/age: the value is not of type "integer"'
    ]
    (extra,) = findings(judged('{"my secret": 1}', schema=schema))
    assert extra.detail == "the whole: holds a property that is not declared"


def test_a_name_that_only_the_answer_knows_is_not_shown() -> None:
    schema = {"additionalProperties": {"type": "integer"}}
    (found,) = findings(judged('{"my secret": "x"}', schema=schema))
    assert found.detail.startswith("/*: ")


def test_a_schema_that_is_none_is_said_when_the_configuration_is_read() -> None:
    schema = {"properties": {"age": {"type": "int"}}}
    with pytest.raises(ConfigurationInvalid) as error:
        judged("{}", schema=schema)
    assert error.value.diagnostics[0].path.startswith(
        "policy.schema-validator.schema.properties.age"
    )


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "https://example.com/s"}, {"$ref": "file:///etc/passwd"}, {"pattern": "(?=a)"}],
)
def test_a_schema_fetches_nothing_and_has_no_patterns_that_could_stall(schema: Any) -> None:
    with pytest.raises(ConfigurationInvalid):
        judged("{}", schema=schema)


def test_the_form_of_the_responses_dialect_is_understood() -> None:
    schema = asked_for('{"format": {"type": "json_schema", "schema": {"type": "array"}}}')
    assert schema is not None
    assert schema.violations({})
    assert asked_for('{"format": {"type": "text"}}') is None


@given(JSON)
def test_what_json_says_is_read_bare_and_fenced(value: Any) -> None:
    text = json.dumps(value)
    assert json_in(text, fenced=False) == value
    assert json_in(f"So:\n```json\n{text}\n```\nDone.", fenced=True) == value


@given(st.text())
def test_any_text_is_read_or_is_not_json(text: str) -> None:
    try:
        json_in(text, fenced=True)
    except NotJson:
        return


@given(JSON, JSON)
def test_any_value_fits_or_not(value: Any, wanted: Any) -> None:
    schema = Schema({"const": wanted})
    assert bool(schema.violations(value)) == (schema.violations(value) != ())


@pytest.mark.parametrize("text", ["1e999", "[" * 100_000, "```\n" * 50_000, '{"a":' * 50_000])
def test_hostile_text_is_no_json(text: str) -> None:
    (found,) = findings(judged(text, type="object"))
    assert found.reason_code == "schema.not_json"


def test_a_megabyte_is_judged_in_linear_time() -> None:
    def seconds(text: str) -> float:
        return cpu_seconds(
            lambda: judged(text, schema={"items": {"type": "string", "pattern": "^(a+)+$"}})
        )

    assert seconds(json.dumps(["a" * 512 + "!"] * 2048)) < 2
    assert seconds("```json\n" + "a" * (1 << 20)) < 2


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5), st.data())
def test_a_stretch_of_an_answer_is_found_in_its_part(texts: list[str], data: st.DataObject) -> None:
    parts = [Part("assistant", "text", text, f"/content/{n}") for n, text in enumerate(texts)]
    (whole,) = answers(parts)
    start = data.draw(st.integers(0, len(whole.text) - 1))
    path, first, last = whole.place(start, len(whole.text))
    part = next(part for part in parts if part.path == path)
    assert 0 <= first <= last <= len(part.text)
    assert part.text[first] == whole.text[start]
