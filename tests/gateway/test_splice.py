"""Editing a JSON document on its bytes gives what editing the decoded document would."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kintsugi.gateway.dialects.json_text import MalformedDocument, json_text, read_json
from kintsugi.gateway.dialects.splice import CannotSplice, apply_edits, pointer_token, splice
from kintsugi.model.content import Edit

# Text as JSON can carry it: everything but lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
spellings = st.sampled_from(
    [
        {},
        {"ensure_ascii": False},
        {"indent": 2},
        {"indent": "\t", "ensure_ascii": False, "separators": (" , ", " :  ")},
        {"separators": (",", ":")},
    ]
)


def strings_in(value: Any, pointer: str = "") -> list[tuple[str, str]]:
    """Pointer and text of every string value in a document."""
    if isinstance(value, str):
        return [(pointer, value)]
    found = []
    if isinstance(value, dict):
        for key, below in value.items():
            found += strings_in(below, f"{pointer}/{pointer_token(key)}")
    elif isinstance(value, list):
        for index, below in enumerate(value):
            found += strings_in(below, f"{pointer}/{index}")
    return found


def with_value(document: Any, pointer: str, value: Any) -> Any:
    """The decoded document with the value at a pointer replaced."""
    tokens = [t.replace("~1", "/").replace("~0", "~") for t in pointer.split("/")[1:]]
    if not tokens:
        return value
    holder = document
    for token in tokens[:-1]:
        holder = holder[int(token)] if isinstance(holder, list) else holder[token]
    holder[int(tokens[-1]) if isinstance(holder, list) else tokens[-1]] = value
    return document


@given(documents, spellings, st.data())
def test_editing_the_bytes_equals_editing_the_document(
    document: Any, spelling: dict[str, Any], data: st.DataObject
) -> None:
    body = json.dumps(document, **spelling).encode()
    strings = strings_in(document)
    assume(strings)
    chosen = data.draw(st.lists(st.sampled_from(strings), unique=True, min_size=1))
    edits = []
    expected = json.loads(body)
    for pointer, text in chosen:
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, len(text)))
        edit = Edit(pointer, start, end, data.draw(texts))
        edits.append(edit)
        expected = with_value(expected, pointer, apply_edits(text, [edit]))
    assert json.loads(splice(body, edits)) == expected


@given(documents, spellings)
def test_without_edits_not_a_byte_changes(document: Any, spelling: dict[str, Any]) -> None:
    body = json.dumps(document, **spelling).encode()
    assert splice(body, []) == body


def test_what_is_not_edited_keeps_its_spelling() -> None:
    body = rb'{ "n": 1.50e3, "\u0061": "x\u00e9y",  "z": ["\ud83d\ude00 123-45"], "n2": 0.10 }'
    edited = splice(body, [Edit("/z/0", 2, 8, "[GONE]")])
    assert (
        edited
        == '{ "n": 1.50e3, "\\u0061": "x\\u00e9y",  "z": ["😀 [GONE]"], "n2": 0.10 }'.encode()
    )


def test_offsets_count_characters_not_bytes_or_escapes() -> None:
    body = rb'{"a": "\ud83d\ude00\n\"secret\" \u00e9"}'
    assert json.loads(splice(body, [Edit("/a", 3, 9, "***")])) == {"a": '😀\n"***" é'}


def test_of_a_repeated_key_the_last_one_counts_as_parsers_read_it() -> None:
    body = b'{"a": "first", "b": {"a": "x"}, "a": "second"}'
    edited = splice(body, [Edit("/a", 0, 6, "S")])
    assert edited == b'{"a": "first", "b": {"a": "x"}, "a": "S"}'


def test_a_repeated_key_whose_last_value_lacks_the_place_is_an_error() -> None:
    with pytest.raises(CannotSplice):
        splice(b'{"a": {"b": "x"}, "a": 1}', [Edit("/a/b", 0, 1, "y")])


def test_several_edits_of_one_string_are_made_left_to_right() -> None:
    edits = [Edit("/a", 8, 10, "Y"), Edit("/a", 0, 3, "X")]
    assert splice(b'{"a": "abc def ghi"}', edits) == b'{"a": "X def Yi"}'


def test_a_place_that_does_not_exist_is_an_error() -> None:
    for path in ("/b", "/a/0", "/a/x/y", "/c/7"):
        with pytest.raises(CannotSplice):
            splice(b'{"a": "x", "c": []}', [Edit(path, 0, 1, "")])


def test_a_value_that_is_no_string_is_edited_as_its_compact_json_text() -> None:
    body = b'{"x": {"ssn" : "123-45-6789", "n": 1}}'
    text = json_text(json.loads(body)["x"])
    start = text.index("123")
    edited = splice(body, [Edit("/x", start, start + 11, "[SSN]")])
    assert json.loads(edited) == {"x": {"ssn": "[SSN]", "n": 1}}


def test_an_edit_through_the_structure_of_a_value_is_refused_or_ends_as_text() -> None:
    body = b'{"x": {"a": "b"}}'
    cut = [Edit("/x", 2, 6, "")]
    with pytest.raises(CannotSplice):
        splice(body, cut)
    assert json.loads(splice(body, cut, break_structures=True)) == {"x": '{"b"}'}


def test_clearing_writes_null_and_passes_over_what_is_not_there() -> None:
    body = b'{"a": "x", "logprobs": {"content": [1, 2]}}'
    edited = splice(body, [Edit("/a", 0, 1, "y")], clear=["/logprobs", "/none"])
    assert edited == b'{"a": "y", "logprobs": null}'


@given(documents, spellings)
def test_documents_without_repeats_are_read_as_json_reads_them(
    document: Any, spelling: dict[str, Any]
) -> None:
    body = json.dumps(document, **spelling).encode()
    assert read_json(body) == json.loads(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"x": [{"a": 1, "b": {}, "a": 1}]}', "twice"),
        (b'{"\\u0061": 1, "a": 1}', "twice"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": "\\ud800"}', "not valid JSON"),
        (b"[" * 5000, "deeply"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "deeply"),
        (b"", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b'{"a": NaN}', "not valid JSON"),
    ],
)
def test_what_can_be_read_two_ways_or_none_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedDocument, match=reason):
        read_json(body)


@given(st.binary(max_size=40))
def test_no_bytes_crash_the_reader(body: bytes) -> None:
    try:
        document = read_json(body)
    except MalformedDocument:
        return
    assert json.loads(body) == document or isinstance(document, float)
