"""Threads beside the requests: they go on whatever one of their steps does."""

from __future__ import annotations

import threading

import structlog
from structlog.testing import capture_logs

from kintsugi.api.background import Background
from kintsugi.api.feed import ChangeFeed
from kintsugi.errors import StoreUnavailable
from kintsugi.store.memory_changes import MemoryChanges


def test_a_step_that_fails_ends_neither_the_others_nor_the_thread() -> None:
    structlog.reset_defaults()
    rounds = 0
    enough = threading.Event()

    def away() -> bool:
        raise StoreUnavailable("the database is away")

    def broken() -> bool:
        raise ZeroDivisionError

    def working() -> bool:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            enough.set()
        return True

    feed = ChangeFeed(MemoryChanges())
    background = Background(
        "trial", (away, broken, working), feed, channel="exports", look_every_seconds=60
    )
    with capture_logs() as said:
        background.start()
        assert enough.wait(10)
        background.close()
    assert background.stopping
    assert {one["event"] for one in said} == {"background.unavailable", "background.failed"}


def test_it_waits_for_news_where_there_is_nothing_to_do() -> None:
    looked = threading.Semaphore(0)

    def look() -> bool:
        looked.release()
        return False

    feed = ChangeFeed(MemoryChanges())
    background = Background("trial", (look,), feed, channel="exports", look_every_seconds=60)
    background.start()
    assert looked.acquire(timeout=10)
    assert not looked.acquire(timeout=0.1)
    feed.announce(("exports",))
    assert looked.acquire(timeout=10)
    background.close()
