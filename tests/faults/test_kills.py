"""Kill anything at any moment: every answer that a client received has its record."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from tests.acceptance.conftest import Instance, eventually, new_instance

pytestmark = [pytest.mark.faults, pytest.mark.acceptance, pytest.mark.timeout(240)]

CLIENTS = 6
LOAD_SECONDS = 6.0


class Load:
    """Clients that ask without pause and remember every answer that came whole."""

    def __init__(self, instance: Instance) -> None:
        self._url = f"{instance.gateway_url}/v1/chat/completions"
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.answered: set[str] = set()
        self.failures = 0
        self._threads = [
            threading.Thread(target=self._ask, args=(number,), daemon=True)
            for number in range(CLIENTS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(40)

    def wait_for(self, more: int) -> None:
        """Return when so many more answers have come."""
        wanted = len(self.answered) + more
        eventually(lambda: len(self.answered) >= wanted, within_seconds=30)

    def _ask(self, number: int) -> None:
        streamed = number % 2 == 1
        body = {
            "model": "sim-echo",
            "messages": [{"role": "user", "content": f"client {number} says hello"}],
            "stream": streamed,
        }
        with httpx2.Client(timeout=20, trust_env=False) as http:
            while not self._stop.is_set():
                try:
                    answer = http.post(self._url, json=body)
                except httpx2.TransportError:
                    with self._lock:
                        self.failures += 1
                    time.sleep(0.01)
                    continue
                whole = answer.status_code == 200 and (
                    not streamed or answer.text.rstrip().endswith("data: [DONE]")
                )
                if whole:
                    with self._lock:
                        self.answered.add(answer.headers["x-kt-event-id"])


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
    missing = eventually(lambda: _all_stored(instance, load.answered), within_seconds=40)
    assert missing == "none missing"
    counters = eventually(lambda: _settled(instance), within_seconds=40)
    assert counters["gap"] == 0


def _all_stored(instance: Instance, answered: set[str]) -> str:
    """``none missing`` once the store holds all of them; empty before."""
    ran = instance.kt("sql", "SELECT id FROM ai_decision_events", "--row-limit", "100000")
    if ran.code:
        return ""
    stored = {row["id"] for row in ran.json}
    return "none missing" if answered <= stored else ""


def _settled(instance: Instance) -> dict[str, int] | None:
    status = instance.api("/v1/status")
    if not status:
        return None
    [counters] = status["gateways"]
    return dict(counters) if counters["waiting"] == 0 else None


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
    assert eventually(lambda: _all_stored(instance, load.answered), within_seconds=40)
