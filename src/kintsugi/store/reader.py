"""The login that other people's SQL runs under: it can read the contract's views, nothing else.

A login of its own, not SET ROLE: whoever may set a role may also set it back, even from within a
SELECT (``set_config('role', ...)``), and then a function that runs SQL reads what it likes.
"""

from __future__ import annotations

import secrets
from typing import Final

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from kintsugi.store.connections import Connection, in_our_words

VIEWS: Final = ("ai_decision_events", "policy_evaluations")
_NAME_BYTES_MAX: Final = 63
# Settings that a session starts with; a statement may change some for itself and gains nothing.
_SETTINGS: Final = {
    "default_transaction_read_only": "on",
    "search_path": "public",
    "timezone": "UTC",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "60s",
}


def reader_name(database: str) -> str:
    """The login's name; logins belong to the whole server, so it carries the database's."""
    name = f"kt_reader_{database}"
    return name.encode()[:_NAME_BYTES_MAX].decode(errors="ignore")


def ensure_reader(conninfo: str) -> str:
    """Make the login if it is missing, and return how to connect as it.

    Raises:
        StoreUnavailable: the database cannot be reached.
        psycopg.errors.InsufficientPrivilege: our role may not create logins.
    """
    with in_our_words(), psycopg.connect(conninfo, autocommit=True) as connection:
        name = reader_name(connection.info.dbname)
        password = _password(connection)
        if password is None or not _is_ready(connection, name):
            with connection.transaction():
                # Two servers that start together would both create it.
                connection.execute("LOCK TABLE kintsugi.reader_login")
                known = _password(connection)
                password = known or _new_password(connection)
                if known is None or not _is_ready(connection, name):
                    _create(connection, name, password)
        return make_conninfo(conninfo, user=name, password=password)


def _is_ready(connection: Connection, name: str) -> bool:
    row = connection.execute(
        "SELECT count(*) FROM pg_roles, unnest(%s::text[]) AS view"
        " WHERE rolname = %s AND rolcanlogin"
        " AND has_table_privilege(rolname, 'public.' || view, 'SELECT')",
        [list(VIEWS), name],
    ).fetchone()
    return row is not None and row[0] == len(VIEWS)


def _password(connection: Connection) -> str | None:
    row = connection.execute("SELECT password FROM kintsugi.reader_login").fetchone()
    return None if row is None else str(row[0])


def _new_password(connection: Connection) -> str:
    password = secrets.token_urlsafe(32)
    connection.execute("INSERT INTO kintsugi.reader_login (password) VALUES (%s)", [password])
    return password


def _create(connection: Connection, name: str, password: str) -> None:
    role = sql.Identifier(name)
    # Hashed here, so that the password itself never stands in a server's log.
    hashed = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
    exists = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchone()
    verb = sql.SQL("ALTER ROLE" if exists is not None else "CREATE ROLE")
    connection.execute(
        sql.SQL("{} {} LOGIN NOINHERIT PASSWORD {} CONNECTION LIMIT 8").format(
            verb, role, sql.Literal(hashed.decode())
        )
    )
    for setting, value in _SETTINGS.items():
        connection.execute(
            sql.SQL("ALTER ROLE {} SET {} TO {}").format(
                role, sql.Identifier(setting), sql.Literal(value)
            )
        )
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role))
    for view in VIEWS:
        connection.execute(
            sql.SQL("GRANT SELECT ON public.{} TO {}").format(sql.Identifier(view), role)
        )
    if _is_superuser(connection):
        _confine(connection, role)


def _is_superuser(connection: Connection) -> bool:
    return connection.info.parameter_status("is_superuser") == "on"


def _confine(connection: Connection, role: sql.Identifier) -> None:
    """What only a superuser may forbid: filling the disk, and disturbing other sessions."""
    connection.execute(sql.SQL("ALTER ROLE {} SET temp_file_limit TO '1GB'").format(role))
    for function in ("pg_terminate_backend(integer, bigint)", "pg_cancel_backend(integer)"):
        connection.execute(
            sql.SQL("REVOKE EXECUTE ON FUNCTION pg_catalog.{} FROM PUBLIC").format(
                sql.SQL(function)
            )
        )
