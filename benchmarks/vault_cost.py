"""What sealing costs: ingest of the same events with the vault and without, turn by turn.

    python -m benchmarks.vault_cost [--events 60000] [--folder DIR]

Three kinds of traffic: users who come back, as most do; a new user in every event; and exchanges
that name nobody, each of which gets a key of its own. The gateway is not in it: sealing happens
where events are stored, so its answers wait for none of this.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import psycopg

from benchmarks.store import BATCH, NOW, Meter, append, made_batches, report
from kintsugi.model.event import DecisionEvent
from kintsugi.model.event_filter import EventFilter
from kintsugi.store import open_stores
from kintsugi.store.embedded import DatabaseHandle, Embedded
from kintsugi.vault.key_sources import FileKeys
from kintsugi.vault.sealing import new_key, seal, unseal

Change = Callable[[DecisionEvent, int], DecisionEvent]
TURNS = 5


def _as_made(event: DecisionEvent, _: int) -> DecisionEvent:
    return event


def _new_user(event: DecisionEvent, number: int) -> DecisionEvent:
    return msgspec.structs.replace(event, user_id=f"new-{number}")


def _nobody(event: DecisionEvent, _: int) -> DecisionEvent:
    return msgspec.structs.replace(event, user_id="", session_id="")


TRAFFIC: dict[str, Change] = {
    "users who come back": _as_made,
    "a new user each": _new_user,
    "nobody named": _nobody,
}


def main() -> None:
    """Run everything once and print it."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=60_000)
    arguments.add_argument("--folder", type=Path, default=None)
    given = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kt-bench-", dir=given.folder))
    folder.chmod(0o755)
    try:
        pure()
        with Embedded(folder, tell=print) as server:
            print(f"PostgreSQL {server.version}, {given.events:,} events, {os.cpu_count()} cores")
            for name, change in TRAFFIC.items():
                side_by_side(server, folder, name, change, given.events)
    finally:
        shutil.rmtree(folder)


def pure() -> None:
    """Sealing and opening alone, in this thread."""
    [batch] = made_batches(BATCH)
    texts = [msgspec.json.encode(event.payload) for event in batch]
    key, data_key, event = new_key(), bytes(16), bytes(16)
    started = time.perf_counter()
    made = [seal(text, key, data_key=data_key, event=event) for text in texts]
    sealed = time.perf_counter()
    for one in made:
        unseal(one.data, key, data_key=data_key, event=event)
    opened = time.perf_counter()
    size = sum(map(len, texts)) / len(texts)
    small = sum(len(one.data) for one in made) / len(made)
    print(
        f"sealing {size:,.0f} bytes takes {(sealed - started) / BATCH * 1e6:.0f} us and leaves "
        f"{small:,.0f}; opening them {(opened - sealed) / BATCH * 1e6:.0f} us"
    )


def side_by_side(
    server: DatabaseHandle, folder: Path, name: str, change: Change, total: int
) -> None:
    """The same batches into two databases, a few into one and a few into the other."""
    batches = [
        [change(event, number * BATCH + place) for place, event in enumerate(batch)]
        for number, batch in enumerate(made_batches(total))
    ]
    conninfos = []
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        for kind in ("open", "sealed"):
            database = f"{kind}_{abs(hash(name))}"
            connection.execute(f"CREATE DATABASE {database}".encode())
            conninfos.append(psycopg.conninfo.make_conninfo(server.conninfo, dbname=database))
    meter = Meter(folder / "postgres" / "data")
    with (
        open_stores(conninfos[0], now=lambda: NOW) as without,
        open_stores(conninfos[1], now=lambda: NOW, keys=[FileKeys(folder / "key")]) as sealing,
    ):
        turn = max(1, len(batches) // TURNS)
        print(f"\n{name}")
        for first in range(0, len(batches), turn):
            part: Sequence[Sequence[DecisionEvent]] = batches[first : first + turn]
            for label, stores in (("  open", without), ("  sealed", sealing)):
                report(label, meter.of(lambda: append(stores, part)), part)  # noqa: B023
        for label, stores in (("open", without), ("sealed", sealing)):
            started = time.monotonic()
            read = sum(1 for _ in stores.events.scan(EventFilter(), payload=True))
            print(f"  {label}: {read / (time.monotonic() - started):,.0f} events/s read back")


if __name__ == "__main__":
    main()
