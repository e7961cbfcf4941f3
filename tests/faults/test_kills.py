"""Kill anything at any moment: every answer that a client received has its record."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.acceptance.conftest import Instance, eventually, new_instance
from tests.faults.load import Load, everything_holds

pytestmark = [pytest.mark.faults, pytest.mark.acceptance, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    with new_instance("--workers", "2") as made:
        made.start()
        yield made


@contextmanager
def under_load(instance: Instance) -> Iterator[Load]:
    """Clients at work for the length of the block; afterwards every answer must have its record."""
    load = Load(instance)
    load.start()
    try:
        load.wait_for(50)
        yield load
        load.wait_for(50)
    finally:
        load.stop()
    everything_holds(instance, load.answered)


def test_killed_workers_lose_nothing_that_was_answered(instance: Instance) -> None:
    chance = random.Random(7)
    with under_load(instance) as load:
        for _ in range(4):
            workers = instance.status()["pids"]["gateway_workers"]
            os.kill(chance.choice(workers), signal.SIGKILL)
            load.wait_for(40)


def test_a_killed_gateway_loses_nothing_that_was_answered(instance: Instance) -> None:
    with under_load(instance) as load:
        for _ in range(2):
            os.kill(instance.status()["pids"]["gateway"], signal.SIGKILL)
            load.wait_for(40)
            eventually(lambda: instance.status()["pids"]["gateway_workers"], within_seconds=20)


def test_a_killed_control_plane_costs_no_answer_and_no_record(instance: Instance) -> None:
    with under_load(instance) as load:
        before = load.failures
        for _ in range(2):
            os.kill(instance.status()["pids"]["server"], signal.SIGKILL)
            load.wait_for(100)
            eventually(lambda: instance.api("/v1/events"), within_seconds=30)
        assert load.failures == before, "the gateway needs no control plane to answer"


def test_a_killed_database_costs_no_answer_and_no_record(instance: Instance) -> None:
    with under_load(instance) as load:
        before = load.failures
        os.kill(instance.status()["pids"]["database"], signal.SIGKILL)
        load.wait_for(100)
        assert load.failures == before


def test_everything_killed_at_once_loses_nothing_that_was_answered(instance: Instance) -> None:
    load = Load(instance)
    load.start()
    try:
        load.wait_for(50)
        pids = instance.status()["pids"]
        for pid in (pids["up"], pids["server"], pids["gateway"], *pids["gateway_workers"]):
            os.kill(pid, signal.SIGKILL)
    finally:
        load.stop()
    eventually(lambda: instance.kt("down").code == 0)
    instance.start()
    everything_holds(instance, load.answered)
