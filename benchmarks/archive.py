"""An archived month beside the same month in the database: how large it is, how fast it is read.

    python -m benchmarks.archive [--events 100000] [--folder DIR]

The same made-up decisions in two months; one of them is archived to a folder on the same disk.
Every read is done on both; the first one of the archived month fetches the file and checks its
digest, the others read its copy.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import psycopg

from benchmarks.store import BATCH, DAYS, START, made_event, median_ms
from kintsugi.model.archive import Archive
from kintsugi.model.event import DecisionEvent
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.ids import uuid7
from kintsugi.model.verdict import Verdict
from kintsugi.store import PostgresStores, open_stores
from kintsugi.store.archive_shelf import Place
from kintsugi.store.embedded import DatabaseHandle, Embedded
from kintsugi.vault.key_sources import FileKeys

LATER = START + timedelta(days=61)
NOW = LATER + timedelta(days=DAYS)
COLD, HOT = f"{START:%Y-%m}", f"{LATER:%Y-%m}"
TURNS = 3


def main() -> None:
    """Run everything once and print it."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=100_000)
    arguments.add_argument("--folder", type=Path, default=None)
    given = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kt-bench-", dir=given.folder))
    folder.chmod(0o755)
    try:
        with Embedded(folder, tell=print) as server:
            print(f"PostgreSQL {server.version}, {given.events:,} events a month")
            measure(server, folder, given.events)
    finally:
        shutil.rmtree(folder)


def measure(server: DatabaseHandle, folder: Path, total: int) -> None:
    """Fill, archive, read."""
    place = Place((folder / "archive").as_uri(), folder / "copies")
    keys = [FileKeys(folder / "key")]
    with open_stores(server.conninfo, now=lambda: NOW, keys=keys, archive=place) as stores:
        some = {month: fill(stores, at, total) for month, at in ((COLD, START), (HOT, LATER))}
        while stores.events.index_pending(limit=2000):
            pass
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        size = next(one for one in stores.archives.months() if one.month == COLD)
        started = time.monotonic()
        archive = archived(stores)
        print(f"archived: {total / (time.monotonic() - started):,.0f} events/s, checks included")
        each = {
            "in the database, before": size.moving_bytes + size.staying_bytes,
            "  of it, what stays there": size.staying_bytes,
            "in the archive": archive.bytes,
        }
        for name, count in each.items():
            print(f"{name:28} {count / total:8,.0f} bytes/event")
        reads(stores, some, folder / "copies")


def fill(stores: PostgresStores, start: datetime, total: int) -> DecisionEvent:
    """Store a month of events; one in the middle of it."""
    dice = random.Random(7)
    step = timedelta(days=DAYS) / total
    for first in range(0, total, BATCH):
        batch = [
            made_event(dice, number, start + number * step)
            for number in range(first, min(first + BATCH, total))
        ]
        stores.events.append(batch)
        if first <= total // 2:
            middle = batch[0]
    return middle


def archived(stores: PostgresStores) -> Archive:
    """Archive the older month."""
    made = Archive(
        id=uuid7(int(NOW.timestamp() * 1000), os.urandom(10)),
        month=COLD,
        created_at=NOW,
        created_by="benchmark",
        actor="benchmark",
    )
    stores.archives.request(made)
    archive = stores.archives.claim(now=NOW, stale_after_seconds=60)
    while archive is not None and archive.state == "running":
        archive = stores.archives.step(archive, now=NOW)
    assert archive is not None
    return archive


def reads(stores: PostgresStores, some: dict[str, DecisionEvent], copies: Path) -> None:
    """The same reads of both months."""
    print(f"\n{'':30} {'database':>10} {'archive':>10} {'first':>10}  ms")
    events = stores.events

    def where(month: str, **more: object) -> EventFilter:
        start = START if month == COLD else LATER
        return EventFilter(since=start, until=start + timedelta(days=DAYS), **more)  # type: ignore[arg-type]

    kinds: dict[str, Callable[[str], object]] = {
        "one event with content": lambda month: events.get(some[month].id),
        "newest 50": lambda month: events.page(where(month), limit=50),
        "newest 50 blocked": lambda month: events.page(
            where(month, verdict=Verdict.BLOCK), limit=50
        ),
        "newest 50 of a user": lambda month: events.page(
            where(month, user=some[month].user_id), limit=50
        ),
        "count of a user": lambda month: events.count(
            where(month, user=some[month].user_id), ceiling=10_001
        ),
        "where it is in the log": lambda month: stores.log.event(some[month].id),
    }
    for name, read in kinds.items():
        shutil.rmtree(copies, ignore_errors=True)
        started = time.perf_counter()
        read(COLD)
        first = (time.perf_counter() - started) * 1000
        hot, cold = median_ms(lambda: read(HOT)), median_ms(lambda: read(COLD))  # noqa: B023
        print(f"{name:30} {hot:10,.1f} {cold:10,.1f} {first:10,.1f}")
    for turn in range(TURNS):
        rates = []
        for month in (HOT, COLD):
            started = time.monotonic()
            count = sum(1 for _ in events.scan(where(month), payload=True))
            rates.append(count / (time.monotonic() - started))
        print(f"scan with content, turn {turn + 1}: {rates[0]:,.0f} and {rates[1]:,.0f} events/s")


if __name__ == "__main__":
    main()
