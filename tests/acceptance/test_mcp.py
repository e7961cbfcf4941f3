"""Agents with the official MCP SDK, through the gateway, to MCP servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
import pytest_asyncio
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from kintsugi.ledger.journal import Damage
from kintsugi.ledger.journal_reader import read_segment
from kintsugi.simulator.script import McpScript, McpTool, Script
from kintsugi.simulator.server import serve, url_of
from tests.conformance.test_mcp_conformance import reference_server
from tests.gateway.process import Gateway, gateway

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]

SCRIPT = McpScript(
    tools=(
        McpTool("delete_all", text="gone"),
        McpTool("late", text="STOPME", logs=("working",), streams=True),
    ),
    notifications=("the first word", "STOPME as well", "never heard on this stream"),
)
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
POLICIES = {
    "prompt-injection": {},
    "pii-detector": {"action": "redact"},
    "dlp-filter": {"action": "block", "detect_patterns": ["STOPME"]},
    "audit-logger": {},
}


def configuration(*servers: dict[str, Any]) -> str:
    return json.dumps(
        {
            "pack": {"name": "mcp", "version": "1.0.0"},
            "providers": {"targets": [{"id": "sim", "provider": "simulator"}]},
            "mcp": {"servers": servers},
            "policies": {"chain": list(POLICIES)},
            "policy": POLICIES,
        }
    )


class Proxied:
    """Servers behind a gateway of two workers."""

    def __init__(self, running: Gateway, state: Path) -> None:
        self.running = running
        self.state = state

    def url(self, server: str) -> str:
        return f"http://127.0.0.1:{self.running.port}/mcp/{server}"

    def events(self) -> dict[str, dict[str, Any]]:
        """Every decision in the journals, by its id."""
        found: dict[str, dict[str, Any]] = {}
        for segment in self.state.rglob("journal/*.jsonl"):
            for line in read_segment(segment, on_damage=_passed_over):
                record = json.loads(line.record)
                if record["kind"] == "decision":
                    found[record["id"]] = record
        return found


def _passed_over(_damage: Damage) -> None:
    """The line that is being written now is not whole yet."""


@asynccontextmanager
async def proxied(state: Path, *, reference: bool = False) -> AsyncIterator[Proxied]:
    async with AsyncExitStack() as stack:
        server = await serve("127.0.0.1", 0, Script(mcp=SCRIPT))
        stack.callback(server.close)
        local: dict[str, Any] = {"allow_private_network": True}
        tools = {"deny": ["delete_*"]}
        servers = [{"id": "sim", "url": f"{url_of(server)}/mcp", "tools": tools} | local]
        if reference:
            url = await stack.enter_async_context(reference_server())
            servers.append({"id": "reference", "url": url} | local)
        source = configuration(*servers)
        running = await stack.enter_async_context(gateway(state, source, workers=2))
        await running.until_logged("worker.in_force", 2)
        yield Proxied(running, state)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxied]:
    async with proxied(tmp_path_factory.mktemp("mcp"), reference=True) as found:
        yield found


def text_of(result: Any) -> str:
    return str(result.content[0].text)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_official_client_works_with_the_official_server(
    behind: Proxied, mode: Any
) -> None:
    async def sample(context: Any, params: Any) -> types.CreateMessageResult:
        said = types.TextContent(type="text", text="a sampled word")
        return types.CreateMessageResult(role="assistant", content=said, model="m")

    url = behind.url("reference")
    async with Client(url, mode=mode, sampling_callback=sample) as client:
        tools = await client.list_tools()
        assert "test_simple_text" in [tool.name for tool in tools.tools]
        simple = await client.call_tool("test_simple_text")
        assert text_of(simple) == "This is a simple text response for testing."
        assert (await client.call_tool("test_error_handling")).is_error
        contents = (await client.read_resource("test://static-text")).contents
        assert isinstance(contents[0], types.TextResourceContents)
        prompt = await client.get_prompt("test_simple_prompt")
        assert prompt.messages
        if mode == "legacy":
            sampled = await client.call_tool("test_sampling", {"prompt": "say"})
            assert text_of(sampled) == "LLM response: a sampled word"


async def test_a_blocked_call_is_a_result_that_agents_understand(behind: Proxied) -> None:
    async with (
        Client(behind.url("sim"), mode="legacy") as client,
    ):
        blocked = await client.call_tool("echo", {"text": "STOPME"})
        assert blocked.is_error
        assert blocked.meta is not None
        told = blocked.meta["kintsugi/policy_violation"]
        assert told["policy"] == "dlp-filter"
        assert told["event_id"]
        with pytest.raises(MCPError) as raised:
            await client.read_resource("sim://STOPME")
        assert raised.value.error.data["reason_code"] == "dlp.pattern_matched"
        assert text_of(await client.call_tool("echo", {"text": "and on"})) == "and on"


async def test_results_are_judged_before_the_model_reads_them(behind: Proxied) -> None:
    async with (
        Client(behind.url("sim"), mode="legacy") as client,
    ):
        planted = await client.call_tool("planted")
        assert planted.is_error
        assert "Ignore all previous" not in text_of(planted)
        leaked = await client.call_tool("leak")
        assert "536-90-4399" not in text_of(leaked)
        assert "The customer is" in text_of(leaked)
        late = await client.call_tool("late")
        assert late.is_error
        assert "STOPME" not in text_of(late)


async def test_tools_that_are_denied_are_neither_seen_nor_called(behind: Proxied) -> None:
    async with (
        Client(behind.url("sim"), mode="legacy") as client,
    ):
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert "echo" in names
        assert "delete_all" not in names
        denied = await client.call_tool("delete_all")
        assert denied.is_error
        assert "gone" not in text_of(denied)


async def test_a_question_to_the_user_goes_there_and_back(behind: Proxied) -> None:
    asked: list[str] = []

    async def answer(context: Any, params: Any) -> types.ElicitResult:
        asked.append(params.message)
        return types.ElicitResult(action="accept", content={"answer": "call 536-90-4399"})

    async with (
        Client(behind.url("sim"), mode="legacy", elicitation_callback=answer) as client,
    ):
        said = text_of(await client.call_tool("ask"))
    assert asked == ["Go on?"]
    assert said.startswith("You said: call ")
    assert "536-90-4399" not in said


async def test_who_listens_hears_what_may_be_heard(behind: Proxied) -> None:
    heard: list[str] = []
    first = asyncio.Event()

    async def note(params: types.LoggingMessageNotificationParams) -> None:
        heard.append(str(params.data))
        first.set()

    async with (
        Client(behind.url("sim"), mode="legacy", logging_callback=note) as client,
    ):
        await first.wait()
        await client.call_tool("echo", {"text": "x"})
    assert "the first word" in heard
    assert not [text for text in heard if "STOPME" in text]


async def test_every_call_is_on_record_and_a_session_is_one_callers_own(behind: Proxied) -> None:
    headers = {"x-user-id": "ada", "accept": "application/json, text/event-stream"}
    call = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "fail", "arguments": {}},
    }
    async with httpx2.AsyncClient(trust_env=False, headers=headers) as raw:
        url = behind.url("sim")
        opened = await raw.post(url, json=INITIALIZE)
        session = {"mcp-session-id": opened.headers["mcp-session-id"]}
        called = await raw.post(url, json=call, headers=session)
        assert called.headers["x-kt-decision"] == "allow"
        stolen = await raw.post(url, json=call, headers=session | {"x-user-id": "eve"})
        assert stolen.status_code == 404
        assert (await raw.delete(url, headers=session)).status_code == 200
        records = behind.events()
    record = records[called.headers["x-kt-event-id"]]
    assert (record["mcp_method"], record["tool_name"]) == ("tools/call", "fail")
    assert record["tool_failures"][0]["tool"] == "fail"
    assert record["user_id"] == "ada"
    assert opened.headers["x-kt-event-id"] in records
    assert stolen.headers["x-kt-event-id"] in records


async def test_a_listening_stream_ends_properly_when_the_gateway_shuts_down(
    tmp_path: Path,
) -> None:
    async with proxied(tmp_path) as behind, httpx2.AsyncClient(trust_env=False) as raw:
        url = behind.url("sim")
        opened = await raw.post(url, json=INITIALIZE)
        session = {"mcp-session-id": opened.headers["mcp-session-id"], "last-event-id": "n3"}
        async with raw.stream("GET", url, headers=session) as stream:
            assert stream.headers["content-type"] == "text/event-stream"
            behind.running.process.terminate()
            rest = [piece async for piece in stream.aiter_text()]
        assert "".join(rest) == ""
        assert await behind.running.ended() == 0


async def test_the_sdk_can_send_its_own_http_client(behind: Proxied) -> None:
    async with (
        httpx2.AsyncClient(headers={"authorization": "Bearer secret-of-the-caller"}) as http,
        Client(streamable_http_client(behind.url("sim"), http_client=http), mode="legacy") as one,
    ):
        assert text_of(await one.call_tool("echo", {"text": "hi"})) == "hi"
