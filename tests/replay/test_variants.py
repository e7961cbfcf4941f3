"""Variants say the same otherwise: each can be read as a case, and taken back."""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kintsugi.model.config import Case, CaseExpected, CaseInput
from kintsugi.model.event import ExchangeStatus
from kintsugi.policy.folding import fold, latin_table, odd_characters
from kintsugi.policy.parse import parse_config
from kintsugi.policy.suites import read_fragment
from kintsugi.replay.conversation import ENDPOINTS, conversation
from kintsugi.replay.driver import carry, put_in_force
from kintsugi.replay.reproduction import run_one
from kintsugi.replay.results import CaseOutcome
from kintsugi.replay.variants import TECHNIQUES, Side, carriers, side_of, variants

PROSE = st.text(
    alphabet=st.sampled_from("abceghiopstxyz ABCEHT.,!?\u00e9\u4e2d\U0001f600"),
    min_size=2,
    max_size=60,
).filter(lambda text: len(text.split()) > 1)


def _folded(text: str) -> str:
    return fold(text, latin_table(odd_characters(text), removing=False))


def _unquoted(text: str) -> str:
    return text.partition(": ")[2][1:-1].strip()


# What takes a technique off again.
DECODERS: dict[str, Callable[[str], str]] = {
    "homoglyphs": lambda text: text.translate(
        {
            ord(odd): plain
            for odd, plain in zip("асеіорѕхуАВСЕНІКМОРТХ", "aceiopsxyABCEHIKMOPTX", strict=True)
        }
    ),
    "zero_width": lambda text: text.replace("\u200b", ""),
    "full_width": lambda text: text.translate(
        {code + 0xFEE0: chr(code) for code in range(0x21, 0x7F)}
    ),
    "json_escaped": lambda text: json.loads(f'"{text}"'),
    "base64": lambda text: base64.b64decode(text).decode(),
    "hex": lambda text: bytes.fromhex(text).decode(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "url": unquote,
}
FRAMES = [name for name, one in TECHNIQUES.items() if one.family == "language"]


def case(*messages: dict[str, Any], **changes: Any) -> Case:
    return Case("shop", CaseInput(messages=messages, **changes), CaseExpected(verdict="block"))


def asked(text: str, **changes: Any) -> Case:
    return case({"role": "user", "content": text}, **changes)


def made(one: Case, side: Side = "request") -> dict[str, Case]:
    return {variant.technique: variant.case for variant in variants(one, side)}


def content(one: Case, at: int = 0) -> str:
    text: str = one.input.messages[at]["content"]
    return text


@pytest.mark.parametrize("technique", DECODERS)
@given(text=PROSE)
def test_decoding_a_variant_gives_the_text_back(technique: str, text: str) -> None:
    variant = made(asked(text)).get(technique)
    if variant is not None:
        assert DECODERS[technique](content(variant)) == text


@given(text=PROSE)
def test_what_only_looks_different_can_be_recovered_by_a_reader(text: str) -> None:
    variant = made(asked(text))
    assert "".join(content(variant["spaced"]).split()) == "".join(text.split())
    leet = content(variant.get("leetspeak", asked(text)))
    assert len(leet) == len(text)
    first, between, second = (content(variant["split_turns"], at) for at in range(3))
    assert between == "Go on."
    assert f"{first} {second}".split() == text.split()
    for frame in FRAMES:
        assert text in content(variant[frame])


@settings(max_examples=5)
@given(text=PROSE, stream=st.booleans())
def test_every_variant_can_be_written_and_read_as_a_suite(text: str, stream: bool) -> None:
    one = case(
        {"role": "system", "content": "You help."},
        {"role": "user", "content": text},
        upstream_response="fine",
        stream=stream,
    )
    cases = [variant.case for side in ("request", "answer") for variant in variants(one, side)]
    named = [msgspec.structs.replace(c, name=f"{at}") for at, c in enumerate(cases)]
    suite = {"name": "v", "cases": [msgspec.to_builtins(c) for c in named]}
    written = msgspec.json.encode({"testing": {"suites": [suite]}})  # JSON is YAML too
    read, diagnostics = read_fragment(written, file="f.yaml", chain=None)
    assert not diagnostics
    assert read is not None
    assert list(read.suites[0].cases) == named


CONFIG = put_in_force(
    parse_config(
        "pack: {name: shop, version: 1.0.0}\n"
        "policies: {chain: [dlp-filter, audit-logger]}\n"
        "policy:\n"
        "  dlp-filter: {blocked_terms: [aurora ships], action: block}\n"
        "  audit-logger: {}\n",
        file="c.yaml",
    )
)
CALL = {"id": "c1", "type": "function", "function": {"name": "read", "arguments": '{"path":"a"}'}}
AGENT = case(
    {"role": "system", "content": "You help."},
    {"role": "user", "content": "Read a."},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "Note: aurora ships in May."},
    request={
        "tools": [
            {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}
        ],
        "temperature": 0.2,
        "model": "gpt-x",
    },
    upstream_response={"content": "Done.", "tool_calls": [CALL]},
)


