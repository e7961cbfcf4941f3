"""Streamed responses: every repetition of a text is edited, and the SDK accepts how we stop."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from unittest import mock

import httpx2
import openai
import pytest
from openai.types.responses import Response, ResponseCompletedEvent

from kintsugi.gateway import commands as c
from kintsugi.gateway.dialects import OPENAI_RESPONSES
from kintsugi.gateway.dialects.dialect import Problem
from kintsugi.gateway.dialects.json_text import MalformedDocument
from kintsugi.gateway.dialects.openai_responses_stream import ResponseStream
from kintsugi.gateway.streaming import Window
from kintsugi.model.content import Part
from kintsugi.model.event import ExchangeStatus
from kintsugi.model.verdict import Verdict
from tests.gateway.playbook import (
    BLOCKING,
    DONE,
    REDACTING,
    Playbook,
    in_force,
)
from tests.gateway.wires import RESPONSES_WIRE, Responses, responses_contents

RESPONSES = b"/v1/responses"
NUMBER = "123-45-6789"


def read(*events: dict[str, Any] | bytes) -> ResponseStream:
    """A reader that has read these events."""
    reader = ResponseStream()
    for event in events:
        reader.read(event if isinstance(event, bytes) else json.dumps(event).encode())
    return reader


def texts_of(reader: ResponseStream) -> dict[str, str]:
    return {channel.path: channel.text() for channel in reader.channels if channel.length}


def delta(text: str, kind: str = "output_text", **at: int) -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "output_index": 0, "delta": text, **at}


def test_every_text_of_a_stream_is_put_together_where_the_whole_answer_has_it() -> None:
    reader = read(
        delta("a", content_index=1),
        delta("b", content_index=1),
        delta("no", "refusal", content_index=2),
        delta("why", "reasoning_text", output_index=1),
        delta("so", "reasoning_summary_text", output_index=1, summary_index=3),
        delta("{}", "function_call_arguments", output_index=2),
        delta("[]", "mcp_call_arguments", output_index=3),
        delta("in", "custom_tool_call_input", output_index=4),
        delta("x=1", "code_interpreter_call_code", output_index=5),
        delta("ls", "shell_call_command", output_index=6, command_index=1),
        {"type": "response.audio.transcript.delta", "delta": "he"},
        {"type": "response.audio.transcript.delta", "delta": "ard"},
        {"type": "response.audio.delta", "delta": "AAAA"},
        {"type": "response.image_generation_call.partial_image", "partial_image_b64": "AAAA"},
        {"type": "response.web_search_call.searching", "output_index": 7, "item_id": "ws"},
    )
    assert texts_of(reader) == {
        "/output/0/content/1/text": "ab",
        "/output/0/content/2/refusal": "no",
        "/output/1/content/0/text": "why",
        "/output/1/summary/3/text": "so",
        "/output/2/arguments": "{}",
        "/output/3/arguments": "[]",
        "/output/4/input": "in",
        "/output/5/code": "x=1",
        "/output/6/action/commands/1": "ls",
        "/events/response.audio.transcript.delta": "heard",
    }
    kinds = {channel.path: channel.kind for channel in reader.channels}
    assert kinds["/output/1/content/0/text"] == "reasoning"
    assert kinds["/output/2/arguments"] == "tool_call"


def test_a_text_that_is_stated_again_is_no_new_text() -> None:
    made = Responses()
    made.begin()
    index = made.open_message()
    made.say(index, "one ")
    made.say(index, "two")
    made.close(index)
    made.end()
    reader = ResponseStream()
    views = [reader.read(event.split(b"data: ")[1].rstrip()) for event in made.events]
    assert texts_of(reader) == {
        "/instructions": "be kind",
        "/output/0/content/0/text": "one two",
    }
    pointers = [piece.pointer for view in views for piece in view.pieces if piece.end == 7]
    assert pointers == [
        "/response/instructions",
        "/response/instructions",
        "/delta",
        "/text",
        "/part/text",
        "/item/content/0/text",
        "/response/instructions",
        "/response/output/0/content/0/text",
    ]
    assert [view.closing for view in views][-2:] == [False, True]
    assert (reader.model, reader.input_tokens, reader.output_tokens) == ("sim-echo-1", 11, 7)


def test_a_text_that_is_stated_differently_is_judged_as_it_stands() -> None:
    at = {"output_index": 0, "content_index": 0}
    done = {"type": "response.output_text.done", **at}
    reader = read(delta("harmless"), {**done, "text": "other"}, {**done, "text": "other"})
    assert texts_of(reader) == {"/output/0/content/0/text": "harmless", "/frames/2/text": "other"}
    for other in ("harmful!", "harmful, and more of it"):
        reader = read(delta("harmless"), {**done, "text": other})
        assert list(texts_of(reader).values()) == ["harmless", other]
    for other in ("harmless, and more of it", "harm"):
        reader = read(delta("harmless"), {**done, "text": "harmless"}, {**done, "text": other})
        assert list(texts_of(reader).values()) == ["harmless", other]
    reader = read({**done, "text": "only here"})
    assert texts_of(reader) == {"/output/0/content/0/text": "only here"}
    reader = read(delta("begun"), {**done, "text": "begun and more"})
    assert texts_of(reader) == {"/output/0/content/0/text": "begun and more"}


def test_a_call_has_its_name_before_its_arguments() -> None:
    call = {"type": "function_call", "name": "f", "call_id": "c", "arguments": ""}
    reader = read(
        {"type": "response.output_item.added", "output_index": 2, "item": call},
        delta("{}", "function_call_arguments", output_index=2),
    )
    (channel,) = reader.channels
    assert (channel.path, channel.kind, channel.name) == ("/output/2/arguments", "tool_call", "f")
    assert json.loads(reader.whole(()))["output"] == [{**call, "arguments": "{}"}]


@pytest.mark.parametrize(
    "event",
    [
        b"7",
        b"{",
        b'{"type":7}',
        b'{"type":"a","type":"b"}',
        b'{"type":"response.output_text.delta","delta":"x","output_index":"0"}',
        b'{"type":"response.output_text.delta","delta":"x","output_index":-1}',
        b'{"type":"response.output_text.delta","delta":"x","delta":"y"}',
        b'{"type":"response.output_item.added","item":7}',
        b'{"type":"response.output_item.done","item":{"type":"function_call","Arguments":"x"}}',
        b'{"type":"response.content_part.done","part":7}',
        b'{"type":"response.completed","response":{"output":7}}',
    ],
)
def test_an_event_that_cannot_be_read_in_one_way_takes_the_fail_mode(event: bytes) -> None:
    frame = b"data: " + event + b"\n\n"
    play = Playbook(in_force(BLOCKING, gateway="streaming: window"))
    play.request(RESPONSES_WIRE.request(True), target=RESPONSES)
    play.streamed([frame, RESPONSES_WIRE.stream_of("b")])
    assert play.only(c.Answer).status == 502
    assert play.event.error == "upstream.unreadable"
    play = Playbook(in_force(BLOCKING, gateway="streaming: window, fail_mode: allow"))
    play.request(RESPONSES_WIRE.request(True), target=RESPONSES)
    assert play.streamed([frame, RESPONSES_WIRE.stream_of("b")]).startswith(frame)
    assert play.event.fail_open


@pytest.mark.parametrize("name", ["response.content_part", "response.reasoning_part"])
def test_a_part_of_reasoning_is_reasoning_under_either_name(name: str) -> None:
    part = {"type": "reasoning_text", "text": "why"}
    done = {"type": f"{name}.done", "output_index": 0, "content_index": 0, "part": part}
    (channel,) = read(delta("why", "reasoning_text"), done).channels
    assert (channel.kind, channel.path) == ("reasoning", "/output/0/content/0/text")


def test_a_text_does_not_go_on_after_it_was_done() -> None:
    done = {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "a"}
    with pytest.raises(MalformedDocument):
        read(delta("a"), done, delta("b"))


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.surprise", "note": "STOPME"},
        {"type": "response.surprise", "code": "STOPME", "name": "x"},
        {"type": "response.surprise", "deep": {"STOPME": 1}},
        {"type": "error", "message": "STOPME", "code": "x"},
        {"kind": "of its own", "text": "STOPME"},
        {"type": "response.output_text.delta", "output_index": 0, "delta": {"new": "STOPME"}},
        {"type": "response.completed", "response": {"output": [], "future": "STOPME"}},
        {"type": "response.rewound", "response": {"output": [], "note": "STOPME"}},
        {
            "type": "response.failed",
            "response": {"output": [], "error": {"code": "c", "message": "STOPME"}},
        },
        {
            "type": "response.output_text.annotation.added",
            "output_index": 0,
            "content_index": 0,
            "annotation_index": 0,
            "annotation": {"type": "url_citation", "title": "STOPME"},
        },
        {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": {"type": "hologram", "caption": "STOPME"},
        },
        {
            "type": "response.shell_call_output_content.done",
            "output_index": 0,
            "output": [{"stdout": "STOPME"}],
        },
    ],
)
def test_a_text_in_an_event_or_field_nobody_knows_is_judged(event: dict[str, Any]) -> None:
    for text in ("STOPME", "fine"):
        frame = b"data: " + json.dumps(event).replace("STOPME", text).encode() + b"\n\n"
        play = Playbook(in_force(BLOCKING, gateway="streaming: window"))
        play.request(RESPONSES_WIRE.request(True), target=RESPONSES)
        sent = play.streamed([frame])
        if text == "fine":
            assert sent.startswith(frame)
            assert play.event.verdict is Verdict.ALLOW
        else:
            assert play.only(c.Answer).status == 409


def test_a_text_in_pieces_that_nobody_knows_is_joined() -> None:
    made = Responses()
    made.begin()
    for text in ("ST", "OPM", "E"):
        made.event("response.future.delta", output_index=0, delta={"said": text})
    play = Playbook(in_force(BLOCKING, gateway="streaming: window"))
    play.request(RESPONSES_WIRE.request(True), target=RESPONSES)
    play.streamed([made.end()])
    assert play.only(c.Answer).status == 409


def sent_before_the_end(rule: str, events: Sequence[bytes]) -> bytes:
    """What has left in window mode when these events came, each in a read of its own."""
    play = Playbook(in_force(rule, gateway="streaming: window"))
    play.request(RESPONSES_WIRE.request(True), target=RESPONSES)
    play.admitted()
    play.head(200, b"text/event-stream")
    for event in events:
        play.data(event)
    return play.sent()


def test_a_text_that_is_done_is_not_held_back_any_longer() -> None:
    made = Responses()
    made.begin()
    made.say(made.open_message(), f"it is {NUMBER}")
    assert b"it is" not in sent_before_the_end(REDACTING, made.events)
    made.close(0)
    sent = sent_before_the_end(REDACTING, made.events)
    assert sent.count(b"it is [REDACTED:PATTERN_1]") == 4
    assert NUMBER.encode() not in sent


def test_a_text_that_is_done_leaves_when_what_held_it_turns_out_harmless() -> None:
    rule = r"""dlp-filter: {action: block, detect_patterns: ['STOPME\b']}"""
    made = Responses()
    made.begin()
    first, second = made.open_message(), made.open_message()
    made.say(first, "words ")
    made.say(second, "all of it")
    began = len(made.events)
    made.say(first, "STOPME")
    made.close(second)
    reads = [*made.events[:began], b"".join(made.events[began:])]
    assert b"all of it" not in sent_before_the_end(rule, reads)
    made.say(first, "NOT, and this is how it went on from there. ")
    reads.append(made.events[-1])
    assert sent_before_the_end(rule, reads).count(b"all of it") == 4


def play_events(rule: str, mode: str, events: Sequence[bytes]) -> Playbook:
    play = Playbook(in_force(rule, gateway=f"streaming: {mode}"))
    play.request(RESPONSES_WIRE.request(True), target=RESPONSES)
    play.streamed(events)
    return play


def everything_said(text: str) -> list[bytes]:
    """A stream that says a text in a message, in reasoning and in a call, character by
    character."""
    made = Responses()
    made.begin()
    for index in (made.open_reasoning(), made.open_message(), made.open_call()):
        said = json.dumps({"number": text}) if index == 2 else text
        for character in said:
            made.say(index, character)
        made.close(index)
    made.end()
    return made.events


@pytest.mark.parametrize("mode", ["buffer", "window"])
def test_a_redaction_is_made_wherever_a_text_is_repeated(mode: str) -> None:
    play = play_events(REDACTING, mode, everything_said(f"it is {NUMBER}, they say"))
    texts = responses_contents(play.sent())
    assert not any(NUMBER in text for text in texts.values())
    assert play.sent().count(b"it is [REDACTED:PATTERN_1], they say") == 4 + 4 + 3
    deltas = {at: text for at, text in texts.items() if at.startswith("response.")}
    assert deltas == {
        "response.reasoning_summary_text.delta/0/": "it is [REDACTED:PATTERN_1], they say",
        "response.output_text.delta/1/0": "it is [REDACTED:PATTERN_1], they say",
        "response.function_call_arguments.delta/2/": (
            '{"number": "it is [REDACTED:PATTERN_1], they say"}'
        ),
    }
    assert play.event.verdict is Verdict.REDACT
    assert NUMBER not in play.event.payload.response


def test_redacted_texts_lose_their_log_probabilities() -> None:
    at = {"output_index": 0, "content_index": 0}
    probabilities = [{"token": NUMBER, "logprob": -0.1, "top_logprobs": []}]
    part = {"type": "output_text", "text": NUMBER, "logprobs": probabilities}
    item = {"type": "message", "role": "assistant", "content": [part]}
    made = Responses()
    made.begin()
    made.event("response.output_text.delta", **at, delta=NUMBER, logprobs=probabilities)
    made.event("response.output_text.done", **at, text=NUMBER, logprobs=probabilities)
    made.event("response.content_part.done", **at, part=part)
    made.event("response.output_item.done", output_index=0, item=item)
    made.items.append(item)
    made.end()
    for mode in ("buffer", "window"):
        assert NUMBER.encode() not in play_events(REDACTING, mode, made.events).sent()
    play = Playbook(in_force(REDACTING))
    play.request(RESPONSES_WIRE.request(False), target=RESPONSES)
    answer = play.exchange_of(json.dumps(made.response("completed")).encode())
    assert NUMBER.encode() not in answer.body
    assert b"[REDACTED" in answer.body


def test_the_payload_of_a_broken_stream_is_what_came() -> None:
    made = Responses()
    made.begin()
    made.say(made.open_message(), "so far")
    play = Playbook(in_force(REDACTING, gateway="streaming: window"))
    play.request(RESPONSES_WIRE.request(True), target=RESPONSES)
    play.admitted()
    play.head(200, b"text/event-stream")
    play.data(b"".join(made.events))
    play.failed()
    assert play.event.status is ExchangeStatus.STREAM_BROKEN
    kept = json.loads(play.event.payload.response)
    assert kept["status"] == "in_progress"
    assert kept["output"][0]["content"] == [{"text": "so far"}]


def test_a_response_of_strange_keys_is_kept_as_evidence() -> None:
    odd = {"type": "hologram", "5": "five"}
    event = {"type": "response.completed", "response": {"output": [odd], "7": "seven", "²": "x"}}
    kept = json.loads(read(event).whole(()))
    assert kept == {
        "object": "response",
        "output": [{"type": "hologram", "5": "five"}],
        "7": "seven",
        "²": "x",
    }


def stopped_stream() -> bytes:
    """A stream that was stopped after some of it had left."""
    made = Responses()
    made.begin()
    message = made.open_message()
    for _ in range(8):
        made.say(message, "harmless words, many of them. ")
    made.say(message, "STOPME and more")
    play = play_events(BLOCKING, "window", made.events)
    assert play.event.status is ExchangeStatus.BLOCKED
    sent = play.sent()
    assert b"harmless" in sent
    assert b"STOPME" not in sent
    return sent


def test_a_stop_in_mid_stream_fails_the_response_that_began() -> None:
    events = [
        json.loads(frame.partition(b"data: ")[2])
        for frame in stopped_stream().split(b"\n\n")
        if b"data: " in frame
    ]
    failed, error = events[-2:]
    assert [event["type"] for event in (failed, error)] == ["response.failed", "error"]
    assert failed["response"]["id"] == events[0]["response"]["id"]
    assert (failed["response"]["status"], failed["response"]["output"]) == ("failed", [])
    assert failed["response"]["error"]["code"] == error["code"] == "output_blocked"
    assert error["error"]["type"] == "policy_violation"
    numbers = [event["sequence_number"] for event in events]
    assert numbers == sorted(set(numbers))


def handler(body: bytes, content_type: str) -> httpx2.MockTransport:
    headers = {"content-type": content_type}
    return httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=body))


def client(body: bytes, content_type: str = "text/event-stream") -> openai.OpenAI:
    """The official client in front of one answer."""
    http = httpx2.Client(transport=handler(body, content_type))
    return openai.OpenAI(api_key="k", base_url="http://gateway.example/v1", http_client=http)


def async_client(body: bytes) -> openai.AsyncOpenAI:
    http = httpx2.AsyncClient(transport=handler(body, "text/event-stream"))
    return openai.AsyncOpenAI(api_key="k", base_url="http://gateway.example/v1", http_client=http)


def assert_tells_why(error: openai.APIError) -> None:
    body: Any = error.body
    assert error.code == "output_blocked"
    assert error.type == "policy_violation"
    assert (body["policy"], body["reason_code"]) == ("dlp-filter", "dlp.pattern_matched")
    assert body["event_id"]


def test_the_sdk_shows_a_stopped_stream_as_failed_and_raises() -> None:
    stream = client(stopped_stream()).responses.create(model="m", input="x", stream=True)
    seen: list[str] = []
    with pytest.raises(openai.APIError) as raised:
        seen.extend(event.type for event in stream)
    assert_tells_why(raised.value)
    assert seen[0] == "response.created"
    assert seen[-1] == "response.failed"


def test_the_sdks_stream_helper_raises_too() -> None:
    with (
        client(stopped_stream()).responses.stream(model="m", input="x") as stream,
        pytest.raises(openai.APIError) as raised,
    ):
        stream.get_final_response()
    assert_tells_why(raised.value)


async def test_so_does_the_async_sdk() -> None:
    stream = await async_client(stopped_stream()).responses.create(
        model="m", input="x", stream=True
    )
    seen: list[str] = []

    async def read_on() -> None:
        async for event in stream:
            seen.append(event.type)  # noqa: PERF401  # what came before the error is wanted

    with pytest.raises(openai.APIError) as raised:
        await read_on()
    assert_tells_why(raised.value)
    assert seen[-1] == "response.failed"
    async with async_client(stopped_stream()).responses.stream(model="m", input="x") as helper:
        with pytest.raises(openai.APIError):
            await helper.get_final_response()


def test_the_sdk_puts_a_redacted_stream_together() -> None:
    play = play_events(REDACTING, "window", everything_said(f"it is {NUMBER}, they say"))
    with client(play.sent()).responses.stream(model="m", input="x") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == "it is [REDACTED:PATTERN_1], they say"
    last = events[-1]
    assert isinstance(last, ResponseCompletedEvent)
    snapshots = [event.snapshot for event in events if event.type == "response.output_text.delta"]
    assert snapshots[-1] == final.output_text


def test_the_sdk_reads_what_stop_frames_say_in_its_own_types() -> None:
    reader = read({"type": "response.created", "response": {"id": "resp_9", "output": []}})
    problem = Problem("policy_violation", "output_blocked", "no", reason_code="x.y", event_id="e")
    failed = reader.stop_frames(problem, set()).split(b"\n\n")[0].partition(b"data: ")[2]
    response = Response.model_validate(json.loads(failed)["response"] | {"error": None})
    assert (response.id, response.status) == ("resp_9", "failed")


def test_a_stream_may_end_with_done_as_other_dialects_do() -> None:
    stream = RESPONSES_WIRE.stream_of("words ", "and more") + DONE
    play = play_events(BLOCKING, "window", [stream])
    assert play.sent().partition(b": kt ")[0] == stream


def test_servers_that_leave_the_index_out_are_understood_by_ids_and_order() -> None:
    def call(call_id: str, name: str) -> dict[str, Any]:
        item = {"type": "function_call", "call_id": call_id, "name": name}
        return {"type": "response.output_item.added", "item": item}

    kind = "response.function_call_arguments"
    reader = read(
        {"type": "response.output_item.added", "item": {"type": "message", "role": "assistant"}},
        {"type": "response.output_text.delta", "delta": "so "},
        call("c1", "first"),
        call("c2", "second"),
        {"type": f"{kind}.delta", "call_id": "c1", "delta": "{}"},
        {"type": f"{kind}.delta", "call_id": "c2", "delta": "[]"},
        {"type": f"{kind}.done", "call_id": "c1", "arguments": "{}"},
        {"type": f"{kind}.done", "call_id": "c2", "arguments": "[]"},
        {"type": "response.completed", "response": {"status": "completed"}},
    )
    assert [(x.path, x.name, x.text()) for x in reader.channels] == [
        ("/output/0/content/0/text", "", "so "),
        ("/output/1/arguments", "first", "{}"),
        ("/output/2/arguments", "second", "[]"),
    ]


def test_a_call_without_arguments_is_a_call() -> None:
    item = {"type": "function_call", "call_id": "c", "name": "wipe"}
    (channel,) = read({"type": "response.output_item.done", "item": item}).channels
    assert channel.part() == Part("assistant", "tool_call", "", "/output/0/arguments", 0, "wipe")
    whole = json.dumps({"output": [item]}).encode()
    assert OPENAI_RESPONSES.read_answer(whole).parts == (channel.part(),)


def test_a_delta_of_nobody_knows_what_is_refused() -> None:
    with pytest.raises(MalformedDocument):
        read({"delta": "x"})


def test_a_stream_has_no_more_texts_than_an_answer_can_have() -> None:
    reader = read(*(delta("x", content_index=index) for index in range(1_024)))
    reader.read(json.dumps(delta("x", content_index=7)).encode())
    with pytest.raises(MalformedDocument):
        reader.read(json.dumps(delta("x", content_index=1_024)).encode())


def test_the_work_grows_with_the_stream_and_no_faster() -> None:
    def looks(count: int) -> int:
        events = [b'data: {"type":"x","note":"%d"}\n\n' % number for number in range(count)]
        with mock.patch.object(Window, "due", autospec=True, side_effect=Window.due) as due:
            sent_before_the_end(REDACTING, events)
        return due.call_count

    assert looks(400) <= 4 * looks(100) + 10
