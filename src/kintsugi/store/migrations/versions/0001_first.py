"""The first schema: events by month, their evaluations and payloads, the control plane's state."""

from __future__ import annotations

from kintsugi.store.migrations import run_sql_beside

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
