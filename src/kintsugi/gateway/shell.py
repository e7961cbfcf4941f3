"""What all connections of one worker share: the plan in force, journal, pool, limits, clock.

One coarse timer does for every time-out. A timer for each request would cost more than the request.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from kintsugi import __version__
from kintsugi.gateway import wire
from kintsugi.gateway.commands import AnyExchange
from kintsugi.gateway.in_force import InForce
from kintsugi.gateway.link import Link
from kintsugi.gateway.mcp_exchange import McpExchange
from kintsugi.gateway.metrics import WorkerMetrics
from kintsugi.gateway.upstream import Limits, Origin, Pool, parse_origin
from kintsugi.ledger.journal_writer import JournalTally
from kintsugi.model.config import Gateway
from kintsugi.model.ids import uuid7

TICK_SECONDS = 0.25
_RANDOM_BYTES = 10  # in one UUIDv7
_RANDOM_BATCH = 512
_ORIGINS_MAX = 1024


class Journal(Protocol):
    """The part of ``JournalWriter`` that the shell needs."""

    tally: JournalTally

    @property
    def healthy(self) -> bool:
        """Whether a record appended now may be expected to become durable soon."""

    def append(self, record: bytes, on_durable: Callable[[Exception | None], bytes | None]) -> None:
        """Take one record; tell once, later, on the loop, what became of it."""


class Listening(Protocol):
    """An exchange whose answer ends when it is told to."""

    def stop_listening(self) -> None:
        """End it properly."""


class Swept(Protocol):
    """A connection with a deadline."""

    def sweep(self, now: float) -> None:
        """Act if the deadline has passed."""

    def drain(self) -> None:
        """Serve nothing new."""

    def interrupt(self) -> None:
        """End the exchange that is going on, if there is one."""

    def abort(self) -> None:
        """Cut the connection."""


class Shell:
    """One worker's state. Belongs to its event loop's thread.

    Args:
        exchange: makes the exchange of one request to a model.
        mcp_exchange: makes the exchange of one request to an MCP server; told how many streams
            for server-sent notifications are open.
        worker_count: how many workers share ``gateway.concurrency_max``.
        link: to the supervisor; without one there are no counters and no reviewers.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        journal: Journal,
        metrics: WorkerMetrics,
        pool: Pool,
        exchange: Callable[[InForce], AnyExchange],
        mcp_exchange: Callable[[InForce, Callable[[], int]], AnyExchange] = McpExchange,
        worker_count: int = 1,
        link: Link | None = None,
        tick_seconds: float = TICK_SECONDS,
    ) -> None:
        self.loop = loop
        self.journal = journal
        self.metrics = metrics
        self.pool = pool
        self.new_exchange = exchange
        self._mcp_exchange = mcp_exchange
        self.listening: set[Listening] = set()
        self.worker_count = worker_count
        self.link = link
        self.started_at = loop.time()
        self.now = loop.time()  # coarse: as old as the last tick
        self.in_force: InForce | None = None
        self.load_error = ""
        self.connections: set[Swept] = set()
        self.in_flight = 0
        self.held_body_bytes = 0
        self.draining = False
        self.date = wire.http_date(wire.now_utc())
        self._quiet = asyncio.Event()  # set while draining once nothing is left to do
        self._random = b""
        self._random_at = 0
        self._origins: dict[tuple[str, bool], tuple[Origin, bytes]] = {}
        self._tick_seconds = tick_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._take_limits(Gateway())

    # Configuration

    def put_in_force(self, in_force: InForce) -> None:
        """Swap the plan; exchanges under way keep the one they began with."""
        self.in_force = in_force
        self.note_load_error("")
        self.stop_listening()
        self._origins.clear()
        self._take_limits(in_force.gateway)
        self.metrics.set_config(in_force.config_version, in_force.plan.revision)

    def note_load_error(self, error: str) -> None:
        """Remember why the newest configuration is not in force; empty when it is."""
        self.load_error = error
        self.metrics.set_gauge("kintsugi_config_load_failed", 1.0 if error else 0.0)
        if error:
            self.metrics.add("kintsugi_config_load_failures_total")

    def _take_limits(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.limits = Limits(
            connect_timeout_seconds=gateway.upstream_connect_timeout_seconds,
            first_byte_timeout_seconds=gateway.upstream_first_byte_timeout_seconds,
            idle_timeout_seconds=gateway.upstream_idle_timeout_seconds,
            total_timeout_seconds=gateway.upstream_total_timeout_seconds,
            body_bytes_max=gateway.response_body_bytes_max,
        )
        # Rounded up, so that a small limit leaves every worker at least one.
        self.concurrency_max = -(-gateway.concurrency_max // self.worker_count)
        self.connections_max = self.concurrency_max * 8
        self.held_body_bytes_max = max(4 * gateway.request_body_bytes_max, 67_108_864)

    @property
    def ready(self) -> bool:
        """Whether new requests can be served: a plan is in force and evidence can be kept."""
        return self.in_force is not None and self.journal.healthy and not self.draining

    # One request

    def new_mcp_exchange(self, in_force: InForce) -> AnyExchange:
        """Make the exchange of one request to an MCP server."""
        return self._mcp_exchange(in_force, self.listening.__len__)

    def stop_listening(self) -> None:
        """End the streams that only wait for what a server may say; clients open others, which
        are judged by what is in force then."""
        for listening in tuple(self.listening):
            listening.stop_listening()

    def stamp(self) -> tuple[str, datetime]:
        """A fresh event id and its time, equal to the millisecond."""
        start = self._random_at
        if start == len(self._random):
            self._random = os.urandom(_RANDOM_BYTES * _RANDOM_BATCH)
            start = 0
        self._random_at = start + _RANDOM_BYTES
        microseconds = time.time_ns() // 1000
        identifier = uuid7(microseconds // 1000, self._random[start : self._random_at])
        return identifier, datetime.fromtimestamp(microseconds / 1_000_000, UTC)

    def began(self) -> None:
        """An exchange began."""
        self.in_flight += 1

    def finished(self, body_bytes: int) -> None:
        """An exchange is over: answered, recorded, and its upstream connection returned."""
        self.held_body_bytes -= body_bytes
        self.in_flight -= 1
        if self.draining:
            self._note_quiet()

    def closed(self, connection: Swept) -> None:
        """A client's connection is gone."""
        self.connections.discard(connection)
        if self.draining:
            self._note_quiet()

    def _note_quiet(self) -> None:
        if self.in_flight == 0 and not self.connections:
            self._quiet.set()

    def origin(self, text: str, allow_private_network: bool) -> tuple[Origin, bytes]:
        """The pool's key and the Host header of a configured origin."""
        key = (text, allow_private_network)
        found = self._origins.get(key)
        if found is None:
            if len(self._origins) >= _ORIGINS_MAX:
                self._origins.clear()
            found = parse_origin(text, allow_private_network=allow_private_network)
            self._origins[key] = found
        return found

    # Time

    def start(self) -> None:
        """Begin to tick."""
        self._timer = self.loop.call_later(self._tick_seconds, self._tick)

    def stop(self) -> None:
        """Tick no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        now = self.loop.time()
        metrics = self.metrics
        late_seconds = max(0.0, now - self._timer.when()) if self._timer else 0.0
        metrics.set_gauge("kintsugi_event_loop_lag_seconds", late_seconds)
        self._timer = self.loop.call_later(self._tick_seconds, self._tick)
        self.now = now
        self.date = wire.http_date(wire.now_utc())
        for connection in tuple(self.connections):
            connection.sweep(now)
        self.pool.sweep(now)
        tally = self.journal.tally
        metrics.set_gauge("kintsugi_client_connections", len(self.connections))
        if self.in_force is not None:
            metrics.set_gauge("kintsugi_held_answers", self.in_force.oversight.held)
        metrics.set_gauge("kintsugi_upstream_connections", self.pool.open_connections)
        metrics.set_gauge("kintsugi_journal_healthy", float(self.journal.healthy))
        metrics.set_gauge("kintsugi_journal_waiting_records", tally.appended - tally.durable)

    # End

    async def drain(self, timeout_seconds: float) -> bool:
        """Finish what is in flight; returns whether all of it was, in time."""
        self.draining = True
        self.stop_listening()
        for connection in tuple(self.connections):
            connection.drain()
        self._note_quiet()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._quiet.wait()
        except TimeoutError:
            return False
        return True

    def interrupt(self) -> None:
        """End what is in flight: it is recorded as interrupted, and its clients are told."""
        for connection in tuple(self.connections):
            connection.interrupt()

    def abort_clients(self) -> None:
        """Cut every client off, whatever it was told."""
        for connection in tuple(self.connections):
            connection.abort()

    # What it says of itself

    def health(self) -> dict[str, object]:
        """The body of ``GET /health``; seed 001 names the first two fields."""
        in_force = self.in_force
        tally = self.journal.tally
        return {
            "status": "healthy" if self.ready and not self.load_error else "degraded",
            "uptime_seconds": int(self.loop.time() - self.started_at),
            "version": __version__,
            "config_version": in_force.config_version if in_force else "",
            "revision": in_force.plan.revision if in_force else "",
            "policies_loaded": len(in_force.config.chain) if in_force else 0,
            "load_error": self.load_error,
            "open_targets": in_force.board.open_targets if in_force else [],
            "quarantines": len(in_force.oversight.frozen) if in_force else 0,
            "containments": len(in_force.oversight.contained) if in_force else 0,
            "held": in_force.oversight.held if in_force else 0,
            "draining": self.draining,
            "in_flight": self.in_flight,
            "journal": {
                "healthy": self.journal.healthy,
                "appended": tally.appended,
                "durable": tally.durable,
                "waiting": tally.appended - tally.durable,
            },
        }
