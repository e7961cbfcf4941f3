"""Other people's SQL, and its answers."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec


class QueryResult(msgspec.Struct, frozen=True):
    """Rows of a read-only statement; ``truncated`` when the row limit cut them off."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool


class QueryRunner(Protocol):
    """Runs other people's SQL under a role that can only read the contract's views."""

    def run(self, statement: str, *, row_limit: int, timeout_seconds: float) -> QueryResult:
        """Run one statement.

        Raises:
            QueryRefused: not allowed, wrong, or too slow; the message is PostgreSQL's own.
        """
