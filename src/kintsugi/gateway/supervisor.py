"""The parent of a gateway's workers: starts, feeds, watches and replaces them. Serves nobody.

It owns the listening sockets, one for each worker in one SO_REUSEPORT group. A worker that dies
leaves its socket here, so connections that arrive before the next one is up wait in the kernel
instead of being refused.

Configurations reach it from the file, or from the control plane through the follower's thread, and
leave it as ``load`` orders; it never touches a request.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from kintsugi import __version__
from kintsugi.gateway import metrics
from kintsugi.gateway.control_plane import ControlPlane
from kintsugi.gateway.counter_service import CounterService
from kintsugi.gateway.follower import FollowedConfiguration, Follower
from kintsugi.gateway.journal_retention import JournalTrimmer
from kintsugi.gateway.kept_segments import KEPT
from kintsugi.gateway.listeners import bind
from kintsugi.gateway.loading import Loading
from kintsugi.gateway.oversight_keeper import OversightKeeper
from kintsugi.gateway.recovery import recover
from kintsugi.gateway.relaxed_watch import RelaxedWatch
from kintsugi.gateway.settings import GatewaySettings, WorkerSettings
from kintsugi.gateway.shipper import Shipper
from kintsugi.gateway.worker_messages import (
    LINE_BYTES_MAX,
    FromWorker,
    InForceReport,
    Reserve,
    ToWorker,
    WorkerTally,
    decode_from_worker,
    encode,
)
from kintsugi.model.gateways import GatewayReport, WorkerReport
from kintsugi.model.journal import MissingLines

log = structlog.get_logger(__name__)

_RESTART_SECONDS_MIN = 0.1
_RESTART_SECONDS_MAX = 10.0
_STEADY_SECONDS = 10.0  # a worker that lived so long died of something new
_DRAIN_GRACE_SECONDS = 10.0
_FLUSH_SECONDS = 5.0
_FINGERPRINT_KEY_BYTES = 32


class WorkerSlot:
    """One worker's place: its socket stays, its process may change."""

    def __init__(self, worker_id: str, listener: socket.socket) -> None:
        self.worker_id = worker_id
        self.listener = listener
        self.process: subprocess.Popen[bytes] | None = None
        self.control: asyncio.StreamWriter | None = None
        self.in_force: InForceReport | None = None
        self.error = ""
        self.contained: tuple[str, ...] = ()
        self.tally = WorkerTally(admitted=0, decided=0, in_flight=0)
        self.restart_seconds = _RESTART_SECONDS_MIN

    def tell(self, message: ToWorker) -> None:
        """Send an order; a worker that is gone gets its orders when the next one starts."""
        if self.control is not None and not self.control.is_closing():
            self.control.write(encode(message))

    def report(self) -> WorkerReport | None:
        """What the control plane is told; None while the worker runs nothing."""
        if self.process is None or self.in_force is None:
            return None
        return WorkerReport(
            worker_id=self.worker_id,
            pid=self.process.pid,
            config_version=self.in_force.config_version,
            revision=self.in_force.revision,
            in_force_since=self.in_force.since,
            admitted=self.tally.admitted,
            decided=self.tally.decided,
            in_flight=self.tally.in_flight,
            error=self.error,
            contained=self.contained,
        )


