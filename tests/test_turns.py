"""Whose turn it is when several processes run the suite."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.turns import Turns


class Runner:
    """A process that wants to run one test: a thread with locks of its own."""

    def __init__(self, folder: Path, *, alone: bool) -> None:
        self._alone = alone
        self._folder = folder
        self.running = threading.Event()
        self._finish = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def finish(self) -> None:
        """Let its test end."""
        self._finish.set()
        self._thread.join()

    def _run(self) -> None:
        with closing(Turns(self._folder)) as turns, turns.turn(alone=self._alone):
            self.running.set()
            self._finish.wait()


class Machine:
    """Starts runners, and ends them all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.runners: list[Runner] = []

    def start(self, *, alone: bool = False) -> Runner:
        runner = Runner(self._folder, alone=alone)
        self.runners.append(runner)
        return runner

    def until_somebody_waits(self) -> None:
        """Return when the queue is closed behind somebody."""
        with (self._folder / "queue").open() as queue:
            while True:
                try:
                    fcntl.flock(queue, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
                fcntl.flock(queue, fcntl.LOCK_UN)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    for runner in made.runners:
        runner.finish()


def test_ordinary_tests_run_beside_each_other(machine: Machine) -> None:
    assert machine.start().running.wait(10)
    assert machine.start().running.wait(10)


def test_one_that_is_alone_waits_for_all_others_and_they_for_it(machine: Machine) -> None:
    first, second = machine.start(), machine.start()
    assert first.running.wait(10)
    assert second.running.wait(10)
    alone = machine.start(alone=True)
    assert not alone.running.wait(0.05)
    first.finish()
    assert not alone.running.wait(0.05)
    second.finish()
    assert alone.running.wait(10)
    later = machine.start()
    assert not later.running.wait(0.05)
    alone.finish()
    assert later.running.wait(10)


def test_nobody_overtakes_one_that_waits_to_be_alone(machine: Machine) -> None:
    first = machine.start()
    assert first.running.wait(10)
    alone = machine.start(alone=True)
    machine.until_somebody_waits()
    later = machine.start()
    first.finish()
    assert alone.running.wait(10)
    assert not later.running.wait(0.05)
