"""The database is killed, starved and cut off: nothing that was acknowledged is ever lost."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from kintsugi.errors import DatabaseUnusable, KintsugiError, StoreUnavailable
from kintsugi.model.event_filter import EventFilter
from kintsugi.store import PostgresStores, open_stores
from kintsugi.store.embedded import Embedded
from kintsugi.store.remains import server_processes
from tests.databases import NOON, reachable_folder
from tests.store.made import event, said
from tests.store.processes import root_only

pytestmark = [pytest.mark.faults, pytest.mark.postgres]

EVERYTHING = EventFilter()


@pytest.fixture
def state() -> Iterator[Path]:
    with reachable_folder() as folder:
        yield folder / "state"


def until(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    """Wait for something that takes a moment."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


class Writer:
    """Stores events without pause, and remembers which were acknowledged."""

    def __init__(self, stores: PostgresStores) -> None:
        self.acknowledged: list[str] = []
        self.refused = 0
        self.surprises: list[KintsugiError] = []
        self._stores = stores
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            batch = [event(number * 10 + place, user_id=f"u{number}") for place in range(5)]
            while not self._stop.is_set():
                try:
                    self._stores.events.append(batch)
                except StoreUnavailable:
                    self.refused += 1
                    time.sleep(0.01)
                except KintsugiError as error:
                    self.surprises.append(error)
                    return
                else:
                    self.acknowledged += [one.id for one in batch]
                    break


def stored(stores: PostgresStores) -> list[str]:
    tail = stores.events.tail(after=0, where=EVERYTHING, limit=10**6)
    assert [one.position for one in tail] == list(range(1, len(tail) + 1))
    return [one.event.id for one in tail]


def test_a_server_killed_under_load_loses_nothing_that_was_acknowledged(state: Path) -> None:
    database = Embedded(state)
    handle = database.start()
    with open_stores(handle.conninfo, now=lambda: NOON) as stores:
        writer = Writer(stores)
        for kill in (signal.SIGKILL, signal.SIGQUIT, signal.SIGKILL):
            before = len(writer.acknowledged)
            until(lambda before=before: len(writer.acknowledged) > before + 20)  # type: ignore[misc]
            refused = writer.refused
            assert handle.pid is not None
            os.kill(handle.pid, kill)
            until(lambda refused=refused: writer.refused > refused)  # type: ignore[misc]
            handle = database.start()
        before = len(writer.acknowledged)
        until(lambda: len(writer.acknowledged) > before + 20)
        writer.stop()
        assert writer.surprises == []
        found = stored(stores)
        assert set(writer.acknowledged) <= set(found)
        assert len(found) == len(set(found))
        assert sum(stores.events.stored_by_gateway().values()) == len(found)
    database.release()


def test_a_machine_that_loses_its_power_starts_again_with_what_was_acknowledged(
    state: Path,
) -> None:
    first = Embedded(state)
    with open_stores(first.start().conninfo, now=lambda: NOON) as stores:
        writer = Writer(stores)
        until(lambda: len(writer.acknowledged) > 50)
        # Every process at once, without a chance to write anything more.
        for pid in server_processes(state / "postgres" / "data"):
            os.kill(pid, signal.SIGKILL)
        writer.stop()
    with (
        Embedded(state) as handle,
        open_stores(handle.conninfo, now=lambda: NOON) as after,
    ):
        assert set(writer.acknowledged) <= set(stored(after))
    first.release()


def test_a_killed_backend_costs_its_own_transaction_only(state: Path) -> None:
    with (
        Embedded(state) as handle,
        open_stores(handle.conninfo, now=lambda: NOON) as stores,
    ):
        writer = Writer(stores)
        until(lambda: len(writer.acknowledged) > 20)
        with psycopg.connect(handle.conninfo, autocommit=True) as connection:
            for _ in range(10):
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                before = len(writer.acknowledged)
                until(lambda before=before: len(writer.acknowledged) > before + 5)  # type: ignore[misc]
        writer.stop()
        assert writer.surprises == []
        assert set(writer.acknowledged) <= set(stored(stores))


def test_connections_that_died_while_idle_fail_no_request(state: Path) -> None:
    with (
        Embedded(state) as handle,
        open_stores(handle.conninfo, now=lambda: NOON) as stores,
    ):
        stores.events.append([event(1)])
        with psycopg.connect(handle.conninfo, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert stores.events.append([event(2)]).stored == 1


def test_every_store_says_unavailable_while_the_database_is_away(state: Path) -> None:
    database = Embedded(state)
    with open_stores(database.start().conninfo, now=lambda: NOON) as stores:
        stores.events.append([event(1)])
        assert stores.changes.wait(timeout_seconds=60) == {"events"}
        database.release()
        for ask in (
            lambda: stores.events.append([event(2)]),
            lambda: stores.events.get(event(1).id),
            lambda: stores.events.page(EVERYTHING, limit=5),
            lambda: next(stores.events.scan(EVERYTHING, payload=False)),
            lambda: stores.events.index_pending(limit=5),
            lambda: stores.configurations.list(),
            lambda: stores.gateways.list(),
            lambda: stores.tokens.find("aa"),
            lambda: stores.exports.claim(now=NOON, stale_after_seconds=5),
            lambda: stores.idempotency.find("a", "b", now=NOON),
            lambda: stores.query.run("SELECT 1", row_limit=1, timeout_seconds=1),
            stores.ping,
        ):
            with pytest.raises(StoreUnavailable):
                ask()
        assert stores.changes.wait(timeout_seconds=0.01) == frozenset()
        database.start()
        until(lambda: answers(stores))
        assert stores.events.get(event(1).id) == event(1)
        assert "events" in stores.changes.wait(timeout_seconds=10)
    database.release()


def answers(stores: PostgresStores) -> bool:
    try:
        stores.ping()
    except StoreUnavailable:
        return False
    return True


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Path]:
    """A disk of this size; the test is skipped where nobody may mount one."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def resize(disk: Path, *, megabytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={megabytes}m", str(disk)], check=True)


@root_only
def test_a_disk_too_small_for_a_database_is_said_and_leaves_nothing(state: Path) -> None:
    with small_disk(state.parent / "tiny", megabytes=12) as disk:
        with pytest.raises(DatabaseUnusable, match="No space left on device"):
            Embedded(disk / "state").start()
        assert not (disk / "state" / "postgres" / "data").exists()
        resize(disk, megabytes=300)
        with Embedded(disk / "state") as handle:
            psycopg.connect(handle.conninfo).close()


@root_only
def test_a_full_disk_refuses_and_recovers_without_a_restart_of_ours(state: Path) -> None:
    with small_disk(state.parent / "small", megabytes=150) as disk:
        database = Embedded(disk / "state")
        handle = database.start()
        with open_stores(handle.conninfo, now=lambda: NOON) as stores:
            acknowledged: list[str] = []

            def fill() -> None:
                for first in range(0, 10_000, 20):
                    batch = [said(first + place, os.urandom(40_000).hex()) for place in range(20)]
                    stores.events.append(batch)
                    acknowledged.extend(one.id for one in batch)

            with pytest.raises(StoreUnavailable):
                fill()
            resize(disk, megabytes=400)

            def back() -> bool:
                # What the control plane's keeper does when the server does not answer.
                database.start()
                return answers(stores)

            until(back)
            assert stores.events.append([event(10_000)]).stored == 1
            assert set(acknowledged) <= set(stored(stores))
        database.release()
