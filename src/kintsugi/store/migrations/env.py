"""Run by Alembic: applies steps on the connection that ``store/migrate.py`` hands over."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
# Alembic keeps its one row among our tables, and writes it before the first step could make them.
connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS kintsugi")
context.configure(
    connection=connection,
    version_table="alembic_version",
    version_table_schema="kintsugi",
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
