"""Several processes run the suite side by side; a test marked `alone` has the machine to itself."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# Each one starts database servers and instances of its own.
_PROCESSES_MAX = 8
_FOLDER = "kt_turns"
_FOLDER_KEY = pytest.StashKey[Path]()
_TURNS_KEY = pytest.StashKey["Turns"]()


class Turns:
    """Who may run a test now: any number of ordinary ones, or a single one that is alone.

    Locks of files, because the system takes them back from a process that was killed.
    """

    def __init__(self, folder: Path) -> None:
        # Open for the life of the process.
        self._queue = (folder / "queue").open("w")
        self._machine = (folder / "machine").open("w")

    def close(self) -> None:
        """Give back what is held."""
        self._queue.close()
        self._machine.close()

    @contextmanager
    def turn(self, *, alone: bool) -> Iterator[None]:
        """Wait until this test may run, and keep others away as long as it does."""
        # Whoever waits keeps the queue closed behind it, so that nobody overtakes it for ever.
        fcntl.flock(self._queue, fcntl.LOCK_EX)
        fcntl.flock(self._machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._queue, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._machine, fcntl.LOCK_UN)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: a process for each core that we may use; on a single core, this one alone."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, _PROCESSES_MAX) if (cores or 1) > 1 else 0


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each process where the locks are."""
    stash = node.config.stash
    if _FOLDER_KEY not in stash:
        stash[_FOLDER_KEY] = Path(tempfile.mkdtemp(prefix="kt-turns-"))
    node.workerinput[_FOLDER] = str(stash[_FOLDER_KEY])


def pytest_sessionstart(session: pytest.Session) -> None:
    """In one of several processes: open the locks."""
    told = getattr(session.config, "workerinput", {})
    if _FOLDER in told:
        session.config.stash[_TURNS_KEY] = Turns(Path(told[_FOLDER]))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    if turns := config.stash.get(_TURNS_KEY, None):
        turns.close()
    if folder := config.stash.get(_FOLDER_KEY, None):
        shutil.rmtree(folder, ignore_errors=True)


# The outermost: the time that a test waits for its turn does not count against its time limit.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """One test, when it is its turn."""
    turns = item.config.stash.get(_TURNS_KEY, None)
    if turns is None:
        return (yield)
    with turns.turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)
