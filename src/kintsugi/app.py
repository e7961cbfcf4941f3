"""The only module that knows everybody: builds and wires.

Imports stand inside the functions on purpose: ``kt policy lint`` must not load a database driver,
and a gateway must not load the control plane. Each function is one process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from kintsugi.cli.main import run
from kintsugi.cli.parts import GatewayStart, Parts, ServerStart, SimulatorStart
from kintsugi.cli.supervise import stop_when_stdin_closes


def main() -> None:
    """Entry point of ``kt``."""
    parts = Parts(
        serve=serve,
        run_gateway=run_gateway,
        run_simulator=run_simulator,
        backup=backup,
        restore=restore,
        find_postgresql=find_postgresql,
    )
    sys.exit(run(parts, os.environ))


def serve(start: ServerStart) -> int:
    """The control plane, until SIGTERM; the exit code.

    Raises:
        DatabaseUnusable: no PostgreSQL can be started here, or the one given cannot be used.
        StoreUnavailable: the one given does not answer.
        OSError: the address is taken.
    """
    from kintsugi import logs
    from kintsugi.server import run as run_server

    logs.configure(service="server")
    _watch_parent(start.with_parent)
    return run_server(start)


def run_gateway(start: GatewayStart) -> int:
    """A gateway, until SIGTERM; the exit code."""
    from kintsugi import logs
    from kintsugi.gateway.settings import GatewaySettings
    from kintsugi.gateway.supervisor import run as supervise

    logs.configure(service="gateway")
    _watch_parent(start.with_parent)
    return supervise(
        GatewaySettings(
            state_dir=start.state,
            gateway_id=_gateway_id(start.state),
            host=start.listen.host,
            port=start.listen.port,
            workers=start.workers,
            policy_config=start.policy_config,
            api_url=start.api_url,
            api_token=start.api_token,
            simulator_url=start.simulator_url,
        )
    )


def run_simulator(start: SimulatorStart) -> int:
    """The scripted provider, until SIGTERM; the exit code."""
    from kintsugi.simulator.server import run as simulate

    _watch_parent(start.with_parent)
    return simulate(str(start.listen), start.script)


def backup(state: Path, database_url: str, file: Path) -> dict[str, Any]:
    """Save everything into one file; what was saved."""
    raise NotImplementedError


def restore(state: Path, database_url: str, file: Path) -> dict[str, Any]:
    """Bring a backup back; what was restored."""
    raise NotImplementedError


def find_postgresql() -> str:
    """Which PostgreSQL the embedded database would use here, in words.

    Raises:
        DatabaseUnusable: there is none, or nobody to run it as.
    """
    from kintsugi.errors import DatabaseUnusable
    from kintsugi.store.account import choose_account
    from kintsugi.store.programs import MAJOR_MIN, candidate_folders, inspect

    account = choose_account()
    for folder in candidate_folders():
        if (programs := inspect(folder)) is not None:
            return f"{programs.version} in {programs.folder}, run as {account.name}"
    raise DatabaseUnusable(f"no PostgreSQL {MAJOR_MIN} or newer was found on this machine")


def _gateway_id(state: Path) -> str:
    """The gateway's lasting name, made on first use."""
    path = state / "gateway-id"
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"gw-{os.urandom(4).hex()}\n", encoding="ascii")
        return _gateway_id(state)


def _watch_parent(wanted: bool) -> None:
    """Stop this process when ``kt up`` is gone, however it went."""
    if not wanted:
        return
    threading.Thread(
        target=stop_when_stdin_closes,
        args=(lambda: os.kill(os.getpid(), signal.SIGTERM),),
        name="watch-parent",
        daemon=True,
    ).start()
