"""Clients that ask without pause, and what has to hold for every answer they got."""

from __future__ import annotations

import threading
import time

import httpx2

from tests.acceptance.conftest import Instance, eventually

CLIENTS = 6


class Load:
    """Clients that remember every answer that came whole.

    Args:
        pause_seconds: between two requests of one client.
    """

    def __init__(self, instance: Instance, *, pause_seconds: float = 0.0) -> None:
        self._url = f"{instance.gateway_url}/v1/chat/completions"
        self._pause_seconds = pause_seconds
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

    def wait_for(self, more: int, *, within_seconds: float = 60) -> None:
        """Return when so many more answers have come."""
        wanted = len(self.answered) + more
        eventually(lambda: len(self.answered) >= wanted, within_seconds=within_seconds)

    def _ask(self, number: int) -> None:
        streamed = number % 2 == 1
        body = {
            "model": "sim-echo",
            "messages": [{"role": "user", "content": f"client {number} says hello"}],
            "stream": streamed,
        }
        with httpx2.Client(timeout=20, trust_env=False) as http:
            while not self._stop.is_set():
                time.sleep(self._pause_seconds)
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


def all_stored(instance: Instance, answered: set[str]) -> str:
    """``none missing`` once the store holds all of them, each once; empty before."""
    ran = instance.kt("sql", "SELECT id FROM ai_decision_events", "--row-limit", "100000")
    if ran.code:
        return ""
    stored = [row["id"] for row in ran.json]
    assert len(stored) == len(set(stored)), "one is stored twice"
    assert len(stored) < 100_000, "more than one question can see"
    return "none missing" if answered <= set(stored) else ""


def settled(instance: Instance) -> dict[str, int] | None:
    """The counters of the only gateway once nothing waits."""
    status = instance.api("/v1/status")
    if not status or not status["gateways"]:
        return None
    [counters] = status["gateways"]
    return dict(counters) if counters["waiting"] == 0 else None


def everything_holds(instance: Instance, answered: set[str], *, within_seconds: float = 60) -> None:
    """Nothing answered is missing, nothing is double, the counters agree, no signal is open, and
    the log is whole."""
    found = eventually(lambda: all_stored(instance, answered), within_seconds=within_seconds)
    assert found == "none missing"
    counters = eventually(lambda: settled(instance), within_seconds=within_seconds)
    assert counters["gap"] == 0
    assert instance.api("/v1/signals") == []
    for event_id in sorted(answered)[:: max(1, len(answered) // 5)]:
        proven = instance.kt("log", "prove", event_id)
        assert proven.code == 0, proven.err
