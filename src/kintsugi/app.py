"""The only module that knows everybody: builds and wires.

Imports stand inside the functions on purpose: ``kt policy lint`` must not load a database driver,
and a gateway must not load the control plane. Each function is one process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kintsugi.cli.main import run
from kintsugi.cli.parts import GatewayStart, Parts, ServerStart, SimulatorStart, Transfer
from kintsugi.cli.supervise import stop_when_stdin_closes
from kintsugi.durable import write_whole

if TYPE_CHECKING:
    from kintsugi.model.stores import Stores
    from kintsugi.store.archive_shelf import Place
    from kintsugi.store.backup import Manifest


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
    from kintsugi.gateway.journal_retention import JournalLimits
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
            journal_limits=JournalLimits(
                start.journal_days_max * 86_400.0, start.journal_bytes_max
            ),
        )
    )


def run_simulator(start: SimulatorStart) -> int:
    """The scripted provider, until SIGTERM; the exit code."""
    from kintsugi.simulator.server import run as simulate

    _watch_parent(start.with_parent)
    return simulate(str(start.listen), start.script)


def backup(transfer: Transfer) -> dict[str, Any]:
    """Save everything into one file; what is in it."""
    from kintsugi.errors import InvalidInput
    from kintsugi.store.backup import backup as save

    if not transfer.database_url and not (transfer.state / "postgres").exists():
        raise InvalidInput(f"{transfer.state} holds no database; name another with --state")
    with _database(transfer) as conninfo:
        manifest = save(
            conninfo,
            transfer.file,
            now=datetime.now(UTC),
            state_files=_state_files(transfer.state, with_vault_key=transfer.with_vault_key),
            tell=transfer.tell,
        )
    return _summary(transfer.file, manifest)


def restore(transfer: Transfer) -> dict[str, Any]:
    """Bring a backup back, without what was erased since; what was in it."""
    from kintsugi.api.retention_worker import new_run
    from kintsugi.api.vault_worker import reapply
    from kintsugi.ledger.regression_copy import FILE as LEDGER
    from kintsugi.ledger.regression_copy import bind_again
    from kintsugi.store import open_stores
    from kintsugi.store.backup import restore as bring_back
    from kintsugi.vault.remembered import FILE, read, remember

    with _database(transfer) as conninfo:
        manifest = bring_back(
            conninfo,
            transfer.file,
            now=datetime.now(UTC),
            state=transfer.state,
            replace=transfer.replace,
            tell=transfer.tell,
        )
        if transfer.erasures is not None:
            remember(transfer.state / FILE, read(transfer.erasures))
        with open_stores(conninfo, archive=_archive(transfer)) as stores:
            wrong = _look_for_archives(stores, transfer.tell)
            again = reapply(
                stores.erasures, transfer.state, now=datetime.now(UTC), tell=transfer.tell
            )
            bound = bind_again(
                stores, transfer.state / LEDGER, now=datetime.now(UTC), tell=transfer.tell
            )
            now = datetime.now(UTC)
            again_due = new_run("system/restore", "restored from a backup", now=now)
            if stores.retention.request_unless(again_due, since=now):
                transfer.tell(
                    "the server removes again what is past its end, by the settings of the backup; "
                    "see `kt retention show` and docs/retention.md"
                )
            if stores.vault.key_uses() and not (transfer.state / "vault-key").exists():
                transfer.tell(
                    f"recorded content is sealed under a key that is not in {transfer.state}: "
                    "bring vault-key back, or name where it is with KT_VAULT_KEY; until then "
                    "nothing can be recorded"
                )
    return {
        **_summary(transfer.file, manifest),
        "erased_again": again,
        "bound_again": bound,
        "archives_wrong": wrong,
    }


def _archive(transfer: Transfer) -> Place | None:
    if not transfer.archive_url:
        return None
    from kintsugi.store.archive_shelf import Place, address_of

    return Place(address_of(transfer.archive_url), transfer.state / "archive-copies")


def _look_for_archives(stores: Stores, tell: Callable[[str], None]) -> int:
    """Whether everything is there that the restored database depends on; how much is not."""
    needed = stores.archives.in_force()
    if not needed:
        return 0
    months = ", ".join(sorted({one.month for one in needed}))
    if not stores.archives.place:
        tell(
            f"archived and needed by reads: {months}, written to {needed[0].place}; name where it "
            "is with KT_ARCHIVE_URL when you start the control plane"
        )
        return len(needed)
    found = stores.archives.look()
    for one in found:
        tell(f"archive: {one.where}: {one.what}")
    if not found:
        tell(f"the archives that it needs are there: {months} in {stores.archives.place}")
    return len(found)


@contextmanager
def _database(transfer: Transfer) -> Iterator[str]:
    """How to connect; the embedded database runs for the length of the block."""
    if transfer.database_url:
        yield transfer.database_url
        return
    from kintsugi.store.embedded import Embedded

    transfer.state.mkdir(parents=True, exist_ok=True)
    with Embedded(transfer.state, tell=transfer.tell) as handle:
        yield handle.conninfo


def _state_files(state: Path, *, with_vault_key: bool) -> dict[str, Path]:
    """What cannot be made again and is no access token: those are minted anew after a restore.

    The vault's key stays out unless it is asked for: a backup that holds it is content that
    anybody can read, and that no erasure reaches."""
    wanted = [
        "policy-config.yaml",
        "tests/*.json",
        "gateway-id",
        "log-key",
        "gateway/*/fingerprint.key",
        "erasures.jsonl",
        "regression-ledger.jsonl",
        *(["vault-key"] if with_vault_key else []),
    ]
    found = (path for pattern in wanted for path in state.glob(pattern))
    return {path.relative_to(state).as_posix(): path for path in found}


def _summary(file: Path, manifest: Manifest) -> dict[str, Any]:
    return {
        "file": str(file),
        "bytes": file.stat().st_size,
        "taken_at": manifest.taken_at.isoformat(),
        "kintsugi": manifest.kintsugi,
        "postgresql": manifest.postgresql,
        **manifest.counts,
        "archives_needed": [f"{one.place}/{one.month}/{one.id}" for one in manifest.archives],
    }


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
        write_whole(path, f"gw-{os.urandom(4).hex()}\n".encode())
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
