"""Group commit, and a disk that refuses: nothing is lost, nobody waits for ever."""

from __future__ import annotations

import asyncio
import fcntl
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from kintsugi.errors import EvidenceUnavailable
from kintsugi.ledger.journal import Damage, decode_header
from kintsugi.ledger.journal_files import SegmentName, is_live, list_segments
from kintsugi.ledger.journal_reader import read_segment
from kintsugi.ledger.journal_writer import JournalLimits, JournalWriter, OpenBackgroundSync
from kintsugi.ledger.kernel_sync import KernelSync
from tests.ledger.faulty_disk import FaultyBackgroundSync, FaultyDisk

Durability = Literal["strict", "bounded"]
BOTH = pytest.mark.parametrize("durability", ["strict", "bounded"])


@pytest.fixture(params=["thread", "kernel"], autouse=True)
def synced_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs with and without a sync in the background."""
    monkeypatch.setattr(sys.modules[__name__], "BACKGROUND", request.param == "kernel")


BACKGROUND = True


def background_sync(disk: FaultyDisk | None) -> OpenBackgroundSync:
    if not BACKGROUND:
        return lambda _loop, _on_synced: None
    if disk is None:
        return KernelSync.open
    return lambda loop, on_synced: FaultyBackgroundSync(loop, on_synced, disk)


# Quick enough for a test, slow enough that a busy machine does not trip over them.
LIMITS = JournalLimits(slow_seconds=0.3, waiter_seconds=0.6)


def record(number: int) -> bytes:
    return b'{"kind":"decision","id":"%d"}' % number


def read_back(directory: Path) -> list[bytes]:
    """Every record without the headers; fails on any damage."""
    records = []
    for segment in list_segments(directory):
        damages: list[object] = []
        path = directory / segment.file_name
        lines = list(read_segment(path, on_damage=damages.append))
        assert damages == []
        records += [line.record for line in lines[1:]]
    return records


def headers(directory: Path) -> list[str]:
    """The reason of each segment; one that was cut to nothing has none."""
    found: list[str] = []
    for segment in list_segments(directory):
        path = directory / segment.file_name
        lines = list(read_segment(path, on_damage=lambda _damage: None))
        found += [decode_header(line.record).reason for line in lines[:1]]
    return found


@asynccontextmanager
async def writing(
    directory: Path,
    *,
    durability: Durability = "strict",
    disk: FaultyDisk | None = None,
    limits: JournalLimits = LIMITS,
) -> AsyncIterator[JournalWriter]:
    writer = JournalWriter(
        directory,
        gateway_id="gw-1",
        worker_id="w0",
        durability=durability,
        limits=limits,
        disk=disk,
        open_background_sync=background_sync(disk),
    )
    try:
        yield writer
    finally:
        await writer.close(timeout_seconds=5)


def append(writer: JournalWriter, number: int) -> Awaitable[Exception | None]:
    answer: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    writer.append(record(number), answer.set_result)
    return answer


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 what is waited for happens in a thread
            await asyncio.sleep(0.005)


@BOTH
async def test_records_are_read_back_in_the_order_they_were_appended(
    tmp_path: Path, durability: Durability
) -> None:
    async with writing(tmp_path, durability=durability) as writer:
        answers = await asyncio.gather(*(append(writer, number) for number in range(500)))
        assert answers == [None] * 500
    assert read_back(tmp_path) == [record(number) for number in range(500)]
    assert writer.tally.appended == writer.tally.durable == 500


async def test_a_strict_append_is_answered_only_after_its_sync(tmp_path: Path) -> None:
    disk = FaultyDisk()
    async with writing(tmp_path, disk=disk) as writer:
        disk.open.clear()
        answer = asyncio.ensure_future(append(writer, 1))
        await until(lambda: writer.path.read_bytes().count(b"\n") == 2)
        assert not answer.done()
        disk.open.set()
        assert await answer is None


async def test_a_bounded_append_is_answered_from_the_page_cache_and_synced_soon(
    tmp_path: Path,
) -> None:
    disk = FaultyDisk()
    async with writing(tmp_path, durability="bounded", disk=disk) as writer:
        disk.open.clear()
        assert await append(writer, 1) is None
        assert record(1) in writer.path.read_bytes()
        assert writer.tally.durable == 0
        disk.open.set()
        await until(lambda: writer.tally.durable == 1)


async def test_one_sync_serves_everybody_who_waits(tmp_path: Path) -> None:
    disk = FaultyDisk()
    async with writing(tmp_path, disk=disk) as writer:
        await asyncio.gather(*(append(writer, number) for number in range(1000)))
        assert disk.syncs <= 2


async def test_what_arrives_during_a_sync_is_the_next_group(tmp_path: Path) -> None:
    disk = FaultyDisk()
    async with writing(tmp_path, disk=disk) as writer:
        disk.open.clear()
        first = asyncio.ensure_future(append(writer, 0))
        await asyncio.sleep(0)
        others = []
        for number in range(1, 50):
            others.append(asyncio.ensure_future(append(writer, number)))
            await asyncio.sleep(0)
        before = disk.syncs
        disk.open.set()
        await asyncio.gather(first, *others)
        assert disk.syncs - before <= 3


@BOTH
async def test_a_full_disk_refuses_at_once_and_loses_nothing(
    tmp_path: Path, durability: Durability
) -> None:
    disk = FaultyDisk()
    async with writing(tmp_path, durability=durability, disk=disk) as writer:
        assert await append(writer, 1) is None
        size = writer.path.stat().st_size
        disk.bytes_left = 50
        assert isinstance(await append(writer, 2), EvidenceUnavailable)
        assert not writer.healthy
        disk.bytes_left = 0
        assert isinstance(await append(writer, 3), EvidenceUnavailable)
        assert writer.path.stat().st_size == size, "the partial write is still there"
        disk.bytes_left = None
        await until(lambda: writer.healthy)
        assert await append(writer, 4) is None
        await until(lambda: writer.tally.late == 2)
    assert read_back(tmp_path) == [record(number) for number in (1, 2, 3, 4)]


@BOTH
async def test_what_a_caller_says_after_a_refusal_stands_in_the_records_place(
    tmp_path: Path, durability: Durability
) -> None:
    disk = FaultyDisk()
    async with writing(tmp_path, durability=durability, disk=disk) as writer:
        disk.bytes_left = 0
        told: list[Exception | None] = []

        def take_back(error: Exception | None) -> bytes:
            told.append(error)
            return record(2)

        writer.append(record(1), take_back)
        await until(lambda: bool(told))
        disk.bytes_left = None
        await until(lambda: writer.healthy)
    assert read_back(tmp_path) == [record(2)]


@BOTH
async def test_after_a_failed_sync_the_records_stand_in_a_new_segment(
    tmp_path: Path, durability: Durability
) -> None:
    disk = FaultyDisk()
    async with writing(tmp_path, durability=durability, disk=disk) as writer:
        assert await append(writer, 1) is None
        await until(lambda: writer.tally.durable == 1)
        disk.sync_errors = 2
        answer = await append(writer, 2)
        assert (answer is None) == (durability == "bounded")
        await until(lambda: writer.tally.durable == 2 and writer.healthy)
        assert await append(writer, 3) is None
    assert headers(tmp_path) == ["started", "sync_failed"]
    assert read_back(tmp_path) == [record(number) for number in (1, 2, 3)]


async def test_when_a_torn_write_cannot_be_cut_back_the_segment_is_left(tmp_path: Path) -> None:
    disk = FaultyDisk()
    async with writing(tmp_path, disk=disk) as writer:
        assert await append(writer, 1) is None
        first = writer.path
        disk.bytes_left, disk.truncate_fails = 30, True
        assert isinstance(await append(writer, 2), EvidenceUnavailable)
        disk.bytes_left = None
        await until(lambda: writer.healthy)
        assert writer.path != first
    torn: list[Damage] = []
    assert [line.seq for line in read_segment(first, on_damage=torn.append)] == [1, 2]
    assert [damage.torn for damage in torn] == [True]
    lines = list(read_segment(writer.path, on_damage=torn.append))
    assert [line.record for line in lines[1:]] == [record(2)]


@BOTH
async def test_a_disk_that_stands_still_pushes_back_and_recovers(
    tmp_path: Path, durability: Durability
) -> None:
    disk = FaultyDisk()
    async with writing(tmp_path, durability=durability, disk=disk) as writer:
        disk.open.clear()
        first = asyncio.ensure_future(append(writer, 1))
        await until(lambda: not writer.healthy)
        second = asyncio.ensure_future(append(writer, 2))
        assert isinstance(await second, EvidenceUnavailable), "it waited past its deadline"
        disk.open.set()
        await until(lambda: writer.healthy)
        assert (await first is None) == (durability == "bounded")
        await until(lambda: writer.tally.late == (2 if durability == "strict" else 1))
    assert read_back(tmp_path) == [record(1), record(2)]


async def test_a_full_queue_refuses_the_record_itself(tmp_path: Path) -> None:
    disk = FaultyDisk()
    limits = JournalLimits(queue_bytes_max=2 * len(record(1)), waiter_seconds=0.3)
    async with writing(tmp_path, disk=disk, limits=limits) as writer:
        disk.open.clear()
        kept = [asyncio.ensure_future(append(writer, number)) for number in (1, 2)]
        assert isinstance(await append(writer, 3), EvidenceUnavailable)
        assert writer.tally.refused == 1
        assert not writer.healthy
        disk.open.set()
        assert await asyncio.gather(*kept) == [None, None]
        await until(lambda: writer.healthy)
    assert read_back(tmp_path) == [record(1), record(2)]


@BOTH
async def test_segments_turn_over_and_the_chain_goes_on(
    tmp_path: Path, durability: Durability
) -> None:
    limits = JournalLimits(segment_bytes_max=2000)
    async with writing(tmp_path, durability=durability, limits=limits) as writer:
        for number in range(60):
            assert await append(writer, number) is None
        live = [is_live(tmp_path / name.file_name) for name in list_segments(tmp_path)]
        assert live == [False] * (len(live) - 1) + [True]
    assert len(list_segments(tmp_path)) > 3
    assert read_back(tmp_path) == [record(number) for number in range(60)]
    chain = ""
    for name in list_segments(tmp_path):
        lines = list(read_segment(tmp_path / name.file_name, on_damage=lambda _damage: None))
        header = decode_header(lines[0].record)
        assert header.previous_chain == (chain or "0" * 64)
        chain = lines[-1].chain.hex()


async def test_a_writer_that_begins_on_a_full_disk_begins_when_there_is_room(
    tmp_path: Path,
) -> None:
    disk = FaultyDisk()
    disk.bytes_left = 0
    async with writing(tmp_path, disk=disk) as writer:
        assert not writer.healthy
        assert isinstance(await append(writer, 1), EvidenceUnavailable)
        disk.bytes_left = None
        await until(lambda: writer.healthy)
    assert read_back(tmp_path) == [record(1)]


async def test_files_are_private_and_locked_while_their_writer_lives(tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    async with writing(directory) as writer:
        assert stat.S_IMODE(writer.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        with writer.path.open("rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not is_live(writer.path)


async def test_a_clock_that_was_set_back_does_not_put_a_new_run_before_an_old_one(
    tmp_path: Path,
) -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    for hours in (0, -5, -5):
        writer = JournalWriter(
            tmp_path,
            gateway_id="gw-1",
            worker_id="w0",
            clock=lambda hours=hours: noon + timedelta(hours=hours),  # type: ignore[misc]
        )
        assert await append(writer, hours) is None
        await writer.close()
    started = [name.started_unix_ms for name in list_segments(tmp_path)]
    assert started == sorted(set(started))
    assert read_back(tmp_path) == [record(0), record(-5), record(-5)]


async def test_durability_may_change_while_records_are_under_way(tmp_path: Path) -> None:
    limits = JournalLimits(segment_bytes_max=20_000)
    async with writing(tmp_path, limits=limits) as writer:
        answers = []
        for number in range(600):
            if number % 7 == 0:
                writer.durability = "bounded" if writer.durability == "strict" else "strict"
            answers.append(asyncio.ensure_future(append(writer, number)))
            if number % 3 == 0:
                await asyncio.sleep(0)
        assert set(await asyncio.gather(*answers)) == {None}
        await until(lambda: writer.tally.durable == 600)
    assert read_back(tmp_path) == [record(number) for number in range(600)]


async def test_a_kernel_that_offers_no_background_sync_is_done_without(tmp_path: Path) -> None:
    class Refuses:
        def begin(self, _descriptor: int) -> None:
            raise OSError(22, "Invalid argument")

        def close(self) -> None:
            pass

    writer = JournalWriter(
        tmp_path,
        gateway_id="gw-1",
        worker_id="w0",
        open_background_sync=lambda _loop, _on_synced: Refuses(),
    )
    assert await asyncio.gather(*(append(writer, number) for number in range(10))) == [None] * 10
    assert writer.healthy
    await writer.close()
    assert read_back(tmp_path) == [record(number) for number in range(10)]


async def test_a_closed_writer_refuses(tmp_path: Path) -> None:
    async with writing(tmp_path) as writer:
        pass
    assert not writer.healthy
    assert isinstance(await append(writer, 1), EvidenceUnavailable)


async def test_closing_on_a_disk_that_refuses_says_how_much_was_lost(tmp_path: Path) -> None:
    disk = FaultyDisk()
    writer = JournalWriter(
        tmp_path,
        gateway_id="gw-1",
        worker_id="w0",
        disk=disk,
        open_background_sync=background_sync(disk),
    )
    disk.bytes_left = 0
    assert isinstance(await append(writer, 1), EvidenceUnavailable)
    with pytest.raises(EvidenceUnavailable, match="1 records could not be written"):
        await writer.close(timeout_seconds=0.1)


async def test_a_callback_that_raises_does_not_keep_the_others_waiting(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    reported: list[str] = []
    loop.set_exception_handler(lambda _loop, context: reported.append(context["message"]))

    def raises(_error: Exception | None) -> None:
        raise ValueError

    async with writing(tmp_path) as writer:
        writer.append(record(1), raises)
        assert await append(writer, 2) is None
    assert reported == ["a journal callback raised"]


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "a b"])
def test_a_name_that_would_confuse_file_names_is_refused(tmp_path: Path, name: str) -> None:
    async def make() -> None:
        with pytest.raises(ValueError, match="cannot name a journal"):
            JournalWriter(tmp_path, gateway_id="gw-1", worker_id=name)

    asyncio.run(make())


def test_names_are_read_back_and_other_files_are_not_segments() -> None:
    name = SegmentName("gw-1", "w0", 1_700_000_000_000, 12)
    assert name.file_name == "gw-1.w0.1700000000000.000012.jsonl"
    assert SegmentName.parse(name.file_name) == name
    assert SegmentName.parse(f".{name.file_name}.new") is None
    assert SegmentName.parse("README") is None


def test_a_leftover_of_a_dead_writer_is_never_listed(tmp_path: Path) -> None:
    (tmp_path / ".gw-1.w0.1.000000.jsonl.new").touch()
    (tmp_path / "folder").mkdir()
    assert list_segments(tmp_path) == []
