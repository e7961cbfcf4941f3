"""What each class of evidence is in PostgreSQL: which of it is past its end, what keeps it, and how
it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from types import MappingProxyType
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
from psycopg.sql import SQL, Identifier

from kintsugi.model.archive import Archive
from kintsugi.model.custody import custody_entry
from kintsugi.model.event import ExpiredNote
from kintsugi.model.event_filter import EventFilter, both
from kintsugi.model.exports import ExportJob, expired
from kintsugi.model.ids import uuid7_time
from kintsugi.model.retention import (
    ClassName,
    ClassOutcome,
    Keeper,
    RetentionRun,
    Step,
    added_up,
    covers_trace,
    next_month,
    policy_text,
)
from kintsugi.model.span import TraceSummary
from kintsugi.store.connections import Connection
from kintsugi.store.cursors import decode_cursor, encode_cursor
from kintsugi.store.custody import add_custody
from kintsugi.store.retention_keepers import (
    Keepers,
    holds_in_force,
    keepers_in,
    keepers_of,
    lock_keepers,
    of_hold,
    open_incident,
)
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("retention")
_ARCHIVE: Final = msgspec.json.Decoder(Archive)
_JOB: Final = msgspec.json.Decoder(ExportJob)
_BEFORE_ALL: Final = (datetime(1970, 1, 1, tzinfo=UTC), "")
_NO_ID: Final = UUID(int=0)
# The id's time may differ from the timestamp by a second (store/admissible.py), and is rounded.
_TOLERANCE: Final = timedelta(seconds=2)
_MONTH_TABLES: Final = (
    *("event_texts", "evaluations", "event_payloads", "event_records", "events"),
)
_LOCK_PATIENCE: Final = "SET LOCAL lock_timeout = '5s'"
_ISLANDS: Final = SQL(
    """
    SELECT
        min(first), max(last), coalesce(range_agg(int8range(first, last + 1)), '{{}}')::text,
        coalesce(sum(events), 0)::bigint
    FROM (
        SELECT min(position) AS first, max(position) AS last, count(*) AS events
        FROM (
            SELECT position, position - row_number() OVER (ORDER BY position) AS island FROM {month}
        ) AS told
        GROUP BY island
    ) AS islands
    """
)


class Removal(NamedTuple):
    """What removes, and when; a class that is only looked at gets none."""

    run: RetentionRun
    outcome: ClassOutcome
    now: datetime


Work = Callable[[Connection, datetime, str, int, Removal | None], Step]


def step(
    connection: Connection,
    name: ClassName,
    *,
    before: datetime,
    after: str,
    limit: int,
    removal: Removal | None,
) -> Step:
    """Some things of a class that are past their end, removed where there is a removal."""
    return _WORK[name](connection, before, after, limit, removal)


def _payloads(
    connection: Connection, before: datetime, after: str, limit: int, removal: Removal | None
) -> Step:
    if removal is not None:
        connection.execute(_SQL["hold_search"])
        lock_keepers(connection)
    asked = [after or _NO_ID, before - _TOLERANCE, limit]
    ids = [one for (one,) in connection.execute(_SQL["payloads"], asked).fetchall()]
    archived = () if after else _archived_before(connection, before)
    if not ids:
        return _with(_stepped(ids, {}, ""), archived)
    since, until = uuid7_time(ids[0]) - _TOLERANCE, uuid7_time(ids[-1]) + _TOLERANCE
    keepers = keepers_of(connection, "id", ids, since=since, until=until)
    found = _stepped(ids, keepers, ids[-1] if len(ids) == limit else "")
    if removal is not None and found.free:
        run, outcome, now = removal
        free = list(found.free)
        connection.execute(_SQL["mark_expired"], [run.id, now, now, policy_text(outcome)])
        connection.execute(_SQL["expire_payloads"], [run.id, free])
        connection.execute(_SQL["expire_texts"], [free])
        connection.execute(_SQL["drop_own_keys"], [free])
    return _with(found, archived)


def _archived_before(connection: Connection, before: datetime) -> tuple[Keeper, ...]:
    """The archives of whole months past their end: nothing of a file can be taken out."""
    rows = connection.execute(_SQL["archived_before"], [before - _TOLERANCE]).fetchall()
    return tuple(Keeper(f"archive:{name}", month, events) for name, month, events in rows)


def _with(step: Step, keepers: Sequence[Keeper]) -> Step:
    """The same, with what stands elsewhere and is kept."""
    if not keepers:
        return step
    kept = step.kept + sum(one.things for one in keepers)
    told = added_up([*step.kept_by, *keepers])
    return msgspec.structs.replace(step, kept=kept, kept_by=told)


def _traces(
    connection: Connection, before: datetime, after: str, limit: int, removal: Removal | None
) -> Step:
    if removal is not None:
        lock_keepers(connection)
    began, trace_id = decode_cursor(after) if after else _BEFORE_ALL
    rows = connection.execute(_SQL["traces"], [began, trace_id, before, limit]).fetchall()
    if not rows:
        return _stepped([], {}, "")
    cursor = encode_cursor(rows[-1][1], rows[-1][0]) if len(rows) == limit else ""
    wanted = [row[0] for row in rows]
    traces = [
        TraceSummary(row[0], row[1], row[2], spans=row[3], labels=tuple(row[4]))
        for row in connection.execute(_SQL["lock_traces"], [wanted, before]).fetchall()
    ]
    reported = [trace for trace in traces if trace.spans]
    keepers = _keepers_of_traces(connection, reported)
    found = _stepped([trace.trace_id for trace in reported], keepers, cursor)
    if removal is not None and traces:
        span = [
            min(trace.started_at for trace in traces),
            max(trace.ended_at for trace in traces),
        ]
        free = list(found.free)
        connection.execute(_SQL["expire_spans"], [free, *span])
        connection.execute(_SQL["expire_span_contents"], [free, *span])
        told = policy_text(removal.outcome)
        connection.execute(_SQL["expire_traces"], [removal.now, told, free])
        # Nothing was ever reported of these: they are passed over from now on.
        bare = [trace.trace_id for trace in traces if not trace.spans]
        connection.execute(_SQL["expire_traces"], [removal.now, "", bare])
    return found


def _keepers_of_traces(
    connection: Connection, traces: Sequence[TraceSummary]
) -> dict[str, list[Keeper]]:
    if not traces:
        return {}
    found = keepers_of(
        connection,
        "trace_id",
        [trace.trace_id for trace in traces],
        since=min(trace.started_at for trace in traces),
        until=max(trace.ended_at for trace in traces),
    )
    for hold in holds_in_force(connection):
        for trace in traces:
            if covers_trace(hold.where, trace) and of_hold(hold) not in found[trace.trace_id]:
                found[trace.trace_id].append(of_hold(hold))
    return {trace_id: keepers for trace_id, keepers in found.items() if keepers}


def _files_of(kind: str) -> Work:
    def files(
        connection: Connection, before: datetime, after: str, limit: int, removal: Removal | None
    ) -> Step:
        if removal is not None:
            lock_keepers(connection)
        place = decode_cursor(after) if after else _BEFORE_ALL
        rows = connection.execute(_SQL["exports"], [*place, before, limit]).fetchall()
        jobs = {
            job.id: job
            for job in (_JOB.decode(row[2]) for row in rows)
            if class_of_export(job) == kind
            and not job.withdrawn
            and (job.finished_at or job.created_at) < before
        }
        keepers = {name: keepers_of_file(connection, job) for name, job in jobs.items()}
        cursor = encode_cursor(rows[-1][0], rows[-1][1]) if len(rows) == limit else ""
        found = _stepped(list(jobs), keepers, cursor)
        if removal is not None:
            for name in found.free:
                _expire_file(connection, jobs[name], removal)
        return found

    return files


def class_of_export(job: ExportJob) -> ClassName:
    """Which class the file of an export belongs to."""
    return {"package": "packages", "trajectories": "trajectories"}.get(job.type, "exports")  # type: ignore[return-value]


def keepers_of_file(connection: Connection, job: ExportJob) -> list[Keeper]:
    """What keeps the file of an export: holds and open incidents with an event in it. Where the
    records of its time are gone, a hold that could cover one of them."""
    where = msgspec.structs.replace(job.where, q="")
    found = keepers_in(connection, where)
    if job.where.incident and (keeper := open_incident(connection, job.where.incident)):
        found.append(keeper)
    asked = [job.where.until or job.finished_at, job.where.since]
    if connection.execute(_SQL["expired_months"], asked).fetchone() is not None:
        found += [
            of_hold(hold)
            for hold in holds_in_force(connection)
            if both(msgspec.structs.replace(hold.where, q=""), where) is not None
        ]
    return [msgspec.structs.replace(one, things=1) for one in added_up(found)]


def _expire_file(connection: Connection, job: ExportJob, removal: Removal) -> None:
    run, outcome, now = removal
    note = ExpiredNote(now, run.id, policy_text(outcome))
    gone = expired(job, note)
    values = [gone.state, msgspec.json.encode(gone).decode(), job.id]
    connection.execute(_SQL["save_export"], values)
    entry = custody_entry(
        "delete",
        f"{'package' if job.type == 'package' else 'export'}:{job.id}",
        actor=run.requested_by,
        now=now,
        reason=f"{note.policy}, run {run.id}",
        digest_before=f"sha256:{job.sha256}",
    )
    add_custody(connection, entry, now=now)
    connection.execute(_SQL["announce_exports"])


def _signals(
    connection: Connection, before: datetime, after: str, limit: int, removal: Removal | None
) -> Step:
    at, identifier = decode_cursor(after) if after else _BEFORE_ALL
    asked = [at, identifier or _NO_ID, before, limit]
    rows = connection.execute(_SQL["signals"], asked).fetchall()
    cursor = encode_cursor(*rows[-1]) if len(rows) == limit else ""
    found = _stepped([row[1] for row in rows], {}, cursor)
    if removal is not None:
        connection.execute(_SQL["expire_signals"], [list(found.free)])
    return found


def _answers(
    connection: Connection, before: datetime, after: str, limit: int, removal: Removal | None
) -> Step:
    del after
    rows = connection.execute(_SQL["answers"], [before, limit]).fetchall()
    names = [f"{token}/{key}" for token, key in rows]
    found = _stepped(names, {}, "more" if removal is not None and len(rows) == limit else "")
    if removal is not None and rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        connection.execute(_SQL["expire_answers"], columns)
    return found


def _months(
    connection: Connection, before: datetime, after: str, limit: int, removal: Removal | None
) -> Step:
    """One month at a time: a month is gone as a whole, or stays as a whole."""
    del limit
    firsts = [
        datetime.combine(day, time(), UTC)
        for (day,) in connection.execute(_SQL["months"]).fetchall()
    ]
    past = [
        first
        for first in firsts
        if next_month(first) + _TOLERANCE <= before and first.strftime("%Y-%m") > after
    ]
    if not past:
        return _stepped([], {}, "")
    first_day, name = past[0], past[0].strftime("%Y-%m")
    table = Identifier("kintsugi", f"events_{first_day:%Y_%m}")
    row = connection.execute(_ISLANDS.format(month=table)).fetchone()
    if row is None:
        return _stepped([], {}, name)
    first, last, positions, events = row
    if removal is not None:
        connection.execute(_LOCK_PATIENCE)
        connection.execute(_SQL["lock_ingest"])
        lock_keepers(connection)
    keepers = keepers_in(connection, EventFilter(since=first_day, until=_last_moment(first_day)))
    if removal is not None and (came := _came_since(connection, table, last)):
        keepers.append(Keeper("log", "events of this month were still arriving", came))
    archives = [
        _ARCHIVE.decode(record)
        for (record,) in connection.execute(_SQL["archives"], [name]).fetchall()
    ]
    keepers += [
        Keeper(f"archive:{one.id}", f"{name} is being archived or brought back", events)
        for one in archives
        if one.unfinished
    ]
    if events and not keepers:
        asked = {"positions": positions, "first": first, "last": last}
        proven = connection.execute(_SQL["unproven"], asked).fetchone()
        if proven is None or proven[0]:
            keepers.append(Keeper("log", "records without a kept hash", events))
    if keepers:
        return Step((), 0, events, added_up(keepers), name)
    if removal is not None:
        _drop_month(connection, first_day, positions, events, removal)
        for one in archives:
            gone = msgspec.structs.replace(one, expired_at=removal.now)
            values = [msgspec.json.encode(gone).decode(), one.id]
            connection.execute(_SQL["expire_archive"], values)
    return Step((name,), events, 0, (), name)


def _came_since(connection: Connection, table: Identifier, last: int | None) -> int:
    statement = SQL("SELECT count(*) FROM {month} WHERE position > %s").format(month=table)
    row = connection.execute(statement, [last or 0]).fetchone()
    return int(row[0]) if row is not None else 0


def _drop_month(
    connection: Connection, first_day: datetime, positions: str, events: int, removal: Removal
) -> None:
    run, outcome, now = removal
    for parent in _MONTH_TABLES:
        table = Identifier("kintsugi", f"{parent}_{first_day:%Y_%m}")
        connection.execute(SQL("DROP TABLE IF EXISTS {month}").format(month=table))
    connection.execute(_SQL["forget_traces"], [next_month(first_day), next_month(first_day)])
    if not events:
        return
    told = policy_text(outcome)
    connection.execute(_SQL["add_expired_month"], [run.id, first_day, now, told, events, positions])
    entry = custody_entry(
        "delete",
        f"events:{first_day:%Y-%m}",
        actor=run.requested_by,
        now=now,
        reason=f"{told}, run {run.id}: {events} records",
    )
    add_custody(connection, entry, now=now)


def _last_moment(first_day: datetime) -> datetime:
    return next_month(first_day) - timedelta(microseconds=1)


def _stepped(keys: Sequence[str], keepers: Keepers, cursor: str) -> Step:
    kept = {key: keepers[key] for key in keys if keepers.get(key)}
    free = tuple(key for key in keys if key not in kept)
    told = added_up(one for found in kept.values() for one in set(found))
    return Step(free, len(free), len(kept), told, cursor)


_WORK: Final[Mapping[str, Work]] = MappingProxyType(
    {
        "payloads": _payloads,
        "traces": _traces,
        "trajectories": _files_of("trajectories"),
        "exports": _files_of("exports"),
        "packages": _files_of("packages"),
        "signals": _signals,
        "events": _months,
        "idempotency": _answers,
    }
)
