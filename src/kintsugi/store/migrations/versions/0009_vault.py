"""The vault: content sealed under keys of its subjects, and its erasure."""

from __future__ import annotations

from kintsugi.store.migrations import run_sql_beside

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
