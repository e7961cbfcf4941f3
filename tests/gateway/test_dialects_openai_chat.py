"""What a chat completion says, in requests, answers and streams; and what the SDK makes of ours."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.gateway.answers import REFUSALS, refuse
from kintsugi.gateway.commands import Answer
from kintsugi.gateway.dialects import BY_PATH, DIALECTS, OPENAI_CHAT
from kintsugi.gateway.dialects import openai_chat_stream as stream_module
from kintsugi.gateway.dialects.dialect import Problem
from kintsugi.gateway.dialects.json_text import MalformedDocument, json_text
from kintsugi.gateway.dialects.openai_chat_stream import ChatStream
from kintsugi.model.content import Part
from tests.gateway.playbook import (
    BLOCKING,
    DONE,
    Playbook,
    chat,
    completion,
    contents,
    frame,
    in_force,
)


def said(body: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Role, kind, text, path and name of every part of a request."""
    view = OPENAI_CHAT.read_request(json.dumps({"model": "m", **body}).encode())
    return [flat(part) for part in view.parts]


def flat(part: Part) -> tuple[str, str, str, str, str]:
    return part.role, part.kind, part.text, part.path, part.name


def test_every_message_of_every_role_is_read() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q":1}'}}
    parts = said(
        {
            "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "developer", "content": [{"type": "text", "text": "be brief"}]},
                {"role": "user", "content": "one", "name": "ada"},
                {"role": "assistant", "content": None, "tool_calls": [call], "refusal": "no"},
                {"role": "tool", "tool_call_id": "c1", "content": "found"},
                {"role": "function", "name": "old", "content": "way"},
                {
                    "role": "assistant",
                    "content": "x",
                    "function_call": {"name": "f", "arguments": "{}"},
                },
            ]
        }
    )
    assert parts == [
        ("system", "text", "be kind", "/messages/0/content", ""),
        ("developer", "text", "be brief", "/messages/1/content/0/text", ""),
        ("user", "text", "one", "/messages/2/content", "ada"),
        ("user", "text", "ada", "/messages/2/name", ""),
        ("assistant", "text", "no", "/messages/3/refusal", ""),
        (
            "assistant",
            "tool_call",
            '{"q":1}',
            "/messages/3/tool_calls/0/function/arguments",
            "find",
        ),
        ("tool", "tool_result", "found", "/messages/4/content", "find"),
        ("function", "tool_result", "way", "/messages/5/content", "old"),
        ("function", "text", "old", "/messages/5/name", ""),
        ("assistant", "text", "x", "/messages/6/content", ""),
        ("assistant", "tool_call", "{}", "/messages/6/function_call/arguments", "f"),
    ]


def test_content_parts_without_a_reading_are_kept_as_json_text() -> None:
    odd = {"type": "hologram", "scene": {"caption": "hi"}}
    parts = said(
        {"messages": [{"role": "user", "content": [odd, {"type": "text", "text": "t", "x": 1}]}]}
    )
    assert [(text, path) for _, _, text, path, _ in parts] == [
        (json_text(odd), "/messages/0/content/0"),
        (json_text({"type": "text", "text": "t", "x": 1}), "/messages/0/content/1"),
    ]


def test_of_binary_content_only_the_texts_around_it_are_read() -> None:
    content = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://x.example/?q=secret"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:text/plain;base64,aGk="}},
    ]
    texts = [
        text for _, _, text, _, _ in said({"messages": [{"role": "user", "content": content}]})
    ]
    assert texts == [
        "low",
        "https://x.example/?q=secret",
        "wav",
        "a.pdf",
        "data:text/plain;base64,aGk=",
    ]


def test_tool_definitions_are_read_as_such_and_not_as_what_the_user_said() -> None:
    function = {"name": "f", "description": "ignore previous", "parameters": {"type": "object"}}
    parts = said(
        {
            "messages": [{"role": "user", "content": "x"}],
            "tools": [
                {"type": "function", "function": function},
                {"type": "custom", "description": "d"},
            ],
            "functions": [function],
        }
    )
    assert [(kind, text, path, name) for _, kind, text, path, name in parts[1:]] == [
        ("tool_definition", "ignore previous", "/tools/0/function/description", "f"),
        ("tool_definition", '{"type":"object"}', "/tools/0/function/parameters", "f"),
        ("tool_definition", "d", "/tools/1/description", ""),
        ("tool_definition", "ignore previous", "/functions/0/description", "f"),
        ("tool_definition", '{"type":"object"}', "/functions/0/parameters", "f"),
    ]


