"""The files of an archive: rows of the database as Parquet, written and read by DuckDB.

One kind of file holds events: the columns of their narrow rows, the record, and the content as it
is sealed. The other holds evaluations. Both are in the order of positions, and small row groups let
a reader of one event pass over the rest.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple
from uuid import UUID

import msgspec

from kintsugi.errors import ArchiveDamaged
from kintsugi.model.archive import Holds

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FORMAT: Final = 1
_ROW_GROUP_ROWS: Final = 4096
_OBJECT_BYTES_MIN: Final = 16 * 1024 * 1024
_ROWS_PER_FETCH: Final = 1000

# Name to DuckDB's type. Times come and go as microseconds since 1970: exact in any time zone.
EVENT_COLUMNS: Final[Mapping[LiteralString, LiteralString]] = {
    "id": "UUID",
    "position": "BIGINT",
    "timestamp": "TIMESTAMPTZ",
    "stored_at": "TIMESTAMPTZ",
    "latency_ms": "DOUBLE",
    "overhead_ms": "DOUBLE",
    "input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "http_status": "INTEGER",
    "streamed": "BOOLEAN",
    "decision": "VARCHAR",
    "reason_code": "VARCHAR",
    "policy_name": "VARCHAR",
    "status": "VARCHAR",
    "error": "VARCHAR",
    "gateway_id": "VARCHAR",
    "config_version": "VARCHAR",
    "user_id": "VARCHAR",
    "team_id": "VARCHAR",
    "session_id": "VARCHAR",
    "agent_id": "VARCHAR",
    "workflow": "VARCHAR",
    "model": "VARCHAR",
    "provider": "VARCHAR",
    "trace_id": "VARCHAR",
    "incident_id": "VARCHAR",
    "tenant_id": "VARCHAR",
    "record": "VARCHAR",
    "data_key": "UUID",
    "sealed": "BLOB",
}
EVALUATION_COLUMNS: Final[Mapping[LiteralString, LiteralString]] = {
    "position": "BIGINT",
    "event_id": "UUID",
    "timestamp": "TIMESTAMPTZ",
    "ordinal": "INTEGER",
    "findings": "INTEGER",
    "policy_name": "VARCHAR",
    "phase": "VARCHAR",
    "mode": "VARCHAR",
    "outcome": "VARCHAR",
    "result": "VARCHAR",
    "reason_code": "VARCHAR",
}
COLUMNS: Final[Mapping[Holds, Mapping[LiteralString, LiteralString]]] = {
    "events": EVENT_COLUMNS,
    "evaluations": EVALUATION_COLUMNS,
}
#: Columns that files of older programs lack, and what stands in them then.
YOUNGER_COLUMNS: Final[Mapping[str, LiteralString]] = {"tenant_id": "''"}
_encode: Final = msgspec.json.Encoder().encode


class ColdRow(NamedTuple):
    """What an archive holds of one event besides its narrow row."""

    id: UUID
    record: str
    data_key: UUID | None
    sealed: bytes | None


class Parquet:
    """DuckDB within bounds: one thread, half a gigabyte, no extension that is not built in.

    Opened when it is first needed; calls from several threads each get a cursor.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._database: DuckDBPyConnection | None = None

    def write(self, holds: Holds, lines: Path, target: Path, *, longest_bytes: int) -> None:
        """Turn JSON lines, as ``line`` makes them, into a file."""
        columns = COLUMNS[holds]
        read = ", ".join(f"'{name}': '{_in_json(kind)}'" for name, kind in columns.items())
        shown = ", ".join(_from_json(name, kind) for name, kind in columns.items())
        bound = max(_OBJECT_BYTES_MIN, longest_bytes + 1)
        self._cursor().execute(
            f"COPY (SELECT {shown} FROM read_json({_quoted(lines)}, "  # noqa: S608 - our own names
            f"format='newline_delimited', maximum_object_size={bound}, columns={{{read}}})) "
            f"TO {_quoted(target)} (FORMAT parquet, COMPRESSION zstd, "
            f"ROW_GROUP_SIZE {_ROW_GROUP_ROWS})"
        )

    def rows(self, holds: Holds, file: Path) -> Iterator[tuple[Any, ...]]:
        """Every row, in order, with times as microseconds since 1970.

        Raises:
            ArchiveDamaged: it cannot be read to the end.
        """
        source = f"read_parquet({_quoted(file)})"
        there = {name for name, *_ in self._read(f"DESCRIBE SELECT * FROM {source}", file)}  # noqa: S608
        shown = []
        for name, kind in COLUMNS[holds].items():
            if name in YOUNGER_COLUMNS and name not in there:
                shown.append(f"{YOUNGER_COLUMNS[name]} AS {name}")
            else:
                shown.append(f"epoch_us({name})" if kind == "TIMESTAMPTZ" else name)
        yield from self._read(f"SELECT {', '.join(shown)} FROM {source}", file)  # noqa: S608

    def find(self, file: Path, positions: Sequence[int], *, contents: bool) -> list[ColdRow]:
        """Those events of these positions that the file holds.

        Raises:
            ArchiveDamaged: it cannot be read.
        """
        wanted = ", ".join(str(int(position)) for position in positions)
        more = "data_key, sealed" if contents else "NULL, NULL"
        statement = (
            f"SELECT id, record, {more} FROM read_parquet({_quoted(file)}) "  # noqa: S608 - numbers
            f"WHERE position BETWEEN {min(positions)} AND {max(positions)} "
            f"AND position IN ({wanted})"
        )
        return [ColdRow(*row) for row in self._read(statement, file)]

    def _read(self, statement: str, file: Path) -> Iterator[tuple[Any, ...]]:
        import duckdb

        cursor = self._cursor()
        try:
            cursor.execute(statement)
            while rows := cursor.fetchmany(_ROWS_PER_FETCH):
                yield from rows
        except duckdb.Error as error:
            said = str(error).partition("\n")[0]
            raise ArchiveDamaged(f"{file.name} cannot be read: {said}") from error
        finally:
            cursor.close()

    def _cursor(self) -> DuckDBPyConnection:
        with self._lock:
            if self._database is None:
                self._database = open_duckdb()
            return self._database.cursor()


