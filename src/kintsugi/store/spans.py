"""Spans in PostgreSQL, and the summary of each trace that spans and decisions add to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
from psycopg.sql import SQL, Composable, Composed

from kintsugi.errors import NotFound
from kintsugi.model.event import DecisionEvent
from kintsugi.model.span import Span, SpanContent, SpansStored, TraceFilter, TraceSummary
from kintsugi.model.vault import Subject
from kintsugi.model.verdict import Verdict
from kintsugi.store.connections import Connection, Database
from kintsugi.store.cursors import decode_cursor, encode_cursor
from kintsugi.store.event_rows import column_text, decode, encode
from kintsugi.store.statements import load_statements
from kintsugi.store.trace_summary import label, with_decisions, with_spans

T = TypeVar("T", Span, DecisionEvent)

_SQL: Final = load_statements("spans")
_BY_PAST: Final = {verdict.past: verdict for verdict in Verdict}
_PAGE: Final = SQL(
    """
    SELECT trace_id, started_at, ended_at, spans, decisions, failed, decision, labels
    FROM kintsugi.traces
    WHERE {where}
    ORDER BY started_at DESC, trace_id DESC
    LIMIT %s
    """
)
_COUNT: Final = SQL(
    "SELECT count(*) FROM (SELECT FROM kintsugi.traces WHERE {where} LIMIT %s) AS counted"
)


class PostgresSpans:
    """The span store of the protocol in ``model/span.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, spans: Sequence[Span]) -> SpansStored:
        new: dict[tuple[str, str], Span] = {}
        for span in spans:
            new.setdefault((span.trace_id, span.span_id), span)
        if not new:
            return SpansStored(stored=0, duplicates=0)
        with self._database.transaction() as connection:
            for month in {(span.started_at.year, span.started_at.month) for span in new.values()}:
                connection.execute(_SQL["create_span_month"], [datetime(*month, 1, tzinfo=UTC)])
            by_trace = _by_trace(new.values())
            traces = _lock(connection, by_trace, {k: v[0].started_at for k, v in by_trace.items()})
            for known in _known(connection, list(new), traces.values()):
                del new[known]
            if new:
                _copy(connection, new.values())
                added = _by_trace(new.values())
                _save(connection, [with_spans(traces[key], added[key]) for key in added])
        return SpansStored(stored=len(new), duplicates=len(spans) - len(new))

    def trace(self, trace_id: str) -> TraceSummary | None:
        with self._database.transaction() as connection:
            return _trace(connection, trace_id)

    def spans(self, trace_id: str, *, limit: int, content: bool = False) -> list[Span]:
        statement = _SQL["spans_with_content" if content else "spans"]
        with self._database.transaction() as connection:
            trace = _trace(connection, trace_id)
            if trace is None:
                return []
            values = {**_where(trace), "limit": limit}
            return [_read(row) for row in connection.execute(statement, values).fetchall()]

    def span(self, trace_id: str, span_id: str) -> Span:
        with self._database.transaction() as connection:
            trace = _trace(connection, trace_id)
            if trace is not None:
                values = {**_where(trace), "span_id": column_text(span_id)}
                row = connection.execute(_SQL["span"], values).fetchone()
                if row is not None:
                    return _read(row)
        raise NotFound(f'trace "{trace_id}" has no span "{span_id}" that was reported')

    def page(
        self, where: TraceFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[TraceSummary], str | None]:
        condition, values = _condition(where)
        if cursor:
            condition += SQL(" AND (started_at, trace_id) < (%s, %s)")
            values += decode_cursor(cursor)
        with self._database.transaction() as connection:
            statement = _PAGE.format(where=condition)
            rows = connection.execute(statement, [*values, limit + 1]).fetchall()
        shown = [_read_trace(row) for row in rows[:limit]]
        more = len(rows) > limit and bool(shown)
        return shown, encode_cursor(shown[-1].started_at, shown[-1].trace_id) if more else None

    def count(self, where: TraceFilter, *, ceiling: int) -> int:
        condition, values = _condition(where)
        with self._database.transaction() as connection:
            statement = _COUNT.format(where=condition)
            row = connection.execute(statement, [*values, ceiling]).fetchone()
        return int(row[0]) if row is not None else 0

    def contents_of(self, subject: Subject, *, until: datetime | None = None) -> int:
        if subject.kind == "event":
            return 0  # a trace without user and session tells of nobody
        with self._database.transaction() as connection:
            row = connection.execute(
                _SQL["contents_of"], [_label(subject), until, subject.kind == "user"]
            ).fetchone()
        return int(row[0]) if row is not None else 0

    def erase_contents(self, subject: Subject) -> int:
        if subject.kind == "event":
            return 0
        with self._database.transaction() as connection:
            return connection.execute(
                _SQL["erase_contents"], [_label(subject), subject.kind == "user"]
            ).rowcount


