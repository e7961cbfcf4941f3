"""Erasures in PostgreSQL: a queue whose jobs outlive the process that works on them, and the
statements that destroy keys, contents and full text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, LiteralString

import msgspec
from psycopg.sql import SQL

from kintsugi.errors import InvalidInput, NotFound, StateConflict, VersionConflict
from kintsugi.ledger.leaves import ErasureLeaf
from kintsugi.model.erasure import ErasureJob, Left, Receipt, Remembered, destroyed_entry
from kintsugi.model.vault import Subject
from kintsugi.store.connections import Connection, Database
from kintsugi.store.cursors import decode_cursor, encode_cursor, paged
from kintsugi.store.custody import add_custody
from kintsugi.store.event_rows import column_text
from kintsugi.store.log import add_leaf
from kintsugi.store.sealer import subject_text
from kintsugi.store.statements import load_statements
from kintsugi.store.uuids import parse_uuid

_SQL: Final = load_statements("erasures")
_INGEST: Final = load_statements("events")
_VAULT: Final = load_statements("vault")
_JOB: Final = msgspec.json.Decoder(ErasureJob)
_UNFINISHED: Final = ("queued", "running")
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AFTER_ALL: Final = (datetime(9999, 1, 1, tzinfo=UTC), "ffffffff-ffff-ffff-ffff-ffffffffffff")
_BEFORE_ALL: Final = (_LONG_AGO, "00000000-0000-0000-0000-000000000000")

_WHOSE: Final[dict[str, LiteralString]] = {
    "user": "e.user_id = %s AND e.user_id <> ''",
    "session": "e.session_id = %s AND e.session_id <> '' AND e.user_id = ''",
    "event": "e.id = %s::uuid AND e.session_id = '' AND e.user_id = ''",
}
_NEXT: Final = SQL(
    """
    SELECT e.timestamp, e.id
    FROM kintsugi.events AS e
    WHERE {whose} AND e.position <= %s AND (e.timestamp, e.id) > (%s, %s)
    ORDER BY e.timestamp, e.id
    LIMIT %s
    """
)
_MATTER: Final = SQL(
    """
    SELECT count(*)
    FROM (
        SELECT
        FROM kintsugi.events AS e JOIN kintsugi.event_payloads AS p ON p.id = e.id
        WHERE {whose} AND e.position <= %s AND (p.payload IS NOT NULL OR p.sealed <> '')
        LIMIT %s
    ) AS counted
    """
)
_TEXTS: Final = SQL(
    """
    SELECT count(*)
    FROM kintsugi.events AS e JOIN kintsugi.event_texts AS t ON t.id = e.id
    WHERE {whose} AND e.position <= %s
    """
)
_LAST: Final = 2**63 - 1


class PostgresErasures:
    """The erasure store of the protocol in ``model/erasure.py``."""

    def __init__(self, database: Database, *, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def request(self, job: ErasureJob) -> None:
        values = [job.id, job.state, job.attempt, job.created_at, job.started_at or job.created_at]
        with self._database.transaction() as connection:
            done = connection.execute(_SQL["add"], [*values, job.destroyed_at, _encode(job)])
            if done.rowcount == 0:
                raise InvalidInput(f'there is already an erasure "{job.id}"')
            connection.execute(_SQL["announce"])

    def erasure(self, job_id: str) -> ErasureJob:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["get"], [parse_uuid(job_id)]).fetchone()
        if row is None:
            raise NotFound(f'there is no erasure "{job_id}"')
        return _JOB.decode(row[0])

    def erasures(
        self, *, limit: int, cursor: str | None = None
    ) -> tuple[list[ErasureJob], str | None]:
        before = decode_cursor(cursor) if cursor else _AFTER_ALL
        values = [before[0], parse_uuid(before[1]), limit + 1]
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], values).fetchall()
        shown, after = paged(rows, limit, lambda row: (row[0], row[1]))
        return [_JOB.decode(job) for _, _, job in shown], after

    def claim(self, *, now: datetime, stale_after_seconds: float) -> ErasureJob | None:
        stale = now - timedelta(seconds=stale_after_seconds)
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["claimable"], [stale]).fetchone()
            if row is None:
                return None
            job = _JOB.decode(row[0])
            claimed = msgspec.structs.replace(
                job, state="running", started_at=job.started_at or now, attempt=job.attempt + 1
            )
            _save(connection, claimed, now=now)
        return claimed

    def update(self, job: ErasureJob, *, now: datetime) -> None:
        with self._database.transaction() as connection:
            _require_own(connection, job)
            _save(connection, job, now=now)

    def retry(self, job_id: str, *, now: datetime) -> ErasureJob:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["lock"], [parse_uuid(job_id)]).fetchone()
            kept = connection.execute(_SQL["get"], [parse_uuid(job_id)]).fetchone()
            if row is None or kept is None:
                raise NotFound(f'there is no erasure "{job_id}"')
            if row[0] != "failed":
                raise StateConflict(f"erasure {job_id} is {row[0]}; only a failed one is retried")
            job = msgspec.structs.replace(_JOB.decode(kept[0]), state="queued", error="")
            _save(connection, job, now=now)
        return job

    def matter(self, subject: Subject, *, ceiling: int) -> int:
        with self._database.transaction() as connection:
            return _count(connection, _MATTER, subject, _LAST, ceiling)

    def destroy(self, job: ErasureJob, *, now: datetime) -> ErasureJob:
        subject = Subject.parse(job.subject)
        at = job.destroyed_at or (job.created_at if job.reapplied_at else now)
        own = parse_uuid(subject.id) if subject.kind == "event" else None
        with self._database.transaction() as connection:
            # Nothing is being stored; whoever sealed something already seals it again afterwards.
            last = connection.execute(_INGEST["lock_ingest"]).fetchone()
            _require_own(connection, job)
            text = subject_text(subject)
            rows = connection.execute(_SQL["destroy"], [at, job.id, text, own]).fetchall()
            connection.execute(_SQL["mark"], [job.id, text, at, at, job.id])
            connection.execute(_VAULT["advance_epoch"])
            until = int(last[0]) if last is not None else 0
            done = msgspec.structs.replace(
                job,
                keys=tuple(dict.fromkeys([*job.keys, *(row[0] for row in rows)])),
                until_position=until,
                destroyed_at=at,
                total=_count(connection, _MATTER, subject, until, _LAST),
            )
            _save(connection, done, now=now)
            add_custody(connection, destroyed_entry(done, now=now), now=now)
        return done

    def sweep(self, job: ErasureJob, *, limit: int, now: datetime) -> ErasureJob:
        subject = Subject.parse(job.subject)
        after = decode_cursor(job.cursor) if job.cursor else _BEFORE_ALL
        with self._database.transaction() as connection:
            connection.execute(_SQL["hold_search"])
            _require_own(connection, job)
            rows = connection.execute(
                _NEXT.format(whose=SQL(_WHOSE[subject.kind])),
                [
                    column_text(subject.id),
                    job.until_position,
                    after[0],
                    parse_uuid(after[1]),
                    limit,
                ],
            ).fetchall()
            if not rows:
                return job
            ids = [identifier for _, identifier in rows]
            contents = connection.execute(_SQL["erase_contents"], [job.id, ids]).rowcount
            texts = connection.execute(_SQL["erase_texts"], [ids]).rowcount
            swept = msgspec.structs.replace(
                job,
                erased=job.erased + contents,
                texts=job.texts + texts,
                cursor=encode_cursor(rows[-1][0], str(rows[-1][1])),
            )
            _save(connection, swept, now=now)
        return swept

    def finish(self, job: ErasureJob, *, now: datetime) -> ErasureJob:
        receipt = Receipt.of(job, finished_at=now)
        with self._database.transaction() as connection:
            _require_own(connection, job)
            leaf = ErasureLeaf(
                id=job.id,
                receipt_digest=receipt.digest,
                keys=len(receipt.keys),
                events=receipt.events,
                destroyed_at=receipt.destroyed_at,
                recorded_at=now,
            )
            position = add_leaf(connection, leaf, now=now)
            done = msgspec.structs.replace(
                job, state="done", finished_at=now, leaf=position, error=""
            )
            _save(connection, done, now=now)
        return done

    def left(self, job: ErasureJob) -> Left:
        subject = Subject.parse(job.subject)
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["keys_left"], [list(job.keys)]).fetchone()
            contents = _count(connection, _MATTER, subject, job.until_position, _LAST)
            texts = _count(connection, _TEXTS, subject, job.until_position)
        return Left(int(row[0]) if row is not None else 0, contents, texts)

    def destroyed(self, *, after: datetime | None) -> list[Remembered]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["destroyed"], [after or _LONG_AGO]).fetchall()
        return [Remembered.of(_JOB.decode(job)) for (job,) in rows]


def _require_own(connection: Connection, job: ErasureJob) -> None:
    row = connection.execute(_SQL["lock"], [job.id]).fetchone()
    if row is None:
        raise NotFound(f'there is no erasure "{job.id}"')
    state, attempt = row
    if state not in _UNFINISHED or attempt != job.attempt:
        raise VersionConflict(f'erasure "{job.id}" is {state} (attempt {attempt}) by now')


def _save(connection: Connection, job: ErasureJob, *, now: datetime) -> None:
    connection.execute(
        _SQL["update"], [job.state, job.attempt, now, job.destroyed_at, _encode(job), job.id]
    )
    connection.execute(_SQL["announce"])


def _count(connection: Connection, form: SQL, subject: Subject, *values: int) -> int:
    statement = form.format(whose=SQL(_WHOSE[subject.kind]))
    row = connection.execute(statement, [column_text(subject.id), *values]).fetchone()
    return int(row[0]) if row is not None else 0


def _encode(job: ErasureJob) -> str:
    return msgspec.json.encode(job).decode()
