"""What the journal costs: per append, and per second with many that wait.

    python -m benchmarks.journal_cost [--directory DIR] [--records 20000]

Prints the cost of encoding a line, of an append as the event loop sees it, and group commit with
1 to 1,000 callers that each wait for their record, beside a plain loop that writes and syncs one
record at a time on the same disk.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Literal

import uvloop

from kintsugi.ledger.journal import CHAIN_START, Position, encode_line, scan
from kintsugi.ledger.journal_writer import JournalWriter

RECORD = b'{"kind":"decision","id":"' + b"0" * 36 + b'","payload":"' + b"x" * 1100 + b'"}'


def encode_microseconds(count: int) -> float:
    """One line: CRC, chain and format."""
    chain = CHAIN_START
    began = time.perf_counter()
    for seq in range(count):
        _, chain = encode_line(RECORD, seq, chain)
    return (time.perf_counter() - began) / count * 1e6


def scan_microseconds(count: int, *, verify_chain: bool) -> float:
    """One line read back."""
    chain, lines = CHAIN_START, []
    for seq in range(1, count + 1):
        line, chain = encode_line(RECORD, seq, chain)
        lines.append(line)
    data = b"".join(lines)
    began = time.perf_counter()
    found = scan(data, after=Position(0, CHAIN_START), verify_chain=verify_chain)
    assert len(found.lines) == count
    return (time.perf_counter() - began) / count * 1e6


def plain_per_second(directory: Path, seconds: float) -> float:
    """Write and fdatasync one record at a time."""
    descriptor = os.open(directory / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        os.write(descriptor, RECORD)
        os.fdatasync(descriptor)
        count += 1
    os.close(descriptor)
    return count / (time.perf_counter() - began)


async def append_microseconds(
    directory: Path, durability: Literal["strict", "bounded"], count: int
) -> float:
    """The loop's share of an append: median over bursts of 100."""
    writer = JournalWriter(
        directory, gateway_id="gw-bench", worker_id=f"a-{durability}", durability=durability
    )
    costs = []
    for _ in range(count // 100):
        began = time.perf_counter()
        for _ in range(100):
            writer.append(RECORD, _ignore)
        costs.append((time.perf_counter() - began) / 100 * 1e6)
        await asyncio.sleep(0.001)
    await writer.close()
    return median(costs)


async def waiting_per_second(
    directory: Path, durability: Literal["strict", "bounded"], callers: int, seconds: float
) -> tuple[float, float]:
    """Records per second with so many callers that each wait, and the median wait in ms."""
    writer = JournalWriter(
        directory,
        gateway_id="gw-bench",
        worker_id=f"w-{durability}-{callers}",
        durability=durability,
    )
    loop = asyncio.get_running_loop()
    waits: list[float] = []
    began = time.perf_counter()

    async def caller() -> None:
        while time.perf_counter() - began < seconds:
            durable: asyncio.Future[Exception | None] = loop.create_future()
            since = time.perf_counter()
            writer.append(RECORD, durable.set_result)
            await durable
            waits.append(time.perf_counter() - since)

    await asyncio.gather(*(caller() for _ in range(callers)))
    taken = time.perf_counter() - began
    await writer.close()
    return len(waits) / taken, median(waits) * 1e3


def _ignore(_: Exception | None) -> None:
    pass


def main() -> None:
    """Run everything and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--directory", type=Path, default=None)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        directory = Path(name)
        print(f"record                    {len(RECORD):>10} bytes")
        print(f"encode a line             {encode_microseconds(options.records):>10.2f} µs")
        for verify, label in ((False, "CRC only"), (True, "CRC and chain")):
            cost = scan_microseconds(options.records, verify_chain=verify)
            print(f"read a line, {label:<13}{cost:>10.2f} µs")
        for durability in _MODES:
            cost = uvloop.run(append_microseconds(directory, durability, options.records))
            print(f"append, {durability:<18}{cost:>10.2f} µs")
        print(f"plain write + fdatasync   {plain_per_second(directory, options.seconds):>10.0f} /s")
        for durability in _MODES:
            for callers in (1, 10, 100, 1000):
                rate, wait = uvloop.run(
                    waiting_per_second(directory, durability, callers, options.seconds)
                )
                print(f"{durability:<8} {callers:>5} waiting   {rate:>11.0f} /s {wait:>8.2f} ms")


_MODES: tuple[Literal["strict", "bounded"], ...] = ("strict", "bounded")


if __name__ == "__main__":
    main()
