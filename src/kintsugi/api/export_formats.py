"""The formats of an export. Each writer gets one event at a time and keeps none."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from kintsugi.model.audit import AuditEntry
from kintsugi.model.event import DecisionEvent

Format = Literal["json", "jsonl", "csv", "parquet"]

_encoder = msgspec.json.Encoder()

# Flat columns, in the order of the event's own fields; nested ones become JSON text.
_FLAT = tuple(
    name for name in DecisionEvent.__struct_fields__ if name not in {"evaluations", "payload"}
)
_OF_PAYLOAD = ("request", "response", "masked", "truncated", "erased", "unreadable")
COLUMNS = (*_FLAT, "evaluations", *_OF_PAYLOAD)

# A cell that starts like this is a formula to spreadsheet programs (OWASP, CSV injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class Writer(ABC):
    """Writes events, or other records, to one file."""

    @abstractmethod
    def write(self, event: Any) -> None:
        """Add one event."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file; it is complete and closed afterwards."""


class JsonLinesWriter(Writer):
    """One event per line."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb", buffering=1 << 20)

    def write(self, event: Any) -> None:
        self._file.write(_encoder.encode(event) + b"\n")

    def close(self) -> None:
        self._file.close()


class JsonWriter(Writer):
    """One array of events, one event per line in it."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb", buffering=1 << 20)
        self._before = b"[\n"

    def write(self, event: Any) -> None:
        self._file.write(self._before + _encoder.encode(event))
        self._before = b",\n"

    def close(self) -> None:
        self._file.write(b"[]\n" if self._before == b"[\n" else b"\n]\n")
        self._file.close()


class CsvWriter(Writer):
    """RFC 4180: CRLF, quoted where needed, a header line; cells that a spreadsheet would run as
    formulas get an apostrophe in front."""

    def __init__(
        self,
        path: Path,
        columns: Sequence[str] = COLUMNS,
        row: Callable[[Any], Mapping[str, Any]] | None = None,
    ) -> None:
        self._row: Callable[[Any], Mapping[str, Any]] = row or flat
        self._file: BinaryIO = path.open("wb", buffering=1 << 20)
        self._text = io.TextIOWrapper(self._file, encoding="utf-8", newline="", write_through=True)
        self._rows = csv.writer(self._text, lineterminator="\r\n")
        self._rows.writerow(columns)

    def write(self, event: Any) -> None:
        self._rows.writerow([_cell(value) for value in self._row(event).values()])

    def close(self) -> None:
        self._text.close()


class ParquetWriter(Writer):
    """Columns with types, compressed. DuckDB turns a draft of JSON lines into it at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_suffix(".draft")
        self._lines: BinaryIO = self._draft.open("wb", buffering=1 << 20)

    def write(self, event: Any) -> None:
        self._lines.write(_encoder.encode(flat(event)) + b"\n")

    def close(self) -> None:
        import duckdb  # imported here: 60 MB that a server without Parquet exports never loads

        self._lines.close()
        columns = ", ".join(f"'{name}': '{_column_type(name)}'" for name in COLUMNS)
        with duckdb.connect(
            config={
                "memory_limit": "512MB",
                "threads": "1",
                "temp_directory": str(self._path.parent),
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            }
        ) as database:
            # No parameters in COPY; both paths are made here from a UUID, never from input.
            database.execute(
                f"COPY (SELECT * FROM read_json({_quoted(self._draft)}, "  # noqa: S608
                f"format='newline_delimited', maximum_object_size={64 * 1024 * 1024}, "
                f"columns={{{columns}}})) TO {_quoted(self._path)} "
                "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 10240)"
            )
        self._draft.unlink()


@dataclass(frozen=True, slots=True)
class WrittenFormat:
    """How a format is written and what it is called in HTTP."""

    media_type: str
    writer: Callable[[Path], Writer]


FORMATS: Mapping[Format, WrittenFormat] = {
    "json": WrittenFormat("application/json", JsonWriter),
    "jsonl": WrittenFormat("application/x-ndjson", JsonLinesWriter),
    "csv": WrittenFormat("text/csv; charset=utf-8; header=present", CsvWriter),
    "parquet": WrittenFormat("application/vnd.apache.parquet", ParquetWriter),
}


def audit_row(entry: AuditEntry) -> dict[str, Any]:
    """An entry of the audit log as one row of plain values."""
    return {name: _plain(getattr(entry, name)) for name in AuditEntry.__struct_fields__}


AUDIT_WRITERS: Mapping[str, Callable[[Path], Writer]] = {
    "json": JsonWriter,
    "jsonl": JsonLinesWriter,
    "csv": lambda path: CsvWriter(path, AuditEntry.__struct_fields__, audit_row),
}


def flat(event: DecisionEvent) -> dict[str, Any]:
    """The event as one row of plain values, keys in the order of :data:`COLUMNS`."""
    row = {name: _plain(getattr(event, name)) for name in _FLAT}
    row["evaluations"] = _encoder.encode(event.evaluations).decode()
    for name in _OF_PAYLOAD:
        row[name] = _plain(getattr(event.payload, name))
    return row


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple | list | dict | msgspec.Struct):
        return _encoder.encode(value).decode() if value else ""
    return value


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


def _column_type(name: str) -> str:
    if name == "timestamp":
        return "TIMESTAMPTZ"
    kinds = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE"}
    default = _DEFAULTS.get(name)
    return kinds.get(type(default), "VARCHAR")


def _defaults() -> Iterator[tuple[str, Any]]:
    from_event = msgspec.structs.fields(DecisionEvent)
    yield from ((field.name, field.default) for field in from_event)
    yield from (("masked", 0), ("truncated", False))


_DEFAULTS = dict(_defaults())


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
