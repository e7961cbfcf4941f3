"""What a running ``kt up`` says about itself in ``STATE/run/up.json``."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from kintsugi.durable import write_whole
from kintsugi.errors import KintsugiError


class Up(msgspec.Struct, frozen=True):
    """One running instance.

    Attributes:
        pids: by part: ``server``, ``gateway``, ``simulator``; parts being restarted are missing.
        restarts: by part, how often it had to be started again.
        config_file: the file that the gateway started from.
    """

    pid: int
    gateway_url: str
    api_url: str
    config_file: str
    started_at: str
    ready: bool = False
    simulator_url: str = ""
    pids: dict[str, int] = {}
    restarts: dict[str, int] = {}


class ServerRun(msgspec.Struct, frozen=True):
    """What the control plane says about itself in ``STATE/run/server.json``.

    Attributes:
        database_pid: the embedded database's postmaster; None with a database of your own.
    """

    pid: int
    api_url: str
    database_pid: int | None = None


RunFile = TypeVar("RunFile", Up, ServerRun)


def up_path(state: Path) -> Path:
    """Where ``kt up`` writes about itself."""
    return state / "run" / "up.json"


def server_path(state: Path) -> Path:
    """Where the control plane writes about itself."""
    return state / "run" / "server.json"


def read_up(state: Path) -> Up | None:
    """The running instance; None when nothing runs on this state folder, or has only begun to."""
    up = _read(up_path(state), Up)
    return up if up is not None and is_held(state) and alive(up.pid) else None


def read_server(state: Path) -> ServerRun | None:
    """The control plane on this state folder; None when it does not run."""
    server = _read(server_path(state), ServerRun)
    return server if server is not None and alive(server.pid) else None


def write_json(path: Path, value: msgspec.Struct) -> None:
    """Replace a run file whole, so that a reader never sees half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
    # For everybody to read: it tells where the program is, and nothing that opens it.
    write_whole(path, text, durable=False, mode=0o666)


@contextmanager
def held(state: Path) -> Iterator[None]:
    """Hold the state folder for one ``kt up``; the kernel lets go when the process dies.

    Raises:
        KintsugiError: another process holds it.
    """
    lock = _lock_path(state)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise KintsugiError(f"Kintsugi runs on {state} already") from None
        # What one that was killed wrote about itself is not about this one.
        up_path(state).unlink(missing_ok=True)
        yield


def is_held(state: Path) -> bool:
    """Whether a ``kt up`` runs on this state folder."""
    try:
        handle = _lock_path(state).open("r")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def alive(pid: int) -> bool:
    """Whether a process with this id exists, ours or somebody else's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _lock_path(state: Path) -> Path:
    return state / "run" / "up.lock"


def _read(path: Path, kind: type[RunFile]) -> RunFile | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None
