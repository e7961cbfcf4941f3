"""What an incident with very many frozen events costs: to freeze, to verify, and to look at.

    python -m benchmarks.incident_reach [--events 100000] [--looks 5]

As much again happened outside of the incident. The control plane answers in this process, so a
look is the whole route without the network; the worst of several counts. The bars: an incident with
100,000 frozen events opens its summary under 300 ms and its blast radius under 2 s.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from kintsugi.api.app import build_api
from kintsugi.api.credentials import keep, mint
from kintsugi.api.permissions import Scope
from kintsugi.model.decision import Evaluation, Mode, Phase
from kintsugi.model.event import DecisionEvent, ExchangeStatus, Payload
from kintsugi.model.ids import uuid7
from kintsugi.model.verdict import Verdict
from kintsugi.store import open_stores
from kintsugi.store.embedded import Embedded
from kintsugi.vault.key_sources import FileKeys

_BATCH = 500
_STEP = timedelta(milliseconds=20)
_REQUEST = '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Where is my order?"}]}'
_ANSWER = '{"choices":[{"message":{"role":"assistant","content":"On its way."}}]}'
_POLICIES = ("prompt-injection", "pii-detector", "secrets-detector", "dlp-filter", "audit-logger")


def main() -> None:
    """Make an incident of that size, and print what each look at it takes."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=100_000)
    arguments.add_argument("--looks", type=int, default=5)
    asked = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kt-bench-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        with (
            Embedded(folder) as handle,
            open_stores(handle.conninfo, keys=[FileKeys(folder / "vault-key")]) as stores,
        ):
            until = datetime.now(UTC) - timedelta(minutes=1)
            since = until - 2 * asked.events * _STEP
            print(f"storing {2 * asked.events:,} events")
            events = _events(2 * asked.events, since)
            while some := list(itertools.islice(events, _BATCH)):
                stores.events.append(some)
            token, text = mint("bench", (Scope.ADMIN,), now=until)
            keep(stores.tokens, token, text)
            app = build_api(stores, state_dir=folder)
            with TestClient(app) as client:
                client.headers["authorization"] = f"Bearer {text}"
                _measure(client, since, until, asked.looks)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure(client: TestClient, since: datetime, until: datetime, looks: int) -> None:
    made = client.post("/v1/incidents", json={"title": "It pays twice"}).json()["data"]
    path = f"/v1/incidents/{made['reference']}"
    window = {"since": since.isoformat(), "until": until.isoformat(), "workflow": "refunds"}
    begun = time.perf_counter()
    location = client.post(f"{path}/freeze", json={"filter": window}).headers["location"]
    frozen = _settled(client, location)
    print(f"freeze: {frozen['events']:,} events in {time.perf_counter() - begun:.1f} s")
    begun = time.perf_counter()
    client.post(f"{location}/verify", json={})
    verified = _settled(client, location)
    print(f"verify: {verified['status']} in {time.perf_counter() - begun:.1f} s")
    for name, address in (
        ("summary", path),
        ("gates", f"{path}/gates"),
        ("timeline", f"{path}/timeline"),
        ("freezes", f"{path}/freezes"),
        ("blast radius", f"{path}/blast-radius"),
        ("controls", f"{path}/controls"),
        ("changes", f"{path}/changes"),
        ("people, a page", f"{path}/people"),
    ):
        times = []
        for _ in range(looks):
            begun = time.perf_counter()
            answer = client.get(address)
            times.append(time.perf_counter() - begun)
            answer.raise_for_status()
        print(f"{name}: {max(times) * 1000:.0f} ms at worst, {min(times) * 1000:.0f} best")


def _settled(client: TestClient, path: str) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = client.get(path).json()["data"]
        if found["status"] not in ("queued", "freezing", "verifying"):
            return found
        time.sleep(0.2)


def _events(total: int, since: datetime) -> Iterator[DecisionEvent]:
    """Every other one belongs to the incident."""
    chance = random.Random(7)
    clear = tuple(
        Evaluation(name, Phase.INPUT, Mode.ENFORCE, "clear", Verdict.ALLOW) for name in _POLICIES
    )
    for number in range(total):
        at = since + number * _STEP
        yield DecisionEvent(
            id=uuid7(int(at.timestamp() * 1000), chance.randbytes(10)),
            timestamp=at,
            gateway_id=f"gw-{number % 4}",
            worker_id="w1",
            dialect="openai.chat",
            config_version=f"support-prod@{3 + number // (total // 2 + 1)}",
            revision="sha256:" + "3f" * 32,
            engine_version="0.1.0",
            verdict=Verdict.ALLOW,
            reason_code="policy.passed",
            status=ExchangeStatus.ANSWERED,
            http_status=200,
            upstream_status=200,
            model="gpt-4o-mini",
            provider="openai",
            target_id="openai-primary",
            user_id=f"user-{chance.randrange(20_000)}",
            team_id=f"team-{chance.randrange(40)}",
            session_id=f"session-{number // 5}",
            workflow="refunds" if number % 2 else "search",
            evaluations=clear,
            payload=Payload(request=_REQUEST, response=_ANSWER),
        )


if __name__ == "__main__":
    main()
