"""The kernel's own sync, where this machine has it."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from pathlib import Path

import pytest

from kintsugi.ledger.kernel_sync import BackgroundSync, KernelSync


def opened(answers: asyncio.Queue[int]) -> BackgroundSync:
    sync = KernelSync.open(asyncio.get_running_loop(), answers.put_nowait)
    if sync is None:
        pytest.skip("no background sync in this kernel, or not allowed here")
    return sync


async def test_each_sync_is_reported_once(tmp_path: Path) -> None:
    answers: asyncio.Queue[int] = asyncio.Queue()
    sync = opened(answers)
    with (tmp_path / "file").open("wb", buffering=0) as file:
        for _ in range(20):
            file.write(b"x" * 1000)
            sync.begin(file.fileno())
            assert await asyncio.wait_for(answers.get(), 5) == 0
    assert answers.empty()
    sync.close()


async def test_a_file_that_is_closed_during_its_sync_is_still_synced(tmp_path: Path) -> None:
    answers: asyncio.Queue[int] = asyncio.Queue()
    sync = opened(answers)
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b"x" * 1_000_000)
    sync.begin(descriptor)
    os.close(descriptor)
    assert await asyncio.wait_for(answers.get(), 5) == 0
    sync.close()


async def test_what_cannot_be_synced_is_refused_at_once() -> None:
    sync = opened(asyncio.Queue())
    reading, writing = os.pipe()
    with pytest.raises(OSError, match="Invalid argument"):
        sync.begin(writing)
    os.close(reading)
    os.close(writing)
    sync.close()


@pytest.mark.parametrize(("system", "machine"), [("darwin", "arm64"), ("linux", "riscv64")])
async def test_other_systems_and_machines_do_without(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert KernelSync.open(asyncio.get_running_loop(), lambda _code: None) is None
