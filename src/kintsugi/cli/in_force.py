"""Waits until a configuration version is what every gateway really runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from kintsugi.cli.client import Client

_POLL_SECONDS = 0.05


class Worker(msgspec.Struct, frozen=True):
    """What one worker has in force: ``ID@VERSION``."""

    config_version: str


class Gateway(msgspec.Struct, frozen=True):
    """The part of a gateway's report that tells what it runs."""

    id: str
    config_id: str
    connected: bool
    load_error: str
    last_seen_at: str
    workers: tuple[Worker, ...]


class Rollout(msgspec.Struct, frozen=True):
    """How far a version got.

    Attributes:
        in_force: gateways on which every worker runs it.
        missing: connected gateways that do not run it, and why as far as they say.
        away: gateways that follow this configuration and are not connected; they take the newest
            version when they come back.
        seconds: from the answer that made the version to the last gateway that runs it.
    """

    in_force: tuple[str, ...] = ()
    missing: dict[str, str] = {}
    away: dict[str, str] = {}
    worker_count: int = 0
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every connected gateway runs it."""
        return not self.missing

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "in_force": list(self.in_force),
            "not_in_force": self.missing,
            "not_attempted": self.away,
            "workers": self.worker_count,
            "seconds": round(self.seconds, 3),
        }


def wait_until_in_force(
    client: Client,
    config_id: str,
    version: int,
    *,
    timeout_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Rollout:
    """Ask until every connected gateway runs the version, or time is up."""
    began = clock()
    while True:
        gateways = msgspec.convert(client.get("/v1/gateways"), tuple[Gateway, ...])
        rollout = progress(gateways, config_id, version, seconds=clock() - began)
        if rollout.complete or clock() - began >= timeout_seconds:
            return rollout
        pause(_POLL_SECONDS)


def progress(
    gateways: Sequence[Gateway], config_id: str, version: int, *, seconds: float
) -> Rollout:
    """How far a version got, from what the gateways said last."""
    wanted = f"{config_id}@{version}"
    in_force: list[str] = []
    missing: dict[str, str] = {}
    away: dict[str, str] = {}
    worker_count = 0
    for gateway in gateways:
        if gateway.config_id != config_id:
            continue
        running = {worker.config_version for worker in gateway.workers}
        if not gateway.connected:
            away[gateway.id] = f"last seen {gateway.last_seen_at}"
        elif running == {wanted}:
            in_force.append(gateway.id)
            worker_count += len(gateway.workers)
        else:
            words = ", ".join(sorted(running)) or "nothing"
            missing[gateway.id] = gateway.load_error or f"runs {words}"
    return Rollout(tuple(in_force), missing, away, worker_count, seconds)
