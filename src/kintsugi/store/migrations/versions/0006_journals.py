"""How far each journal of a gateway was told, and what of it is missing."""

from __future__ import annotations

from kintsugi.store.migrations import run_sql_beside

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
