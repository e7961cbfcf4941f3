"""What reviewers decided, and by when they should."""

from __future__ import annotations

from kintsugi.store.migrations import run_sql_beside

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
