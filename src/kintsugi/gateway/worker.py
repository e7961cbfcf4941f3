"""One worker process: an event loop that serves clients until it is told to drain.

Started by the supervisor as ``python -m kintsugi.gateway.worker '<settings>'``. Only what serving
needs is imported here: a worker starts fast and stays small.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog
import uvloop

from kintsugi import __version__, logs
from kintsugi.errors import ConfigurationInvalid, EvidenceUnavailable
from kintsugi.gateway.commands import AnyExchange
from kintsugi.gateway.exchange import Exchange
from kintsugi.gateway.in_force import InForce, Secret
from kintsugi.gateway.link import Link
from kintsugi.gateway.metrics import WorkerMetrics
from kintsugi.gateway.oversight import Oversight, made_ready
from kintsugi.gateway.routing import Board
from kintsugi.gateway.server import ClientConnection
from kintsugi.gateway.settings import WorkerSettings
from kintsugi.gateway.shell import Shell
from kintsugi.gateway.upstream import Pool
from kintsugi.gateway.worker_messages import (
    LINE_BYTES_MAX,
    FromWorker,
    InForceReport,
    Load,
    LoadFailed,
    WorkerTally,
    decode_to_worker,
    encode,
)
from kintsugi.ledger.journal_writer import JournalWriter
from kintsugi.model.containment import Containment
from kintsugi.policy.containment import Contained
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import compile_plan

log = structlog.get_logger(__name__)

_BACKLOG = 4096
_REPORT_SECONDS = 1.0
# Connections wait in the kernel for so long, so that a start answers nobody "not ready".
_FIRST_LOAD_SECONDS = 2.0
_LAST_WORDS_SECONDS = 2.0


class Worker:
    """Wires one worker's parts and follows the supervisor's orders."""

    def __init__(
        self,
        settings: WorkerSettings,
        loop: asyncio.AbstractEventLoop,
        *,
        exchange: Callable[[InForce], AnyExchange] = Exchange,
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._draining = asyncio.Event()
        self._first_load = asyncio.Event()
        self._loading: asyncio.Task[None] | None = None
        self._containments: tuple[Containment, ...] = ()
        self._containing: asyncio.Task[None] | None = None
        self._fingerprint_key = settings.folder.fingerprint_key.read_bytes()
        self._board = Board()  # outlives the configurations, as does what people decided
        self._link = Link(loop, Oversight(), self._say)
        self._metrics = WorkerMetrics(settings.folder.metrics, settings.worker_id)
        # Strict until a configuration says otherwise: the safe side.
        self._journal = JournalWriter(
            settings.folder.journal,
            gateway_id=settings.gateway_id,
            worker_id=settings.worker_id,
            durability="strict",
            loop=loop,
        )
        self._pool = Pool(loop)
        self._shell = Shell(
            loop=loop,
            journal=self._journal,
            metrics=self._metrics,
            pool=self._pool,
            exchange=exchange,
            worker_count=settings.worker_count,
            link=self._link,
        )

    async def run(self) -> int:
        """Serve until drained; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._draining.set)
        # Meant for the supervisor, but a terminal or `kill` may send it to the whole group.
        self._loop.add_signal_handler(signal.SIGHUP, lambda: None)
        control = socket.socket(fileno=self._settings.control_fd)
        reader, self._control = await asyncio.open_connection(sock=control, limit=LINE_BYTES_MAX)
        orders = self._loop.create_task(self._follow_orders(reader))
        reports = self._loop.create_task(self._report())
        self._shell.start()
        try:
            async with asyncio.timeout(_FIRST_LOAD_SECONDS):
                await self._first_load.wait()
        except TimeoutError:
            log.warning("worker.no_configuration_yet")
        server = await self._loop.create_server(
            lambda: ClientConnection(self._shell),
            sock=socket.socket(fileno=self._settings.listen_fd),
            backlog=_BACKLOG,
        )
        log.info("worker.serving", pid=os.getpid())
        await self._draining.wait()
        server.close()
        reports.cancel()
        try:
            # What is in flight may still wait for counters and reviewers: go on listening.
            return await self._drain()
        finally:
            orders.cancel()

    # Orders

    async def _follow_orders(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                message = decode_to_worker(line)
                self._link.heard(message)
                if message.containments is not None:
                    self._containments = message.containments
                    self._contain_soon()
                if message.load is not None:
                    # Beside this loop: exchanges wait for answers that come through it.
                    loading = self._loading
                    self._loading = self._loop.create_task(self._load(message.load, loading))
                    self._loading.add_done_callback(self._load_ended)
                if message.load_error is not None:
                    self._shell.note_load_error(message.load_error)
                if message.drain:
                    self._draining.set()
        except ConnectionError:
            pass  # the supervisor was killed with a report of ours unread
        except msgspec.DecodeError as error:
            log.error("worker.orders_unreadable", error=str(error))
        finally:
            # Whatever ends the orders: a worker that nobody can command must not go on.
            self._draining.set()

    def _contain_soon(self) -> None:
        self._containing = self._loop.create_task(self._contain())
        self._containing.add_done_callback(self._load_ended)

    async def _contain(self) -> None:
        """Make the newest containments ready for what is in force, off the loop."""
        wanted, in_force = self._containments, self._shell.in_force
        if in_force is None:
            return  # loading does it
        before = self._link.oversight.contained
        ready = await self._loop.run_in_executor(None, _made_ready, wanted, in_force, before)
        # Otherwise something newer came meanwhile, and whoever brought it does this again.
        if wanted is self._containments and in_force is self._shell.in_force:
            self._put_contained(ready)

    def _put_contained(self, ready: tuple[Contained, ...]) -> None:
        if not ready and not self._link.oversight.contained:
            return
        self._link.oversight.contained = ready
        found = tuple(one.containment.id for one in ready)
        self._say(FromWorker(contained=found))
        log.info("worker.contained", containments=len(found))

    def _load_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            # Nothing that could be named: end, and let the next one try.
            log.error("worker.load_broken", exc_info=task.exception())
            self._draining.set()

    async def _load(self, order: Load, before: asyncio.Task[None] | None) -> None:
        """Build the new plan completely, off the loop, then swap one reference; after ``before``,
        so that the newest order wins."""
        if before is not None:
            await before
        try:
            in_force = await self._loop.run_in_executor(None, self._build, order)
            wanted = self._containments
            ready = await self._loop.run_in_executor(None, _made_ready, wanted, in_force)
        except (ConfigurationInvalid, OSError, UnicodeDecodeError) as error:
            log.error("worker.load_failed", config_version=order.config_version, error=str(error))
            self._shell.note_load_error(f"{order.config_version}: {error}")
            self._say(FromWorker(load_failed=LoadFailed(order.config_version, str(error))))
        else:
            self._journal.durability = in_force.gateway.durability
            self._shell.put_in_force(in_force)
            self._put_contained(ready)
            if wanted is not self._containments:
                self._contain_soon()
            self._say(
                FromWorker(
                    in_force=InForceReport(
                        config_version=order.config_version,
                        revision=in_force.plan.revision,
                        since=datetime.now(UTC),
                    )
                )
            )
            log.info("worker.in_force", config_version=order.config_version)
            # The plan lives long: keep the collector from walking it again and again.
            gc.collect()
            gc.freeze()
        self._first_load.set()

    def _build(self, order: Load) -> InForce:
        path = Path(order.path)
        plan = compile_plan(parse_config(path.read_text(encoding="utf-8"), file=path.name))
        secrets = {
            target.id: Secret(value)
            for target in plan.config.targets
            if target.secret_key_ref and (value := os.environ.get(target.secret_key_ref.env))
        }
        secrets |= {
            f"mcp/{server.id}": Secret(value)
            for server in plan.config.mcp.servers
            if server.secret_key_ref and (value := os.environ.get(server.secret_key_ref.env))
        }
        return InForce(
            plan=plan,
            config_version=order.config_version,
            gateway_id=self._settings.gateway_id,
            worker_id=self._settings.worker_id,
            engine_version=__version__,
            fingerprint_key=self._fingerprint_key,
            simulator_url=self._settings.simulator_url,
            secrets=secrets,
            board=self._board,
            oversight=self._link.oversight,
        )

    # Reports

    async def _report(self) -> None:
        while True:
            self._say(FromWorker(tally=self._tally()))
            await asyncio.sleep(_REPORT_SECONDS)

    def _tally(self) -> WorkerTally:
        return WorkerTally(
            admitted=int(self._metrics.value("kintsugi_requests_total")),
            decided=int(self._metrics.value("kintsugi_decided_total")),
            in_flight=int(self._metrics.value("kintsugi_in_flight_requests")),
        )

    def _say(self, message: FromWorker) -> bool:
        """Give the supervisor a line; False when it is gone."""
        if self._control.is_closing():
            return False
        self._control.write(encode(message))
        return True

    # End

    async def _drain(self) -> int:
        shell = self._shell
        log.info("worker.draining", in_flight=shell.in_flight)
        in_time = await shell.drain(shell.gateway.drain_timeout_seconds)
        if not in_time:
            log.warning("worker.drain_timeout", in_flight=shell.in_flight)
            shell.interrupt()
            if not await shell.drain(_LAST_WORDS_SECONDS):
                shell.abort_clients()
        shell.stop()
        self._pool.close()
        try:
            await self._journal.close()
        except EvidenceUnavailable as error:
            log.error("worker.journal_lost", error=str(error))
            return 1
        self._say(FromWorker(tally=self._tally()))
        self._control.close()
        log.info("worker.drained")
        return 0


def _made_ready(
    wanted: tuple[Containment, ...], in_force: InForce, before: tuple[Contained, ...] = ()
) -> tuple[Contained, ...]:
    config_id = in_force.config_version.rpartition("@")[0]
    return made_ready(wanted, in_force.config, config_id, before)


def _raise_file_limit() -> None:
    """Every connection takes a file: use all that the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _run(settings: WorkerSettings) -> int:
    return await Worker(settings, asyncio.get_running_loop()).run()


def main() -> int:
    """Run one worker; the only argument is its ``WorkerSettings`` as JSON."""
    settings = msgspec.json.decode(sys.argv[1], type=WorkerSettings)
    logs.configure(service="gateway-worker")
    structlog.contextvars.bind_contextvars(gateway=settings.gateway_id, worker=settings.worker_id)
    _raise_file_limit()
    # Nearly everything on the hot path is freed by its last reference; look for rings seldom.
    gc.set_threshold(20_000, 20, 20)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(settings))


if __name__ == "__main__":
    sys.exit(main())
