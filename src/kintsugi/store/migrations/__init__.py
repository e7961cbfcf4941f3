"""The steps that made the schema what it is; never edited once released.

There is no way down: a step back is a restored backup, which loses nothing unseen.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op


def run_sql_beside(module_file: str) -> None:
    """Run the SQL file with the name of this step, in the transaction of the migration."""
    text = Path(module_file).with_suffix(".sql").read_text(encoding="utf-8")
    # psycopg itself, without parameters, takes many statements and leaves a "%" alone.
    connection = op.get_bind().connection.driver_connection
    if connection is None:
        raise RuntimeError("the migration's connection was closed")
    connection.execute(text.encode())
