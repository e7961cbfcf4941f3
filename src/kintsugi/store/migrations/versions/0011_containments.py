"""Containments: what people put in force to stop harm at once."""

from __future__ import annotations

from kintsugi.store.migrations import run_sql_beside

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
