"""Answers to SQL that a test wrote down; see ``query``."""

from __future__ import annotations

from collections.abc import Mapping

from kintsugi.errors import QueryRefused
from kintsugi.model.query import QueryResult


class MemoryQueryRunner:
    """Answers statements that were taught to it; it reads no SQL."""

    def __init__(self, answers: Mapping[str, QueryResult]) -> None:
        self._answers = answers

    def run(
        self,
        statement: str,
        *,
        row_limit: int,
        timeout_seconds: float,  # noqa: ARG002 - the protocol's
    ) -> QueryResult:
        try:
            answer = self._answers[statement.strip()]
        except KeyError:
            raise QueryRefused("the query runner in memory was not taught this statement") from None
        rows = answer.rows[:row_limit]
        return QueryResult(answer.columns, rows, truncated=len(answer.rows) > row_limit)
