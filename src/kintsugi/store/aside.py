"""What a restore replaces is set aside first, and comes back when the restore does not end well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import psycopg
from psycopg.sql import SQL, Identifier

from kintsugi.store.connections import Connection
from kintsugi.store.reader import VIEWS

# Held while the schema is made, changed or replaced. Any number will do as long as it is ours:
# "KINTSUGI" in ASCII.
SCHEMA_LOCK: Final = 0x4B494E5453554749
_SCHEMA: Final = Identifier("kintsugi")
_ASIDE: Final = Identifier("kintsugi_replaced")
_PUBLIC: Final = Identifier("public")


@contextmanager
def set_aside(connection: Connection) -> Iterator[None]:
    """Empty the database for this block; what was in it returns when the block raises.

    The connection must hold ``SCHEMA_LOCK`` and commit by itself.
    """
    if present := _exists(connection, "kintsugi"):
        with connection.transaction():
            connection.execute(SQL("ALTER SCHEMA {} RENAME TO {}").format(_SCHEMA, _ASIDE))
            _move_views(connection, _PUBLIC, _ASIDE)
    try:
        yield
    except BaseException:
        # When the connection is lost as well, the next start puts things right.
        if present:
            with suppress(psycopg.OperationalError):
                _put_back(connection)
        raise
    if present:
        _drop(connection, _ASIDE)


def was_interrupted(connection: Connection) -> bool:
    """Whether a restore was killed while something was set aside."""
    return _exists(connection, "kintsugi_replaced")


def settle_interrupted(connection: Connection) -> None:
    """End a restore that was killed: what it brought in one piece stays, else the old returns.

    The connection must hold ``SCHEMA_LOCK``, so that no restore is at work.
    """
    if _exists(connection, "kintsugi"):
        _drop(connection, _ASIDE)
    else:
        _put_back(connection)


def _put_back(connection: Connection) -> None:
    with connection.transaction():
        connection.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(_SCHEMA))
        connection.execute(SQL("ALTER SCHEMA {} RENAME TO {}").format(_ASIDE, _SCHEMA))
        _move_views(connection, _SCHEMA, _PUBLIC)


def _drop(connection: Connection, schema: Identifier) -> None:
    connection.execute(SQL("DROP SCHEMA {} CASCADE").format(schema))


def _move_views(connection: Connection, source: Identifier, target: Identifier) -> None:
    for view in VIEWS:
        connection.execute(
            SQL("ALTER VIEW {}.{} SET SCHEMA {}").format(source, Identifier(view), target)
        )


def _exists(connection: Connection, schema: str) -> bool:
    row = connection.execute("SELECT to_regnamespace(%s) IS NOT NULL", [schema]).fetchone()
    return row is not None and bool(row[0])
