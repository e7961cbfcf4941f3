"""YAML and JSON text into a positioned tree."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kintsugi.model.config import Position
from kintsugi.policy.diagnostics import Problems
from kintsugi.policy.document import (
    BYTES_MAX,
    DEPTH_MAX,
    Mapping,
    places,
    plain,
    read_document,
    shortened,
)
from kintsugi.policy.json_document import read_json_document


def read(source: str | bytes) -> tuple[Any, list[str]]:
    problems = Problems("f.yaml")
    node = read_document(source, problems)
    return (None if node is None else plain(node)), [d.code for d in problems.found]


def test_scalars_follow_the_core_schema_of_yaml_1_2() -> None:
    value, codes = read(
        "{a: yes, b: 0777, c: 0x1F, d: ~, e: 1e3, f: '1', g: .nan, h: True, i: 0o17}"
    )
    assert value == {
        "a": "yes", "b": 777, "c": 31, "d": None, "e": 1000.0, "f": "1", "g": ".nan", "h": True,
        "i": 15,
    }  # fmt: skip
    assert codes == []


def test_every_value_knows_its_line_and_column() -> None:
    node = read_document("a:\n  b: 1\n  c:\n    - x\n", Problems("f"))
    assert isinstance(node, Mapping)
    assert dict(places(node)) == {
        "a": Position(1, 1),
        "a.b": Position(2, 6),
        "a.c": Position(3, 3),
        "a.c.0": Position(4, 7),
    }


def test_a_key_written_twice_is_an_error_at_the_second_place() -> None:
    problems = Problems("f")
    read_document("a:\n  b: 1\n  b: 2\n", problems)
    (found,) = problems.found
    assert (found.code, found.path, found.position) == ("E007", "a.b", Position(3, 3))
    assert "line 2" in found.help


def test_aliases_and_merge_keys_are_expanded() -> None:
    value, codes = read("base: &b {x: 1, y: 2}\nd: {<<: *b, y: 3}\ne: *b")
    assert value == {"base": {"x": 1, "y": 2}, "d": {"x": 1, "y": 3}, "e": {"x": 1, "y": 2}}
    assert codes == []


def test_a_billion_laughs_are_refused() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert read("\n".join(lines)) == (None, ["E022"])


def test_aliases_cannot_add_up_to_a_deep_document() -> None:
    half = DEPTH_MAX - 4
    lines = [f"a0: &a0 {'[' * half}{']' * half}"]
    lines += [f"a{n}: &a{n} {'[' * half}*a{n - 1}{']' * half}" for n in range(1, 40)]
    assert read("\n".join(lines)) == (None, ["E022"])


@pytest.mark.parametrize(
    ("source", "code"),
    [
        pytest.param("[" * 5000, "E022", id="deep nesting"),
        pytest.param("x" * (BYTES_MAX + 1), "E022", id="too large"),
        pytest.param("a: &a [*a]", "E004", id="an alias inside itself"),
        pytest.param("a: *b", "E004", id="an alias for nothing"),
        pytest.param("a: 1\n---\nb: 2", "E004", id="two documents"),
        pytest.param("\ta: 1", "E004", id="a tab"),
        pytest.param("a: {b", "E004", id="an open brace"),
        pytest.param("a: \x00", "E004", id="a zero byte"),
        pytest.param(b"\xff\xfe", "E004", id="not UTF-8"),
        pytest.param("\ud800", "E004", id="a lone surrogate"),
        pytest.param("? [a]\n: b", "E005", id="a list as key"),
        pytest.param("a: !!python/object:os.system x", "E004", id="a tag"),
    ],
)
def test_what_cannot_be_read_is_one_diagnostic(source: str | bytes, code: str) -> None:
    assert read(source)[1] == [code]


def test_an_empty_text_is_an_empty_mapping() -> None:
    assert read("") == ({}, [])


def test_the_place_of_a_forbidden_character_is_given() -> None:
    problems = Problems("f")
    read_document("a: 1\nb: \x07", problems)
    assert problems.found[0].position == Position(2, 4)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=400)
    | st.text(alphabet="ab:{}[]&*!|>'\"\\-?#%,\n \t\x00\ud800é", max_size=200)
)
def test_no_bytes_make_the_reader_raise(source: bytes | str) -> None:
    problems = Problems("f")
    node = read_document(source, problems)
    assert (node is None) <= problems.has_errors


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(max_size=20)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=15,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(json_values, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_json_is_read_as_json_reads_it(
    value: Any, indent: int | str | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    problems = Problems("f")
    node = read_json_document(text, problems)
    assert problems.found == ()
    assert node is not None
    assert plain(node) == json.loads(text)


@pytest.mark.parametrize("source", ['{"a": 1,}', "{'a': 1}", '{"a": NaN}', "", "[" * 100_000])
def test_what_is_not_strict_json_is_refused(source: str) -> None:
    problems = Problems("f")
    assert read_json_document(source, problems) is None
    assert problems.has_errors


def test_json_values_know_their_places() -> None:
    node = read_json_document('{\n\t"a": {"b": [1,\n\t2]}}', Problems("f"))
    assert node is not None
    assert dict(places(node))["a.b.1"] == Position(3, 2)


def test_a_message_never_repeats_a_secret() -> None:
    assert "abcdefghijkl" not in shortened("key sk-abcdefghijklmnopqrstuvwxyz here")
    assert (
        shortened("a\x1b[31mb\u202e") == "a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER}"
    )
    assert len(shortened("x" * 500)) == 60
