"""Tenants: on whose behalf a request was made."""

from __future__ import annotations

from kintsugi.store.migrations import run_sql_beside

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