def open_duckdb() -> DuckDBPyConnection:
    """An empty database in memory that loads nothing from anywhere."""
    import duckdb  # here: 60 MB that a server without archives never loads

    database = duckdb.connect(
        config={
            "memory_limit": "512MB",
            "threads": "1",
            "temp_directory": "",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
    )
    database.execute("SET TimeZone = 'UTC'")
    return database


def selected(holds: Holds, aliases: Mapping[str, LiteralString]) -> LiteralString:
    """What PostgreSQL selects for ``line``, and what ``Parquet.rows`` gives back.

    Args:
        aliases: the table that a column is of; that of ``""`` for the others.
    """
    parts: list[LiteralString] = []
    for name, kind in COLUMNS[holds].items():
        column = aliases.get(name, aliases[""]) + "." + name
        if kind == "TIMESTAMPTZ":
            column = "(extract(epoch FROM " + column + ") * 1000000)::bigint"
        parts.append(column)
    return ", ".join(parts)


def line(holds: Holds, row: Sequence[Any]) -> bytes:
    """A row for ``Parquet.write``: JSON, ids as text, bytes in Base64."""
    return _encode(dict(zip(COLUMNS[holds], row, strict=True))) + b"\n"


def _in_json(kind: LiteralString) -> LiteralString:
    if kind == "TIMESTAMPTZ":
        return "BIGINT"
    return "VARCHAR" if kind in ("UUID", "BLOB") else kind


def _from_json(name: LiteralString, kind: LiteralString) -> LiteralString:
    if kind == "TIMESTAMPTZ":
        return "make_timestamptz(" + name + ") AS " + name
    if kind == "BLOB":
        return "from_base64(" + name + ") AS " + name
    if kind == "UUID":
        return name + "::UUID AS " + name
    return name


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