def _label(subject: Subject) -> list[str]:
    return [label(subject.kind, subject.id)]


def note_traces(connection: Connection, events: Iterable[DecisionEvent]) -> None:
    """Add stored decisions to their traces, in the transaction that stores them."""
    by_trace = _by_trace([event for event in events if event.trace_id])
    if not by_trace:
        return
    traces = _lock(connection, by_trace, {k: v[0].timestamp for k, v in by_trace.items()})
    _save(connection, [with_decisions(traces[key], by_trace[key]) for key in by_trace])


def _by_trace(told: Iterable[T]) -> dict[str, list[T]]:
    found: defaultdict[str, list[T]] = defaultdict(list)
    for each in told:
        found[column_text(each.trace_id)].append(each)
    return dict(found)


def _lock(
    connection: Connection, trace_ids: Iterable[str], moments: Mapping[str, datetime]
) -> dict[str, TraceSummary]:
    """The rows of these traces, made where they are new, for this transaction alone."""
    ordered = sorted(trace_ids)
    at = [moments[key] for key in ordered]
    connection.execute(_SQL["begin_traces"], [ordered, at, at])
    rows = connection.execute(_SQL["lock_traces"], [ordered]).fetchall()
    return {row[0]: _read_trace(row) for row in rows}


def _known(
    connection: Connection, keys: Sequence[tuple[str, str]], traces: Collection[TraceSummary]
) -> list[tuple[str, str]]:
    if not any(trace.spans for trace in traces):
        return []
    since = min(trace.started_at for trace in traces)
    until = max(trace.ended_at for trace in traces)
    columns = [[key[0] for key in keys], [key[1] for key in keys]]
    rows = connection.execute(_SQL["known_spans"], [*columns, since, until]).fetchall()
    return [(trace_id, span_id) for trace_id, span_id in rows]


def _copy(connection: Connection, spans: Iterable[Span]) -> None:
    records: list[bytes] = []
    contents: list[bytes] = []
    for span in spans:
        head = f"{span.trace_id}\t{span.span_id}\t{span.started_at.isoformat()}\t".encode()
        # Contents stand apart from the structure, so that they can be sealed and erased.
        records.append(_line(head, msgspec.structs.replace(span, content=None)))
        if span.content is not None:
            contents.append(_line(head, span.content))
    for statement, lines in ((_SQL["copy_spans"], records), (_SQL["copy_contents"], contents)):
        with connection.cursor().copy(statement) as copy:
            copy.write(b"".join(lines))


def _line(head: bytes, value: msgspec.Struct) -> bytes:
    # JSON holds no raw tab or line end; a backslash means something to COPY.
    return head + encode(value).replace(b"\\", b"\\\\") + b"\n"


def _save(connection: Connection, traces: Iterable[TraceSummary]) -> None:
    connection.cursor().executemany(
        _SQL["save_trace"],
        [
            (
                trace.started_at,
                trace.ended_at,
                trace.spans,
                trace.decisions,
                trace.failed,
                trace.verdict.past if trace.verdict else "",
                list(trace.labels),
                trace.trace_id,
            )
            for trace in traces
        ],
    )


def _trace(connection: Connection, trace_id: str) -> TraceSummary | None:
    row = connection.execute(_SQL["trace"], [column_text(trace_id)]).fetchone()
    return None if row is None else _read_trace(row)


def _where(trace: TraceSummary) -> dict[str, Any]:
    # A span begins within its trace, which tells the months to look into.
    return {"trace_id": trace.trace_id, "since": trace.started_at, "until": trace.ended_at}


def _read(row: tuple[Any, ...]) -> Span:
    record, content = row
    span = decode(record, Span)
    if content is None:
        return span
    return msgspec.structs.replace(span, content=decode(content, SpanContent))


def _read_trace(row: tuple[Any, ...]) -> TraceSummary:
    trace_id, started_at, ended_at, spans, decisions, failed, decision, labels = row
    verdict = _BY_PAST.get(decision)
    return TraceSummary(
        trace_id, started_at, ended_at, spans, decisions, failed, verdict, tuple(labels)
    )


def _condition(where: TraceFilter) -> tuple[Composed, list[Any]]:
    conditions: list[Composable] = [SQL("true")]
    values: list[Any] = []
    if where.since is not None:
        conditions.append(SQL("started_at >= %s"))
        values.append(where.since)
    if where.until is not None:
        conditions.append(SQL("started_at <= %s"))
        values.append(where.until)
    if where.verdict is not None:
        conditions.append(SQL("decision = %s AND decision <> ''"))
        values.append(where.verdict.past)
    if where.failed is not None:
        conditions.append(SQL("failed > 0") if where.failed else SQL("failed = 0"))
    if where.labels:
        conditions.append(SQL("labels @> %s::text[]"))
        values.append([label(name, value) for name, value in where.labels])
    return SQL(" AND ").join(conditions), values
