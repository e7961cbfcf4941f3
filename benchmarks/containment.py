"""How long a containment takes to be in force on four gateways that serve traffic.

    python -m benchmarks.containment [--trials 200] [--gateways 4] [--rate 100]

Starts ``kt up`` and further gateways beside it, all following one control plane, and sends requests
to every gateway, at a fixed rate in all. Each trial contains a workflow of its own while one prober
for each gateway asks in its name again and again. The clock runs from just before the containment
is asked for over the API until a request is refused at the last of the gateways; the time until the
control plane knows that all of them have it is printed beside. A trial in which a request went
through after the first refusal of its gateway fails the run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from benchmarks.start import QUESTION, said_by

BAR_SECONDS = 1.0
READY_SECONDS_MAX = 90.0
TRIAL_SECONDS_MAX = 10.0


class Trial(NamedTuple):
    """Seconds from asking until the last gateway refuses, and until all are known to."""

    in_force: float
    known: float


def environment() -> dict[str, str]:
    """This process's, without what would point at an installation of the reader's."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KT_", "KEEPTRUSTS_"))
    }


@contextmanager
def program(*words: str, log: Path, more: dict[str, str] | None = None) -> Iterator[int]:
    """``kt`` for the length of the block; its process id."""
    with (
        log.open("ab") as said,
        subprocess.Popen(
            [sys.executable, "-m", "kintsugi", *words],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=environment() | (more or {}),
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)


class Plant:
    """A control plane and its gateways."""

    def __init__(self, folder: Path, gateways: int, stack: ExitStack) -> None:
        state = folder / "state"
        ports = ["--gateway-port", "0", "--api-port", "0"]
        up = stack.enter_context(
            program("up", "--state", str(state), *ports, "--workers", "1", log=folder / "up.log")
        )
        began = time.monotonic()
        while not (said := said_by(up, state)).get("ready"):
            if time.monotonic() - began > READY_SECONDS_MAX:
                raise SystemExit(f"kt up does not start; see {folder}/up.log")
            time.sleep(0.05)
        self.api_url = str(said["api_url"])
        self.token = (state / "admin-token").read_text().strip()
        for number in range(1, gateways):
            stack.enter_context(
                program(
                    *("gateway", "run", "--policy-config", str(state / "policy-config.yaml")),
                    *("--listen", "127.0.0.1:0", "--workers", "1", "--api-url", self.api_url),
                    *("--simulator-url", str(said.get("simulator_url", ""))),
                    *("--state", str(folder / f"gateway-{number}")),
                    log=folder / f"gateway-{number}.log",
                    more={"KT_API_TOKEN": (state / "gateway-token").read_text().strip()},
                )
            )
        self.gateway_urls = self._addresses(gateways)

    def _addresses(self, gateways: int) -> list[str]:
        """Where the gateways serve, once all of them have the published configuration."""
        began = time.monotonic()
        while time.monotonic() - began < READY_SECONDS_MAX:
            answer = httpx2.get(
                f"{self.api_url}/v1/gateways", headers=self.authorised, trust_env=False
            )
            found = [one for one in answer.json()["data"] if one["state"] == "in force"]
            if len(found) == gateways:
                return [f"http://{one['listen']}" for one in found]
            time.sleep(0.2)
        raise SystemExit(f"not all gateways are in force: {answer.text}")

    @property
    def authorised(self) -> dict[str, str]:
        """Headers of a request to the control plane."""
        return {"Authorization": f"Bearer {self.token}"}


async def load(client: httpx2.AsyncClient, url: str, per_second: float) -> None:
    """Traffic that nobody contains, until it is cancelled."""
    while True:
        began = time.monotonic()
        await ask(client, url, "busy")
        await asyncio.sleep(max(0.0, 1 / per_second - (time.monotonic() - began)))


async def ask(client: httpx2.AsyncClient, url: str, workflow: str) -> int:
    """The status of one governed request."""
    answer = await client.post(
        f"{url}/v1/chat/completions", json=QUESTION, headers={"x-workflow": workflow}
    )
    return answer.status_code


async def refused_at(client: httpx2.AsyncClient, url: str, workflow: str) -> float:
    """When a gateway first refused this workflow. It has to answer it before that."""
    status = 0
    while status != 409:
        status = await ask(client, url, workflow)
    first = time.monotonic()
    if await ask(client, url, workflow) != 409:
        raise SystemExit(f"{url} let a contained workflow through again")
    return first


async def one_trial(client: httpx2.AsyncClient, plant: Plant, number: int) -> Trial:
    """Contain one workflow, and release it."""
    workflow = f"trial-{number}"
    probes = [asyncio.create_task(refused_at(client, url, workflow)) for url in plant.gateway_urls]
    await asyncio.sleep(0.02)
    body = {
        "lever": {"name": "stop"},
        "scope": {"workflow": workflow},
        "reason": "a trial",
        "expires_in_seconds": 600,
    }
    at = f"{plant.api_url}/v1/containments"
    began = time.monotonic()
    made = await client.post(at, json=body, headers=plant.authorised)
    made.raise_for_status()
    at = f"{at}/{made.json()['data']['containment']['id']}"
    async with asyncio.timeout(TRIAL_SECONDS_MAX):
        last = max(await asyncio.gather(*probes))
        told = False
        while not told:
            told = await everywhere(client, at, plant)
    known = time.monotonic()
    await client.post(f"{at}/release", json={"reason": "it is over"}, headers=plant.authorised)
    return Trial(last - began, known - began)


async def everywhere(client: httpx2.AsyncClient, at: str, plant: Plant) -> bool:
    """Whether the control plane knows that every gateway has it."""
    found: dict[str, Any] = (await client.get(at, headers=plant.authorised)).json()["data"]
    return bool(found["everywhere"])


async def measure(plant: Plant, trials: int, rate: float) -> list[Trial]:
    """All trials, one after the other, under load."""
    limits = httpx2.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx2.AsyncClient(trust_env=False, timeout=10, limits=limits) as client:
        per_second = rate / len(plant.gateway_urls)
        busy = [asyncio.create_task(load(client, url, per_second)) for url in plant.gateway_urls]
        try:
            return [await one_trial(client, plant, number) for number in range(trials)]
        finally:
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def main() -> int:
    """Measure and print; 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--gateways", type=int, default=4)
    parser.add_argument("--rate", type=float, default=100.0, help="Requests a second in all.")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kt-containment-"))
    folder.chmod(0o755)  # the database's own user must reach it
    try:
        with ExitStack() as stack:
            plant = Plant(folder, given.gateways, stack)
            found = asyncio.run(measure(plant, given.trials, given.rate))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{given.trials} trials, {given.gateways} gateways, {given.rate:.0f} requests a second")
    print(f"{'seconds':28} {'p50':>8} {'p99':>8} {'worst':>8} {'bar':>6}")
    for name, values in zip(
        ("refused at every gateway", "known at the control plane"),
        zip(*found, strict=True),
        strict=True,
    ):
        columns = " ".join(
            f"{value:8.3f}"
            for value in (quantile(values, 0.5), quantile(values, 0.99), max(values))
        )
        print(f"{name:28} {columns} {BAR_SECONDS:6.1f}")
    return int(quantile([one.in_force for one in found], 0.99) >= BAR_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
