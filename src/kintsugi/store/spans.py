"""Spans in PostgreSQL, and the summary of each trace that spans and decisions add to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
from psycopg.sql import SQL, Composable, Composed

from kintsugi.errors import NotFound, StoreUnavailable
from kintsugi.model.custody import CustodyEntry
from kintsugi.model.event import DecisionEvent
from kintsugi.model.seen_parts import of_spans
from kintsugi.model.span import Span, SpansStored, TraceFilter, TraceSummary
from kintsugi.model.vault import Subject
from kintsugi.model.verdict import Verdict
from kintsugi.store.connections import Connection, Database
from kintsugi.store.contents import Opener
from kintsugi.store.cursors import decode_cursor, paged
from kintsugi.store.custody import add_custody
from kintsugi.store.event_rows import column_text, decode, encode
from kintsugi.store.sealer import Sealer
from kintsugi.store.span_contents import SealedSpans, content_line, opened, seal_spans
from kintsugi.store.statements import load_statements
from kintsugi.store.trace_summary import label, with_decisions, with_spans
from kintsugi.store.workflows import note_workflows

T = TypeVar("T", Span, DecisionEvent)

_SQL: Final = load_statements("spans")
_VAULT: Final = load_statements("vault")
_BY_PAST: Final = {verdict.past: verdict for verdict in Verdict}
_PAGE: Final = SQL(
    """
    SELECT trace_id, started_at, ended_at, spans, decisions, failed, decision, labels,
        expired_at, expired_under
    FROM kintsugi.traces
    WHERE {where}
    ORDER BY started_at DESC, trace_id DESC
    LIMIT %s
    """
)
_TRIES_MAX: Final = 3
_COUNT: Final = SQL(
    "SELECT count(*) FROM (SELECT FROM kintsugi.traces WHERE {where} LIMIT %s) AS counted"
)


class PostgresSpans:
    """The span store of the protocol in ``model/span.py``."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        opener: Opener,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._opener = opener
        self._now = now

    def append(self, spans: Sequence[Span]) -> SpansStored:
        told: dict[tuple[str, str], Span] = {}
        for span in spans:
            told.setdefault((span.trace_id, span.span_id), span)
        if not told:
            return SpansStored(stored=0, duplicates=0)
        for _ in range(_TRIES_MAX):
            stored = self._append_once(told)
            if stored is not None:
                return SpansStored(stored=stored, duplicates=len(spans) - stored)
        raise StoreUnavailable("keys change faster than spans can be sealed; try again")

    def _append_once(self, told: Mapping[tuple[str, str], Span]) -> int | None:
        """How many were new; None when they were sealed under keys that are no more."""
        new = dict(told)
        by_trace = _by_trace(new.values())
        sealed = self._seal(by_trace, new.values()) if self._sealer.seals else None
        with self._database.transaction() as connection:
            if sealed is not None and held_epoch(connection) != sealed.epoch:
                return None
            for month in {(span.started_at.year, span.started_at.month) for span in new.values()}:
                connection.execute(_SQL["create_span_month"], [datetime(*month, 1, tzinfo=UTC)])
            traces = _lock(connection, by_trace, {k: v[0].started_at for k, v in by_trace.items()})
            for known in _known(connection, list(new), traces.values()):
                del new[known]
            if new:
                _copy(connection, new.values(), sealed)
                added = _by_trace(new.values())
                _save(connection, [with_spans(traces[key], added[key]) for key in added])
                seen = of_spans((span.started_at, span.attributes) for span in new.values())
                note_workflows(connection, seen, now=self._now())
        return len(new)

    def _seal(self, trace_ids: Iterable[str], spans: Collection[Span]) -> SealedSpans:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["labels"], [list(trace_ids)]).fetchall()
        return seal_spans(self._sealer, spans, dict(rows), now=self._now())

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
            rows = connection.execute(statement, values).fetchall()
        if content:
            return [opened(self._opener, decode(row[0], Span), row[1:]) for row in rows]
        return [_structure(record, held=held) for record, held in rows]

    def span(self, trace_id: str, span_id: str) -> Span:
        with self._database.transaction() as connection:
            return self._span(connection, trace_id, span_id)

    def reveal(self, trace_id: str, span_id: str, entry: CustodyEntry) -> Span:
        with self._database.transaction() as connection:
            span = self._span(connection, trace_id, span_id)
            if span.content is None:
                raise NotFound(
                    f'nothing of the content of span "{span_id}" is left, or it cannot be opened'
                )
            add_custody(connection, entry, now=entry.at)
        return span

    def _span(self, connection: Connection, trace_id: str, span_id: str) -> Span:
        trace = _trace(connection, trace_id)
        if trace is not None:
            values = {**_where(trace), "span_id": column_text(span_id)}
            row = connection.execute(_SQL["span"], values).fetchone()
            if row is not None:
                return opened(self._opener, decode(row[0], Span), row[1:])
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
        found = [_read_trace(row) for row in rows]
        return paged(found, limit, lambda one: (one.started_at, one.trace_id))

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

    def erase_contents(self, subject: Subject, *, until: datetime | None = None) -> int:
        if subject.kind == "event":
            return 0
        with self._database.transaction() as connection:
            return connection.execute(
                _SQL["erase_contents"], [_label(subject), until, subject.kind == "user"]
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


def _copy(connection: Connection, spans: Iterable[Span], sealed: SealedSpans | None) -> None:
    records: list[bytes] = []
    contents: list[bytes] = []
    for span in spans:
        head = f"{span.trace_id}\t{span.span_id}\t{span.started_at.isoformat()}\t".encode()
        # Contents stand apart from the structure, so that they can be erased without it. JSON
        # holds no raw tab or line end; a backslash means something to COPY.
        structure = encode(msgspec.structs.replace(span, content=None))
        records.append(head + structure.replace(b"\\", b"\\\\") + b"\n")
        if span.content is not None:
            one = sealed.contents[span.trace_id, span.span_id] if sealed is not None else None
            contents.append(content_line(head, span, one))
    for statement, lines in ((_SQL["copy_spans"], records), (_SQL["copy_contents"], contents)):
        with connection.cursor().copy(statement) as copy:
            copy.write(b"".join(lines))


def held_epoch(connection: Connection) -> int:
    """The epoch of the vault; no key is destroyed before this transaction has ended."""
    row = connection.execute(_VAULT["hold_epoch"]).fetchone()
    return int(row[0]) if row is not None else 0


def _save(connection: Connection, traces: Sequence[TraceSummary]) -> None:
    rows = [
        (
            trace.trace_id,
            trace.started_at,
            trace.ended_at,
            trace.spans,
            trace.decisions,
            trace.failed,
            trace.verdict.past if trace.verdict else "",
            msgspec.json.encode(trace.labels).decode(),
        )
        for trace in traces
    ]
    connection.execute(_SQL["save_traces"], [list(column) for column in zip(*rows, strict=True)])


def _trace(connection: Connection, trace_id: str) -> TraceSummary | None:
    row = connection.execute(_SQL["trace"], [column_text(trace_id)]).fetchone()
    return None if row is None else _read_trace(row)


def _where(trace: TraceSummary) -> dict[str, Any]:
    # A span begins within its trace, which tells the months to look into.
    return {"trace_id": trace.trace_id, "since": trace.started_at, "until": trace.ended_at}


def _structure(record: str, *, held: bool) -> Span:
    span = decode(record, Span)
    return span if held else msgspec.structs.replace(span, holds=())


def _read_trace(row: tuple[Any, ...]) -> TraceSummary:
    trace_id, started_at, ended_at, spans, decisions, failed, decision, labels, expired, under = row
    return TraceSummary(
        trace_id,
        started_at,
        ended_at,
        spans,
        decisions,
        failed,
        _BY_PAST.get(decision),
        tuple(labels),
        # Where nothing was ever reported, nothing has expired.
        expired if under else None,
        under,
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
