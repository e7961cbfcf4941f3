"""The official OpenAI SDK against the simulator's responses and embeddings."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import openai
import pytest
from openai.types.responses import FunctionToolParam, ResponseStreamEvent
from pydantic import BaseModel

from kintsugi.simulator.script import Response, Rule, ToolCall, Usage
from tests.simulator.test_openai_sdk import simulator

WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "strict": False,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


async def events_of(
    client: openai.AsyncOpenAI, model: str, text: str = "?"
) -> list[ResponseStreamEvent]:
    stream = await client.responses.create(model=model, input=text, stream=True)
    return [event async for event in stream]


async def ask(client: openai.AsyncOpenAI, model: str, *, streamed: bool) -> None:
    """One question to its end, for the error that it raises."""
    if streamed:
        await events_of(client, model)
    else:
        await client.responses.create(model=model, input="?")


async def test_echo_answers_with_the_last_user_message() -> None:
    async with simulator() as client:
        answer = await client.responses.create(
            model="sim-echo",
            instructions="be kind",
            input=[
                {"role": "user", "content": "first"},
                {"role": "assistant", "content": "no"},
                {"role": "user", "content": [{"type": "input_text", "text": "héllo 🌍"}]},
            ],
            metadata={"k": "v"},
        )
        assert answer.id.startswith("resp_")
        assert (answer.object, answer.created_at) == ("response", 1_700_000_000)
        assert (answer.status, answer.model) == ("completed", "sim-echo")
        assert answer.output_text == "héllo 🌍"
        assert (answer.instructions, answer.metadata) == ("be kind", {"k": "v"})
        assert answer.usage is not None
        assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
        assert (await client.responses.create(model="sim-echo", input="x")).output_text == "x"


async def test_a_stream_adds_up_to_the_answer_that_it_ends_with() -> None:
    async with (
        simulator() as client,
        client.responses.stream(model="sim-echo", input="one two  three\n") as stream,
    ):
        events = [event async for event in stream]
        final = await stream.get_final_response()
        assert final.output_text == "one two  three\n"
        assert [event.sequence_number for event in events] == list(range(len(events)))
        said = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert "".join(said) == final.output_text
        assert len(said) > 1
        done = [event.text for event in events if event.type == "response.output_text.done"]
        assert done == [final.output_text]
        assert events[0].type == "response.created"
        assert events[-1].type == "response.completed"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_call_and_its_result_go_round(streamed: bool) -> None:
    async with simulator() as client:
        if streamed:
            async with client.responses.stream(
                model="sim-tools", input="?", tools=[WEATHER]
            ) as stream:
                output: Any = (await stream.get_final_response()).output
        else:
            first = await client.responses.create(model="sim-tools", input="?", tools=[WEATHER])
            output = first.output
        (call,) = output
        assert (call.type, call.name) == ("function_call", "get_weather")
        assert json.loads(call.arguments) == {"city": "example"}
        result: Any = {
            "type": "function_call_output",
            "call_id": call.call_id,
            "output": "sunny",
        }
        second = await client.responses.create(
            model="sim-tools", tools=[WEATHER], input=[call.to_dict(), result]
        )
        assert second.output_text == "The tool answered: sunny"


async def test_scripted_calls_pieces_and_usage_arrive_as_they_were_written() -> None:
    calls = (ToolCall("first", {"a": "b, c"}), ToolCall("second", "not json"))
    scripted = Response(tool_calls=calls, chunk_chars=3, usage=Usage(1, 2))
    async with (
        simulator(Rule(scripted)) as client,
        client.responses.stream(model="any", input="?") as stream,
    ):
        final = await stream.get_final_response()
        found = [(x.name, x.arguments) for x in final.output if x.type == "function_call"]
        assert found == [("first", '{"a":"b, c"}'), ("second", "not json")]
        assert final.usage is not None
        assert (final.usage.input_tokens, final.usage.output_tokens) == (1, 2)


async def test_a_refusal_and_reasoning_are_their_own_items() -> None:
    async with simulator() as client:
        (message,) = (await client.responses.create(model="sim-refusal", input="?")).output
        assert message.type == "message"
        assert message.content[0].type == "refusal"
        thought = await client.responses.create(model="sim-reasoning", input="?")
        assert [item.type for item in thought.output] == ["reasoning", "message"]
        assert thought.output_text == "42"
        events = await events_of(client, "sim-reasoning")
        deltas = [e.delta for e in events if e.type == "response.reasoning_summary_text.delta"]
        assert "".join(deltas) == "Six times seven is forty-two."
        events = await events_of(client, "sim-refusal")
        assert "".join(e.delta for e in events if e.type == "response.refusal.delta")


@pytest.mark.parametrize(
    ("reason", "status", "last"),
    [
        ("length", "incomplete", "response.incomplete"),
        ("content_filter", "incomplete", "response.incomplete"),
        ("failed", "failed", "response.failed"),
    ],
)
async def test_an_answer_may_end_early(reason: str, status: str, last: str) -> None:
    async with simulator(Rule(Response(text="so far", finish_reason=reason))) as client:
        answer = await client.responses.create(model="any", input="?")
        assert answer.status == status
        assert (answer.error is not None) == (status == "failed")
        assert (await events_of(client, "any"))[-1].type == last


async def test_structured_answers_are_parsed_by_the_sdk() -> None:
    class Weather(BaseModel):
        city: str

    async with simulator(Rule(Response(text='{"city": "Paris"}'))) as client:
        parsed = await client.responses.parse(model="any", input="?", text_format=Weather)
        assert parsed.output_parsed == Weather(city="Paris")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("sim-429", openai.RateLimitError),
        ("sim-500", openai.InternalServerError),
        ("sim-401", openai.AuthenticationError),
        ("sim-broken", openai.APIConnectionError),
        ("sim-malformed", json.JSONDecodeError),
    ],
)
async def test_errors_are_raised_as_the_sdks_own(
    model: str, error: type[Exception], streamed: bool
) -> None:
    async with simulator() as client:
        with pytest.raises(error):
            await ask(client, model, streamed=streamed)


async def test_a_text_has_one_vector_of_length_one() -> None:
    async with simulator() as client:
        answer = await client.embeddings.create(model="m", input=["a", "b", "a"], dimensions=16)
        vectors = [one.embedding for one in answer.data]
        assert [len(vector) for vector in vectors] == [16] * 3
        assert vectors[0] == vectors[2] != vectors[1]
        assert sum(number * number for number in vectors[0]) == pytest.approx(1, abs=1e-5)
        assert answer.usage.prompt_tokens == 3
        plain = await client.embeddings.create(
            model="m", input="a", dimensions=16, encoding_format="float"
        )
        assert plain.data[0].embedding == pytest.approx(vectors[0], abs=1e-6)
        raw = await client.embeddings.with_raw_response.create(
            model="m", input=[1, 2], encoding_format="base64"
        )
        packed = base64.b64decode(json.loads(raw.text)["data"][0]["embedding"])
        assert len(struct.unpack("<256f", packed)) == 256


@pytest.mark.parametrize("body", [{"input": []}, {"input": "x", "dimensions": 0}, {}])
async def test_embeddings_of_nothing_are_refused(body: dict[str, Any]) -> None:
    async with simulator() as client:
        with pytest.raises(openai.BadRequestError):
            await client.post("/embeddings", body={"model": "m", **body}, cast_to=object)
        with pytest.raises(openai.RateLimitError):
            await client.embeddings.create(model="sim-429", input="x")