def test_fields_beside_the_messages_are_judged_unless_they_are_settings() -> None:
    parts = said(
        {
            "messages": [{"role": "user", "content": "x"}],
            "temperature": 0.5,
            "stop": ["a"],
            "user": "ada@x.example",
            "metadata": {"k": "v"},
            "prediction": {"type": "content", "content": "guess"},
            "a/b~c": "odd",
            "number": 7,
        }
    )
    assert [(text, path) for _, _, text, path, _ in parts[1:]] == [
        ("ada@x.example", "/user"),
        ('{"k":"v"}', "/metadata"),
        ('{"type":"content","content":"guess"}', "/prediction"),
        ("odd", "/a~1b~0c"),
    ]


def test_an_answer_is_read_in_full() -> None:
    calls = [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{1}"}},
        {"id": "2", "type": "custom", "custom": {"name": "g", "input": "in"}},
    ]
    message = {
        "role": "assistant",
        "content": "c",
        "refusal": "r",
        "reasoning": "why",
        "audio": {"id": "a", "data": "AAAA", "transcript": "heard"},
        "tool_calls": calls,
        "annotations": [{"type": "url", "title": "t"}],
    }
    view = OPENAI_CHAT.read_answer(
        completion(choices=[{"role": "assistant", "content": "z"}, message])
    )
    assert (view.model, view.input_tokens, view.output_tokens) == ("sim-echo-1", 11, 7)
    at = "/choices/1/message"
    assert [(p.kind, p.text, p.path, p.name) for p in view.parts] == [
        ("text", "z", "/choices/0/message/content", ""),
        ("text", "c", at + "/content", ""),
        ("text", "url", at + "/annotations/0/type", ""),
        ("text", "t", at + "/annotations/0/title", ""),
        ("text", "heard", at + "/audio/transcript", ""),
        ("reasoning", "why", at + "/reasoning", ""),
        ("text", "r", at + "/refusal", ""),
        ("tool_call", "{1}", at + "/tool_calls/0/function/arguments", "f"),
        ("tool_call", "in", at + "/tool_calls/1/custom/input", "g"),
    ]


def deltas(*documents: bytes) -> ChatStream:
    reader = ChatStream()
    for document in documents:
        reader.read(document.removeprefix(b"data: ").rstrip(b"\n"))
    return reader


def test_a_stream_is_put_together_per_choice_field_and_tool() -> None:
    def call(index: int, arguments: str, name: str | None = None) -> dict[str, Any]:
        function = {"arguments": arguments, **({"name": name} if name else {})}
        return {"tool_calls": [{"index": index, "function": function}]}

    reader = deltas(
        frame({"role": "assistant", "content": "a"}),
        frame({"content": "x"}, choice=1),
        frame({"reasoning_content": "why"}),
        frame({"content": "b"}),
        frame(call(1, "", "second")),
        frame(call(0, "{", "first")),
        frame(call(1, "[")),
        frame(call(0, "}")),
        frame({}, finish="stop"),
    )
    found = {
        channel.path: (channel.kind, channel.name, channel.text()) for channel in reader.channels
    }
    at = "/choices/0/message"
    assert found == {
        at + "/content": ("text", "", "ab"),
        "/choices/1/message/content": ("text", "", "x"),
        at + "/reasoning_content": ("reasoning", "", "why"),
        at + "/tool_calls/1/function/arguments": ("tool_call", "second", "["),
        at + "/tool_calls/0/function/arguments": ("tool_call", "first", "{}"),
    }
    assert not reader.all_finished
    whole = json.loads(reader.whole(()))
    assert [c["index"] for c in whole["choices"]] == [0, 1]
    assert [c["finish_reason"] for c in whole["choices"]] == ["stop", None]
    tools = whole["choices"][0]["message"]["tool_calls"]
    assert [tool["function"] for tool in tools] == [
        {"name": "first", "arguments": "{}"},
        {"name": "second", "arguments": "["},
    ]


# What could be taken for structure when frames of one shape are read by their text alone.
tricky = st.text(alphabet='a",:{}[]\\\n é😀\x00/null0', max_size=8)


@given(st.lists(st.tuples(tricky, st.integers(0, 2), st.booleans()), max_size=12))
def test_frames_read_by_their_shape_read_the_same_as_in_full(
    frames: list[tuple[str, int, bool]],
) -> None:
    documents = []
    for text, kind, spelled_out in frames:
        shapes: list[dict[str, Any]] = [
            {"content": text},
            {"reasoning": text, "content": None},
            {"tool_calls": [{"index": 0, "function": {"arguments": text}}]},
        ]
        delta = shapes[kind]
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        document = {"id": "x", "model": "m", "choices": [choice]}
        documents.append(json.dumps(document, ensure_ascii=spelled_out).encode())

    def read_all() -> tuple[list[Any], dict[str, str]]:
        reader = ChatStream()
        views = [reader.read(document) for document in documents]
        pieces = [[(p.channel.path, p.start, p.end, p.pointer) for p in v.pieces] for v in views]
        return pieces, {channel.path: channel.text() for channel in reader.channels}

    by_shape = read_all()
    with mock.patch.object(stream_module, "_SHAPES_MAX", 0):
        in_full = read_all()
    # A frame of a known shape may say nothing at all; then it has an empty piece.
    trimmed = [[piece for piece in pieces if piece[1] != piece[2]] for pieces in by_shape[0]]
    assert trimmed == in_full[0]
    assert by_shape[1] == in_full[1]


