"""Streamed Anthropic messages: what they say, what becomes of signatures, and how we stop them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import MessageParam

from kintsugi.gateway import commands as c
from kintsugi.gateway.dialects import ANTHROPIC_MESSAGES
from kintsugi.gateway.dialects.anthropic_messages_stream import MessageStream
from kintsugi.gateway.dialects.dialect import Problem
from kintsugi.gateway.dialects.json_text import MalformedDocument
from kintsugi.model.content import Part
from kintsugi.model.event import ExchangeStatus
from kintsugi.model.verdict import Verdict
from tests.gateway.playbook import BLOCKING, REDACTING, Playbook, chat, in_force
from tests.gateway.wires import Messages, message, messages_contents

MESSAGES = b"/v1/messages"
NUMBER = "123-45-6789"
ASKED: list[MessageParam] = [{"role": "user", "content": "x"}]


def read(*events: dict[str, Any] | bytes) -> MessageStream:
    """A reader that has read these events."""
    reader = MessageStream()
    for event in events:
        reader.read(event if isinstance(event, bytes) else json.dumps(event).encode())
    return reader


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    delta = {"type": kind, **fields}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def texts_of(reader: MessageStream) -> dict[str, str]:
    return {channel.path: channel.text() for channel in reader.channels if channel.length}


def play_stream(rule: str, mode: str, chunks: Sequence[bytes]) -> Playbook:
    play = Playbook(in_force(rule, gateway=f"streaming: {mode}"))
    play.request(chat(stream=True, max_tokens=64), target=MESSAGES)
    play.streamed(chunks)
    return play


def test_every_text_of_a_stream_is_put_together_where_the_whole_answer_has_it() -> None:
    citation = {"type": "char_location", "cited_text": "quoted", "document_index": 0}
    result = {"type": "web_search_result", "url": "https://w.example", "title": "W"}
    reader = read(
        start(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="h"),
        delta(0, "thinking_delta", thinking="m"),
        delta(0, "signature_delta", signature="c2VhbA=="),
        stop(0),
        start(1, type="text", text="", citations=None),
        delta(1, "text_delta", text="a"),
        delta(1, "citations_delta", citation=citation),
        delta(1, "citations_delta", citation=citation),
        delta(1, "text_delta", text="b"),
        stop(1),
        start(2, type="server_tool_use", id="s1", name="web_search", input={}),
        delta(2, "input_json_delta", partial_json='{"q":'),
        delta(2, "input_json_delta", partial_json=' "gold"}'),
        stop(2),
        start(3, type="web_search_tool_result", tool_use_id="s1", content=[result]),
        stop(3),
        start(4, type="compaction", content=None),
        delta(4, "compaction_delta", content="in short", encrypted_content="c2VhbA=="),
        stop(4),
    )
    assert texts_of(reader) == {
        "/content/0/thinking": "hm",
        "/content/1/text": "ab",
        "/content/1/citations/0/cited_text": "quoted",
        "/content/1/citations/1/cited_text": "quoted",
        "/content/2/input": '{"q": "gold"}',
        "/content/3/content/0/url": "https://w.example",
        "/content/3/content/0/title": "W",
        "/content/4/content": "in short",
    }
    kinds = {
        channel.path: (channel.kind, channel.role, channel.name) for channel in reader.channels
    }
    assert kinds["/content/0/thinking"] == ("reasoning", "assistant", "")
    assert kinds["/content/2/input"] == ("tool_call", "assistant", "web_search")
    assert kinds["/content/3/content/0/url"] == ("tool_result", "tool", "web_search")
    assert kinds["/content/1/citations/1/cited_text"] == ("tool_result", "tool", "citation")


def test_a_stream_has_the_parts_of_the_answer_that_it_adds_up_to() -> None:
    made = Messages()
    made.begin()
    for kind, text in (("thinking", "hm"), ("text", "so"), ("tool_use", '{"a":1}')):
        block = made.open(kind)
        made.say(block, text)
        made.close(block)
    made.open("tool_use")
    made.close(3)
    made.end()
    reader = read(*[event.partition(b"data: ")[2].strip() for event in made.events])
    content: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "hm", "signature": "c2lnbmVk"},
        {"type": "text", "text": "so"},
        {"type": "tool_use", "id": "toolu_2", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "toolu_3", "name": "f", "input": {}},
    ]
    whole = ANTHROPIC_MESSAGES.read_answer(json.dumps(message(content)).encode())

    def spoken(parts: Sequence[Part]) -> list[Part]:
        return [part for part in parts if part.text]

    streamed = [channel.part() for channel in sorted(reader.channels, key=lambda one: one.rank)]
    assert spoken(streamed) == spoken(whole.parts)


def test_arguments_that_a_server_sends_at_once_are_judged_as_what_they_are() -> None:
    reader = read(start(0, type="tool_use", id="t", name="f", input={"q": "gold"}), stop(0))
    (channel,) = reader.channels
    assert (channel.text(), channel.kind, channel.name) == ('{"q":"gold"}', "tool_call", "f")
    with pytest.raises(MalformedDocument):
        read(
            start(0, type="tool_use", id="t", name="f", input={"q": "gold"}),
            delta(0, "input_json_delta", partial_json="{}"),
        )


def test_a_call_without_arguments_is_judged_like_one_with_an_empty_object() -> None:
    reader = read(
        start(0, type="tool_use", id="t", name="f", input={}),
        delta(0, "input_json_delta", partial_json=""),
        stop(0),
    )
    (channel,) = reader.channels
    assert (channel.text(), channel.name, channel.closed) == ("{}", "f", True)


def test_model_and_usage_are_read_from_the_first_and_the_last_events() -> None:
    first = message(
        [],
        usage={"input_tokens": 3, "cache_read_input_tokens": 40, "output_tokens": 1},
    )
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    reader = read(
        {"type": "message_start", "message": first},
        {**last, "usage": {"output_tokens": 9}},
    )
    assert (reader.model, reader.input_tokens, reader.output_tokens) == ("sim-echo-1", 43, 9)
    assert reader.all_finished
    reader.read(json.dumps({**last, "usage": {"input_tokens": 5, "output_tokens": 10}}).encode())
    assert (reader.input_tokens, reader.output_tokens) == (45, 10)


def test_whatever_an_event_says_beside_its_type_is_judged() -> None:
    reader = read(
        {"type": "ping", "note": "a"},
        {"type": "message_stop", "delta": {"type": "text_delta", "text": "b"}},
        {"type": "future", "index": 3, "delta": {"type": "new", "deep": {"said": "c"}}},
        {"type": "future", "index": 3, "delta": {"type": "new", "deep": {"said": "d"}}},
        {"type": "content_block_delta", "index": 4, "delta": {"partial_json": "e"}},
        {"type": "error", "error": {"type": "overloaded_error", "message": "f"}},
        {"type": "message_delta", "delta": {"stop_sequence": "g", "stop_details": {"why": "h"}}},
        {"list": ["i"]},
        {"type": "future", "index": "j"},
        {"type": "message_delta", "delta": {"content": "k"}},
    )
    assert texts_of(reader) == {
        "/frames/1/note": "a",
        "/content/0/text": "b",
        "/content/3/deep/said": "cd",
        "/content/4/input": "e",
        "/frames/6/error/message": "f",
        "/stop_sequence": "g",
        "/stop_details/why": "h",
        "/frames/8/list": '["i"]',
        "/frames/9/index": "j",
        "/frames/10/delta/content": "k",
    }
    kept = json.loads(reader.whole([]))
    assert kept["frames"] == [
        {"note": "a"},
        {"error": {"message": "f"}},
        {"list": '["i"]'},
        {"index": "j"},
        {"delta": {"content": "k"}},
    ]


def test_a_first_event_that_holds_content_already_is_read() -> None:
    first = {"type": "message_start", "message": message([{"type": "text", "text": NUMBER}])}
    stream = b"event: message_start\ndata: %b\n\n" % json.dumps(first).encode()
    made = Messages()
    made.kinds = ["text"]
    made.say(0, " and more")
    play = play_stream(REDACTING, "window", [stream, made.end()])
    assert NUMBER.encode() not in play.sent()
    assert b"and more" in play.sent()


@pytest.mark.parametrize(
    "frame",
    [
        b"7",
        b"{broken",
        b'{"type":7}',
        b'{"type":"ping","type":"message_stop"}',
        b'{"type":"content_block_delta","index":"0","delta":{}}',
        b'{"type":"content_block_delta","index":-1,"delta":{}}',
        b'{"type":"content_block_delta","index":0,"delta":"x"}',
        b'{"type":"content_block_stop","index":"0"}',
        b'{"type":"content_block_start","index":0,"content_block":7}',
        b'{"type":"content_block_start","index":1,"content_block":{"type":"text","Text":"x"}}',
        b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
        b'{"type":"content_block_delta","index":9,"delta":{"type":"text_delta","text":"x"}}',
        b'{"type":"message_start","message":{"content":"x"}}',
        b"[DONE] and more",
    ],
)
@pytest.mark.parametrize("mode", ["buffer", "window"])
def test_an_event_that_cannot_be_read_in_one_way_takes_the_fail_mode(
    frame: bytes, mode: str
) -> None:
    made = Messages()
    made.begin()
    made.open()
    made.kinds = ["text"] * 10
    made.close(9)
    made.events.append(b"data: %b\n\n" % frame)
    stream = made.end()
    play = play_stream(BLOCKING, mode, [stream])
    assert play.only(c.Answer).status == 502
    assert play.event.error == "upstream.unreadable"
    play = Playbook(in_force(BLOCKING, gateway=f"streaming: {mode}, fail_mode: allow"))
    play.request(chat(stream=True, max_tokens=64), target=MESSAGES)
    assert play.streamed([stream]).startswith(stream)
    assert play.event.fail_open


@pytest.mark.parametrize("mode", ["buffer", "window"])
def test_thinking_that_is_redacted_loses_its_signature_and_other_thinking_keeps_it(
    mode: str,
) -> None:
    made = Messages()
    made.begin()
    for texts in (("she is 123-", "45-6789 and", " that is it"), ("nothing of ", "the kind")):
        block = made.open("thinking")
        for text in texts:
            made.say(block, text)
        made.close(block)
    stream = made.end()
    play = play_stream(REDACTING, mode, [stream[i : i + 50] for i in range(0, len(stream), 50)])
    said = messages_contents(play.sent())
    assert said["0/thinking"].startswith("she is [REDACTED")
    assert said["1/thinking"] == "nothing of the kind"
    signatures = [
        json.loads(event.partition(b"data: ")[2])["delta"]["signature"]
        for event in play.sent().split(b"\n\n")
        if b"signature_delta" in event
    ]
    assert signatures == [None, "c2lnbmVk"]
    assert play.event.verdict is Verdict.REDACT


def calling(*pieces: str) -> bytes:
    """A stream with one call, whose arguments come in these pieces."""
    made = Messages()
    made.begin()
    block = made.open("tool_use")
    for piece in pieces:
        made.say(block, piece)
    made.close(block)
    return made.end()


@pytest.mark.parametrize("mode", ["buffer", "window", "observe"])
def test_redacting_arguments_that_would_no_longer_be_json_blocks(mode: str) -> None:
    rule = """dlp-filter: {action: redact, detect_patterns: ['x":"y', NUMBER]}"""
    stream = calling('{"x', '":"y', '"}')
    play = play_stream(rule, mode, [stream])
    if mode == "observe":
        assert play.sent().startswith(stream)
    else:
        assert play.event.verdict is Verdict.BLOCK
        assert b"message_stop" not in play.sent()
        assert b"output_blocked" in play.sent()
    play = play_stream(rule, mode, [calling('{"x"', ': "NUM', 'BER"}')])
    assert play.event.status is ExchangeStatus.ANSWERED


def test_the_payload_of_a_stream_is_the_answer_that_its_events_add_up_to() -> None:
    made = Messages()
    made.begin()
    text = made.open()
    made.say(text, "Let me ")
    made.say(text, "look.")
    made.close(text)
    call = made.open("tool_use")
    made.say(call, '{"q":"123-')
    made.say(call, '45-6789"}')
    made.close(call)
    made.event("surprise", note="n")
    play = play_stream(REDACTING, "window", [made.end()])
    kept = json.loads(play.event.payload.response)
    first, second = kept["content"]
    assert first == {"type": "text", "text": "Let me look."}
    assert (second["type"], second["id"], second["name"]) == ("tool_use", "toolu_1", "f")
    assert "[REDACTED" in json.loads(second["input"])["q"]
    assert (kept["type"], kept["model"], kept["stop_reason"]) == (
        "message",
        "sim-echo-1",
        "end_turn",
    )
    assert kept["usage"] == {"input_tokens": 11, "output_tokens": 7}
    assert (play.event.input_tokens, play.event.output_tokens) == (11, 7)
    # Replay reads it like any other answer, and judges the same texts.
    parts = ANTHROPIC_MESSAGES.read_answer(play.event.payload.response.encode()).parts
    assert ("tool_call", second["input"], "f") in [(p.kind, p.text, p.name) for p in parts]


def test_an_error_in_mid_stream_passes_and_ends_it() -> None:
    made = Messages()
    made.begin()
    made.event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    stream = b"".join(made.events)
    play = play_stream(BLOCKING, "window", [stream])
    assert play.sent().startswith(stream)
    assert play.event.status is ExchangeStatus.ANSWERED
    bad = stream.replace(b"Overloaded", b"STOPME")
    assert play_stream(BLOCKING, "window", [bad]).only(c.Answer).status == 409


def stopped_stream() -> bytes:
    """A stream that a policy stops when some of it has left."""
    made = Messages()
    made.begin()
    block = made.open()
    for _ in range(10):
        made.say(block, "harmless words, many of them. ")
    made.say(block, "STOPME and more after it, much more")
    play = Playbook(in_force(BLOCKING, gateway="streaming: window"))
    play.request(chat(stream=True, max_tokens=64), target=MESSAGES)
    play.admitted()
    play.head(200, b"text/event-stream")
    for event in made.events:
        play.data(event)
    play.recorded()
    assert play.event.status is ExchangeStatus.BLOCKED
    assert b"STOPME" not in play.sent()
    return play.sent()


def test_a_stop_in_mid_stream_is_an_error_event() -> None:
    *_, error, comment, rest = stopped_stream().split(b"\n\n")
    name, _, data = error.partition(b"\n")
    assert name == b"event: error"
    document = json.loads(data.removeprefix(b"data: "))
    assert document["type"] == "error"
    assert document["error"]["type"] == "policy_violation"
    assert document["error"]["code"] == "output_blocked"
    assert comment.startswith(b": kt decision=block")
    assert rest == b""


def transport(stream: bytes) -> httpx2.MockTransport:
    """Answers everything with a stream."""
    headers = {"content-type": "text/event-stream"}
    return httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=stream))


def test_the_sdk_raises_a_stop_in_mid_stream_with_its_reason() -> None:
    stream = stopped_stream()
    http_client = httpx2.Client(transport=transport(stream))
    with anthropic.Anthropic(
        api_key="k", base_url="http://g.example", http_client=http_client
    ) as sdk:
        said: list[str] = []
        with sdk.messages.stream(model="m", max_tokens=9, messages=ASKED) as events:
            with pytest.raises(anthropic.APIStatusError) as raised:
                said.extend(events.text_stream)
            assert said[0].startswith("harmless words")
        assert raised.value.error_code == "output_blocked"
        with pytest.raises(anthropic.APIStatusError):
            list(sdk.messages.create(model="m", max_tokens=9, messages=ASKED, stream=True))


async def test_the_async_sdk_raises_a_stop_in_mid_stream_with_its_reason() -> None:
    stream = stopped_stream()
    http_client = httpx2.AsyncClient(transport=transport(stream))
    async with anthropic.AsyncAnthropic(
        api_key="k", base_url="http://g.example", http_client=http_client
    ) as sdk:
        with pytest.raises(anthropic.APIStatusError) as raised:
            async with sdk.messages.stream(model="m", max_tokens=9, messages=ASKED) as events:
                await events.get_final_message()
    assert raised.value.error_code == "output_blocked"
    error: Any = raised.value
    assert error.type == "policy_violation"


def test_a_stop_names_everything_that_a_block_names() -> None:
    problem = Problem(
        "policy_violation",
        "output_blocked",
        "no",
        policy="dlp-filter",
        reason_code="dlp.matched",
        event_id="e",
    )
    data = MessageStream().stop_frames(problem, set()).partition(b"data: ")[2]
    assert json.loads(data) == json.loads(ANTHROPIC_MESSAGES.problem_body(problem))


CONFIRMING = (
    "dlp-filter: {action: transform, phases: [input], detect_patterns: [please],"
    " transform: {confirmation: 'May I?'}}"
)


def confirmed(made: Messages, mode: str) -> Playbook:
    """An exchange whose tool calls are asked about instead of made."""
    personal = "pii-detector: {action: redact}"
    play = Playbook(in_force(CONFIRMING, personal, gateway=f"streaming: {mode}"))
    play.request(chat("please", stream=True, max_tokens=64), target=MESSAGES)
    play.streamed(made.events)
    return play


@pytest.mark.parametrize("mode", ["buffer", "window"])
def test_the_user_is_asked_in_the_place_of_a_call(mode: str) -> None:
    made = Messages()
    made.begin()
    for kind, text in (
        ("text", "Let me see. " * 9),
        ("tool_use", '{"a":1}'),
        ("text", "My SSN is 536-22-8841."),
        ("tool_use", '{"b":2}'),
    ):
        block = made.open(kind)
        made.say(block, text)
        made.close(block)
    made.end()
    play = confirmed(made, mode)
    http_client = httpx2.Client(transport=transport(play.sent()))
    with (
        anthropic.Anthropic(
            api_key="k", base_url="http://g.example", http_client=http_client
        ) as sdk,
        sdk.messages.stream(model="m", max_tokens=9, messages=ASKED) as events,
    ):
        final = events.get_final_message()
    texts = [block.text for block in final.content if block.type == "text"]
    assert len(texts) == len(final.content) == 3
    assert texts[0] == "Let me see. " * 9
    assert texts[1].startswith("My SSN is [REDACTED")
    assert texts[2] == 'May I?\n\n- f({"a":1})\n- f({"b":2})'
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 7)
    assert b"tool_use" not in play.sent()
    assert play.sent().count(b"event: message_stop") == 1


def test_what_the_providers_own_tools_did_is_not_asked_about_but_stopped() -> None:
    made = Messages()
    made.begin()
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": "x"}}
    made.event("content_block_start", index=0, content_block=block)
    made.event("content_block_stop", index=0)
    made.end()
    assert confirmed(made, "window").only(c.Answer).status == 409
