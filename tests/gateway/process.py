"""A whole gateway as processes: supervisor and workers, started from the installed package."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.gateway.rig import until

_PROGRAM = """
import sys
from pathlib import Path
from kintsugi import logs
from kintsugi.gateway.settings import GatewaySettings
from kintsugi.gateway.supervisor import run
logs.configure(service="gateway")
sys.exit(run(GatewaySettings(
    state_dir=Path(sys.argv[1]), gateway_id="gw-test", policy_config=Path(sys.argv[2]),
    port=int(sys.argv[3]), workers=int(sys.argv[4]), api_url=sys.argv[5], api_token="test-token",
)))
"""


class Gateway:
    """A running gateway and everything it logs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self.noise: list[str] = []  # what is no log line: a traceback nobody caught
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            try:
                self.lines.append(json.loads(line))
            except json.JSONDecodeError:
                self.noise.append(line.decode())

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Log lines of one event, in order."""
        return [line for line in self.lines if line["event"] == event]

    async def until_logged(self, event: str, times: int = 1) -> list[dict[str, Any]]:
        """Wait for so many lines of one event; fails when the gateway ends before."""
        await until(lambda: len(self.logged(event)) >= times or self.process.returncode is not None)
        assert len(self.logged(event)) >= times, (self.lines, self.noise)
        return self.logged(event)

    @property
    def port(self) -> int:
        return int(self.logged("gateway.started")[0]["listen"].rpartition(":")[2])

    def worker_pids(self) -> dict[str, int]:
        """The process of every worker that came up last."""
        return {line["worker"]: line["pid"] for line in self.logged("worker.serving")}

    async def ended(self) -> int:
        """Wait for the end; the exit code."""
        code = await self.process.wait()
        await self._reading
        return code


def configuration(
    upstream_port: int,
    *,
    name: str = "rig",
    version: str = "1.0.0",
    durability: str = "strict",
    **gateway: object,
) -> str:
    """A configuration that lets everything through, as JSON, which is YAML."""
    return json.dumps(
        {
            "pack": {"name": name, "version": version, "enabled": True},
            "gateway": {"durability": durability, **gateway},
            "providers": {
                "targets": [
                    {
                        "id": "local",
                        "provider": "openai",
                        "base_url": f"http://127.0.0.1:{upstream_port}/v1",
                        "allow_private_network": True,
                    }
                ]
            },
            "policies": {"chain": ["audit-logger"]},
            "policy": {"audit-logger": {}},
        }
    )


@asynccontextmanager
async def gateway(
    state: Path, source: str, *, workers: int = 1, port: int = 0, api_url: str = ""
) -> AsyncIterator[Gateway]:
    """Start a gateway and wait until all workers serve; kill what is left at the end."""
    file = state / "policy-config.yaml"
    file.write_text(source)
    arguments = (str(state), str(file), str(port), str(workers), api_url)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM, *arguments), stderr=asyncio.subprocess.PIPE
    )
    running = Gateway(process)
    try:
        await running.until_logged("worker.serving", workers)
        yield running
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(10):
                await running.ended()
        except TimeoutError:
            process.kill()
            await running.ended()
