"""Connections to PostgreSQL, and its errors in our own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from kintsugi.errors import InvalidInput, StoreUnavailable

Connection = psycopg.Connection[TupleRow]

_POOL_WAIT_SECONDS: Final = 5.0
# Whatever the server's own settings are: times come back in UTC, a plan knows the values it is
# made for (so months are ruled out and partial indexes used), and small queries are not compiled.
_SESSION: Final = "SET timezone = 'UTC'; SET plan_cache_mode = force_custom_plan; SET jit = off"


class Database:
    """A pool of connections to one database. Threads share it."""

    def __init__(self, conninfo: str, *, connections_max: int = 20) -> None:
        """Open no connection yet.

        Args:
            conninfo: for libpq, or a ``postgresql://`` URL.
        """
        self.conninfo = conninfo
        self._pool = ConnectionPool(
            conninfo,
            min_size=1,
            max_size=connections_max,
            open=False,
            timeout=_POOL_WAIT_SECONDS,
            # A question before each use: after a restart of the server every pooled connection is
            # dead, and each would fail one request.
            check=ConnectionPool.check_connection,
            configure=_configure,
            reconnect_timeout=30.0,
            # Prepared statements do not survive poolers such as pgbouncer, and gain nothing here.
            kwargs={"prepare_threshold": None, "autocommit": False},
        )

    def open(self) -> None:
        """Start connecting in the background."""
        self._pool.open()

    def close(self) -> None:
        """Close every connection; uses after this raise StoreUnavailable."""
        self._pool.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back when the block raises.

        Raises:
            StoreUnavailable: no connection is to be had, or it was lost, or the server cannot
                write; nothing was committed (or, lost in the very commit, perhaps all was:
                everything that is retried is idempotent).
            InvalidInput: a value that PostgreSQL cannot hold.
        """
        with in_our_words(), self._pool.connection() as connection:
            yield connection


@contextmanager
def in_our_words() -> Iterator[None]:
    """Translate what psycopg raises in this block.

    Raises:
        StoreUnavailable: lost or refused connections, full disks, servers that start or stop.
        InvalidInput: a value that PostgreSQL cannot hold, such as a NUL in a text.
    """
    try:
        yield
    except PoolTimeout as error:
        raise StoreUnavailable("the database does not answer; try again") from error
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


def _configure(connection: Connection) -> None:
    connection.execute(_SESSION)
    connection.commit()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
