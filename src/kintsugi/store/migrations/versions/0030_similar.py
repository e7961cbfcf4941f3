"""By which terms incidents resemble each other. Those that are stored get theirs with their next
change."""

from __future__ import annotations

from kintsugi.store.migrations import run_sql_beside

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