class Supervisor:
    """Runs one gateway. Everything but ``_gateway_report`` is its loop's."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._listeners = bind(settings.host, settings.port, settings.workers)
        self.port: int = self._listeners[0].getsockname()[1]
        self._slots = [
            WorkerSlot(f"w{number}", listener) for number, listener in enumerate(self._listeners)
        ]
        self._started_at = datetime.now(UTC)
        self._failed = False
        self._decided_before = 0
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._follower: Follower | None = None
        self._shipper: Shipper | None = None
        self._trimmer: JournalTrimmer | None = None
        self._cells: metrics.WorkerMetrics
        self._counters: CounterService
        self._oversight: OversightKeeper
        self._relaxed: RelaxedWatch
        self._loading: Loading
        self._loop: asyncio.AbstractEventLoop

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT; returns the exit code."""
        self._loop = asyncio.get_running_loop()
        self._prepare_state()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stopping.set)
        self._loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        await self._recover()
        followed = self._loading.first()
        for slot in self._slots:
            self._keep(slot)
        self._connect(followed)
        log.info("gateway.started", listen=self._listen, workers=len(self._slots), pid=os.getpid())
        keep_counting = self._loop.create_task(self._count())
        await self._stopping.wait()
        keep_counting.cancel()
        return await self._stop()

    @property
    def _listen(self) -> str:
        host = self._settings.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def _prepare_state(self) -> None:
        settings = self._settings
        folder = settings.folder
        folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.configurations.mkdir(mode=0o700, exist_ok=True)
        keep_secret(folder.fingerprint_key)
        metrics.reset(folder.metrics)
        self._cells = metrics.WorkerMetrics(folder.metrics, "supervisor")
        self._counters = CounterService(folder.counters)
        self._relaxed = RelaxedWatch(self._cells.relaxed)
        self._loading = Loading(
            settings, self._loop, tell=self._tell_all, taken=self._relaxed.take, said=self._changed
        )
        self._oversight = OversightKeeper(
            folder.quarantines,
            tell=self._tell_all,
            connect=self._control_plane if settings.api_url else None,
        )

    async def _recover(self) -> None:
        found = await self._loop.run_in_executor(
            None,
            lambda: recover(
                self._settings.folder.journal,
                gateway_id=self._settings.gateway_id,
                engine_version=__version__,
            ),
        )
        self._cells.add("kintsugi_interrupted_total", found.interrupted)
        if self._shipper is not None:
            self._shipper.wake()

    def _reload_soon(self) -> None:
        self._start(self._loading.reload(self._follower))

    # Workers

    def _tell_all(self, message: ToWorker) -> None:
        for slot in self._slots:
            slot.tell(message)

    def _start(self, work: asyncio._CoroutineLike[None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # Nothing that could be named: end, rather than run on without a worker.
            log.error("gateway.failed", exc_info=task.exception())
            self._failed = True
            self._stopping.set()

    def _keep(self, slot: WorkerSlot) -> None:
        self._start(self._keep_running(slot))

    async def _keep_running(self, slot: WorkerSlot) -> None:
        while not self._stopping.is_set():
            began = self._loop.time()
            code = await self._run_once(slot)
            if self._stopping.is_set():
                return
            log.error("worker.died", worker=slot.worker_id, exit_code=code)
            self._cells.add("kintsugi_worker_restarts_total")
            with suppress(OSError):  # the disk refuses; the next start or death tries again
                await self._recover()
                metrics.settle(self._settings.folder.metrics, slot.worker_id)
            if self._loop.time() - began > _STEADY_SECONDS:
                slot.restart_seconds = _RESTART_SECONDS_MIN
            with suppress(TimeoutError):
                async with asyncio.timeout(slot.restart_seconds):
                    await self._stopping.wait()
            slot.restart_seconds = min(slot.restart_seconds * 2, _RESTART_SECONDS_MAX)

    async def _run_once(self, slot: WorkerSlot) -> int:
        """Start a worker and listen to it until it is gone; returns its exit code."""
        ours, theirs = socket.socketpair()
        with theirs:
            slot.process = self._spawn(slot, theirs)
        reader, slot.control = await asyncio.open_connection(sock=ours, limit=LINE_BYTES_MAX)
        for greeting in self._oversight.greet():  # first: it must freeze before it serves
            slot.tell(greeting)
        for order in self._loading.greet():
            slot.tell(order)
        try:
            while line := await reader.readline():
                self._heard(slot, decode_from_worker(line))
        except ConnectionResetError:
            pass  # it was killed with our last order unread
        except msgspec.DecodeError as error:
            log.error("worker.unreadable", worker=slot.worker_id, error=str(error))
            slot.process.kill()
        slot.control.close()
        slot.control = None
        slot.in_force = None
        self._counters.release_all(slot.worker_id)
        return await self._loop.run_in_executor(None, slot.process.wait)

    def _spawn(self, slot: WorkerSlot, control: socket.socket) -> subprocess.Popen[bytes]:
        settings = self._settings
        worker = WorkerSettings(
            gateway_id=settings.gateway_id,
            worker_id=slot.worker_id,
            worker_count=len(self._slots),
            gateway_dir=str(settings.folder.path),
            listen_fd=slot.listener.fileno(),
            control_fd=control.fileno(),
            simulator_url=settings.simulator_url,
        )
        return subprocess.Popen(  # noqa: S603 our own module with our own settings
            [sys.executable, "-m", "kintsugi.gateway.worker", msgspec.json.encode(worker)],
            pass_fds=(worker.listen_fd, worker.control_fd),
        )

    def _heard(self, slot: WorkerSlot, message: FromWorker) -> None:
        if message.reserve is not None:
            self._reserve(slot, message.reserve)
        if message.settle is not None:
            self._counters.settle(slot.worker_id, message.settle)
        if message.tally is not None:
            slot.tally = message.tally
        if message.quarantined is not None:
            self._oversight.quarantined(message.quarantined)
            self._cells.add("kintsugi_quarantines_total")
        if message.held is not None:
            self._oversight.held(message.held)
            self._cells.add("kintsugi_held_answers_total")
        if message.redeem is not None:
            self._oversight.redeem(
                message.redeem, lambda redeemed: slot.tell(ToWorker(redeemed=redeemed))
            )
        if message.contained is not None and message.contained != slot.contained:
            slot.contained = message.contained
            self._changed()
        if message.in_force is not None:
            slot.in_force = message.in_force
            slot.error = ""
            self._loading.runs(
                {each.in_force.config_version for each in self._slots if each.in_force}
            )
            self._changed()
        if message.load_failed is not None:
            slot.error = message.load_failed.error
            self._loading.failed(message.load_failed)
            self._changed()

    def _reserve(self, slot: WorkerSlot, wish: Reserve) -> None:
        told = self._counters.reserve(slot.worker_id, wish)
        slot.tell(ToWorker(reserved=told))
        for key, counter in told.counters.items():
            if not counter.granted:
                self._cells.limit_reached(key.partition("/")[0])

    # The control plane

    def _connect(self, followed: FollowedConfiguration | None) -> None:
        settings = self._settings
        if not settings.api_url:
            if settings.journal_limits.any:
                self._trimmer = JournalTrimmer(
                    settings.folder.journal, settings.journal_limits, time.time
                )
                self._trimmer.start()
            return

        self._shipper = Shipper(
            settings.folder.journal, settings.folder.path, self._control_plane(), keep=KEPT
        )
        self._follower = Follower(
            self._control_plane,
            gateway_id=settings.gateway_id,
            config_id=self._loading.config_id,
            gateway_dir=settings.folder.path,
            put_in_force=self._loading.put_in_force,
            report=self._gateway_report,
            answered=self._answered,
            first_version=self._loading.first_version,
            oversee=lambda push: self._oversight.pushed(push, self._loop),
            in_force=followed,
        )
        self._shipper.start()
        self._follower.start()

    def _control_plane(self) -> ControlPlane:
        return ControlPlane(self._settings.api_url, self._token)

    def _token(self) -> str:
        """The token given, or the one that a control plane on this machine has made for us."""
        if self._settings.api_token:
            return self._settings.api_token
        try:
            return (self._settings.state_dir / "gateway-token").read_text("ascii").strip()
        except OSError:
            return ""

    def _gateway_report(self) -> GatewayReport:
        """What this gateway is and runs; called in the reporter's thread."""
        shipper = self._shipper
        shipped = shipper.tally if shipper is not None else None
        # Of the report before: what was counted then has been looked for in the journals since.
        unjournaled = max(0, self._decided_before - shipper.journaled) if shipper else 0
        self._decided_before = sum(slot.tally.decided for slot in self._slots)
        errors = [self._loading.error, *(slot.error for slot in self._slots)]
        if self._follower is not None:
            errors.insert(0, self._follower.load_error)
        return GatewayReport(
            id=self._settings.gateway_id,
            config_id=self._loading.config_id,
            listen=self._listen,
            version=__version__,
            workers=tuple(report for slot in self._slots if (report := slot.report())),
            shipped=shipped.shipped if shipped else 0,
            waiting=shipped.waiting if shipped else 0,
            load_error=next(filter(None, errors), ""),
            started_at=self._started_at,
            unjournaled=unjournaled,
            refused=shipped.refused if shipped else 0,
            journals=shipper.heads() if shipper else (),
        )

    def _answered(self, missing: tuple[MissingLines, ...]) -> None:
        if self._shipper is not None:
            self._shipper.send_again(missing)

    def _changed(self) -> None:
        if self._follower is not None:
            self._follower.changed()

    async def _count(self) -> None:
        """Keep the numbers that only this process knows where any worker's /metrics finds them."""
        before = self._shipper.tally.shipped if self._shipper else 0
        while True:
            if self._shipper is not None:
                tally = self._shipper.tally
                self._cells.add("kintsugi_shipped_total", tally.shipped - before)
                self._cells.set_gauge("kintsugi_unshipped_records", tally.waiting)
                before = tally.shipped
            self._cells.set_gauge("kintsugi_counters", self._counters.counters)
            self._cells.set_gauge("kintsugi_open_reservations", self._counters.reservations)
            self._cells.set_gauge("kintsugi_quarantines", self._oversight.quarantines)
            self._relaxed.look()
            await asyncio.sleep(1.0)

    # End

    async def _stop(self) -> int:
        """Drain every worker, ship what can be shipped, and end."""
        log.info("gateway.draining")
        for slot in self._slots:
            slot.listener.close()  # first, or a connection could wait here for nobody
            slot.tell(ToWorker(drain=True))
        limit_seconds = self._loading.drain_seconds + _DRAIN_GRACE_SECONDS
        _, late = (
            await asyncio.wait(self._tasks, timeout=limit_seconds) if self._tasks else ((), ())
        )
        for slot in self._slots:
            if late and slot.process is not None and slot.process.poll() is None:
                log.error("worker.killed", worker=slot.worker_id, why="it did not drain in time")
                slot.process.kill()
        if late:
            await asyncio.wait(late, timeout=_DRAIN_GRACE_SECONDS)
        with suppress(OSError):  # the next start does it
            await self._recover()
        self._counters.close()
        await self._loop.run_in_executor(None, self._disconnect)
        self._cells.close()
        log.info("gateway.stopped")
        return 1 if late or self._failed else 0

    def _disconnect(self) -> None:
        if self._trimmer is not None:
            self._trimmer.stop()
        self._oversight.close()
        if self._shipper is not None:
            arrived = self._shipper.flush(timeout_seconds=_FLUSH_SECONDS)
            if not arrived:
                log.warning("gateway.unshipped", records=self._shipper.tally.waiting)
            self._shipper.stop()
        if self._follower is not None:
            self._follower.stop()


def keep_secret(path: Path) -> None:
    """Make the fingerprint key once; it must stay, or equal findings stop looking equal."""
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_FINGERPRINT_KEY_BYTES))


def run(settings: GatewaySettings) -> int:
    """Run a gateway until it is told to stop; returns the process's exit code.

    Raises:
        ConfigurationInvalid: the policy file has errors and there is nothing else to run.
        OSError: the port is taken, or the state folder cannot be used.
    """
    return asyncio.run(_run(settings))


async def _run(settings: GatewaySettings) -> int:
    return await Supervisor(settings).run()
