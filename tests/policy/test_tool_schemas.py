"""JSON Schema on tool arguments: what fits, what does not, and what no schema may do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.policy.tool_schemas import SchemaUnusable, ToolSchema, schema_of
from tests.policy.growth import cpu_seconds

REFUND: dict[str, Any] = {
    "type": "object",
    "required": ["account"],
    "properties": {
        "account": {"type": "string"},
        "amount": {"type": "number", "maximum": 500},
        "reason": {"type": "string", "enum": ["late", "broken"], "default": "none"},
        "lines": {
            "type": "array",
            "items": {"type": "object", "properties": {"sku": {"type": "string"}}},
        },
    },
}


def faults(schema: dict[str, Any], arguments: dict[str, Any], *, extra: bool = False) -> list[str]:
    return [one.fault for one in ToolSchema(schema, extra=extra).violations(arguments)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"account": "A"}, []),
        ({"account": "A", "amount": 5}, []),
        ({"account": "A", "amount": 5.5, "reason": "late", "lines": [{"sku": "x"}]}, []),
        ({"account": "A", "amount": None, "lines": None}, []),
        ({"account": "A", "reason": "none"}, []),
        ({"account": "A", "lines": [{"sku": None}]}, []),
        ({}, ["missing_argument"]),
        ({"account": None}, ["wrong_type"]),
        ({"account": 7}, ["wrong_type"]),
        ({"account": "A", "amount": "5"}, ["wrong_type"]),
        ({"account": "A", "amount": True}, ["wrong_type"]),
        ({"account": "A", "amount": 501}, ["value_not_allowed"]),
        ({"account": "A", "reason": "because"}, ["value_not_allowed"]),
        ({"account": "A", "admin": True}, ["extra_argument"]),
        ({"account": "A", "admin": None}, ["extra_argument"]),
        ({"account": "A", "lines": [{"sku": "x", "price": 1}]}, ["extra_argument"]),
    ],
)
def test_what_fits_and_what_does_not(arguments: dict[str, Any], expected: list[str]) -> None:
    assert faults(REFUND, arguments) == expected


def test_a_violation_says_where_in_the_schema_and_nothing_of_the_call() -> None:
    (violation,) = ToolSchema(REFUND).violations({"account": {"secret": "4111"}})
    assert violation.keyword == "properties/account/type"
    (violation,) = ToolSchema(REFUND).violations({"account": "A", "my secret": 1})
    assert "secret" not in violation.keyword


def test_extra_arguments_can_be_allowed_and_a_schema_may_say_so_itself() -> None:
    assert faults(REFUND, {"account": "A", "x": 1}, extra=True) == []
    assert faults({**REFUND, "additionalProperties": True}, {"account": "A", "x": 1}) == []


def test_branches_of_a_schema_know_each_others_arguments() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "allOf": [{"properties": {"b": {"type": "string"}}}, {"$ref": "#/$defs/more"}],
        "$defs": {"more": {"type": "object", "properties": {"c": {"type": "string"}}}},
    }
    assert faults(schema, {"a": "1", "b": "2", "c": "3"}) == []
    assert faults(schema, {"a": "1", "d": "4"}) == ["extra_argument"]


@pytest.mark.parametrize(
    ("word", "value", "fits"),
    [
        ("dict", {}, True),
        ("float", 1.5, True),
        ("float", "1.5", False),
        ("int", 1, True),
        ("STRING", "a", True),
        ("tuple", [1], True),
        ("any", object, True),
        (["string", "none"], None, True),
        ("boolean", 1, False),
    ],
)
def test_type_names_of_other_languages_are_understood(word: Any, value: Any, fits: bool) -> None:
    schema = {"type": "dict", "required": ["x"], "properties": {"x": {"type": word}}}
    arguments = {"x": "anything" if value is object else value}
    assert (faults(schema, arguments) == []) == fits


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"type": "colour"},
        {"type": 7},
        {"properties": {"a": {"type": "string", "pattern": "("}}},
        {"required": "account"},
    ],
)
def test_a_schema_that_cannot_be_checked_is_said_to_be_unusable(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaUnusable) as caught:
        ToolSchema(schema)
    assert "example.com" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "  "])
def test_no_schema_is_no_constraint(text: str) -> None:
    assert schema_of(text) is None


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "7"])
def test_what_is_no_schema_at_all_is_unusable(text: str) -> None:
    with pytest.raises(SchemaUnusable):
        schema_of(text)


def test_older_drafts_are_understood_without_being_named() -> None:
    tuples = {"type": "object", "properties": {"a": {"items": [{"type": "string"}]}}}
    assert faults(tuples, {"a": [1]}) == ["wrong_type"]
    bounds = {
        "type": "object",
        "properties": {"a": {"type": "number", "minimum": 0, "exclusiveMinimum": True}},
    }
    assert faults(bounds, {"a": 0}) == ["value_not_allowed"]


def test_a_pattern_that_would_backtrack_takes_linear_time() -> None:
    schema = ToolSchema({"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}})
    document = {"a": "a" * 100_000 + "!"}
    assert schema.violations(document)
    assert cpu_seconds(lambda: schema.violations(document)) < 1


def test_a_schema_that_never_ends_is_unusable() -> None:
    schema: dict[str, Any] = {}
    for _ in range(200):
        schema = {"properties": {"a": schema}}
    with pytest.raises(SchemaUnusable):
        ToolSchema(schema)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=8),
    "integer": st.integers(min_value=-(2**53), max_value=2**53),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "array": st.lists(st.integers(min_value=0, max_value=9), max_size=3),
}
# Which types a value of another type is all the same.
_ALSO = {("integer", "number"), ("number", "integer")}


@given(data=st.data())
def test_a_call_made_from_its_schema_fits_and_one_mutation_does_not(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5, unique=True))
    types = {name: data.draw(st.sampled_from(sorted(VALUES))) for name in names}
    schema = {
        "type": "object",
        "required": names,
        "properties": {name: {"type": kind} for name, kind in types.items()},
    }
    arguments = {name: data.draw(VALUES[kind]) for name, kind in types.items()}
    compiled = schema_of(json.dumps(schema))
    assert compiled is not None
    assert compiled.violations(arguments) == ()
    victim = data.draw(st.sampled_from(names))
    other = data.draw(st.sampled_from(sorted(VALUES)))
    if other != types[victim] and (other, types[victim]) not in _ALSO:
        wrong = {**arguments, victim: data.draw(VALUES[other])}
        assert [one.fault for one in compiled.violations(wrong)] == ["wrong_type"]
    without = {name: value for name, value in arguments.items() if name != victim}
    assert [one.fault for one in compiled.violations(without)] == ["missing_argument"]
    more = {**arguments, "extra": 1}
    assert [one.fault for one in compiled.violations(more)] == ["extra_argument"]
