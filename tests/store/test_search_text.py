"""Words for full text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kintsugi.model.event import Payload
from kintsugi.store.search_text import (
    WORDS_MAX,
    parse_search,
    payload_words,
    to_tsquery,
    to_tsvector,
    words_in,
)


def test_words_come_from_what_was_said_and_not_from_the_wire() -> None:
    payload = Payload(
        request='{"model":"gpt-4o","messages":[{"role":"user","content":"Send\\nit"},'
        '{"role":"user","content":[{"type":"text","text":"now"}]}],'
        '"tools":[{"type":"function","function":{"name":"pay","description":"Pays"}}]}',
        response='{"id":"chatcmpl-1","choices":[{"message":{"role":"assistant","content":"Sent",'
        '"tool_calls":[{"function":{"name":"pay","arguments":"{\\"to\\":\\"Ana\\"}"}}]}}]}',
    )
    assert payload_words(payload) == [
        "send",
        "it",
        "now",
        "pay",
        "pays",
        "sent",
        "pay",
        "to",
        "ana",
    ]


def test_pieces_of_a_stream_are_joined_per_choice() -> None:
    frames = [
        '{"choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"}}]}',
        '{"choices":[{"index":1,"delta":{"content":"Good "}}]}',
        '{"choices":[{"index":0,"delta":{"content":"lo"}},{"index":1,"delta":{"content":"bye"}}]}',
        "[DONE]",
    ]
    stream = "".join(f"data: {frame}\r\n\r\n" for frame in frames)
    assert payload_words(Payload(response=stream)) == ["hello", "good", "bye"]


def test_blocks_of_an_anthropic_stream_stay_apart() -> None:
    frames = [
        '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Pay"}}',
        '{"type":"content_block_delta","index":1,"delta":{"partial_json":"{\\"to\\":"}}',
        '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"ing"}}',
        '{"type":"content_block_delta","index":1,"delta":{"partial_json":"\\"Ana\\"}"}}',
    ]
    stream = "".join(f"event: x\ndata: {frame}\n\n" for frame in frames)
    words = payload_words(Payload(response=stream))
    assert {"paying", "to", "ana"} <= set(words)


def test_what_is_no_json_is_taken_as_it_stands() -> None:
    assert payload_words(Payload(request="{broken: yes", response="502 Bad Gateway")) == [
        *("broken", "yes"),
        *("502", "bad", "gateway"),
    ]


def test_a_long_payload_is_cut() -> None:
    assert len(payload_words(Payload(request="a " * 40_000))) == WORDS_MAX


def test_a_search_is_words_and_phrases() -> None:
    assert parse_search('refund "credit card" ana@example.com') == [
        ["credit", "card"],
        ["refund"],
        ["ana", "example", "com"],
    ]
    assert parse_search('" "" !') == []


def test_literals_are_postgresqls() -> None:
    assert to_tsvector(["the", "leak", "the"]) == "'the':1,3 'leak':2"
    assert to_tsquery([["data", "leak"], ["ssn"]]) == "('data' <-> 'leak') & ('ssn')"
    assert to_tsquery([]) == ""


@given(st.text(st.characters(codec=None)))
def test_words_never_need_quoting(text: str) -> None:
    for word in words_in(text):
        assert word
        assert not set(word) & set("'\\:, \x00")
        word.encode()


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
def test_any_payload_has_words(request: str, response: str) -> None:
    payload_words(Payload(request=request, response=response))
