from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from kintsugi.gateway.listeners import bind
from kintsugi.gateway.supervisor import keep_secret
from kintsugi.ledger.journal_files import list_segments
from kintsugi.ledger.journal_reader import read_segment
from tests.gateway.fake_control_plane import FakeControlPlane
from tests.gateway.fake_control_plane import running as control_plane
from tests.gateway.process import Gateway, configuration, gateway
from tests.gateway.rig import Client, answer, client, post, read_message, until, upstream

CHAT = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
COMPLETION = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}}],
    }
).encode()
JSON = b"content-type: application/json\r\n"


async def complete(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A model that answers at once."""
    while True:
        await read_message(reader)
        writer.write(answer(COMPLETION, extra=JSON))


async def chat(one: Client) -> tuple[int, bytes]:
    """Ask; status and head of the answer."""
    await one.send(post(b"/v1/chat/completions", CHAT))
    head, _ = await one.answer()
    return int(head.split(b" ")[1]), head


async def fetch(port: int, path: bytes) -> tuple[int, bytes]:
    async with client(port) as one:
        await one.send(b"GET %b HTTP/1.1\r\nHost: rig\r\nConnection: close\r\n\r\n" % path)
        head, body = await one.answer()
        return int(head.split(b" ")[1]), body


def recorded(state: Path) -> dict[str, list[str]]:
    """Ids in the journals by kind of record."""
    found: dict[str, list[str]] = {}
    folder = state / "gateway" / "gw-test" / "journal"
    for segment in list_segments(folder):
        for line in read_segment(folder / segment.file_name, on_damage=lambda _damage: None):
            record = json.loads(line.record)
            found.setdefault(record["kind"], []).append(record.get("id", ""))
    return found


# One gateway


async def test_a_gateway_serves_records_and_stops(tmp_path: Path) -> None:
    async with upstream(complete) as port, gateway(tmp_path, configuration(port)) as running:
        async with client(running.port) as one:
            status, head = await chat(one)
            assert status == 200
            assert b"x-kt-config-version: rig@1.0.0" in head
            assert (await fetch(running.port, b"/readyz"))[0] == 200
        running.process.terminate()
        assert await running.ended() == 0
        assert running.noise == []
    kinds = recorded(tmp_path)
    assert kinds["admitted"] == kinds["decision"]
    assert len(kinds["decision"]) == 1


async def test_requests_in_flight_outlive_a_sigterm(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        await go_on.wait()
        writer.write(answer(COMPLETION, extra=JSON))

    async with upstream(patient) as port, gateway(tmp_path, configuration(port)) as running:
        async with client(running.port) as one:
            await one.send(post(b"/v1/chat/completions", CHAT))
            await until(lambda: bool(recorded(tmp_path).get("admitted")))
            running.process.terminate()
            await running.until_logged("worker.draining")
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", running.port)
            go_on.set()
            head, body = await one.answer()
            assert head.startswith(b"HTTP/1.1 200")
            assert body == COMPLETION
        assert await running.ended() == 0
    assert recorded(tmp_path)["decision"] == recorded(tmp_path)["admitted"]


async def test_an_upstream_that_never_answers_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with upstream(silent) as port:
        config = configuration(port, drain_timeout_seconds=0.2)
        async with gateway(tmp_path, config) as running, client(running.port) as one:
            await one.send(post(b"/v1/chat/completions", CHAT))
            await until(lambda: bool(recorded(tmp_path).get("admitted")))
            running.process.terminate()
            assert await running.ended() == 0
    assert recorded(tmp_path)["decision"] == recorded(tmp_path)["admitted"]


# Workers that die


async def test_a_killed_worker_is_replaced_and_its_exchange_recorded(tmp_path: Path) -> None:
    async def silent_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        if hold.is_set():
            await reader.read()
        writer.write(answer(COMPLETION, extra=JSON))

    hold = asyncio.Event()
    hold.set()
    async with upstream(silent_once) as port, gateway(tmp_path, configuration(port)) as running:
        first = running.worker_pids()["w0"]
        async with client(running.port) as one:
            await one.send(post(b"/v1/chat/completions", CHAT))
            await until(lambda: bool(recorded(tmp_path).get("admitted")))
            os.kill(first, signal.SIGKILL)
            assert await one.reader.read() == b""
        hold.clear()
        async with client(running.port) as one:  # while nobody is there to accept it
            status, _ = await chat(one)
            assert status == 200
        assert running.worker_pids()["w0"] != first
        _, text = await fetch(running.port, b"/metrics")
        lines = text.decode().splitlines()
        assert "kintsugi_worker_restarts_total 1" in lines
        assert "kintsugi_interrupted_total 1" in lines
        assert "kintsugi_requests_total 2" in lines
        assert "kintsugi_decided_total 2" in lines
    kinds = recorded(tmp_path)
    assert sorted(kinds["admitted"]) == sorted(kinds["decision"])


async def test_every_answer_has_its_record_however_often_workers_are_killed(
    tmp_path: Path,
) -> None:
    answered: list[str] = []

    async def keep_asking() -> None:
        while True:
            try:
                async with client(running.port) as one:
                    for _ in range(50):
                        status, head = await chat(one)
                        assert status == 200
                        event_id = head.partition(b"x-kt-event-id: ")[2].partition(b"\r\n")[0]
                        answered.append(event_id.decode())
            except (ConnectionError, asyncio.IncompleteReadError):
                continue

    async with (
        upstream(complete) as port,
        gateway(tmp_path, configuration(port), workers=2) as running,
    ):
        asking = [asyncio.create_task(keep_asking()) for _ in range(8)]
        for kill in range(1, 4):
            before = len(answered)
            await until(lambda before=before: len(answered) > before + 100)  # type: ignore[misc]
            os.kill(running.worker_pids()[f"w{kill % 2}"], signal.SIGKILL)
            await running.until_logged("worker.serving", 2 + kill)
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        running.process.terminate()
        assert await running.ended() == 0
    kinds = recorded(tmp_path)
    assert set(answered) <= set(kinds["decision"])
    assert sorted(kinds["decision"]) == sorted(set(kinds["decision"]))
    assert set(kinds["admitted"]) == set(kinds["decision"])


async def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    async with gateway(tmp_path, configuration(1), workers=2) as running:
        pids = running.worker_pids().values()
        running.process.kill()
        await until(lambda: not any(_alive(pid) for pid in pids))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# Configurations


async def _versions(running: Gateway) -> str:
    _, body = await fetch(running.port, b"/health")
    return str(json.loads(body)["config_version"])


async def _load_error(running: Gateway) -> str:
    _, body = await fetch(running.port, b"/health")
    return str(json.loads(body)["load_error"])


@pytest.mark.alone
async def test_sighup_puts_a_changed_file_in_force_on_all_workers(tmp_path: Path) -> None:
    file = tmp_path / "policy-config.yaml"
    async with gateway(tmp_path, configuration(1), workers=2) as running:
        await running.until_logged("worker.in_force", 2)
        file.write_text(configuration(1, version="2.0.0", durability="bounded"))
        began = time.monotonic()
        running.process.send_signal(signal.SIGHUP)
        lines = await running.until_logged("worker.in_force", 4)
        assert time.monotonic() - began < 1.0
        assert {line["worker"] for line in lines[2:]} == {"w0", "w1"}
        assert await _versions(running) == "rig@2.0.0"
        async with client(running.port) as one:
            assert b"x-kt-config-version: rig@2.0.0" in (await chat(one))[1]


@pytest.mark.parametrize("broken", ["policies: [", "{}", '{"pack": {"name": "other"}}'])
async def test_a_bad_file_changes_nothing_and_is_shown(tmp_path: Path, broken: str) -> None:
    file = tmp_path / "policy-config.yaml"
    async with upstream(complete) as port, gateway(tmp_path, configuration(port)) as running:
        await running.until_logged("worker.in_force")
        file.write_text(broken)
        running.process.send_signal(signal.SIGHUP)
        await running.until_logged("gateway.reload_failed")
        async with client(running.port) as one:
            status, head = await chat(one)
            assert status == 200
            assert b"x-kt-config-version: rig@1.0.0" in head
        assert str(file) in await _load_error(running)
        _, text = await fetch(running.port, b"/metrics")
        assert b"\nkintsugi_config_load_failed 1\n" in text
        file.write_text(configuration(port))
        running.process.send_signal(signal.SIGHUP)
        await running.until_logged("worker.in_force", 2)
        assert await _load_error(running) == ""


async def test_an_exchange_ends_on_the_configuration_it_began_with(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        await go_on.wait()
        writer.write(answer(COMPLETION, extra=JSON))

    async with (
        upstream(patient) as port,
        gateway(tmp_path, configuration(port)) as running,
        client(running.port) as one,
    ):
        await one.send(post(b"/v1/chat/completions", CHAT))
        await until(lambda: bool(recorded(tmp_path).get("admitted")))
        (tmp_path / "policy-config.yaml").write_text(configuration(port, version="2.0.0"))
        running.process.send_signal(signal.SIGHUP)
        await running.until_logged("worker.in_force", 2)
        go_on.set()
        head, _ = await one.answer()
        assert b"x-kt-config-version: rig@1.0.0" in head


# With a control plane


@pytest.mark.alone
async def test_a_pushed_version_is_in_force_everywhere_at_once(tmp_path: Path) -> None:
    async with upstream(complete) as port:
        source = configuration(port, name="support")
        with control_plane() as fake:
            async with gateway(tmp_path, source, workers=2, api_url=fake.url) as running:
                await until(lambda: fake.versions == [source])
                await running.until_logged("follower.in_force")
                began = time.monotonic()
                fake.publish(configuration(port, name="support", version="1.1.0"))
                await running.until_logged("follower.in_force", 2)
                assert time.monotonic() - began < 1.0
                assert await _versions(running) == "support@2"
                await until(lambda: _told(fake, "support@2") == 2)


async def test_a_pushed_version_that_does_not_compile_is_refused(tmp_path: Path) -> None:
    async with upstream(complete) as port:
        source = configuration(port, name="support")
        with control_plane() as fake:
            async with gateway(tmp_path, source, api_url=fake.url) as running:
                await running.until_logged("follower.in_force")
                fake.publish("pack: [")
                await running.until_logged("follower.not_in_force")
                assert await _versions(running) == "support@1"
                assert "support@2" in await _load_error(running)
                await until(lambda: "support@2" in fake.reports[-1].get("load_error", ""))


async def test_sighup_publishes_the_file(tmp_path: Path) -> None:
    async with upstream(complete) as port:
        source = configuration(port, name="support")
        changed = configuration(port, name="support", version="1.1.0")
        file = tmp_path / "policy-config.yaml"
        with control_plane() as fake:
            async with gateway(tmp_path, source, api_url=fake.url) as running:
                await running.until_logged("follower.in_force")
                file.write_text(changed)
                running.process.send_signal(signal.SIGHUP)
                await running.until_logged("follower.in_force", 2)
                assert fake.versions == [source, changed]
                assert fake.notes[-1] == f"reloaded from {file}"
                assert await _versions(running) == "support@2"


async def test_records_are_shipped_and_counted(tmp_path: Path) -> None:
    async with upstream(complete) as port:
        source = configuration(port, name="support")
        with control_plane() as fake:
            async with gateway(tmp_path, source, api_url=fake.url) as running:
                async with client(running.port) as one:
                    for _ in range(3):
                        await chat(one)
                await until(lambda: fake.reports[-1].get("shipped") == 3)
                running.process.terminate()
                assert await running.ended() == 0
            assert len(fake.stored) == 3


async def test_without_its_control_plane_a_gateway_starts_on_what_was_in_force(
    tmp_path: Path,
) -> None:
    async with upstream(complete) as port:
        source = configuration(port, name="support")
        with control_plane() as fake:
            fake.publish(configuration(port, name="support", version="1.1.0"))
            fake.publish(configuration(port, name="support", version="1.2.0"))
            async with gateway(tmp_path, source, api_url=fake.url) as running:
                await running.until_logged("follower.in_force")
        async with gateway(tmp_path, source, api_url=fake.url) as running:
            assert await _versions(running) == "support@2"


def _told(fake: FakeControlPlane, config_version: str) -> int:
    """How many workers the control plane believes to run a version."""
    workers = fake.reports[-1].get("workers", []) if fake.reports else []
    return sum(worker["config_version"] == config_version for worker in workers)


# The listening socket


def test_a_port_that_somebody_listens_on_is_not_shared() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        with pytest.raises(OSError) as raised:
            bind("127.0.0.1", other.getsockname()[1], 2)
        assert raised.value.errno == errno.EADDRINUSE


def test_workers_share_one_free_port() -> None:
    listeners = bind("127.0.0.1", 0, 3)
    assert len({listener.getsockname() for listener in listeners}) == 1
    for listener in listeners:
        listener.close()


def test_the_fingerprint_key_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "fingerprint.key"
    keep_secret(path)
    first = path.read_bytes()
    keep_secret(path)
    assert path.read_bytes() == first
    assert len(first) == 32
    assert path.stat().st_mode & 0o777 == 0o600
