"""What the log and the journals' chain cost at ingest, beside the same ingest without them.

A batch goes the way of ``POST /v1/events`` without the sockets: bytes to events, and into the
embedded database. Three variants take turns, batch by batch, on one database, so that all meet the
same machine; medians are given, and read as ratios.

    python -m benchmarks.ingest_log [--batches 60] [--size 1000]
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.store import made_event
from kintsugi.api.ingest import decode_batch, store_batch
from kintsugi.ledger.journal_ranges import RangesLine
from kintsugi.model.journal import JournalRange, Link
from kintsugi.store import PostgresStores, events, open_stores
from kintsugi.store.embedded import Embedded

MOMENT = timedelta(milliseconds=20)
SERIES = "gw-1.w0.1776934800000"
START = datetime(2026, 4, 18, tzinfo=UTC)


class Journal:
    """A chain of records, as a worker's journal makes it."""

    def __init__(self) -> None:
        self._seq = 0
        self._chain = bytes(32)

    def told(self, records: Sequence[bytes]) -> bytes:
        """The line that tells where these records stand."""
        before, first, links = self._chain.hex(), self._seq + 1, []
        for record in records:
            self._seq += 1
            after = sha256(self._chain + record).digest()
            links.append(Link(self._seq, self._chain.hex(), after.hex()))
            self._chain = after
        told = JournalRange(SERIES, first, self._seq, before, self._chain.hex(), tuple(links))
        return msgspec.json.encode(RangesLine((told,)))


def timed(stores: PostgresStores, body: bytes) -> float:
    """Seconds to take one batch in."""
    began = time.perf_counter()
    taken = store_batch(stores.events, decode_batch(body, "application/x-ndjson"))
    assert not taken.duplicates
    assert not taken.missing
    return time.perf_counter() - began


def nothing(*_arguments: Any, **_named: Any) -> None:
    """In place of the log."""


def main() -> None:
    """Take the variants in turns, and print the medians."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ingest_log", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--batches", type=int, default=60, help="Of each variant.")
    parser.add_argument("--size", type=int, default=1000, help="Events in a batch.")
    given = parser.parse_args()
    variants = ("neither", "log", "log and journal chain")
    spent: dict[str, list[float]] = {variant: [] for variant in variants}
    journal, number, dice = Journal(), 0, random.Random(1)
    add_to_log = events._add_to_log
    with tempfile.TemporaryDirectory(prefix="kt-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with (
            Embedded(folder / "state") as handle,
            open_stores(handle.conninfo, now=lambda: START + timedelta(days=7)) as stores,
        ):
            for turn in range(given.batches + 3):
                for variant in variants:
                    made = [
                        made_event(dice, place, START + place * MOMENT)
                        for place in range(number, number + given.size)
                    ]
                    number += given.size
                    records = [msgspec.json.encode(one) for one in made]
                    lines = [journal.told(records)] if variant == variants[2] else []
                    events._add_to_log = nothing if variant == variants[0] else add_to_log
                    seconds = timed(stores, b"\n".join([*lines, *records]))
                    if turn >= 3:  # the first ones make months, plans and caches
                        spent[variant].append(seconds)
            events._add_to_log = add_to_log
    base = statistics.median(spent[variants[0]])
    print(f"{given.batches} batches of {given.size} each, in turns")
    for variant in variants:
        median = statistics.median(spent[variant])
        print(
            f"{variant:24} {median * 1000:7.1f} ms a batch, {median / given.size * 1e6:6.1f} µs an "
            f"event, {median / base:5.2f}"
        )


if __name__ == "__main__":
    main()
