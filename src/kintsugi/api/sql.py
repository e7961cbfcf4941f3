"""``POST /v1/sql``: read-only statements over the contract's views."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, one
from kintsugi.api.control import Ctl
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.model.query import QueryResult

routes = Routes("sql")


class Statement(BaseModel):
    """One statement and its bounds."""

    model_config = ConfigDict(extra="forbid")

    statement: Annotated[str, Field(min_length=1, max_length=100_000)]
    row_limit: Annotated[int, Field(ge=1, le=100_000)] = 1000
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0
    archive: Annotated[
        list[Annotated[str, Field(max_length=7)]] | None,
        Field(
            max_length=240,
            description="Run over these archived months (`2026-01`) instead of the database, in "
            "DuckDB's dialect; an empty list means all of them.",
        ),
    ] = None


class Answer(QueryResult, frozen=True):
    """Rows, and what is not among them.

    Attributes:
        cold_months: archived months whose evaluations are not in the database, and so not in
            `policy_evaluations`; `ai_decision_events` has the rows of every month.
    """

    cold_months: tuple[str, ...] = ()


@routes.add("POST", "/v1/sql", Scope.SQL_READ, answer=One[Answer])
def run_sql(control: Ctl, statement: Statement) -> Response:
    """Run one statement under a role that can only read; with `archive`, over archived months."""
    archives = control.stores.archives
    if statement.archive is not None:
        found = archives.query(
            statement.statement,
            months=statement.archive,
            row_limit=statement.row_limit,
            timeout_seconds=statement.timeout_seconds,
        )
        return one(Answer(found.columns, found.rows, found.truncated))
    found = control.stores.query.run(
        statement.statement,
        row_limit=statement.row_limit,
        timeout_seconds=statement.timeout_seconds,
    )
    cold = sorted({archive.month for archive in archives.in_force()})
    return one(Answer(found.columns, found.rows, found.truncated, tuple(cold)))
