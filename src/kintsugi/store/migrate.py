"""Bring a database to the schema of this program, and to the settings that its queries count on."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from kintsugi.errors import DatabaseUnusable
from kintsugi.store.aside import SCHEMA_LOCK, settle_interrupted, was_interrupted
from kintsugi.store.connections import Connection, in_our_words

# The newest step in migrations/versions; a test keeps it so. Known without importing Alembic, which
# takes longer than everything else about opening an up-to-date database.
HEAD: Final = "0034"
VERSION_MIN: Final = 15
_MIGRATIONS: Final = Path(__file__).with_name("migrations")
# Set on the database itself, so that psql and every reporting tool get the same answers as we do:
# date_trunc() in UTC, and joins that rule out months (see schema.sql).
SETTINGS: Final = {
    "timezone": "UTC",
    "enable_partitionwise_join": "on",
    "jit": "off",
    "random_page_cost": "1.1",
}


def prepare_database(conninfo: str, *, now: datetime) -> None:
    """Migrate if needed, set the database's settings and make the months around ``now``.

    Several servers may do this at once: one works, the others wait for it. When nothing is to be
    done it takes a few milliseconds.

    Raises:
        StoreUnavailable: the database cannot be reached.
        DatabaseUnusable: it is too old, belongs to a newer Kintsugi, or its role may not do this.
    """
    with in_our_words(), psycopg.connect(conninfo, autocommit=True) as connection:
        _require_usable(connection)
        try:
            if schema_version(connection) != HEAD or was_interrupted(connection):
                connection.execute("SELECT pg_advisory_lock(%s)", [SCHEMA_LOCK])
                if was_interrupted(connection):
                    settle_interrupted(connection)
                if (before := schema_version(connection)) != HEAD:
                    _upgrade(conninfo, before)
            _apply_settings(connection)
            for moment in (now, now + timedelta(days=28)):
                connection.execute("SELECT kintsugi.create_month(%s)", [moment])
        except psycopg.errors.InsufficientPrivilege as error:
            raise DatabaseUnusable(
                "the role in KT_DATABASE_URL must own its database to create the schema: "
                f"{error.diag.message_primary}"
            ) from error


def schema_version(connection: Connection) -> str | None:
    """The newest migration that ran; None in a database that Kintsugi never saw."""
    row = connection.execute("SELECT to_regclass('kintsugi.alembic_version')").fetchone()
    if row is None or row[0] is None:
        return None
    row = connection.execute("SELECT version_num FROM kintsugi.alembic_version").fetchone()
    return None if row is None else str(row[0])


def _require_usable(connection: Connection) -> None:
    if connection.info.server_version < VERSION_MIN * 10_000:
        shown = connection.info.parameter_status("server_version")
        raise DatabaseUnusable(
            f"the database is PostgreSQL {shown}; Kintsugi needs {VERSION_MIN} or newer"
        )
    if (encoding := connection.info.parameter_status("server_encoding")) != "UTF8":
        raise DatabaseUnusable(
            f"the database's encoding is {encoding}; create it with ENCODING 'UTF8'"
        )


def _upgrade(conninfo: str, before: str | None) -> None:
    # Imported here because most starts have nothing to migrate; see HEAD.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    if before is not None and before not in {
        step.revision for step in ScriptDirectory.from_config(config).walk_revisions()
    }:
        raise DatabaseUnusable(
            f'the database was migrated by a newer Kintsugi (step "{before}"); use that one'
        )
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=NullPool
    )
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        raise error.orig or error from error  # psycopg's own, which the callers know


def _apply_settings(connection: Connection) -> None:
    rows = connection.execute(
        "SELECT unnest(setconfig) FROM pg_db_role_setting"
        " WHERE setrole = 0 AND setdatabase ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())"
    ).fetchall()
    present = dict(str(row[0]).split("=", 1) for row in rows)
    for name, value in SETTINGS.items():
        if present.get(name, "").lower() != value.lower():
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET {} TO {}").format(
                    sql.Identifier(connection.info.dbname), sql.Identifier(name), sql.Literal(value)
                )
            )
