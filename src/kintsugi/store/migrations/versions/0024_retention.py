"""How long evidence is kept, and what was removed at the end of its time."""

from __future__ import annotations

from kintsugi.store.migrations import run_sql_beside

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
