"""Other machines are asked over real sockets, within their time and size."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kintsugi.gateway.commands import Gather, RemoteCall
from kintsugi.gateway.gathering import ANSWER_BYTES_MAX, Gathering
from kintsugi.model.facts import CounterNeed, RemoteAnswer
from tests.gateway.rig import Rig, answer, read_message, running, upstream


def asking(port: int, key: str = "k", *, seconds: float = 5.0) -> RemoteCall:
    return RemoteCall(
        key=key,
        origin=f"http://127.0.0.1:{port}",
        path=b"/check",
        headers=[(b"content-type", b"application/json")],
        body=b'{"q":1}',
        timeout_seconds=seconds,
        allow_private_network=True,
    )


async def gather(rig: Rig, *calls: RemoteCall, counters: tuple[CounterNeed, ...] = ()) -> Any:
    done = asyncio.get_running_loop().create_future()
    Gathering(rig.shell, Gather(counters, calls), lambda *found: done.set_result(found))
    async with asyncio.timeout(10):
        return await done


async def test_several_machines_are_asked_at_once_and_told_apart(tmp_path: Path) -> None:
    seen: list[bytes] = []

    async def says(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await read_message(reader)
            seen.append(head.partition(b"\r\n")[0] + body)
            writer.write(answer(b'{"score":0.5}'))

    async with running(tmp_path) as rig, upstream(says) as port:
        counters, remote, number = await gather(rig, asking(port, "a"), asking(port, "b"))
    said = RemoteAnswer(200, '{"score":0.5}')
    assert (counters, remote, number) == ({}, {"a": said, "b": said}, 0)
    assert seen == [b'POST /check HTTP/1.1{"q":1}'] * 2


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"x" * (ANSWER_BYTES_MAX + 1), b"200 OK", "too_large"),
        (b"no", b"500 Broken", "status"),
        (b"", b"302 Found", "status"),
    ],
)
async def test_an_answer_that_is_none_says_why(
    tmp_path: Path, body: bytes, status: bytes, error: str
) -> None:
    async def says(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(answer(body, status=status))
        await writer.drain()
        await reader.read()

    async with running(tmp_path) as rig, upstream(says) as port:
        _, remote, _ = await gather(rig, asking(port))
    assert remote["k"].error == error
    assert remote["k"].body == ""


async def test_a_machine_that_takes_too_long_is_not_waited_for(tmp_path: Path) -> None:
    async def hangs(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with running(tmp_path) as rig, upstream(hangs) as port:
        _, remote, _ = await gather(rig, asking(port, seconds=0.05))
        assert remote == {"k": RemoteAnswer(error="timeout")}


async def test_a_machine_that_is_not_there_is_an_answer_too(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, upstream(lambda *_: asyncio.sleep(0)) as port:
        pass
    async with running(tmp_path / "again") as rig:
        _, remote, _ = await gather(rig, asking(port))
    assert remote["k"].error in ("connect_failed", "reset")


async def test_without_a_supervisor_counters_are_missing(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        need = CounterNeed(key="k", amount=1, limit=1)
        assert await gather(rig, counters=(need,)) == ({}, {}, 0)


async def test_what_is_given_up_calls_nobody_back(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def hangs(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()

    async with running(tmp_path) as rig, upstream(hangs) as port:
        wish = Gather((), (asking(port, seconds=0.3),))
        gathering = Gathering(rig.shell, wish, lambda *_: pytest.fail("it was given up"))
        await asked.wait()
        gathering.cancel()
        await asyncio.sleep(0.4)
        assert not rig.pool.calls
