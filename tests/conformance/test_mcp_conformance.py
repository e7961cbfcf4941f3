"""The MCP conformance suite against a reference server, directly and through the gateway.

What passes directly passes through the gateway too, check by check. The suite is installed with
``npm ci`` in ``tests/conformance/node``; a Node.js that is new enough for it comes along.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.gateway.process import gateway

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

NODE_MODULES = Path(__file__).with_name("node") / "node_modules"
SUITE = NODE_MODULES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
NODE = NODE_MODULES / ".bin" / "node"
PASSED_MIN = 40  # of the reference server's own; fewer would mean that the suite did not run

# Scenario, check and how often it had which status.
Results = Counter[tuple[str, str, str]]


@asynccontextmanager
async def reference_server() -> AsyncIterator[str]:
    """Start the reference server; yields its URL."""
    module = "tests.conformance.mcp_reference_server"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


async def run_suite(url: str, folder: Path) -> Results:
    """Run every server scenario; count the outcomes of its checks."""
    options = ("server", "--url", url, "--suite", "all", "-o", str(folder))
    process = await asyncio.create_subprocess_exec(
        *(str(NODE), str(SUITE), *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    found = read_results(folder)
    assert found, said.decode(errors="replace")
    return found


def read_results(folder: Path) -> Results:
    """What the suite wrote of its checks."""
    found: Results = Counter()
    for file in folder.glob("*/checks.json"):
        scenario = file.parent.name.partition("-20")[0]
        for check in json.loads(file.read_text()):
            found[scenario, check["id"], check["status"]] += 1
    return found


def configuration(url: str) -> str:
    """A gateway before that server, with policies that look at everything."""
    return json.dumps(
        {
            "pack": {"name": "conformance", "version": "1.0.0"},
            "providers": {"targets": [{"id": "sim", "provider": "simulator"}]},
            "mcp": {"servers": [{"id": "reference", "url": url, "allow_private_network": True}]},
            "policies": {
                "chain": ["prompt-injection", "pii-detector", "secrets-detector", "audit-logger"]
            },
            "policy": {
                "prompt-injection": {},
                "pii-detector": {"action": "redact"},
                "secrets-detector": {"action": "block"},
                "audit-logger": {},
            },
        }
    )


@pytest.mark.skipif(not SUITE.exists(), reason="npm ci has not run in tests/conformance/node")
async def test_no_check_that_passes_directly_fails_through_the_gateway(tmp_path: Path) -> None:
    async with reference_server() as url:
        directly = await run_suite(url, tmp_path / "direct")
        state = tmp_path / "state"
        state.mkdir()
        async with gateway(state, configuration(url), workers=2) as running:
            await running.until_logged("worker.in_force", 2)
            through = await run_suite(
                f"http://127.0.0.1:{running.port}/mcp/reference", tmp_path / "through"
            )
    passed = {key: count for key, count in directly.items() if key[2] == "SUCCESS"}
    assert sum(passed.values()) >= PASSED_MIN
    for key, count in passed.items():
        assert through[key] >= count, key
    assert not [key for key in through if key[2] == "FAILURE" and key not in directly]
