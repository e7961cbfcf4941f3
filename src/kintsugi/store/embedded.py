"""The built-in database server: made, started, shared, watched and stopped.

Everybody who uses the server holds a shared lock on one file and the last one out stops it. A user
that was killed holds nothing any more, so nobody has to keep count of process ids. Which programs
run, as whom, and where: ``programs.py``, ``account.py``, ``quarters.py``; what a killed server left
behind: ``remains.py``.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.parse import quote

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from kintsugi.durable import sync
from kintsugi.errors import DatabaseUnusable
from kintsugi.store.account import Account, choose_account
from kintsugi.store.programs import Programs, candidate_folders, find_programs
from kintsugi.store.quarters import PORT, Quarters, find_home, held, settle, try_lock
from kintsugi.store.reader import reader_name
from kintsugi.store.remains import server_pid, server_processes, stop, sweep

DATABASE: Final = "kintsugi"
OWNER: Final = "kintsugi"
SHELTER: Final = Path("/var/lib/kintsugi")
_POLL_SECONDS: Final = 0.01
_POLL_SECONDS_MAX: Final = 0.5
_TELL_EVERY_SECONDS: Final = 2.0
# A server that neither answers nor ends for so long is broken. While it answers "starting up" it
# may take as long as it needs: recovery after a crash is no failure.
_SILENCE_SECONDS_MAX: Final = 60.0
_LOG_BYTES_MAX: Final = 8_000_000
_DISK_BYTES_MIN: Final = 32_000_000


class DatabaseHandle(msgspec.Struct, frozen=True):
    """A database that answers.

    Attributes:
        conninfo: for libpq; ``url`` says the same as a URL.
        pid: the server's process id; None when somebody else runs it.
        version: of the server: ``15.18``.
    """

    conninfo: str
    url: str
    pid: int | None
    version: str


class Embedded:
    """One user's hold on the database server of a state folder.

    Usable again after :meth:`release`. Not for use by two threads at once.
    """

    def __init__(
        self,
        state: Path,
        *,
        tell: Callable[[str], None] = lambda _: None,
        shelter: Path = SHELTER,
        folders: Callable[[], Iterable[Path]] = candidate_folders,
    ) -> None:
        """Touch nothing yet.

        Args:
            tell: gets a sentence now and then while something takes long.
            shelter: see :func:`~kintsugi.store.quarters.settle`.
            folders: where to look for PostgreSQL's programs.
        """
        self._state = state.absolute()
        self._tell = tell
        self._shelter = shelter
        self._folders = folders
        self._server: subprocess.Popen[bytes] | None = None
        self._users_lock: int | None = None
        self._quarters: Quarters | None = None

    def start(self) -> DatabaseHandle:
        """Have the server running, and keep it so until :meth:`release`.

        Called again, it brings back a server that died. Waits for as long as recovery takes.

        Raises:
            DatabaseUnusable: no server can run here; says why and what to do.
        """
        account = choose_account(owner_uid=_owner(find_home(self._state) / "data"))
        quarters = settle(self._state, account, shelter=self._shelter, tell=self._tell)
        self._quarters = quarters
        try:
            with held(quarters.start_lock, tell=self._tell):
                self._join(quarters)
                return self._running(quarters, account)
        except OSError as error:
            self.release()
            raise DatabaseUnusable(f"the database cannot be started: {error}") from error
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go of the server; stops it when nobody else holds it. Again is no error."""
        if self._users_lock is None or self._quarters is None:
            return
        lock, self._users_lock = self._users_lock, None
        server, self._server = self._server, None
        try:
            with held(self._quarters.start_lock, tell=self._tell):
                # A shared lock becomes exclusive only when nobody else shares it.
                if last := try_lock(lock, fcntl.LOCK_EX):
                    stop(self._quarters, tell=self._tell)
        except FileNotFoundError:  # somebody removed the state folder under the server
            last = True
            if server is not None:
                server.send_signal(signal.SIGQUIT)
        finally:
            os.close(lock)
        if server is not None and server.poll() is None:
            if last:
                server.wait(timeout=_SILENCE_SECONDS_MAX)
            else:
                # Others go on with it; without this, Popen complains that we leave it running.
                server.returncode = 0

    def __enter__(self) -> DatabaseHandle:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _join(self, quarters: Quarters) -> None:
        if self._users_lock is None:
            lock = os.open(quarters.users_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            # Exclusive locks on this file are only taken under the start lock, which we hold.
            fcntl.flock(lock, fcntl.LOCK_SH)
            self._users_lock = lock

    def _running(self, quarters: Quarters, account: Account) -> DatabaseHandle:
        if PGconn.ping(_conninfo(quarters, "postgres").encode()) != Ping.OK:
            major = _major(quarters.data)
            programs = find_programs(
                account, major=major, beside=quarters.home, folders=self._folders()
            )
            if major is None:
                self._create(quarters, account, programs)
            self._bring_up(quarters, account, programs)
        return _open_database(quarters)

    def _create(self, quarters: Quarters, account: Account, programs: Programs) -> None:
        """A new data directory, in place only when it is complete and on disk."""
        self._tell(f"creating the database with PostgreSQL {programs.version}")
        unfinished = quarters.home / "data.new"
        for locale in _locales(programs):
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(mode=0o700)
            account.own(unfinished)
            made, said = self._run(
                account,
                [
                    programs.path("initdb"),
                    f"--pgdata={unfinished}",
                    f"--username={OWNER}",
                    "--encoding=UTF8",
                    "--auth-local=peer",
                    "--auth-host=reject",
                    "--no-instructions",
                    "--data-checksums",  # a page that rots is refused, not read
                    "--no-sync",
                    *locale,
                ],
            )
            if made or "locale" not in said:
                break
        if made:
            made, said = self._run(
                account, [programs.path("initdb"), f"--pgdata={unfinished}", "--sync-only"]
            )
        if not made:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise DatabaseUnusable(f"the database cannot be created: {_last_lines(said)}")
        unfinished.rename(quarters.data)
        sync(quarters.home)

    def _run(self, account: Account, command: list[str]) -> tuple[bool, str]:
        """Run a program to its end: whether it succeeded, and all that it said."""
        with account.spawn(command, cwd=Path("/"), output=subprocess.PIPE) as process:
            said, _ = process.communicate()
        return process.returncode == 0, said.decode(errors="replace")

    def _bring_up(self, quarters: Quarters, account: Account, programs: Programs) -> None:
        """Return when the server answers; start it unless one is on its way up or down already."""
        conninfo = _conninfo(quarters, "postgres").encode()
        started = answered = told = time.monotonic()
        pause = _POLL_SECONDS
        spawned = False
        while (ping := PGconn.ping(conninfo)) != Ping.OK:
            now = time.monotonic()
            if ping == Ping.REJECT:
                answered = now
                # The server notes every refusal in its log, and recovery may take minutes.
                pause = min(pause * 1.5, _POLL_SECONDS_MAX)
            elif now - answered > _SILENCE_SECONDS_MAX:
                _give_up(quarters)
            if self._server is not None and self._server.poll() is not None:
                self._server = None
            if self._server is None and server_pid(quarters) is None:
                if spawned:
                    raise DatabaseUnusable(
                        f"the database server ended while it started: {_complaint(quarters)}"
                    )
                sweep(quarters, tell=self._tell)
                self._server = _spawn(quarters, account, programs)
                spawned = True
                answered = time.monotonic()
            if now - told > _TELL_EVERY_SECONDS:
                told = now
                self._tell(
                    f"the database is starting ({now - started:.0f} s): "
                    f"{_last_lines(_read(quarters), count=1)}"
                )
            time.sleep(pause)


def _spawn(quarters: Quarters, account: Account, programs: Programs) -> subprocess.Popen[bytes]:
    _write_access_rules(quarters, account)
    if quarters.log.exists() and quarters.log.stat().st_size > _LOG_BYTES_MAX:
        quarters.log.replace(quarters.log.with_suffix(".log.1"))
    command = [programs.path("postgres"), "-D", str(quarters.data)]
    for setting, value in _settings(quarters).items():
        command += ["-c", f"{setting}={value}"]
    with quarters.log.open("ab") as log, quarters.server_lock.open("ab") as lock:
        account.own(quarters.log)
        # The lock is the open file's, not ours: it stays with the server when we close it here.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return account.spawn(command, cwd=quarters.data, output=log, keep=[lock.fileno()])


def _give_up(quarters: Quarters) -> None:
    for pid in server_processes(quarters.data):
        os.kill(pid, signal.SIGKILL)
    raise DatabaseUnusable(
        f"the database server has not answered for {_SILENCE_SECONDS_MAX:.0f} s: "
        f"{_complaint(quarters)}"
    )


def _owner(data: Path) -> int | None:
    try:
        return data.stat().st_uid
    except OSError:
        return None


def _major(data: Path) -> int | None:
    """The version that made a data directory; None when there is no complete one."""
    try:
        return int((data / "PG_VERSION").read_text())
    except (OSError, ValueError):
        return None


def _locales(programs: Programs) -> list[list[str]]:
    """Code-point order with Unicode's idea of letters; plain C where the system has no such."""
    if programs.major >= 17:
        return [["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]]
    return [["--locale=C.UTF-8"], ["--no-locale"]]


def _settings(quarters: Quarters) -> dict[str, str]:
    """Given at every start, so that they follow this program and not the day of creation."""
    return {
        "listen_addresses": "",  # the wheel is built without TLS: never on a network
        "port": str(PORT),
        "unix_socket_directories": str(quarters.socket_folder),
        "unix_socket_permissions": "0700",
        "hba_file": str(quarters.data / "pg_hba.conf"),
        "ident_file": str(quarters.data / "pg_ident.conf"),
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        "shared_buffers": f"{_shared_buffers_mb()}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": "64MB",
        "random_page_cost": "1.1",
        "jit": "off",
        "max_wal_size": "2GB",
        "wal_compression": "on",
        "checkpoint_timeout": "10min",
        # A query over years of months locks every index of every month that it cannot rule out.
        "max_locks_per_transaction": "512",
        "dynamic_shared_memory_type": _shared_memory_kind(),
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_checkpoints": "off",
        "log_startup_progress_interval": "2s",
        "log_line_prefix": "%m [%p] ",
        # A statement that fails may hold what somebody typed; the log is no place for it.
        "log_min_error_statement": "panic",
        "log_parameter_max_length": "0",
        "log_error_verbosity": "default",
    }


def _shared_buffers_mb() -> int:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1_048_576
    return max(32, min(256, pages // 8))


def _shared_memory_kind() -> str:
    """``mmap`` where /dev/shm is a container's 64 MB, in which parallel queries fail."""
    try:
        status = os.statvfs("/dev/shm")  # noqa: S108 - asked for its size only
    except OSError:
        return "mmap" if Path("/proc").exists() else "posix"
    return "posix" if status.f_blocks * status.f_frsize > 268_435_456 else "mmap"


def _write_access_rules(quarters: Quarters, account: Account) -> None:
    """Our two logins for this account and root, as the kernel vouches; all others by password."""
    logins = (OWNER, reader_name(DATABASE))
    rules = f"local all {','.join(logins)} peer map=kintsugi\nlocal all all scram-sha-256\n"
    names = [
        f'kintsugi "{system}" {login}\n'
        for system in dict.fromkeys((account.name, "root"))
        for login in logins
    ]
    for file, text in (("pg_hba.conf", rules), ("pg_ident.conf", "".join(names))):
        path = quarters.data / file
        path.write_text(text)
        account.own(path)


def _conninfo(quarters: Quarters, database: str) -> str:
    return make_conninfo(
        host=str(quarters.socket_folder),
        port=PORT,
        user=OWNER,
        dbname=database,
        connect_timeout=5,
    )


def _open_database(quarters: Quarters) -> DatabaseHandle:
    """Make sure by a real question that this is our server, and that our database is in it."""
    try:
        with psycopg.connect(_conninfo(quarters, "postgres"), autocommit=True) as connection:
            row = connection.execute(
                "SELECT current_setting('data_directory'), current_setting('server_version'),"
                " EXISTS (SELECT FROM pg_database WHERE datname = %s)",
                [DATABASE],
            ).fetchone()
            if row is None or not Path(row[0]).samefile(quarters.data):
                raise DatabaseUnusable(f"another server answers on {quarters.socket_folder}")
            if not row[2]:
                connection.execute(f"CREATE DATABASE {DATABASE}")
    except psycopg.Error as error:
        raise DatabaseUnusable(f"the database does not answer: {error}") from error
    return DatabaseHandle(
        conninfo=_conninfo(quarters, DATABASE),
        url=f"postgresql://{OWNER}@/{DATABASE}?host={quote(str(quarters.socket_folder), safe='')}",
        pid=server_pid(quarters),
        version=str(row[1]).split()[0],
    )


def _read(quarters: Quarters, *, bytes_max: int = 4096) -> str:
    """The end of the server's log; empty when there is none."""
    try:
        with quarters.log.open("rb") as log:
            log.seek(max(0, quarters.log.stat().st_size - bytes_max))
            return log.read().decode(errors="replace")
    except OSError:
        return ""


def _complaint(quarters: Quarters) -> str:
    """What the server said last; a full disk takes even that, so it is looked at as well."""
    free = shutil.disk_usage(quarters.home).free
    full = f"; the disk is full ({free / 1e6:.0f} MB left)" if free < _DISK_BYTES_MIN else ""
    return f"{_last_lines(_read(quarters))} (all of it: {quarters.log}){full}"


def _last_lines(text: str, *, count: int = 3) -> str:
    return " / ".join(line.strip() for line in text.strip().splitlines()[-count:])
