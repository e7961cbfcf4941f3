"""The journal against a real kernel: killed writers, full and read-only disks, torn files."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from kintsugi.gateway.recovery import recover
from kintsugi.ledger.journal_files import list_segments
from kintsugi.ledger.journal_reader import read_segment

pytestmark = pytest.mark.faults

# Appends as fast as it can and prints the number of each record once its callback was called
# without an error. Printing is one unbuffered write, so what was printed had been acknowledged.
WRITER = """
import asyncio, os, resource, signal, sys
from pathlib import Path
from kintsugi.ledger.journal_writer import JournalLimits, JournalWriter

directory, durability, filling, file_bytes_max = sys.argv[1:]
if int(file_bytes_max):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_bytes_max), resource.RLIM_INFINITY))

async def main():
    loop = asyncio.get_running_loop()
    writer = JournalWriter(
        Path(directory), gateway_id="gw-1", worker_id="w0", durability=durability,
        limits=JournalLimits(segment_bytes_max=200_000),
    )
    number = 0

    async def caller():
        nonlocal number
        while True:
            mine, number = number, number + 1
            answer = loop.create_future()
            record = b'{"kind":"decision","id":"%d","filling":"%b"}' % (mine, b"x" * int(filling))
            writer.append(record, answer.set_result)
            error = await answer
            os.write(1, b"%s %d\\n" % (b"refused" if error else b"ok", mine))
            if error:
                await asyncio.sleep(0.02)
            if not writer.healthy and int(file_bytes_max):
                _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    await asyncio.gather(*(caller() for _ in range(20)))

asyncio.run(main())
"""


@contextmanager
def writer(
    directory: Path, durability: str, *, filling: int = 500, file_bytes_max: int = 0
) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [
            *(sys.executable, "-c", WRITER),
            *(str(directory), durability, str(filling), str(file_bytes_max)),
        ],
        stdout=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()


def answered(process: subprocess.Popen[bytes], kind: bytes) -> set[int]:
    """What a killed writer had printed."""
    assert process.stdout is not None
    lines = process.stdout.read().splitlines(keepends=True)
    return {int(line.split()[1]) for line in lines if line.startswith(kind) and line[-1:] == b"\n"}


def kept(directory: Path) -> list[int]:
    """The numbers read back after recovery, which may cut a tail and nothing else."""
    recover(directory, gateway_id="gw-1", engine_version="1")
    found = []
    for segment in list_segments(directory):
        path = directory / segment.file_name
        for line in read_segment(path, on_damage=lambda damage: pytest.fail(str(damage))):
            record = json.loads(line.record)
            if record["kind"] == "decision":
                found.append(int(record["id"]))
    return found


def read_until(process: subprocess.Popen[bytes], kind: bytes, count: int) -> set[int]:
    """The first so many answers of a kind."""
    assert process.stdout is not None
    found: set[int] = set()
    while len(found) < count:
        line = process.stdout.readline()
        assert line, "the writer ended"
        if line.startswith(kind):
            found.add(int(line.split()[1]))
    return found


@pytest.mark.parametrize("durability", ["strict", "bounded"])
@pytest.mark.parametrize("attempt", range(3))
def test_a_killed_writer_loses_nothing_that_it_acknowledged(
    tmp_path: Path, durability: str, attempt: int
) -> None:
    with writer(tmp_path, durability) as process:
        acknowledged = read_until(process, b"ok", 200)
        time.sleep(random.Random(f"{durability}{attempt}").uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        acknowledged |= answered(process, b"ok")
    found = kept(tmp_path)
    assert acknowledged - set(found) == set()
    assert len(found) == len(set(found))


def test_a_full_disk_refuses_and_what_was_acknowledged_stays(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk, writer(disk, "strict", filling=8000) as process:
        refused = read_until(process, b"refused", 5)
        (disk / "ballast").unlink()
        acknowledged = read_until(process, b"ok", 5)
        process.kill()
        process.wait()
        acknowledged |= answered(process, b"ok")
        found = kept(disk)
        assert acknowledged <= set(found)
        assert refused <= set(found), "a refused record is kept and written later"
        assert len(found) == len(set(found))


def test_a_file_size_limit_tears_a_write_and_the_tear_is_cut_back(tmp_path: Path) -> None:
    with writer(tmp_path, "strict", file_bytes_max=50_001) as process:
        refused = read_until(process, b"refused", 1)
        acknowledged = read_until(process, b"ok", 100)
        process.kill()
        process.wait()
        acknowledged |= answered(process, b"ok")
    found = kept(tmp_path)
    assert acknowledged | refused <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_read_only_disk_refuses_until_it_can_be_written(tmp_path: Path) -> None:
    with small_disk(tmp_path, ballast=False) as disk:
        mount("-o", "remount,ro", str(disk))
        with writer(disk / ".", "strict") as process:
            read_until(process, b"refused", 20)
            mount("-o", "remount,rw", str(disk))
            read_until(process, b"ok", 20)
            process.kill()
            process.wait()
            acknowledged = answered(process, b"ok")
        assert acknowledged <= set(kept(disk))


@pytest.mark.parametrize("seed", range(20))
def test_a_torn_or_flipped_file_never_yields_a_record_that_was_not_written(
    tmp_path: Path, seed: int, journal_of_two_hundred: bytes
) -> None:
    source = random.Random(seed)
    content = bytearray(journal_of_two_hundred)
    if seed % 2:
        content = content[: source.randrange(len(content))]
    else:
        for _ in range(source.randint(1, 5)):
            content[source.randrange(len(content))] ^= 1 << source.randrange(8)
    path = tmp_path / "gw-1.w0.1.000000.jsonl"
    path.write_bytes(content)
    damages: list[object] = []
    lines = list(read_segment(path, on_damage=damages.append))
    original = set(journal_of_two_hundred.splitlines())
    assert all(bytes(content[line.offset : line.end - 1]) in original for line in lines)
    assert [line.seq for line in lines] == sorted({line.seq for line in lines})
    whole = bytes(content) == journal_of_two_hundred[: len(content)] and content.endswith(b"\n")
    assert bool(damages) != (whole or not content)


@pytest.fixture(scope="module")
def journal_of_two_hundred(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    directory = tmp_path_factory.mktemp("whole")
    with writer(directory, "strict", filling=40) as process:
        read_until(process, b"ok", 200)
    segment = list_segments(directory)[0]
    content = (directory / segment.file_name).read_bytes()
    return content[: content.rindex(b"\n") + 1]


@contextmanager
def small_disk(tmp_path: Path, *, ballast: bool = True) -> Iterator[Path]:
    """A file system of one megabyte, nearly full of a file that can be deleted."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    disk = Path(tempfile.mkdtemp(dir=tmp_path))
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk))
    try:
        if ballast:
            (disk / "ballast").write_bytes(bytes(800_000))
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.decode().strip()}")
