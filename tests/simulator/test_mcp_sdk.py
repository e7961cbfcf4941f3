"""The official MCP SDK against the simulator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client, MCPError

from kintsugi.simulator.script import McpScript, McpTool, Script
from kintsugi.simulator.server import serve, url_of

SCRIPT = McpScript(
    instructions="Be kind.",
    tools=(
        McpTool("weather", "Tells the weather", text="Sunny in {city}.", logs=("looking",)),
        McpTool("rows", text="two rows", structured={"rows": [1, 2]}, streams=True),
    ),
    resources={"sim://note": "A note."},
    prompts={"ask": "What about {topic}?"},
    notifications=("first", "second"),
)


@asynccontextmanager
async def simulated() -> AsyncIterator[str]:
    server = await serve("127.0.0.1", 0, Script(mcp=SCRIPT))
    try:
        yield f"{url_of(server)}/mcp"
    finally:
        server.close()


def text_of(result: Any) -> str:
    return str(result.content[0].text)


async def test_tools_are_listed_and_called() -> None:
    async with simulated() as url, Client(url, mode="legacy") as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert {"weather", "echo", "fail", "leak", "planted"} <= set(names)
        assert text_of(await client.call_tool("echo", {"text": "hello"})) == "hello"
        assert client.instructions == "Be kind."
        rows = await client.call_tool("rows")
        assert rows.structured_content == {"rows": [1, 2]}


async def test_tools_fail_in_both_ways() -> None:
    async with simulated() as url, Client(url, mode="legacy") as client:
        assert (await client.call_tool("fail")).is_error
        with pytest.raises(MCPError, match="broken"):
            await client.call_tool("refuse")
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool("none")


async def test_logs_and_progress_come_before_the_result() -> None:
    heard: list[str] = []
    steps: list[float] = []

    async def note(params: types.LoggingMessageNotificationParams) -> None:
        heard.append(str(params.data))

    async def step(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    async with simulated() as url, Client(url, mode="legacy", logging_callback=note) as client:
        sunny = await client.call_tool("weather", {"city": "Kyoto"})
        assert text_of(sunny) == "Sunny in Kyoto."
        await client.call_tool("slow", progress_callback=step)
    assert "looking" in heard
    assert steps == [1, 2, 3]


async def test_a_tool_may_ask_the_user() -> None:
    async def answer(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"answer": "yes"})

    async with (
        simulated() as url,
        Client(url, mode="legacy", elicitation_callback=answer) as client,
    ):
        assert text_of(await client.call_tool("ask")) == "You said: yes"


async def test_resources_and_prompts_are_what_the_script_says() -> None:
    async with simulated() as url, Client(url, mode="legacy") as client:
        (contents,) = (await client.read_resource("sim://note")).contents
        assert isinstance(contents, types.TextResourceContents)
        assert contents.text == "A note."
        (message,) = (await client.get_prompt("ask", {"topic": "tea"})).messages
        assert isinstance(message.content, types.TextContent)
        assert message.content.text == "What about tea?"


async def test_who_listens_hears_the_notifications_and_resumes_where_they_were() -> None:
    heard: list[str] = []
    all_heard = asyncio.Event()

    async def note(params: types.LoggingMessageNotificationParams) -> None:
        heard.append(str(params.data))
        if len(heard) == 2:
            all_heard.set()

    async with simulated() as url:
        async with Client(url, mode="legacy", logging_callback=note):
            await all_heard.wait()
        assert heard == ["first", "second"]
        async with httpx2.AsyncClient(trust_env=False) as raw:
            opened = await raw.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "initialize"})
            session = {"mcp-session-id": opened.headers["mcp-session-id"]}
            resumed = session | {"last-event-id": "n1"}
            async with raw.stream("GET", url, headers=resumed) as stream:
                first = await anext(stream.aiter_text())
            assert "second" in first
            assert "first" not in first
            assert (await raw.delete(url, headers=session)).status_code == 200
            assert (await raw.get(url, headers=session)).status_code == 404