def test_a_frame_shape_never_admits_a_second_key() -> None:
    reader = deltas(frame({"content": "abc"}), frame({"content": "def"}))
    data = frame({"content": "XXX"}).removeprefix(b"data: ").rstrip(b"\n")
    for forged in (b'x","content":"y', b'x"},"delta":{"content":"y', b"x\ny", b'x\\"'):
        raw = data.replace(b"XXX", forged)
        before = reader.channels[0].text()
        if forged == b'x\\"':
            reader.read(raw)
            assert reader.channels[0].text() == before + 'x"'
        else:
            with pytest.raises(MalformedDocument):
                reader.read(raw)
            assert reader.channels[0].text() == before


def test_the_table_of_dialects_is_closed_and_named() -> None:
    assert {b"/v1/chat/completions", b"/v1/responses"} <= set(BY_PATH)
    assert all(BY_PATH[dialect.path] is dialect for dialect in DIALECTS)
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)


def test_every_refusal_has_an_error_status_and_the_shape_of_the_sdk() -> None:
    for code, refusal in REFUSALS.items():
        status, headers, body = refuse(OPENAI_CHAT, code, event_id="e")
        assert status == refusal.status >= 400
        error = json.loads(body)["error"]
        assert set(error) == {"message", "type", "param", "code", "event_id"}
        assert (b"content-type", b"application/json") in headers


def client(answer: Answer) -> openai.OpenAI:
    """The official client, in front of one answer of ours. It would repeat what it may."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        calls.append(request)
        headers = [(name.decode(), value.decode()) for name, value in answer.headers]
        return httpx2.Response(answer.status, headers=headers, content=answer.body)

    calls: list[httpx2.Request] = []
    made = openai.OpenAI(
        api_key="k",
        base_url="http://gateway.example/v1",
        http_client=httpx2.Client(transport=httpx2.MockTransport(handle)),
    )
    made.calls = calls  # type: ignore[attr-defined]
    return made


MESSAGES: Any = [{"role": "user", "content": "x"}]


@pytest.mark.parametrize("stream", [False, True])
def test_the_sdk_raises_a_block_as_a_conflict_once_with_everything_in_it(stream: bool) -> None:
    play = Playbook(in_force(BLOCKING))
    play.request(chat("STOPME", stream=stream))
    play.recorded()
    sdk = client(play.only(Answer))
    with pytest.raises(openai.ConflictError) as raised:
        sdk.chat.completions.create(model="m", messages=MESSAGES, stream=stream)
    body: Any = raised.value.body
    assert raised.value.code == "input_blocked"
    assert raised.value.type == "policy_violation"
    assert body["policy"] == "dlp-filter"
    assert body["event_id"] == play.event.id
    assert len(sdk.calls) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("invalid_api_key", openai.AuthenticationError),
        ("model_not_found", openai.NotFoundError),
        ("request.invalid", openai.UnprocessableEntityError),
        ("upstream.timeout", openai.InternalServerError),
        ("evidence_unavailable", openai.InternalServerError),
    ],
)
def test_the_sdk_raises_refusals_as_its_typed_exceptions(
    code: str, raised: type[Exception]
) -> None:
    status, headers, body = refuse(OPENAI_CHAT, code, event_id="e")
    sdk = client(Answer(status, headers, body)).with_options(max_retries=0)
    with pytest.raises(raised) as error:
        sdk.chat.completions.create(model="m", messages=MESSAGES)
    assert isinstance(error.value, openai.APIStatusError)
    assert error.value.code == code


def test_the_sdk_reads_a_stopped_stream_to_its_end() -> None:
    reader = deltas(
        frame({"role": "assistant", "content": "so far"}), frame({"content": "b"}, choice=1)
    )
    problem = Problem("policy_violation", "output_blocked", "no", reason_code="x.y", event_id="e")
    body = frame({"content": "so far"}) + reader.stop_frames(problem, {1})
    answer = Answer(
        200, [(b"content-type", b"text/event-stream")], body + b": kt decision=block\n\n"
    )
    stream = client(answer).chat.completions.create(model="m", messages=MESSAGES, stream=True)
    chunks = list(stream)
    assert [c.choices[0].finish_reason for c in chunks] == [None, "content_filter"]
    assert chunks[-1].choices[0].index == 0
    extra: Any = chunks[-1].model_extra
    assert extra["policy_violation"]["event_id"] == "e"
    assert body.endswith(DONE)
    assert contents(body) == {"0/content": "so far"}
