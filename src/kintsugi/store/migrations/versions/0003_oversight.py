"""What people decide: escalations and what became of them, quarantines and their release."""

from __future__ import annotations

from kintsugi.store.migrations import run_sql_beside

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
