"""Runs of retention for tests of the stores."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from kintsugi.model.ids import uuid7
from kintsugi.model.retention import (
    DEFAULTS,
    REMOVABLE,
    ClassName,
    RetentionPolicy,
    RetentionRun,
    changed,
)
from kintsugi.model.stores import Stores
from tests.databases import NOON

DAY = timedelta(days=1)


def wanted(number: int = 1, *, at: datetime = NOON) -> RetentionRun:
    """A run that somebody asks for."""
    identifier = uuid7(int(at.timestamp() * 1000), number.to_bytes(10, "big"))
    return RetentionRun(identifier, "queued", "ana/t1", "a test", at)


def keep(stores: Stores, *, now: datetime = NOON, **days: int | None) -> None:
    """Decide how long some classes are kept."""
    before = stores.retention.settings()
    policies = [RetentionPolicy(_name(name), value) for name, value in days.items()]
    after = changed(before, policies, by="ana/t1", reason="decided", now=now)
    stores.retention.change(after, expected_version=before.version)


def claimed(stores: Stores, number: int = 1, *, now: datetime = NOON) -> RetentionRun:
    """A run that begins now."""
    stores.retention.request(wanted(number, at=now))
    run = stores.retention.claim(now=now, stale_after_seconds=60)
    assert run is not None
    return run


def through(
    stores: Stores, run: RetentionRun, *names: str, limit: int = 2, now: datetime = NOON
) -> RetentionRun:
    """The run once these classes are through; all of them where none is named."""
    for name in names or REMOVABLE:
        while run.of(name).outcome != "done":
            run = stores.retention.remove(run, _name(name), limit=limit, now=now)
    return run


def run_all(stores: Stores, number: int = 1, *, now: datetime = NOON, **more: Any) -> RetentionRun:
    """One whole run."""
    run = through(stores, claimed(stores, number, now=now), now=now, **more)
    return stores.retention.finish(run, now=now)


def _name(name: str) -> ClassName:
    return next(one for one in (*REMOVABLE, *(p.name for p in DEFAULTS.policies)) if one == name)
