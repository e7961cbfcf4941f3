"""The Merkle log: what was recorded, in order, and the hashes that prove it."""

from __future__ import annotations

from kintsugi.store.migrations import run_sql_beside

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
