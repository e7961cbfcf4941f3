from __future__ import annotations

import asyncio
import json
import re
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

from kintsugi.gateway.settings import WorkerSettings
from kintsugi.gateway.worker_messages import FromWorker, Load, ToWorker, WorkerTally, encode
from kintsugi.gateway.worker_messages import decode_from_worker as decode
from tests.gateway.process import configuration, gateway
from tests.gateway.rig import answer, client, post, read_message, upstream

_HEAVY = ("httpx2", "fastapi", "starlette", "pydantic", "sqlalchemy", "psycopg", "duckdb", "typer")


class LoneWorker:
    """A worker with the test in its supervisor's place."""

    def __init__(self, folder: Path) -> None:
        (folder / "fingerprint.key").write_bytes(bytes(32))
        self.folder = folder
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.ours, theirs = socket.socketpair()
        settings = WorkerSettings(
            gateway_id="gw-test",
            worker_id="w0",
            worker_count=1,
            gateway_dir=str(folder),
            listen_fd=self.listener.fileno(),
            control_fd=theirs.fileno(),
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kintsugi.gateway.worker", encode_settings(settings)],
            pass_fds=(settings.listen_fd, settings.control_fd),
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        self.lines = self.ours.makefile("rb")

    def tell(self, message: ToWorker) -> None:
        self.ours.sendall(encode(message))

    def load(self, source: str, config_version: str) -> FromWorker:
        """Give it a configuration; what it says about that."""
        path = self.folder / f"{config_version}.yaml"
        path.write_text(source)
        self.tell(ToWorker(load=Load(path=str(path), config_version=config_version)))
        while True:
            said = self.next()
            if said.tally is None:
                return said

    def next(self) -> FromWorker:
        return decode(self.lines.readline())

    def close(self) -> int:
        self.lines.close()
        self.ours.close()
        self.listener.close()
        return self.process.wait(10)


def encode_settings(settings: WorkerSettings) -> str:
    return json.dumps({name: getattr(settings, name) for name in settings.__struct_fields__})


def test_a_worker_reports_what_it_loaded_and_counts_every_second(tmp_path: Path) -> None:
    worker = LoneWorker(tmp_path)
    said = worker.load(configuration(1), "rig@1")
    assert said.in_force is not None
    assert said.in_force.config_version == "rig@1"
    assert said.in_force.revision.startswith("sha256:")
    assert said.in_force.since.tzinfo is not None
    tallies = [worker.next().tally for _ in range(2)]
    assert tallies[-1] == WorkerTally(admitted=0, decided=0, in_flight=0)
    assert worker.close() == 0  # the channel's end is an order to drain


def test_a_worker_keeps_what_it_has_when_the_next_is_bad(tmp_path: Path) -> None:
    worker = LoneWorker(tmp_path)
    assert worker.load(configuration(1), "rig@1").in_force is not None
    failed = worker.load("pack: {}", "rig@2").load_failed
    assert failed is not None
    assert failed.config_version == "rig@2"
    assert "pack" in failed.error
    worker.tell(ToWorker(load=Load(path=str(tmp_path / "nowhere"), config_version="rig@3")))
    while (said := worker.next()).load_failed is None:
        assert said.in_force is None
    host, port = worker.listener.getsockname()
    with socket.create_connection((host, port)) as one:
        one.sendall(b"GET /health HTTP/1.1\r\nHost: rig\r\nConnection: close\r\n\r\n")
        text = one.makefile("rb").read()
    assert b'"config_version":"rig@1"' in text
    assert b'"status":"degraded"' in text
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(10) == 0
    worker.close()


def test_an_order_to_drain_ends_a_worker(tmp_path: Path) -> None:
    worker = LoneWorker(tmp_path)
    assert worker.load(configuration(1), "rig@1").in_force is not None
    worker.tell(ToWorker(drain=True))
    assert worker.process.wait(10) == 0
    worker.close()


def test_a_worker_whose_supervisor_was_killed_with_reports_unread_ends(tmp_path: Path) -> None:
    worker = LoneWorker(tmp_path)
    assert worker.load(configuration(1), "rig@1").in_force is not None
    select.select([worker.ours], [], [])  # a report lies unread, so closing is a reset
    assert worker.close() == 0


def test_a_worker_that_cannot_read_its_orders_ends(tmp_path: Path) -> None:
    worker = LoneWorker(tmp_path)
    assert worker.load(configuration(1), "rig@1").in_force is not None
    worker.ours.sendall(b"no JSON\n")
    assert worker.process.wait(10) == 0
    worker.close()


def test_a_worker_imports_only_what_serving_needs() -> None:
    script = f"""
import sys
import kintsugi.gateway.worker
print([name for name in {_HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


async def test_a_target_that_is_down_is_left_alone_and_another_one_answers(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_message(reader)
            writer.write(answer(b'{"choices": []}', extra=b"content-type: application/json\r\n"))

    def target(name: str, port: int) -> dict[str, object]:
        base_url = f"http://127.0.0.1:{port}/v1"
        return {
            "id": name,
            "provider": "openai",
            "base_url": base_url,
            "allow_private_network": True,
        }

    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed_port = taken.getsockname()[1]
    async with upstream(serve) as port:
        document = json.loads(configuration(port))
        document["providers"] = {
            "targets": [target("down", closed_port), target("up", port)],
            "routing": {"breaker": {"failures": 2}},
        }
        source = json.dumps(document)
        async with gateway(tmp_path, source) as running, client(running.port) as one:
            body = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
            for _ in range(4):
                await one.send(post(b"/v1/chat/completions", body))
                assert await one.status() == 200
            await one.send(b"GET /health HTTP/1.1\r\nHost: rig\r\n\r\n")
            _, health = await one.answer()
            assert json.loads(health)["open_targets"] == ["down"]


async def test_an_idle_worker_is_small(tmp_path: Path) -> None:
    async with gateway(tmp_path, configuration(1)) as running:
        async with client(running.port) as one:
            await one.send(b"GET /metrics HTTP/1.1\r\nHost: rig\r\n\r\n")
            await one.answer()
        status = Path(f"/proc/{running.worker_pids()['w0']}/status")
        text = await asyncio.to_thread(status.read_text)
        found = re.search(r"VmRSS:\s+(\d+) kB", text)
        assert found is not None
        assert int(found[1]) < 80 * 1024
