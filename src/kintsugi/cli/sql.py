"""``kt sql``: read-only SQL over the contract's views, through the control plane."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import table
from kintsugi.errors import InvalidInput
from kintsugi.model.query import QueryResult

_SLACK_SECONDS = 15.0  # the server enforces the time limit; this is for the way there and back


@online
def sql(
    kt: Invocation,
    statement: Annotated[
        str | None,
        typer.Argument(
            help="One SELECT; without one, --file or standard input.", show_default=False
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Read the statement from a file.")
    ] = None,
    row_limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="Stop after so many rows.")
    ] = 10_000,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=300, help="Seconds a query may take.")
    ] = 30.0,
    archive: Annotated[
        list[str] | None,
        typer.Option(
            "--archive",
            metavar="MONTH",
            help="Run over an archived month instead (2026-01; several times; `all`), in DuckDB.",
            show_default=False,
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV (RFC 4180).")] = False,
) -> None:
    """Query `ai_decision_events` and `policy_evaluations` with read-only SQL."""
    body: dict[str, Any] = {
        "statement": _statement(statement, file),
        "row_limit": row_limit,
        "timeout_seconds": timeout,
    }
    if archive:
        body["archive"] = [] if "all" in archive else archive
    with kt.client() as client:
        answer = client.post("/v1/sql", body, timeout_seconds=timeout + _SLACK_SECONDS)
    result = msgspec.convert(answer, QueryResult)
    if as_csv:
        kt.output.line(_csv(result).removesuffix("\n"))
    else:
        rows = [dict(zip(result.columns, row, strict=True)) for row in result.rows]
        kt.output.result(rows, lambda: table(result.columns, result.rows, empty="no rows"))
    cold = answer["cold_months"]
    if cold and "policy_evaluations" in body["statement"]:
        kt.output.say(
            f"policy_evaluations is without archived months ({', '.join(cold)}): "
            "--archive MONTH asks those, kt archive restore MONTH brings them back"
        )
    if result.truncated:
        kt.output.say(f"stopped after {row_limit} rows; --row-limit N shows more")


def _statement(statement: str | None, file: Path | None) -> str:
    if statement and file:
        raise InvalidInput("give the statement or --file, not both")
    if statement and statement != "-":
        if statement.startswith("-") and len(statement.split()) == 1:
            raise InvalidInput(f"no such option: {statement}")
        return statement
    if file:
        try:
            return file.read_text(encoding="utf-8")
        except OSError as error:
            raise InvalidInput(f"{file}: {error.strerror}") from error
    if sys.stdin.isatty() and statement != "-":
        raise InvalidInput("no statement; give one, --file FILE, or pipe one in")
    return sys.stdin.read()


def _csv(result: QueryResult) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(result.columns)
    writer.writerows(result.rows)
    return text.getvalue()
