"""Connections to PostgreSQL, and its errors in our own words."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import ConnStatus
from psycopg.rows import TupleRow

from kintsugi.errors import DatabaseUnusable, InvalidInput, StoreUnavailable

Connection = psycopg.Connection[TupleRow]

_WAIT_SECONDS: Final = 5.0
# Kept open between uses; more than that are opened under load and closed after it.
_IDLE_MAX: Final = 5
# Whatever the server's own settings are: times come back in UTC, a plan knows the values it is
# made for (so months are ruled out and partial indexes used), and small queries are not compiled.
_SESSION: Final = "SET timezone = 'UTC'; SET plan_cache_mode = force_custom_plan; SET jit = off"
# For libpq, where the operator says nothing else: a network that swallows packets is noticed in
# seconds rather than hours.
_NETWORK: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


class Database:
    """Connections to one database, shared by threads and opened when they are needed.

    When the server is away, a caller learns it at once, and the first one after its return is
    served: nothing is retried in the background. That is the reason for not using psycopg_pool,
    whose callers wait in a queue for connections that its workers try to open at growing intervals.
    """

    def __init__(self, conninfo: str, *, connections_max: int = 20) -> None:
        """Open no connection yet.

        Args:
            conninfo: for libpq, or a ``postgresql://`` URL.
            connections_max: how many transactions run at once; more wait for their turn.
        """
        given = conninfo_to_dict(conninfo)
        self.conninfo = make_conninfo(
            conninfo, **{k: v for k, v in _NETWORK.items() if k not in given}
        )
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(connections_max)
        self._closed = False

    def close(self) -> None:
        """Close every connection; uses after this raise StoreUnavailable."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back when the block raises.

        Raises:
            StoreUnavailable: no connection is to be had, or it was lost, or the server cannot
                write; nothing was committed (or, lost in the very commit, perhaps all was:
                everything that is retried is idempotent).
            InvalidInput: a value that PostgreSQL cannot hold.
        """
        if not self._room.acquire(timeout=_WAIT_SECONDS):
            raise StoreUnavailable("the database is too busy; try again")
        try:
            with in_our_words():
                connection = self._take()
                try:
                    yield connection
                    connection.commit()
                finally:
                    self._give_back(connection)
        finally:
            self._room.release()

    def _take(self) -> Connection:
        """An idle connection that lives, or a new one."""
        while True:
            with self._lock:
                if self._closed:
                    raise StoreUnavailable("the store is closed")
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return _connect(self.conninfo)
            if _lives(connection):
                return connection
            connection.close()

    def _give_back(self, connection: Connection) -> None:
        try:
            # What did not come to its commit; nothing to do after one.
            connection.rollback()
        except psycopg.Error:
            connection.close()
        with self._lock:
            if not connection.closed and not self._closed and len(self._idle) < _IDLE_MAX:
                self._idle.append(connection)
                return
        connection.close()


@contextmanager
def in_our_words() -> Iterator[None]:
    """Translate what psycopg raises in this block.

    Raises:
        StoreUnavailable: lost or refused connections, full disks, servers that start or stop.
        InvalidInput: a value that PostgreSQL cannot hold, such as a NUL in a text.
        DatabaseUnusable: a page of its files is not what was written.
    """
    try:
        yield
    except (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted) as error:
        raise DatabaseUnusable(
            f"the database's files are damaged: {_first_line(error)}; restore a backup, and look "
            "at the disk"
        ) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise StoreUnavailable(
            f"the database cannot serve this now: {_first_line(error)}"
        ) from error
    except psycopg.errors.ReadOnlySqlTransaction as error:  # a standby, until it is promoted
        raise StoreUnavailable("the database is read-only at the moment; try again") from error
    except psycopg.DataError as error:
        raise InvalidInput(f"the database cannot hold this value: {_first_line(error)}") from error
    except UnicodeEncodeError as error:
        raise InvalidInput("a text holds half a surrogate pair, which is no character") from error


def _connect(conninfo: str) -> Connection:
    # Prepared statements do not survive poolers such as pgbouncer, and gain nothing here.
    connection = psycopg.connect(conninfo, prepare_threshold=None)
    try:
        connection.execute(_SESSION)
        connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection


def _lives(connection: Connection) -> bool:
    """Whether the server is still there, asked of the socket alone.

    Nothing arrives on an idle connection but the news of its end. A server that was restarted or
    killed has closed it; without this look, each such connection would fail one request.
    """
    readable, _, _ = select.select([connection.fileno()], [], [], 0)
    if readable:
        try:
            connection.pgconn.consume_input()
        except psycopg.OperationalError:
            return False
    return connection.pgconn.status == ConnStatus.OK and not readable


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
