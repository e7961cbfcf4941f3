"""The official OpenAI SDK against the simulator."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai
import pytest
from openai.types.chat import ChatCompletionChunk, ChatCompletionToolParam

from kintsugi.simulator.script import Response, Rule, Script, ToolCall, Usage
from kintsugi.simulator.server import serve, url_of

WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "unit": {"enum": ["C", "F"]},
                "hourly": {"type": "boolean"},
                "hint": {"type": "string"},
            },
            "required": ["city", "days", "unit", "hourly"],
        },
    },
}
NO_MESSAGES = b'{"model":"a","messages":[]}'


@asynccontextmanager
async def simulator(*rules: Rule) -> AsyncIterator[openai.AsyncOpenAI]:
    server = await serve("127.0.0.1", 0, Script(rules=rules), clock=lambda: 1_700_000_000.5)
    client = openai.AsyncOpenAI(base_url=f"{url_of(server)}/v1", api_key="none", max_retries=0)
    try:
        yield client
    finally:
        await client.close()
        server.close()


async def ask(client: openai.AsyncOpenAI, model: str, *, streamed: bool) -> None:
    """One question to its end, for the error that it raises."""
    if streamed:
        await stream(client, model, "?")
    else:
        await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "?"}]
        )


async def stream(
    client: openai.AsyncOpenAI, model: str, text: str, *, n: int = 1, usage: bool = False
) -> list[ChatCompletionChunk]:
    chunks = await client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": text}],
        stream=True,
        n=n,
        stream_options={"include_usage": usage},
    )
    return [chunk async for chunk in chunks]


def text_of(chunks: list[ChatCompletionChunk], index: int = 0) -> str:
    return "".join(
        choice.delta.content or ""
        for chunk in chunks
        for choice in chunk.choices
        if choice.index == index
    )


async def test_echo_answers_with_the_last_user_message() -> None:
    async with simulator() as client:
        answer = await client.chat.completions.create(
            model="sim-echo",
            messages=[
                {"role": "user", "content": "first"},
                {"role": "assistant", "content": "no"},
                {"role": "user", "content": [{"type": "text", "text": "héllo 🌍"}]},
            ],
        )
        assert answer.id.startswith("chatcmpl-")
        assert (answer.object, answer.created) == ("chat.completion", 1_700_000_000)
        assert answer.model == "sim-echo"
        assert answer.choices[0].message.content == "héllo 🌍"
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert answer.usage.total_tokens == (
            answer.usage.prompt_tokens + answer.usage.completion_tokens
        )


async def test_a_stream_adds_up_to_the_same_answer_and_ends_with_usage() -> None:
    async with simulator() as client:
        chunks = await stream(client, "sim-echo", "one two  three\n", usage=True)
        assert text_of(chunks) == "one two  three\n"
        assert len({chunk.id for chunk in chunks}) == 1
        assert chunks[0].choices[0].delta.role == "assistant"
        assert [chunk.usage is not None for chunk in chunks][-2:] == [False, True]
        assert chunks[-1].choices == []
        assert chunks[-2].choices[0].finish_reason == "stop"


async def test_several_choices_take_turns() -> None:
    async with simulator() as client:
        whole = await client.chat.completions.create(
            model="sim-echo", n=3, messages=[{"role": "user", "content": "a b"}]
        )
        assert [choice.message.content for choice in whole.choices] == ["a b"] * 3
        chunks = await stream(client, "sim-echo", "a b", n=3)
        assert [text_of(chunks, index) for index in range(3)] == ["a b"] * 3
        spoken = [chunk.choices[0].index for chunk in chunks if chunk.choices[0].delta.content]
        assert spoken == [0, 1, 2, 0, 1, 2]


async def test_the_offered_tool_is_called_and_its_result_answered() -> None:
    async with simulator() as client:
        answer = await client.chat.completions.create(
            model="sim-tools", tools=[WEATHER], messages=[{"role": "user", "content": "?"}]
        )
        message = answer.choices[0].message
        assert answer.choices[0].finish_reason == "tool_calls"
        assert message.content is None
        assert message.tool_calls is not None
        call = message.tool_calls[0]
        assert call.type == "function"
        assert call.function.name == "get_weather"
        assert json.loads(call.function.arguments) == {
            "city": "example",
            "days": 1,
            "unit": "C",
            "hourly": True,
        }
        second = await client.chat.completions.create(
            model="sim-tools",
            tools=[WEATHER],
            messages=[
                {"role": "user", "content": "?"},
                {"role": "assistant", "tool_calls": [call.model_dump()]},  # type: ignore[list-item]
                {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
            ],
        )
        assert second.choices[0].message.content == "The tool answered: sunny"


async def test_tool_calls_are_streamed_in_pieces_that_the_sdk_puts_together() -> None:
    calls = (ToolCall("first", {"city": "Paris, France"}), ToolCall("second", "not json"))
    async with (
        simulator(Rule(Response(tool_calls=calls, chunk_chars=3))) as client,
        client.chat.completions.stream(
            model="any", messages=[{"role": "user", "content": "?"}]
        ) as events,
    ):
        final = (await events.get_final_completion()).choices[0]
        assert final.finish_reason == "tool_calls"
        assert final.message.tool_calls is not None
        assert [call.function.name for call in final.message.tool_calls] == ["first", "second"]
        assert [call.function.arguments for call in final.message.tool_calls] == [
            '{"city":"Paris, France"}',
            "not json",
        ]


async def test_scripted_chunks_arrive_as_they_were_cut() -> None:
    response = Response(chunks=("53", "6-90-", "4399"), usage=Usage(1, 2), finish_reason="length")
    async with simulator(Rule(response)) as client:
        chunks = await stream(client, "any", "?", usage=True)
        pieces = [
            choice.delta.content
            for chunk in chunks
            for choice in chunk.choices
            if choice.delta.content
        ]
        assert pieces == ["53", "6-90-", "4399"]
        assert chunks[-2].choices[0].finish_reason == "length"
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 2


async def test_a_text_may_repeat_the_last_message() -> None:
    async with simulator(Rule(Response(text="You said: {last}"))) as client:
        assert text_of(await stream(client, "any", "hi")) == "You said: hi"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("sim-429", openai.RateLimitError),
        ("sim-500", openai.InternalServerError),
        ("sim-401", openai.AuthenticationError),
    ],
)
async def test_errors_are_raised_as_the_sdks_own(
    model: str, error: type[openai.APIStatusError], streamed: bool
) -> None:
    async with simulator() as client:
        with pytest.raises(error) as refusal:
            await client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": "?"}], stream=streamed
            )
        assert refusal.value.request_id
        assert (refusal.value.response.headers.get("retry-after") == "1") == (model == "sim-429")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_broken_connection_is_broken(streamed: bool) -> None:
    async with simulator() as client:
        with pytest.raises(openai.APIConnectionError):
            await ask(client, "sim-broken", streamed=streamed)


@pytest.mark.parametrize("streamed", [False, True])
async def test_malformed_answers_are_no_json(streamed: bool) -> None:
    async with simulator() as client:
        with pytest.raises(json.JSONDecodeError):
            await ask(client, "sim-malformed", streamed=streamed)


async def test_a_refusal_and_reasoning_are_their_own_fields() -> None:
    async with simulator() as client:
        refused = await client.chat.completions.create(
            model="sim-refusal", messages=[{"role": "user", "content": "?"}]
        )
        assert refused.choices[0].message.refusal == "I'm sorry, I can't help with that."
        assert refused.choices[0].message.content is None
        thought = await client.chat.completions.create(
            model="sim-reasoning", messages=[{"role": "user", "content": "?"}]
        )
        assert thought.choices[0].message.content == "42"
        assert thought.choices[0].message.to_dict()["reasoning_content"]


async def test_delays_are_waited_for() -> None:
    rule = Rule(Response(text="a b c", delay_ms=60, chunk_delay_ms=20))
    async with simulator(rule) as client:
        began = time.monotonic()
        await stream(client, "any", "?")
        assert time.monotonic() - began >= 0.06 + 4 * 0.02


async def test_a_client_that_leaves_ends_its_answer() -> None:
    async with simulator() as client:
        with pytest.raises(openai.APITimeoutError):
            await client.with_options(timeout=0.1).chat.completions.create(
                model="sim-hang", messages=[{"role": "user", "content": "?"}]
            )
        assert text_of(await stream(client, "sim-echo", "still here")) == "still here"


async def test_models_are_listed() -> None:
    async with simulator() as client:
        names = [model.id async for model in client.models.list()]
        assert {"sim-echo", "sim-tools", "sim-429"} <= set(names)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 1\r\n\r\n{", b"400"),
        (b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}", b"400"),
        (
            b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 27\r\n\r\n" + NO_MESSAGES,
            b"400",
        ),
        (b"GET /v1/chat/completions HTTP/1.1\r\n\r\n", b"405"),
        (b"GET /nowhere HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /health HTTP/1.1\r\nconnection: close\r\n\r\n", b"200"),
        (b"GET /v1/models?a=b HTTP/1.0\r\n\r\n", b"200"),
        (b"nonsense\r\n\r\n", b"400"),
    ],
)
async def test_plain_http_gets_a_plain_answer(sent: bytes, status: bytes) -> None:
    server = await serve("127.0.0.1", 0, Script())
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(sent)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"content-type: application/json" in head
    writer.close()
    server.close()


async def test_requests_that_come_at_once_are_answered_in_their_order() -> None:
    server = await serve("127.0.0.1", 0, Script())
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for model in ("sim-drip", "sim-echo"):
        body = b'{"model":"%b","stream":%b,"messages":[{"role":"user","content":"x"}]}' % (
            model.encode(),
            b"true" if model == "sim-drip" else b"false",
        )
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )
    first = await reader.readuntil(b"0\r\n\r\n")
    assert b'"model":"sim-drip"' in first
    assert b"[DONE]" in first
    second = await reader.readuntil(b'"system_fingerprint":"fp_simulator"}')
    assert b'"model":"sim-echo"' in second
    writer.close()
    server.close()
