"""Other people's SQL: one reading statement, in a session of its own, within limits.

Four fences, each enough for most of what could go wrong: a login that sees two views, a read-only
transaction that is always rolled back, a cursor (which takes nothing but a query), and a protocol
message that takes one statement. The session is closed afterwards, and whatever a statement set or
locked goes with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from psycopg.pq import PGconn, Ping
from psycopg.pq.abc import PGresult

from kintsugi.errors import QueryRefused, StoreUnavailable
from kintsugi.model.query import QueryResult
from kintsugi.store.connections import Connection

_BLANKS: Final = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_QUERIES: Final = frozenset({"select", "with", "values", "table", "("})
_TOLD_AT_ONCE: Final = frozenset({"explain", "show"})
_DECLARE: Final = "DECLARE result NO SCROLL CURSOR FOR "


class PostgresQueryRunner:
    """The query runner of the protocol in ``model/query.py``."""

    def __init__(self, reader: Callable[[], str]) -> None:
        """Connect as ``reader()`` says; it may raise QueryRefused when there is no such login."""
        self._reader = reader

    def run(self, statement: str, *, row_limit: int, timeout_seconds: float) -> QueryResult:
        word = _first_word(statement)
        if word not in _QUERIES | _TOLD_AT_ONCE:
            raise QueryRefused(
                "only reading statements run here: SELECT, WITH, VALUES, TABLE, EXPLAIN, SHOW"
            )
        with self._connect() as connection:
            try:
                connection.execute("SET TRANSACTION READ ONLY")
                connection.execute(
                    "SELECT set_config('statement_timeout', %s, true)",
                    [f"{max(1, math.ceil(timeout_seconds * 1000))}ms"],
                )
                if word in _TOLD_AT_ONCE:
                    result = _execute(connection, statement)
                else:
                    _execute(connection, _DECLARE + statement)
                    # One row more than shown tells whether there are more.
                    result = _execute(connection, f"FETCH FORWARD {row_limit + 1} FROM result")
                return _result(result, row_limit=row_limit)
            except psycopg.Error as error:
                raise _refusal(error, timeout_seconds=timeout_seconds) from error
            except UnicodeEncodeError as error:
                raise QueryRefused("the statement holds half a surrogate pair") from error
            finally:
                if not connection.broken:
                    connection.rollback()

    def _connect(self) -> Connection:
        conninfo = self._reader()
        try:
            return psycopg.connect(conninfo, prepare_threshold=0)
        except psycopg.OperationalError as error:
            first_line = str(error).strip().partition("\n")[0]
            if PGconn.ping(conninfo.encode()) == Ping.OK:
                raise QueryRefused(f"the database turned the reader away: {first_line}") from error
            raise StoreUnavailable(f"the database cannot be reached: {first_line}") from error


def _first_word(statement: str) -> str:
    if "\x00" in statement:
        raise QueryRefused("the statement holds a NUL character")
    blanks = _BLANKS.match(statement)
    rest = statement[blanks.end() :] if blanks else statement
    word = re.match(r"\(|[A-Za-z]+", rest)
    return word[0].lower() if word else ""


def _execute(connection: Connection, statement: str) -> PGresult:
    with connection.cursor() as cursor:
        # Prepared: that protocol message holds exactly one statement, whatever is in the text.
        cursor.execute(statement.encode(), prepare=True)
        if cursor.pgresult is None:
            raise QueryRefused("the statement has no result")
        return cursor.pgresult


def _result(result: PGresult, *, row_limit: int) -> QueryResult:
    columns = range(result.nfields)
    kinds = [_KINDS.get(result.ftype(column), _text) for column in columns]
    rows = tuple(
        tuple(_value(result.get_value(row, column), kinds[column]) for column in columns)
        for row in range(min(result.ntuples, row_limit))
    )
    names = tuple((result.fname(column) or b"").decode() for column in columns)
    return QueryResult(names, rows, truncated=result.ntuples > row_limit)


def _value(raw: bytes | None, kind: Callable[[str], Any]) -> Any:
    return None if raw is None else kind(raw.decode())


def _text(value: str) -> str:
    return value


def _number(value: str) -> int | float | str:
    """A number that JSON can hold; NaN and infinities stay PostgreSQL's words."""
    try:
        return int(value)
    except ValueError:
        number = float(value)
        return number if math.isfinite(number) else value


def _moment(value: str) -> datetime | str:
    """An aware time in UTC; what Python's calendar lacks (``infinity``) stays text."""
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return value


# By type id (pg_type.dat): what JSON has a form for; all else is shown as PostgreSQL writes it.
_KINDS: Final[dict[int, Callable[[str], Any]]] = {
    16: lambda value: value == "t",  # boolean
    20: int,
    21: int,
    23: int,
    26: int,
    700: _number,
    701: _number,
    1700: _number,
    1184: _moment,
}


def _refusal(error: psycopg.Error, *, timeout_seconds: float) -> QueryRefused | StoreUnavailable:
    if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
        return StoreUnavailable("the connection to the database was lost; try again")
    if isinstance(error, psycopg.errors.QueryCanceled):
        return QueryRefused(f"stopped after {timeout_seconds:g} seconds, the time limit")
    message = error.diag.message_primary or str(error)
    if error.diag.statement_position is not None:
        message += f" (at character {_place(error.diag.statement_position)})"
    if error.diag.message_hint:
        message += f"; {error.diag.message_hint}"
    return QueryRefused(message)


def _place(position: str) -> int:
    return max(1, int(position) - len(_DECLARE))
