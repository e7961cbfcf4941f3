"""Hearing of changes across lost connections."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from kintsugi.store.changes import CHANNELS, PostgresChanges
from tests.databases import Server

pytestmark = pytest.mark.postgres


@pytest.fixture
def changes(conninfo: str) -> Iterator[PostgresChanges]:
    with closing(PostgresChanges(conninfo)) as listening:
        yield listening


def notify(conninfo: str, *channels: str) -> None:
    """In one transaction, so that a listener hears of all at once."""
    with psycopg.connect(conninfo) as connection:
        for channel in channels:
            connection.execute("SELECT pg_notify(%s, '')", [f"kt_{channel}"])


def disconnect_others(conninfo: str) -> None:
    with psycopg.connect(conninfo) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_several_changes_are_told_together(conninfo: str, changes: PostgresChanges) -> None:
    notify(conninfo, "events", "exports", "events")
    assert changes.wait(timeout_seconds=60) == {"events", "exports"}
    assert changes.wait(timeout_seconds=0) == frozenset()


def test_everything_counts_as_changed_after_a_lost_connection(
    conninfo: str, changes: PostgresChanges
) -> None:
    disconnect_others(conninfo)
    notify(conninfo, "exports")  # which nobody hears
    assert changes.wait(timeout_seconds=60) == frozenset(CHANNELS)
    notify(conninfo, "events")
    assert changes.wait(timeout_seconds=60) == {"events"}


def test_a_connection_that_is_lost_while_waiting_is_renewed(
    conninfo: str, changes: PostgresChanges
) -> None:
    heard: list[frozenset[str]] = []
    waiter = threading.Thread(target=lambda: heard.append(changes.wait(timeout_seconds=30)))
    waiter.start()
    disconnect_others(conninfo)
    waiter.join(timeout=20)
    assert heard == [frozenset(CHANNELS)]


def test_a_database_that_is_away_is_waited_for(server: Server) -> None:
    changes = PostgresChanges(server.conninfo("kt_later"))
    assert changes.wait(timeout_seconds=0.05) == frozenset()
    with psycopg.connect(server.handle.conninfo, autocommit=True) as connection:
        connection.execute("CREATE DATABASE kt_later")
    assert changes.wait(timeout_seconds=10) == frozenset(CHANNELS)
    changes.close()
    server.drop(server.conninfo("kt_later"))
