"""PostgreSQL servers for tests: a local one and the wheel's, each started once per session."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from kintsugi.store.embedded import DatabaseHandle, Embedded
from kintsugi.store.migrate import prepare_database
from kintsugi.store.programs import candidate_folders

NOON = datetime(2026, 4, 23, 12, 0, tzinfo=UTC)
KINDS = ("local", "wheel")
_TEMPLATE = "kt_template"
_MEMORY = Path("/dev/shm")
_DROP_SECONDS_MAX = 20


def folders_of(kind: str) -> list[Path]:
    """Where to look for one kind of PostgreSQL only; skips the test where it is not installed."""
    folders = [
        folder
        for folder in candidate_folders()
        if ("pixeltable" in str(folder)) == (kind == "wheel")
    ]
    if not folders:
        pytest.skip(f"no {kind} PostgreSQL is installed here")
    return folders


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder that the database's own user can reach too; pytest's are closed to all but us."""
    # In memory where there is room: most of what a young database does is wait for the disk.
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 2_000_000_000
    folder = Path(tempfile.mkdtemp(prefix="kt-test-", dir=_MEMORY if roomy else None))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Server(msgspec.Struct, frozen=True):
    """A running server with a migrated template database."""

    handle: DatabaseHandle
    numbers: Iterator[int]

    def conninfo(self, database: str) -> str:
        """How to connect to one of its databases as its owner."""
        return make_conninfo(self.handle.conninfo, dbname=database)

    def create(self, *, template: str = _TEMPLATE) -> str:
        """A new database, migrated unless another template is named; how to connect to it."""
        name = f"kt_test_{next(self.numbers)}"
        with psycopg.connect(self.handle.conninfo, autocommit=True) as connection:
            # Files are copied in a third of the time that writing them into the log takes.
            statement = f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"
            connection.execute(statement.encode())
        return self.conninfo(name)

    def drop(self, conninfo: str) -> None:
        """Remove a database, whoever is still connected.

        That only frees memory: the server goes at the end of the run. Once in thousands of times it
        waits for ever on version 15 (for every process of the server to take note of it, as far as
        the manual tells; which one does not was not found out); then the database stays.
        """
        name = psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"]
        with psycopg.connect(self.handle.conninfo, autocommit=True) as connection:
            connection.execute(f"SET statement_timeout = '{_DROP_SECONDS_MAX}s'".encode())
            with suppress(psycopg.errors.QueryCanceled):
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def running_server(folders: Callable[[], Iterable[Path]]) -> Iterator[Server]:
    """A server in a folder of its own."""
    with reachable_folder() as state, Embedded(state, folders=folders) as handle:
        server = Server(handle, itertools.count())
        with psycopg.connect(handle.conninfo, autocommit=True) as connection:
            # Nobody reads these files after a crash of the machine.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET full_page_writes = off")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(f"CREATE DATABASE {_TEMPLATE}".encode())
        prepare_database(server.conninfo(_TEMPLATE), now=NOON)
        yield server


class Servers:
    """Servers by kind, started when they are first asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[str, Server] = {}

    def get(self, kind: str) -> Server:
        """The server of this kind."""
        if kind not in self._running:
            folders = folders_of(kind)
            self._running[kind] = self._stack.enter_context(running_server(lambda: folders))
        return self._running[kind]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Every server of the session, stopped at its end."""
    with ExitStack() as stack:
        yield Servers(stack)
