"""Users of the built-in database in processes of their own, under whatever account."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kintsugi.store.account import Account

# Starts the database, says its process id, and lets go of it when told to or when nobody listens.
_USER = """
import sys
from pathlib import Path
from kintsugi.errors import DatabaseUnusable
from kintsugi.store.embedded import Embedded
try:
    with Embedded(Path(sys.argv[1])) as handle:
        print(handle.pid, flush=True)
        sys.stdin.read()
except DatabaseUnusable as error:
    print("unusable:", error, flush=True)
"""

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


class User:
    """A process that uses the database of a state folder."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def said(self) -> str:
        """The next line it prints: the server's process id, or why there is none."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def pid(self) -> int:
        """The server's process id; waits until it runs."""
        return int(self.said())

    def leave(self) -> None:
        """End in the orderly way."""
        self._process.communicate(timeout=60)

    def kill(self) -> None:
        """End in no way at all."""
        self._process.kill()
        self._process.communicate(timeout=60)


@contextmanager
def user_of(state: Path, *, uid: int | None = None) -> Iterator[User]:
    """Start a user of the database, as another account when ``uid`` is given."""
    with subprocess.Popen(
        [_python(uid), "-c", _USER, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        user=uid,
        group=uid,
        extra_groups=None if uid is None else (),
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    ) as process:
        try:
            yield User(process)
        finally:
            if process.poll() is None:
                process.kill()


def _python(uid: int | None) -> str:
    """A Python of this version that the account can run."""
    if uid is None:
        return sys.executable
    somebody = Account(str(uid), uid, uid, steps_down=True)
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        if somebody.can_run(Path(python)):
            return python
    pytest.skip(f"other accounts cannot reach any {name}")


def somebody_unprivileged() -> int:
    """The user id of an account that may do nothing in particular."""
    return pwd.getpwnam("nobody").pw_uid


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields[0] != "Z"
