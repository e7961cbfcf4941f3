"""The control plane as one process: database, stores, API and console.

With the embedded database this process is one of its users: it starts it, brings it back when it
dies, and lets go of it at the end. Requests that meet a database that is away are answered 503;
gateways keep their records and send them again.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI
from psycopg.pq import PGconn, Ping

from kintsugi.api.app import end_streams, utc_now
from kintsugi.api.credentials import ensure_first_tokens
from kintsugi.api.vault_worker import reapply
from kintsugi.cli.parts import Address, ServerStart
from kintsugi.cli.runfile import ServerRun, server_path, write_json
from kintsugi.console.app import build_control_plane
from kintsugi.console.oidc import Provider
from kintsugi.console.oidc_settings import client_secret, read_oidc_settings
from kintsugi.errors import DatabaseUnusable, KeyUnavailable
from kintsugi.ledger.log_keys import load_keys
from kintsugi.ledger.regression_copy import FILE as LEDGER_COPY
from kintsugi.ledger.regression_copy import bind_again
from kintsugi.model.stores import Stores
from kintsugi.store.archive_shelf import Place, address_of
from kintsugi.store.embedded import DatabaseHandle, Embedded
from kintsugi.store.postgres import open_stores
from kintsugi.vault.key_sources import key_sources

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.5
_BACKLOG = 2048
# Uploads and downloads that are under way get so long; streams are ended by us.
_GRACE_SECONDS = 8


def run(start: ServerStart) -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    start.state.mkdir(parents=True, exist_ok=True)
    # Before uvicorn takes over, and after: it raises the signal once more when it has stopped, and
    # the default action would end the process with the database still held.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    with ExitStack() as stack:
        listener = stack.enter_context(_bound(start.listen))
        runs = _RunFile(start.state, Address(start.listen.host, listener.getsockname()[1]))
        conninfo = start.database_url or stack.enter_context(_embedded(start.state, runs)).conninfo
        keys = key_sources(start.vault_key, state_dir=start.state, environ=os.environ)
        archive = _archive(start)
        stores = stack.enter_context(closing(open_stores(conninfo, keys=keys, archive=archive)))
        _look_for_key(stores)
        reapply(
            stores.erasures,
            start.state,
            now=datetime.now(UTC),
            tell=lambda said: log.warning("erasure.reapplied", said=said),
        )
        bind_again(
            stores,
            start.state / LEDGER_COPY,
            now=datetime.now(UTC),
            tell=lambda said: log.warning("regression_ledger.put_back", said=said),
        )
        ensure_first_tokens(stores, start.state, now=datetime.now(UTC))
        log_key_file = start.log_key_file or start.state / "log-key"
        load_keys(log_key_file)  # made on the first start; a bad one is found out now
        provider = _provider(start.state)
        app = build_control_plane(
            stores,
            state_dir=start.state,
            log_key_file=log_key_file,
            archive_after_months=start.archive_after_months,
            provider=provider,
        )
        runs.write()
        stack.callback(runs.remove)
        log.info("server.started", listen=str(runs.address), pid=os.getpid())
        stack.callback(log.info, "server.stopped")
        _Server(app).run([listener])
    return 0


def _archive(start: ServerStart) -> Place | None:
    if not start.archive_url:
        return None
    return Place(address_of(start.archive_url), start.state / "archive-copies")


def _provider(state: Path) -> Provider | None:
    """The OpenID provider that people sign in at. A file that cannot be used is found out now; a
    provider that is away is not waited for."""
    settings = read_oidc_settings(state, os.environ)
    if settings is None:
        return None
    log.info("oidc.configured", issuer=settings.issuer, callback=settings.callback_url)
    return Provider(settings, client_secret(settings, os.environ), utc_now)


def _look_for_key(stores: Stores) -> None:
    """Make or fetch the key that seals content, and say at once when it is not to be had.

    The control plane serves all the same: containing an incident must not wait for a key. Gateways
    keep what cannot be sealed in their journals.
    """
    try:
        stores.vault.ready()
    except KeyUnavailable as error:
        log.error("vault.key_unavailable", error=str(error))


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


class _Server(uvicorn.Server):
    """Ends the endless streams when it is told to stop, or it would wait for them."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT."""
        super().handle_exit(sig, frame)
        # Not here: the feed's lock may be held by the very code that the signal interrupted.
        threading.Thread(target=end_streams, args=(self._app,), name="end-streams").start()


class _RunFile:
    """What this process says about itself, for ``kt status``."""

    def __init__(self, state: Path, address: Address) -> None:
        self.address = address
        self._path = server_path(state)
        self._database_pid: int | None = None
        self._written = False

    def write(self) -> None:
        """Say that the control plane serves."""
        self._written = True
        write_json(self._path, ServerRun(os.getpid(), self.address.url, self._database_pid))

    def database(self, handle: DatabaseHandle) -> None:
        """Note which database server answers now."""
        self._database_pid = handle.pid
        if self._written:
            self.write()

    def remove(self) -> None:
        """Say no more."""
        self._path.unlink(missing_ok=True)


@contextmanager
def _bound(address: Address) -> Iterator[socket.socket]:
    """A socket that takes connections from now on; they wait until the database is ready.

    So a taken port is known at once, and a gateway that starts beside this process waits for an
    answer instead of counting refusals and trying again ever later.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        yield listener


@contextmanager
def _embedded(state: Path, runs: _RunFile) -> Iterator[DatabaseHandle]:
    """The embedded database, for the length of the block."""
    database = Embedded(state, tell=lambda said: log.info("database", said=said))
    stopping = threading.Event()
    try:
        handle = database.start()
        runs.database(handle)
        keeper = threading.Thread(
            target=_keep, args=(database, handle, runs, stopping), name="keep-database"
        )
        keeper.start()
        try:
            yield handle
        finally:
            stopping.set()
            keeper.join()
    finally:
        database.release()


def _keep(
    database: Embedded, handle: DatabaseHandle, runs: _RunFile, stopping: threading.Event
) -> None:
    """Bring the database back whenever it is gone."""
    while not stopping.wait(_LOOK_SECONDS):
        if PGconn.ping(handle.conninfo.encode()) in (Ping.OK, Ping.REJECT):
            continue
        log.warning("database.gone")
        try:
            handle = database.start()
        except DatabaseUnusable as error:
            log.error("database.unusable", error=str(error))
            continue
        runs.database(handle)
        log.info("database.back", pid=handle.pid)
