"""Custody: an append-only list of who did what with evidence."""

from __future__ import annotations

from kintsugi.store.migrations import run_sql_beside

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
