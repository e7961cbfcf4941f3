"""``POST /v1/sql``: read-only statements over the contract's views."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, one
from kintsugi.api.control import Ctl
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.model.stores import QueryResult

routes = Routes("sql")


class Statement(BaseModel):
    """One statement and its bounds."""

    model_config = ConfigDict(extra="forbid")

    statement: Annotated[str, Field(min_length=1, max_length=100_000)]
    row_limit: Annotated[int, Field(ge=1, le=100_000)] = 1000
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0


@routes.add("POST", "/v1/sql", Scope.SQL_READ, answer=One[QueryResult])
def run_sql(control: Ctl, statement: Statement) -> Response:
    """Run one statement under a role that can only read."""
    return one(
        control.stores.query.run(
            statement.statement,
            row_limit=statement.row_limit,
            timeout_seconds=statement.timeout_seconds,
        )
    )
