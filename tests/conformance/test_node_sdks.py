"""The official Node.js SDKs of OpenAI and Anthropic as clients of a gateway.

They are installed with ``npm ci`` in ``tests/conformance/node``; a Node.js comes along.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from kintsugi.simulator.script import Response, Rule, Script
from kintsugi.simulator.server import serve, url_of
from tests.gateway.process import gateway

NODE_FOLDER = Path(__file__).with_name("node")
NODE = NODE_FOLDER / "node_modules" / ".bin" / "node"
SDKS = NODE_FOLDER / "node_modules" / "@anthropic-ai" / "sdk"

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        not (SDKS.exists() and NODE.exists()),
        reason="npm ci has not run in tests/conformance/node",
    ),
]

CLIENTS = ["chat", "responses", "messages"]
# Long enough, and slow enough, that its beginning has left when its end is stopped.
STORY = Response(
    text="All is well. " * 200 + "STOPME, and so on.", chunk_chars=100, chunk_delay_ms=15
)


def configuration(simulator_url: str) -> str:
    """A gateway that lets streams go as soon as it can, before one provider of each dialect."""
    models = ["echo", "tools", "leak", "story", "reasoning", "429", "529"]
    target = {"base_url": f"{simulator_url}/v1", "allow_private_network": True}
    return json.dumps(
        {
            "pack": {"name": "node", "version": "1.0.0"},
            "gateway": {"streaming": "window"},
            "providers": {
                "targets": [
                    {"id": f"sim-{name}", "model": f"sim-{name}", "provider": "openai", **target}
                    for name in models
                ]
                + [
                    {"id": f"an-{name}", "model": f"sim-{name}", "provider": "anthropic", **target}
                    for name in models
                ],
                "routing": {"retry": {"attempts_max": 1}},
            },
            "policies": {"chain": ["dlp-filter", "pii-detector", "audit-logger"]},
            "policy": {
                "dlp-filter": {"action": "block", "detect_patterns": ["STOPME"]},
                "pii-detector": {"action": "redact"},
                "audit-logger": {},
            },
        }
    )


async def run_clients(folder: Path) -> dict[str, Any]:
    """What the clients made of a gateway in front of the simulator."""
    simulator = await serve("127.0.0.1", 0, Script(rules=(Rule(STORY, model="sim-story"),)))
    try:
        async with gateway(folder, configuration(url_of(simulator))) as running:
            process = await asyncio.create_subprocess_exec(
                *(str(NODE), "clients.mjs", f"http://127.0.0.1:{running.port}"),
                cwd=NODE_FOLDER,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate()
            assert process.returncode == 0, err.decode()
    finally:
        simulator.close()
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return asyncio.run(run_clients(tmp_path_factory.mktemp("node")))


@pytest.mark.parametrize("client", CLIENTS)
def test_answers_arrive(found: dict[str, Any], client: str) -> None:
    assert found[client]["answer"] == "Hello there"


@pytest.mark.parametrize("client", CLIENTS)
def test_streams_arrive_in_pieces(found: dict[str, Any], client: str) -> None:
    stream = found[client]["stream"]
    assert "".join(stream["pieces"]) == "one two three"
    assert len(stream["pieces"]) > 1
    assert stream["finish"] in ("stop", "completed", "end_turn")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("way", ["call", "streamedCall"])
def test_tool_calls_arrive(found: dict[str, Any], client: str, way: str) -> None:
    assert found[client][way] == {"name": "look_up", "arguments": {"subject": "example"}}


@pytest.mark.parametrize("client", CLIENTS)
def test_answers_arrive_redacted(found: dict[str, Any], client: str) -> None:
    assert "536-90-4399" not in found[client]["redacted"]
    assert "[REDACTED" in found[client]["redacted"]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("way", ["blocked", "streamBlocked"])
def test_a_block_is_raised_as_a_conflict(found: dict[str, Any], client: str, way: str) -> None:
    error = found[client][way]
    assert (error["raised"], error["status"]) == ("ConflictError", 409)
    assert (error["type"], error["code"]) == ("policy_violation", "input_blocked")
    assert error["policy"] == "dlp-filter"


@pytest.mark.parametrize("client", ["responses", "messages"])
def test_a_stop_in_mid_stream_is_raised(found: dict[str, Any], client: str) -> None:
    error = found[client]["stopped"]
    assert error["raised"] == "APIError"
    assert (error["type"], error["code"]) == ("policy_violation", "output_blocked")
    assert error["said"].startswith("All is well.")
    assert "STOPME" not in error["said"]


def test_a_stop_in_mid_stream_ends_a_chat_as_filtered(found: dict[str, Any]) -> None:
    stopped = found["chat"]["stopped"]
    assert stopped["raised"] is None
    assert stopped["said"].startswith("All is well.")
    assert "STOPME" not in stopped["said"]


@pytest.mark.parametrize("client", CLIENTS)
def test_what_else_goes_wrong_is_raised_as_what_it_is(found: dict[str, Any], client: str) -> None:
    assert found[client]["unknown"]["raised"] == "NotFoundError"
    assert found[client]["limited"]["raised"] == "RateLimitError"


def test_thinking_arrives_signed(found: dict[str, Any]) -> None:
    thinking, text = found["messages"]["thought"]
    assert thinking["thinking"] == "Six times seven is forty-two."
    assert thinking["signature"]
    assert text["text"] == "42"
    assert found["messages"]["streamedThought"] == found["messages"]["thought"]


def test_tokens_are_counted_and_overload_is_raised(found: dict[str, Any]) -> None:
    assert found["messages"]["counted"] == 10
    assert found["messages"]["overloaded"]["raised"] == "OverloadedError"
