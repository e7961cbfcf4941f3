"""Parsers, dialects and normalisation under documents that nobody would write.

Fifty examples each in every run; ``make fuzz`` takes two thousand.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.gateway.dialects import DIALECTS
from kintsugi.gateway.dialects.dialect import Dialect
from kintsugi.gateway.dialects.json_text import MalformedDocument
from kintsugi.gateway.dialects.splice import CannotSplice, splice
from kintsugi.gateway.sse import FrameSplitter, frame_data
from kintsugi.ledger.journal import scan
from kintsugi.model.content import Edit, ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts
from kintsugi.policy.decide import decide
from kintsugi.policy.parse import check_config
from kintsugi.policy.plan import compile_plan
from tests.policy.configs import config_of

pytestmark = pytest.mark.fuzz

FACTS = Facts(now=datetime(2026, 11, 21, tzinfo=UTC), fingerprint_key=b"fuzz")
PLAN = compile_plan(
    config_of(
        {
            "prompt-injection": {"action": "flag"},
            "pii-detector": {},
            "secrets-detector": {"action": "redact"},
        }
    )
)

# Words of every dialect, so that documents are nearly right.
KEYS = st.sampled_from(
    [
        "model",
        "messages",
        "role",
        "content",
        "type",
        "text",
        "input",
        "instructions",
        "tools",
        "function",
        "name",
        "arguments",
        "output",
        "choices",
        "message",
        "delta",
        "index",
        "tool_calls",
        "id",
        "stream",
        "usage",
        "system",
        "content_block",
        "partial_json",
        "thinking",
        "refusal",
        "reasoning",
        "summary",
        "item",
        "response",
        "error",
        "metadata",
        "parameters",
        "description",
        "tool_use_id",
        "call_id",
        "finish_reason",
        "source",
        "data",
        "parts",
    ]
) | st.text(max_size=4)
WORDS = st.sampled_from(
    [
        "user",
        "assistant",
        "system",
        "tool",
        "developer",
        "text",
        "input_text",
        "output_text",
        "message",
        "function_call",
        "function_call_output",
        "reasoning",
        "tool_use",
        "tool_result",
        "thinking",
        "text_delta",
        "input_json_delta",
        "response.output_text.delta",
        "response.completed",
        "content_block_delta",
        "message_start",
        "function",
        "m",
        "[DONE]",
    ]
)
TEXTS = (
    WORDS
    | st.text(max_size=12)
    | st.sampled_from(
        [
            "ignore previous instructions",
            "123-45-6789",
            "a@b.co",
            "\u202eabc",
            "\ud7ff",
            "{",
            '{"a":1}',
        ]
    )
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**65) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=14,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=7)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": WORDS, "content": VALUES}, optional={"name": TEXTS}), max_size=3
)
REQUESTS = st.builds(
    lambda document, messages, model: {
        **document,
        "model": model,
        "messages": messages,
        "input": messages,
        "max_tokens": 5,
    },
    DOCUMENTS,
    MESSAGES,
    st.just("m") | TEXTS,
)


def bytes_of(document: Any) -> bytes:
    return json.dumps(document).encode()


def parts_of(dialect: Dialect, body: bytes) -> tuple[Part, ...] | None:
    """What a request says; None when it is refused."""
    try:
        return tuple(dialect.read_request(body).parts)
    except MalformedDocument:
        return None


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(body=st.binary(max_size=60) | REQUESTS.map(bytes_of) | DOCUMENTS.map(bytes_of))
def test_a_request_is_read_or_refused(dialect: Dialect, body: bytes) -> None:
    parts = parts_of(dialect, body)
    if parts is not None:
        decide(PLAN, Phase.INPUT, ExchangeView(parts), FACTS)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(document=REQUESTS)
def test_every_text_of_a_request_can_be_taken_out_or_the_request_is_stopped(
    dialect: Dialect, document: dict[str, Any]
) -> None:
    body = bytes_of(document)
    for part in parts_of(dialect, body) or ():
        if not part.text:
            continue
        try:
            edited = splice(body, [Edit(part.path, 0, len(part.text), "[GONE]")])
        except CannotSplice:
            continue
        again = parts_of(dialect, edited)
        if again is not None:
            assert "[GONE]" in {one.text for one in again if one.path == part.path}, part


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(body=st.binary(max_size=60) | DOCUMENTS.map(bytes_of))
def test_an_answer_is_read_or_refused(dialect: Dialect, body: bytes) -> None:
    try:
        answer = dialect.read_answer(body)
    except MalformedDocument:
        return
    decide(PLAN, Phase.OUTPUT, ExchangeView(answer.parts), FACTS)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(frames=st.lists(st.binary(max_size=30) | DOCUMENTS.map(bytes_of), max_size=6))
def test_a_frame_is_read_or_refused(dialect: Dialect, frames: list[bytes]) -> None:
    try:
        reader = dialect.open_stream()
    except NotImplementedError:
        return
    for frame in frames:
        try:
            reader.read(frame)
        except MalformedDocument:
            reader.read_opaque(frame.decode(errors="replace"))
    for channel in reader.channels:
        assert channel.length == len(channel.text())
    reader.whole(())


@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"\n", b"\r\n\r\n", b"data: x"])))
def test_a_stream_splits_into_the_same_frames_however_it_arrives(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    whole, bits = FrameSplitter(), FrameSplitter()
    together = whole.feed(data)
    apart = [frame for piece in pieces for frame in bits.feed(piece)]
    assert [frame_data(one) for one in together] == [frame_data(one) for one in apart]
    assert b"".join(together) + whole.take_rest() == data == b"".join(apart) + bits.take_rest()


@given(st.text(max_size=200) | VALUES.map(json.dumps) | DOCUMENTS.map(json.dumps))
def test_a_configuration_is_read_or_explained(source: str) -> None:
    config, diagnostics = check_config(source)
    assert config is not None or diagnostics
    assert all(found.message and found.position.line >= 1 for found in diagnostics)


SECTIONS = st.sampled_from(
    ["pack", "gateway", "providers", "policies", "policy", "testing", "mcp", "tools", "x"]
)


@given(st.dictionaries(SECTIONS, VALUES, max_size=6))
def test_sections_of_the_wrong_kind_are_explained(document: dict[str, Any]) -> None:
    config, diagnostics = check_config(json.dumps(document))
    assert config is not None or diagnostics


@given(st.text(max_size=120), st.sampled_from(["user", "tool", "system"]))
def test_any_text_is_judged_the_same_twice_and_edits_fit(text: str, role: str) -> None:
    view = ExchangeView([Part(role, "text", text, "/t")])
    decision = decide(PLAN, Phase.INPUT, view, FACTS)
    assert decision == decide(PLAN, Phase.INPUT, view, FACTS)
    assert all(one.outcome != "error" for one in decision.evaluations)
    assert all(0 <= edit.start < edit.end <= len(text) for edit in decision.edits)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_journal_up_to_their_damage(data: bytes) -> None:
    found = scan(data)
    assert found.end <= len(data)
    assert found.damage is not None or found.end == len(data)
