"""Where the built-in database lives: folders, sockets and locks below the state folder.

The account that runs it must be able to reach all of it. Only folders of our own are opened up for
that; what stands above them is somebody else's and stays as it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from kintsugi.errors import DatabaseUnusable
from kintsugi.store.account import Account

PORT: Final = 5432
# sockaddr_un holds 108 bytes on Linux (104 elsewhere), the closing zero included.
SOCKET_PATH_BYTES_MAX: Final = 103
_START_LOCK: Final = "start.lock"
_POLL_SECONDS: Final = 0.02


class Quarters(msgspec.Struct, frozen=True):
    """The places of one database.

    Attributes:
        folder: ``STATE/postgres``; holds the locks.
        home: holds the data; the same folder, unless the account cannot reach that.
    """

    folder: Path
    home: Path
    socket_folder: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """What the server has to say."""
        return self.home / "server.log"

    @property
    def start_lock(self) -> Path:
        """Held while somebody starts or stops the server."""
        return self.folder / _START_LOCK

    @property
    def users_lock(self) -> Path:
        """Shared by everybody who uses the server."""
        return self.folder / "users.lock"

    @property
    def server_lock(self) -> Path:
        """Held by the server's own processes."""
        return self.folder / "server.lock"


def find_home(state: Path) -> Path:
    """Where the data of this state folder is or would be; touches nothing."""
    location = state / "postgres" / "location"
    try:
        return Path(location.read_text().strip())
    except OSError:
        return state / "postgres"


def settle(
    state: Path, account: Account, *, shelter: Path, tell: Callable[[str], None]
) -> Quarters:
    """Make the folders that are missing, within reach of ``account``.

    Args:
        shelter: where the data goes when root's state folder stands where the account cannot go.

    Raises:
        DatabaseUnusable: a folder cannot be made or is not ours.
    """
    try:
        folder = state / "postgres"
        folder.mkdir(parents=True, exist_ok=True)
        if account.steps_down:
            _open_for_passing(state)
            _open_for_passing(folder)
        with held(folder / _START_LOCK, tell=tell):  # two that start at once choose one home
            home = _home(folder, account, shelter=shelter, tell=tell)
            return Quarters(folder, home, _socket_folder(home, account))
    except OSError as error:
        raise DatabaseUnusable(f"the database's folder cannot be made: {error}") from error


def _home(folder: Path, account: Account, *, shelter: Path, tell: Callable[[str], None]) -> Path:
    location = folder / "location"
    if location.exists():
        return Path(location.read_text().strip())
    if account.can_enter(folder):
        return folder
    if (folder / "data").exists():
        raise DatabaseUnusable(
            f"user {account.name}, who runs the database, cannot reach {folder} any more; "
            "let it pass the folders above (chmod o+x), or move the state folder"
        )
    shelter.mkdir(parents=True, exist_ok=True)
    _open_for_passing(shelter)
    if not account.can_enter(shelter):
        raise DatabaseUnusable(
            f"user {account.name}, who runs the database, can reach neither {folder} nor "
            f"{shelter}; choose another --state, or set KT_DATABASE_URL"
        )
    home = shelter / f"database-{secrets.token_hex(6)}"
    home.mkdir(mode=0o711)
    (home / "state").write_text(f"{folder}\n")
    location.write_text(f"{home}\n")
    tell(f"user {account.name} cannot reach {folder}: the database's files are kept in {home}")
    return home


def _open_for_passing(folder: Path) -> None:
    """Let everybody pass through a folder that is ours, not list or read it."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not mode & stat.S_IXOTH:
        folder.chmod(mode | stat.S_IXOTH)


def _socket_folder(home: Path, account: Account) -> Path:
    """A folder that only the account may enter, with a path short enough for a socket."""
    name = f"/.s.PGSQL.{PORT}"
    folder = home / "socket"
    if len(os.fsencode(f"{folder}{name}")) > SOCKET_PATH_BYTES_MAX:
        runtime = "" if account.steps_down else os.environ.get("XDG_RUNTIME_DIR", "")
        digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
        folder = Path(runtime if Path(runtime).is_absolute() else "/tmp", f"kt-{digest}")  # noqa: S108
        if len(os.fsencode(f"{folder}{name}")) > SOCKET_PATH_BYTES_MAX:
            folder = Path(f"/tmp/kt-{digest}")  # noqa: S108 - checked below for who owns it
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        account.own(folder)
    # /tmp belongs to everybody: somebody may have made the folder first, or a link in its place.
    status = folder.lstat()
    owned = status.st_uid == account.uid and not stat.S_IMODE(status.st_mode) & 0o077
    if not (stat.S_ISDIR(status.st_mode) and owned):
        raise DatabaseUnusable(
            f"{folder} is not a folder that only {account.name} may enter; remove it"
        )
    return folder


@contextmanager
def held(lock: Path, *, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock file alone; the kernel lets go of it when the holder dies, however it dies."""
    with lock.open("ab") as file:
        told = time.monotonic()
        while not try_lock(file.fileno(), fcntl.LOCK_EX):
            if time.monotonic() - told > 2:
                told = time.monotonic()
                tell("waiting for another kt that starts or stops the database")
            time.sleep(_POLL_SECONDS)
        yield


def try_lock(descriptor: int, kind: int) -> bool:
    """Take a lock of this kind if it is free."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
