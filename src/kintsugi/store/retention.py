"""Retention in PostgreSQL: settings by version, and a queue of runs that outlive the process that
works on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from kintsugi.errors import InvalidInput, NotFound, StateConflict, VersionConflict
from kintsugi.ledger.leaves import retention_leaf
from kintsugi.model.retention import (
    DEFAULTS,
    ClassName,
    ExpiredMonth,
    RetentionRun,
    RetentionSettings,
    Step,
    advanced,
    begun,
    changed_entry,
    class_entry,
    ended,
)
from kintsugi.store.connections import Connection, Database
from kintsugi.store.cursors import decode_cursor, paged
from kintsugi.store.custody import add_custody
from kintsugi.store.expired import time_of
from kintsugi.store.log import add_leaf
from kintsugi.store.retention_removal import Removal, step
from kintsugi.store.statements import load_statements
from kintsugi.store.uuids import parse_uuid

_SQL: Final = load_statements("retention")
_RUN: Final = msgspec.json.Decoder(RetentionRun)
_SETTINGS: Final = msgspec.json.Decoder(RetentionSettings)
_MOMENT: Final = timedelta(microseconds=1)
_UNFINISHED: Final = ("queued", "running")
_AFTER_ALL: Final = (datetime(9999, 1, 1, tzinfo=UTC), "ffffffff-ffff-ffff-ffff-ffffffffffff")


class PostgresRetention:
    """The retention store of the protocol in ``model/retention.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def settings(self) -> RetentionSettings:
        with self._database.transaction() as connection:
            return _settings(connection)

    def change(self, settings: RetentionSettings, *, expected_version: int | None) -> None:
        now = settings.changed_at or datetime.now(UTC)
        with self._database.transaction() as connection:
            connection.execute(_SQL["lock"])
            check_version(_settings(connection), settings, expected_version)
            values = [settings.version, now, _encode(settings)]
            connection.execute(_SQL["keep_settings"], values)
            add_custody(connection, changed_entry(settings, now=now), now=now)

    def request(self, run: RetentionRun) -> None:
        with self._database.transaction() as connection:
            connection.execute(_SQL["lock"])
            row = connection.execute(_SQL["unfinished"]).fetchone()
            if row is not None:
                raise StateConflict(f"run {row[0]} is not through yet; wait for its end")
            _add(connection, run)

    def request_unless(self, run: RetentionRun, *, since: datetime) -> bool:
        with self._database.transaction() as connection:
            connection.execute(_SQL["lock"])
            if connection.execute(_SQL["since"], [since]).fetchone() is not None:
                return False
            if connection.execute(_SQL["unfinished"]).fetchone() is not None:
                return False
            _add(connection, run)
        return True

    def run(self, run_id: str) -> RetentionRun:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["get"], [parse_uuid(run_id)]).fetchone()
        if row is None:
            raise NotFound(f'there is no retention run "{run_id}"')
        return _RUN.decode(row[0])

    def runs(
        self, *, limit: int, cursor: str | None = None
    ) -> tuple[list[RetentionRun], str | None]:
        before = decode_cursor(cursor) if cursor else _AFTER_ALL
        with self._database.transaction() as connection:
            values = [before[0], parse_uuid(before[1]), limit + 1]
            rows = connection.execute(_SQL["page"], values).fetchall()
        shown, after = paged(rows, limit, lambda row: (row[0], row[1]))
        return [_RUN.decode(record) for _, _, record in shown], after

    def claim(self, *, now: datetime, stale_after_seconds: float) -> RetentionRun | None:
        stale = now - timedelta(seconds=stale_after_seconds)
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["claimable"], [stale]).fetchone()
            if row is None:
                return None
            run = _RUN.decode(row[0])
            if not run.classes:
                run = begun(run, _settings(connection), now=now)
            claimed = msgspec.structs.replace(
                run, state="running", started_at=run.started_at or now, attempt=run.attempt + 1
            )
            _save(connection, claimed, now=now)
        return claimed

    def update(self, run: RetentionRun, *, now: datetime) -> None:
        with self._database.transaction() as connection:
            _require_own(connection, run)
            _save(connection, run, now=now)

    def look(self, name: ClassName, *, before: datetime, after: str, limit: int) -> Step:
        with self._database.transaction() as connection:
            return step(connection, name, before=before, after=after, limit=limit, removal=None)

    def remove(
        self, run: RetentionRun, name: ClassName, *, limit: int, now: datetime
    ) -> RetentionRun:
        outcome = run.of(name)
        with self._database.transaction() as connection:
            _require_own(connection, run)
            if outcome.before is None:
                done = msgspec.structs.replace(outcome, outcome="done")
            else:
                removal = Removal(run, outcome, now)
                done = advanced(
                    outcome,
                    step(
                        connection,
                        name,
                        before=outcome.before,
                        after=outcome.cursor,
                        limit=limit,
                        removal=removal,
                    ),
                )
            after = run.saying(done)
            _save(connection, after, now=now)
            if done.outcome == "done" and done.removed:
                add_custody(connection, class_entry(after, done, now=now), now=now)
        return after

    def finish(self, run: RetentionRun, *, now: datetime) -> RetentionRun:
        with self._database.transaction() as connection:
            _require_own(connection, run)
            leaf = None
            if run.removed:
                leaf = add_leaf(connection, retention_leaf(run, now=now), now=now)
            done = ended(run, leaf=leaf, now=now)
            _save(connection, done, now=now)
        return done

    def expired_months(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> list[ExpiredMonth]:
        with self._database.transaction() as connection:
            return _expired_months(connection, since, until)


def check_version(
    before: RetentionSettings, new: RetentionSettings, expected_version: int | None
) -> None:
    """Refuse settings that somebody else overtook.

    Raises:
        VersionConflict: they are not the next ones, or not those that were expected.
    """
    if new.version != before.version + 1 or expected_version not in (None, before.version):
        raise VersionConflict(
            f"retention is at version {before.version} by now; read it again and retry"
        )


def _settings(connection: Connection) -> RetentionSettings:
    row = connection.execute(_SQL["settings"]).fetchone()
    return DEFAULTS if row is None else _SETTINGS.decode(row[0])


def _add(connection: Connection, run: RetentionRun) -> None:
    values = [run.id, run.state, run.attempt, run.created_at, run.created_at, _encode(run)]
    if parse_uuid(run.id) is None or connection.execute(_SQL["add"], values).rowcount == 0:
        raise InvalidInput(f'"{run.id}" cannot be the id of a new retention run')
    connection.execute(_SQL["announce"])


def _require_own(connection: Connection, run: RetentionRun) -> None:
    row = connection.execute(_SQL["lock_run"], [parse_uuid(run.id)]).fetchone()
    if row is None:
        raise NotFound(f'there is no retention run "{run.id}"')
    state, attempt = row
    if state not in _UNFINISHED or attempt != run.attempt:
        raise VersionConflict(f'run "{run.id}" is {state} (attempt {attempt}) by now')


def _save(connection: Connection, run: RetentionRun, *, now: datetime) -> None:
    connection.execute(_SQL["update"], [run.state, run.attempt, now, _encode(run), run.id])
    connection.execute(_SQL["announce"])


def _encode(told: RetentionRun | RetentionSettings) -> str:
    return msgspec.json.encode(told).decode()


def expired_months_of(connection: Connection, event_id: str) -> list[ExpiredMonth]:
    """The months of the time in an event's id whose records have expired."""
    at = time_of(event_id)
    return [] if at is None else _expired_months(connection, at, at + _MOMENT)


def _expired_months(
    connection: Connection, since: datetime | None, until: datetime | None
) -> list[ExpiredMonth]:
    rows = connection.execute(_SQL["expired_months"], [until, since]).fetchall()
    return [ExpiredMonth(*row) for row in rows]
