"""How the stores end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from kintsugi.errors import StoreUnavailable
from kintsugi.model.stores import Changes
from kintsugi.store import open_stores
from kintsugi.store.memory import memory_stores
from tests.databases import KINDS, Servers


@pytest.fixture(params=["memory", *KINDS])
def changes(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Changes]:
    """A listener that the test may close."""
    if request.param == "memory":
        yield memory_stores().changes
        return
    with open_stores(servers.get(request.param).create()) as stores:
        yield stores.changes


def test_closing_wakes_whoever_waits_for_changes(changes: Changes) -> None:
    left = threading.Event()

    def wait() -> None:
        changes.wait(timeout_seconds=60)
        left.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    changes.close()
    assert left.wait(timeout=10)
    waiter.join()
    assert changes.wait(timeout_seconds=60) == frozenset()
    changes.close()


@pytest.mark.parametrize("kind", KINDS)
def test_closed_stores_are_unavailable(servers: Servers, kind: str) -> None:
    stores = open_stores(servers.get(kind).create())
    stores.ping()
    stores.close()
    with pytest.raises(StoreUnavailable):
        stores.events.last_position()
