"""Embeddings: texts are judged, vectors pass."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kintsugi.gateway import commands as c
from kintsugi.gateway.dialects import OPENAI_EMBEDDINGS
from kintsugi.gateway.dialects.json_text import MalformedDocument
from kintsugi.model.event import ExchangeStatus
from tests.gateway.playbook import BLOCKING, REDACTING, Playbook, error_of, in_force

EMBEDDINGS = b"/v1/embeddings"


def body(value: Any, **more: Any) -> bytes:
    return json.dumps({"model": "sim-echo", "input": value, **more}).encode()


def answer(vector: Any) -> bytes:
    return json.dumps(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": vector}],
            "model": "embed-1",
            "usage": {"prompt_tokens": 5, "total_tokens": 5},
        }
    ).encode()


def said(value: Any, **more: Any) -> list[tuple[str, str]]:
    parts = OPENAI_EMBEDDINGS.read_request(body(value, **more)).parts
    assert {(part.role, part.kind) for part in parts} == {("user", "text")}
    return [(part.text, part.path) for part in parts]


def test_every_text_is_read() -> None:
    assert said("one") == [("one", "/input")]
    assert said(["one", "two"]) == [("one", "/input/0"), ("two", "/input/1")]
    assert said([{"text": "x"}]) == [('{"text":"x"}', "/input/0")]


def test_fields_beside_the_input_are_judged_unless_they_are_settings() -> None:
    found = said("x", dimensions=8, encoding_format="base64", user="ada", input_type="query")
    assert found[1:] == [("ada", "/user"), ("query", "/input_type")]


@pytest.mark.parametrize("tokens", [[15339, 1917], [[15339], [1917]], ["text", 7], [["a"]]])
def test_token_numbers_cannot_be_judged_so_they_take_the_fail_mode(tokens: Any) -> None:
    play = Playbook(in_force(BLOCKING))
    play.request(body(tokens), target=EMBEDDINGS)
    play.recorded()
    refused = play.only(c.Answer)
    assert refused.status == 422
    assert error_of(refused)["code"] == "request.invalid"
    assert "token numbers" in error_of(refused)["message"]
    for rule, gateway in ((BLOCKING, "fail_mode: allow"), ("audit-logger: {}", "")):
        play = Playbook(in_force(rule, gateway=gateway))
        play.request(body(tokens), target=EMBEDDINGS)
        play.exchange_of(answer([0.5]))
        assert play.only(c.CallUpstream).body == body(tokens)
        assert play.event.fail_open is (rule == BLOCKING)


@pytest.mark.parametrize(
    "malformed",
    [
        b"[]",
        b"{}",
        b'{"model":"m"}',
        b'{"model":"m","input":[]}',
        b'{"model":"m","input":7}',
        b'{"input":"x"}',
        b'{"model":"m","input":"x","input":"y"}',
        b'{"model":"m","input":"x","Input":"y"}',
    ],
)
def test_a_request_that_cannot_be_read_in_one_way_is_refused(malformed: bytes) -> None:
    with pytest.raises(MalformedDocument):
        OPENAI_EMBEDDINGS.read_request(malformed)


@pytest.mark.parametrize("vector", [[0.1, -0.25, 1e-7], "zczMPQAAgL4="])
def test_vectors_pass_as_they_are(vector: Any) -> None:
    play = Playbook(in_force(BLOCKING, "pii-detector: {action: redact}"))
    play.request(body("x"), target=EMBEDDINGS)
    assert play.only(c.CallUpstream).path == EMBEDDINGS
    raw = answer(vector)
    assert play.exchange_of(raw).body == raw
    event = play.event
    assert (event.dialect, event.response_model) == ("openai.embeddings", "embed-1")
    assert (event.input_tokens, event.output_tokens) == (5, 0)


def test_what_is_redacted_is_not_embedded() -> None:
    play = Playbook(in_force(REDACTING))
    play.request(body(["a", "I am 123-45-6789"]), target=EMBEDDINGS)
    sent = json.loads(play.only(c.CallUpstream).body)
    assert sent["input"] == ["a", "I am [REDACTED:PATTERN_1]"]
    play = Playbook(in_force(BLOCKING))
    play.request(body("STOPME"), target=EMBEDDINGS)
    play.recorded()
    assert play.only(c.Answer).status == 409


@pytest.mark.parametrize("broken", [b"{", b"[]", b"{}", b"\xff"])
def test_an_answer_that_cannot_be_read_takes_the_fail_mode(broken: bytes) -> None:
    play = Playbook(in_force(BLOCKING))
    play.request(body("x"), target=EMBEDDINGS)
    assert play.exchange_of(broken).status == 502
    play = Playbook(in_force(BLOCKING, gateway="fail_mode: allow"))
    play.request(body("x"), target=EMBEDDINGS)
    assert play.exchange_of(broken).body == broken
    assert play.event.fail_open


@pytest.mark.parametrize("mode", ["buffer", "window", "observe"])
def test_a_stream_where_there_should_be_none_takes_the_fail_mode(mode: str) -> None:
    frames = b'data: {"embedding":[1]}\n\ndata: {"text":"it is 123-45-6789"}\n\n'
    play = Playbook(in_force(REDACTING, gateway=f"streaming: {mode}"))
    play.request(body("x"), target=EMBEDDINGS)
    play.streamed([frames])
    assert play.event.status is ExchangeStatus.STREAM_BROKEN
    play = Playbook(in_force("audit-logger: {}", gateway=f"streaming: {mode}"))
    play.request(body("x"), target=EMBEDDINGS)
    assert play.streamed([frames]).startswith(frames)
    play = Playbook(in_force(BLOCKING, gateway=f"streaming: {mode}, fail_mode: allow"))
    play.request(body("x"), target=EMBEDDINGS)
    assert play.streamed([frames]).startswith(frames)
    assert json.loads(play.event.payload.response)["frames"][1].endswith('123-45-6789"}')
    assert play.event.fail_open
