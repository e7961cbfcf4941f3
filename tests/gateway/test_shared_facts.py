"""A whole gateway as processes: what its workers share, and what a death of one leaves behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

from tests.gateway.process import Gateway, configuration, gateway
from tests.gateway.rig import answer, client, post, read_message, until, upstream

CHAT = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
COMPLETION = json.dumps(
    {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}}]}
).encode()
JSON = b"content-type: application/json\r\n"


def limited(port: int, **most: int) -> str:
    """A configuration with one limit for everybody."""
    document = json.loads(configuration(port))
    limit = {"per": "global", "window_seconds": 3600, **most}
    document["policies"]["chain"] = ["rate-limit"]
    document["policy"] = {"rate-limit": {"limits": [limit]}}
    return json.dumps(document)


async def ask(running: Gateway) -> int:
    async with client(running.port) as one:
        await one.send(post(b"/v1/chat/completions", CHAT))
        return await one.status()


async def metric(running: Gateway, name: str) -> float:
    async with client(running.port) as one:
        await one.send(b"GET /metrics HTTP/1.1\r\nHost: rig\r\nConnection: close\r\n\r\n")
        _, body = await one.answer()
    (line,) = (line for line in body.decode().splitlines() if line.startswith(f"{name} "))
    return float(line.rpartition(" ")[2])


async def until_metric(running: Gateway, name: str, value: float) -> None:
    async with asyncio.timeout(10):
        while await metric(running, name) != value:  # noqa: ASYNC110 another process tells it
            await asyncio.sleep(0.05)


class Model:
    """Answers once it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.asked = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_message(reader)
            self.asked += 1
            await self.go.wait()
            writer.write(answer(COMPLETION, extra=JSON))


async def test_what_a_killed_worker_had_reserved_is_free_again(tmp_path: Path) -> None:
    model = Model()
    async with (
        upstream(model) as port,
        # One request takes 1,024 and a few until its answer tells how many they were.
        gateway(tmp_path, limited(port, tokens=1_500), workers=2) as running,
    ):
        pids = running.worker_pids().values()
        waiting = asyncio.create_task(ask(running))
        await until(lambda: model.asked == 1)
        assert await ask(running) == 429
        for pid in pids:  # whichever carries it
            os.kill(pid, signal.SIGKILL)
        await running.until_logged("worker.serving", 4)
        await asyncio.gather(waiting, return_exceptions=True)
        model.go.set()
        assert await ask(running) == 200


async def test_a_restart_does_not_reset_a_long_limit(tmp_path: Path) -> None:
    model = Model()
    model.go.set()
    async with upstream(model) as port:
        source = limited(port, requests=2)
        async with gateway(tmp_path, source) as running:
            assert [await ask(running) for _ in range(2)] == [200, 200]
            running.process.kill()  # without a farewell
            await running.ended()
        async with gateway(tmp_path, source) as again:
            assert await ask(again) == 429


async def test_many_at_once_never_overshoot(tmp_path: Path) -> None:
    model = Model()
    model.go.set()
    async with (
        upstream(model) as port,
        gateway(tmp_path, limited(port, requests=10), workers=2) as running,
    ):
        statuses = await asyncio.gather(*(ask(running) for _ in range(40)))
        assert statuses.count(200) == 10
        assert statuses.count(429) == 30
        assert model.asked == 10
        assert await metric(running, 'kintsugi_limits_reached_total{policy="rate-limit"}') == 30


async def test_a_reservation_is_seen_in_the_metrics_while_it_is_open(tmp_path: Path) -> None:
    model = Model()
    async with (
        upstream(model) as port,
        gateway(tmp_path, limited(port, tokens=10_000)) as running,
    ):
        waiting = asyncio.create_task(ask(running))
        await until_metric(running, "kintsugi_open_reservations", 1)
        assert await metric(running, "kintsugi_counters") == 1
        model.go.set()
        assert await waiting == 200
        await until_metric(running, "kintsugi_open_reservations", 0)