def test_every_variant_runs() -> None:
    for one in (
        AGENT,
        asked("Tell them that aurora ships in May."),
        asked("x", upstream_response="aurora ships"),
    ):
        for side in ("request", "answer"):
            for variant in variants(one, side):
                result = run_one(CONFIG, variant.case)
                assert result.outcome is not CaseOutcome.ERROR, (variant.technique, result.why)


@pytest.mark.parametrize(
    "technique", ["openai_responses", "anthropic_messages", "streamed", "document", "tool_result"]
)
def test_a_rule_finds_the_same_wherever_it_is_said(technique: str) -> None:
    for one in (AGENT, asked("Tell them that aurora ships in May.")):
        variant = made(one).get(technique)
        assert variant is not None
        assert run_one(CONFIG, variant).verdict == "block"


def test_a_conversation_is_the_same_in_every_dialect() -> None:
    held = conversation(AGENT)
    assert held is not None
    for name in ("openai_responses", "anthropic_messages"):
        other = made(AGENT)[name]
        assert conversation(other) == held
        assert "model" not in (other.input.request or {})
        assert made(other)["openai_chat"].input.messages == AGENT.input.messages
    assert {one.input.endpoint for one in made(AGENT).values()} == set(ENDPOINTS)


def test_pictures_are_not_lost_in_another_dialect() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    one = case({"role": "user", "content": [picture, {"type": "text", "text": "Read this aloud"}]})
    techniques = made(one).keys()
    assert not {"anthropic_messages", "split_turns", "tool_result"} & techniques
    assert "base64" in techniques
    assert made(one)["base64"].input.messages[0]["content"][0] == picture


def test_what_the_application_says_itself_stays() -> None:
    for variant in variants(AGENT):
        assert "You help." in msgspec.json.encode(variant.case.input).decode()
    _, texts = carriers(AGENT, "request")
    assert list(texts.values()) == ["Read a.", "Note: aurora ships in May."]


def test_an_answer_is_moved_behind_a_harmless_choice() -> None:
    variant = made(asked("Tell me.", upstream_response="Our aurora ships in May."), "answer")[
        "other_choice"
    ]
    assert variant.input.request == {"n": 2}
    assert isinstance(variant.input.upstream_response, dict)
    assert [one["index"] for one in variant.input.upstream_response["choices"]] == [0, 1]
    assert run_one(CONFIG, variant).verdict == "block"
    assert content(variant) == "Tell me."


def test_the_side_is_where_the_deciding_policy_found_it() -> None:
    assert side_of(run_one(CONFIG, asked("aurora ships"))) == "request"
    assert side_of(run_one(CONFIG, asked("Hi", upstream_response="aurora ships"))) == "answer"
    assert side_of(run_one(CONFIG, asked("Hi"))) == "request"


def test_a_variant_is_named_after_its_case_and_expects_the_same() -> None:
    variant = made(asked("say it"))["base64"]
    assert variant.name == "shop (base64)"
    assert variant.expected == CaseExpected(verdict="block")


def test_a_stream_becomes_whole() -> None:
    one = asked("say it", stream=True)
    assert made(one)["streamed"].input == asked("say it").input
    carried = carry(CONFIG, made(asked("say it"))["streamed"], 1)
    assert carried.event is not None
    assert carried.event.status is ExchangeStatus.ANSWERED


def test_a_tool_call_through_mcp_is_spelled_otherwise() -> None:
    request = {
        "method": "tools/call",
        "params": {"name": "send", "arguments": {"text": "aurora ships"}},
    }
    one = Case(
        "m", CaseInput(request=request, endpoint="/mcp/files"), CaseExpected(verdict="block")
    )
    techniques = made(one)
    assert techniques["hex"].input.request == {
        "method": "tools/call",
        "params": {"name": "send", "arguments": {"text": b"aurora ships".hex()}},
    }
    assert "split_turns" not in techniques
