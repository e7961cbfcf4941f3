"""The official Anthropic SDK against the simulator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import Message, MessageParam, ToolParam

from kintsugi.simulator.script import Response, Rule, Script, ToolCall, Usage
from kintsugi.simulator.server import serve, url_of

WEATHER: ToolParam = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
ASKED: list[MessageParam] = [{"role": "user", "content": "?"}]


@asynccontextmanager
async def simulator(*rules: Rule) -> AsyncIterator[anthropic.AsyncAnthropic]:
    server = await serve("127.0.0.1", 0, Script(rules=rules), clock=lambda: 1_700_000_000.5)
    client = anthropic.AsyncAnthropic(base_url=url_of(server), api_key="none", max_retries=0)
    try:
        yield client
    finally:
        await client.close()
        server.close()


async def ask(
    client: anthropic.AsyncAnthropic, model: str, text: str = "?", *, streamed: bool = False
) -> Message:
    """One question to its end."""
    messages: list[MessageParam] = [{"role": "user", "content": text}]
    if not streamed:
        return await client.messages.create(model=model, max_tokens=99, messages=messages)
    async with client.messages.stream(model=model, max_tokens=99, messages=messages) as stream:
        return await stream.get_final_message()


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


async def test_echo_answers_with_the_last_user_message() -> None:
    async with simulator() as client:
        answer = await client.messages.create(
            model="sim-echo",
            max_tokens=99,
            system=[{"type": "text", "text": "be kind"}],
            messages=[
                {"role": "user", "content": "first"},
                {"role": "assistant", "content": "no"},
                {"role": "user", "content": [{"type": "text", "text": "héllo 🌍"}]},
            ],
        )
        assert answer.id.startswith("msg_")
        assert (answer.type, answer.role, answer.model) == ("message", "assistant", "sim-echo")
        assert (text_of(answer), answer.stop_reason) == ("héllo 🌍", "end_turn")
        assert answer.usage.input_tokens > 0
        assert answer._request_id is not None
        assert answer._request_id.startswith("req_")


@pytest.mark.parametrize("model", ["sim-echo", "sim-reasoning", "sim-refusal", "sim-empty"])
async def test_a_stream_adds_up_to_the_answer_that_is_not_streamed(model: str) -> None:
    async with simulator() as client:
        whole = (await ask(client, model, "one two  three\n")).to_dict()
        streamed = (await ask(client, model, "one two  three\n", streamed=True)).to_dict()
        for answer in (whole, streamed):
            del answer["id"]
        assert streamed == whole


async def test_thinking_comes_first_and_is_signed() -> None:
    async with simulator() as client:
        thinking, text = (await ask(client, "sim-reasoning", streamed=True)).content
        assert thinking.type == "thinking"
        assert thinking.thinking == "Six times seven is forty-two."
        assert thinking.signature
        assert text.type == "text"
        assert text.text == "42"


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_offered_tool_is_called_and_its_result_answered(streamed: bool) -> None:
    async with simulator() as client:
        asked: dict[str, Any] = {"model": "sim-tools", "max_tokens": 99, "tools": [WEATHER]}
        if streamed:
            async with client.messages.stream(**asked, messages=ASKED) as stream:
                answer: Message = await stream.get_final_message()
        else:
            answer = await client.messages.create(**asked, messages=ASKED)
        assert answer.stop_reason == "tool_use"
        (call,) = answer.content
        assert call.type == "tool_use"
        assert (call.name, call.input) == ("get_weather", {"city": "example"})
        result: MessageParam = {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}],
        }
        spoken: MessageParam = {"role": "assistant", "content": answer.content}
        final = await client.messages.create(**asked, messages=[*ASKED, spoken, result])
        assert text_of(final) == "The tool answered: sunny"


async def test_scripted_calls_keep_their_arguments_in_a_stream() -> None:
    calls = (ToolCall("a", {"x": {"y": [1, "é"]}}), ToolCall("b", '{"z": 2}', "toolu_own"))
    rule = Rule(Response(tool_calls=calls, text="So:", usage=Usage(5, 6)))
    async with simulator(rule) as client:
        for streamed in (False, True):
            text, first, second = (answer := await ask(client, "m", streamed=streamed)).content
            assert text.type == "text"
            assert first.type == second.type == "tool_use"
            assert (first.input, second.input) == ({"x": {"y": [1, "é"]}}, {"z": 2})
            assert second.id == "toolu_own"
            assert (answer.usage.input_tokens, answer.usage.output_tokens) == (5, 6)


async def test_a_call_without_arguments_has_an_empty_object() -> None:
    async with simulator(Rule(Response(tool_calls=(ToolCall("now"),)))) as client:
        for streamed in (False, True):
            (call,) = (await ask(client, "m", streamed=streamed)).content
            assert call.type == "tool_use"
            assert call.input == {}


async def test_tokens_are_counted() -> None:
    async with simulator() as client:
        counted = await client.messages.count_tokens(
            model="sim-echo", messages=[{"role": "user", "content": "x" * 40}]
        )
        assert counted.input_tokens == 10


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("model", "raised", "kind"),
    [
        ("sim-401", anthropic.AuthenticationError, "authentication_error"),
        ("sim-429", anthropic.RateLimitError, "rate_limit_error"),
        ("sim-500", anthropic.InternalServerError, "api_error"),
        ("sim-529", anthropic.OverloadedError, "overloaded_error"),
    ],
)
async def test_errors_have_the_shape_that_the_sdk_raises(
    model: str, raised: type[anthropic.APIStatusError], kind: str, streamed: bool
) -> None:
    async with simulator() as client:
        with pytest.raises(raised) as caught:
            await ask(client, model, streamed=streamed)
        assert caught.value.type == kind
        if model == "sim-429":
            assert caught.value.response.headers["retry-after"] == "1"


async def test_a_request_that_is_none_is_refused_with_the_reason() -> None:
    async with simulator() as client:
        for messages, tokens, word in ((ASKED, 0, "max_tokens"), ([], 9, "messages")):
            with pytest.raises(anthropic.BadRequestError, match=word):
                await client.messages.create(model="m", max_tokens=tokens, messages=messages)
        with pytest.raises(anthropic.BadRequestError, match="not valid JSON"):
            await client.post("/v1/messages", cast_to=object, content=b"{")
        with pytest.raises(anthropic.BadRequestError, match="Field required"):
            await client.post(
                "/v1/messages", cast_to=object, body={"model": "m", "messages": ASKED}
            )


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_breaks_breaks(streamed: bool) -> None:
    async with simulator() as client:
        with pytest.raises((anthropic.APIConnectionError, httpx2.RemoteProtocolError)):
            await ask(client, "sim-broken", streamed=streamed)
