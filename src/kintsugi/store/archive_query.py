"""SQL over archived months: the contract's views on DuckDB, which reads the files themselves.

The same fences as for the database, in DuckDB's words: one reading statement, a database of its own
in memory, no file but the archive's copies, no way to change a setting.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kintsugi.errors import QueryRefused
from kintsugi.model.query import QueryResult
from kintsugi.store.archive_parquet import YOUNGER_COLUMNS, open_duckdb

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, Statement

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME: Final = "TIMESTAMP WITH TIME ZONE"
_EVENTS: Final = """
CREATE VIEW ai_decision_events AS
SELECT
    id, timestamp, decision, user_id, team_id, gateway_id, model, provider, reason_code,
    policy_name, status, error, http_status, streamed, input_tokens, output_tokens,
    NULL::DECIMAL AS cost_usd,
    latency_ms, overhead_ms, config_version, session_id, agent_id, workflow, trace_id, incident_id,
    stored_at, coalesce(tenant_id, '') AS tenant_id
FROM {files}
"""
_EVALUATIONS: Final = """
CREATE VIEW policy_evaluations AS
SELECT
    event_id::VARCHAR || ':' || ordinal::VARCHAR AS id,
    event_id, timestamp, policy_name, phase, mode, outcome, result, reason_code, findings, ordinal
FROM {files}
"""
_NO_EVALUATIONS: Final = """(
    SELECT NULL::UUID AS event_id, NULL::TIMESTAMPTZ AS timestamp, NULL::INTEGER AS ordinal,
    NULL::INTEGER AS findings, '' AS policy_name, '' AS phase, '' AS mode, '' AS outcome,
    '' AS result, '' AS reason_code WHERE false
)"""


def run_over_archive(
    statement: str,
    files: Mapping[str, Sequence[Path]],
    *,
    row_limit: int,
    timeout_seconds: float,
) -> QueryResult:
    """Run one statement over these copies.

    Args:
        files: of ``events`` and of ``evaluations``.

    Raises:
        QueryRefused: it is not one reading statement, wrong, or too slow; in DuckDB's own words.
    """
    import duckdb

    allowed = [*files["events"], *files["evaluations"]]
    with open_duckdb() as database:
        database.execute(f"SET allowed_paths = [{', '.join(map(_quoted, allowed))}]")
        database.execute("SET enable_external_access = false")
        evaluations = files["evaluations"]
        database.execute(_EVENTS.format(files=_read_events(files["events"])))
        database.execute(
            _EVALUATIONS.format(files=_read(evaluations) if evaluations else _NO_EVALUATIONS)
        )
        database.execute("SET lock_configuration = true")
        alarm = threading.Timer(timeout_seconds, database.interrupt)
        alarm.daemon = True
        try:
            found = database.extract_statements(statement)
            if len(found) != 1 or found[0].type.name not in ("SELECT", "EXPLAIN"):
                raise QueryRefused("one reading statement runs here: SELECT, WITH or EXPLAIN")
            alarm.start()
            columns, rows = _run(database, found[0], row_limit=row_limit)
        except duckdb.InterruptException as error:
            raise QueryRefused(
                f"stopped after {timeout_seconds:g} seconds, the time limit"
            ) from error
        except duckdb.Error as error:
            raise QueryRefused(f"DuckDB, which reads the archive: {error}") from error
        finally:
            alarm.cancel()
    shown = tuple(tuple(map(_plain, row)) for row in rows[:row_limit])
    return QueryResult(columns, shown, truncated=len(rows) > row_limit)


def _run(
    database: DuckDBPyConnection, statement: Statement, *, row_limit: int
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Names of columns, and one row more than shown, which tells whether there are more."""
    if statement.type.name == "EXPLAIN":
        cursor = database.execute(statement)
        return tuple(one[0] for one in cursor.description), cursor.fetchmany(row_limit + 1)
    text = statement.query.strip().rstrip(";")
    told = database.execute(f"DESCRIBE {text}\n").fetchall()
    # Times come as microseconds: as such, DuckDB wants a package of time zones for them.
    shown = ", ".join(
        f"epoch_us(c{place})" if kind == _TIME else f"c{place}"
        for place, (_, kind, *_) in enumerate(told)
    )
    names = ", ".join(f"c{place}" for place in range(len(told)))
    cursor = database.execute(
        f"SELECT {shown} FROM (\n{text}\n) AS result ({names})"  # noqa: S608 - within our fences
    )
    times = [place for place, (_, kind, *_) in enumerate(told) if kind == _TIME]
    rows = [_with_times(row, times) for row in cursor.fetchmany(row_limit + 1)]
    return tuple(name for name, *_ in told), rows


def _with_times(row: tuple[Any, ...], places: Sequence[int]) -> tuple[Any, ...]:
    if not places:
        return row
    values = list(row)
    for place in places:
        if values[place] is not None:
            values[place] = _EPOCH + timedelta(microseconds=values[place])
    return tuple(values)


def _plain(value: Any) -> Any:
    """What JSON has a form for; all else is shown as text."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, bool | int | str | datetime):
        return value
    return str(value)


def _read(files: Sequence[Path]) -> str:
    return f"read_parquet([{', '.join(map(_quoted, files))}], union_by_name = true)"


def _read_events(files: Sequence[Path]) -> str:
    """With the columns that older files lack, empty."""
    younger = ", ".join(f"{default} AS {name}" for name, default in YOUNGER_COLUMNS.items())
    return f"(SELECT * FROM {_read(files)} UNION ALL BY NAME SELECT {younger} WHERE false)"  # noqa: S608


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
