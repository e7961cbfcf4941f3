"""Whether a server works on some data, how it is stopped, and what a killed one leaves behind.

PostgreSQL trusts the process id in its lock files: an id that another process has by now (usual
after a container restarts) or that a zombie still holds keeps it from starting for ever. But that
file is also what keeps two servers off the same data. So every server we start inherits a locked
file, and its backends after it: the kernel holds that lock until the last of them is gone, in
whatever container they run, and only then are the lock files of a killed server removed.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from kintsugi.store.quarters import Quarters, try_lock

_PROC: Final = Path("/proc")
_ORPHAN_PATIENCE_SECONDS: Final = 10.0
_STOP_PATIENCE_SECONDS: Final = 60.0
_TELL_EVERY_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.02


def server_lives(quarters: Quarters) -> bool:
    """Whether any process of a server works on this data, its backends included."""
    try:
        descriptor = os.open(quarters.server_lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        free = try_lock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)
    # A server that somebody started by hand holds no lock of ours, but works in the same place.
    return not free or bool(server_processes(quarters.data))


def server_pid(quarters: Quarters) -> int | None:
    """The process id of the running server; None when none runs or it is not to be seen here."""
    try:
        pid = int((quarters.data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    if _PROC.joinpath("self").exists():
        return pid if pid in server_processes(quarters.data) else None
    return pid if server_lives(quarters) else None


def server_processes(data: Path) -> list[int]:
    """Every live PostgreSQL process whose working directory is this data; zombies are not live.

    Empty where there is no /proc, and for processes of other containers.
    """
    found = []
    here = data.resolve()
    for entry in _PROC.glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == here and _is_postgres(entry):
                found.append(int(entry.name))
        except OSError:  # ended meanwhile, a zombie, or somebody else's
            continue
    return found


def sweep(quarters: Quarters, *, tell: Callable[[str], None]) -> None:
    """Make the data startable after its server was killed.

    Backends of a dead server end by themselves within moments. Those that do not are killed, for
    nothing that they do can be committed any more.
    """
    started = told = time.monotonic()
    while server_lives(quarters):
        now = time.monotonic()
        if now - told > _TELL_EVERY_SECONDS:
            told = now
            tell("waiting for the processes of a killed database server to end")
        if now - started > _ORPHAN_PATIENCE_SECONDS:
            for pid in server_processes(quarters.data):
                _signal(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    (quarters.data / "postmaster.pid").unlink(missing_ok=True)
    for left in quarters.socket_folder.glob(".s.PGSQL.*"):
        left.unlink(missing_ok=True)


def stop(quarters: Quarters, *, tell: Callable[[str], None]) -> None:
    """Shut the server down: at once for its clients, cleanly for its data; returns when it is gone.

    A server that does not end in time is told to quit without a checkpoint: it then recovers at
    its next start and loses nothing. One that runs in another container is left to that one.
    """
    pid = server_pid(quarters)
    if pid is None:
        return
    _signal(pid, signal.SIGINT)
    started = told = time.monotonic()
    while server_lives(quarters):
        now = time.monotonic()
        if now - told > _TELL_EVERY_SECONDS:
            told = now
            tell(f"waiting for the database to stop ({now - started:.0f} s)")
        if now - started > _STOP_PATIENCE_SECONDS:
            _signal(pid, signal.SIGQUIT)
        time.sleep(_POLL_SECONDS)


def _is_postgres(entry: Path) -> bool:
    return (entry / "comm").read_text().strip() in {"postgres", "postmaster"}


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
