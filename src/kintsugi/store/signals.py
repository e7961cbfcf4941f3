"""Signals in PostgreSQL. ``observe`` and ``over`` also work inside the transaction in which
something is seen, so that what is stored and what is said of it never part."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from kintsugi.errors import NotFound
from kintsugi.model.notice_sources import of_signal
from kintsugi.model.signal import (
    BY_ITSELF,
    Observation,
    Signal,
    SignalStatus,
    acknowledged,
    first_seen,
    resolved,
    seen_again,
)
from kintsugi.store.connections import Connection, Database
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.notices import add_notice
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("signals")
_DETAIL: Final = 7


def observe(connection: Connection, seen: Observation, *, now: datetime) -> Signal:
    """See ``SignalStore.observe``; in the caller's transaction."""
    newest = _newest(connection, seen.key)
    if newest is not None and newest.status == "resolved" and newest.resolved_by != BY_ITSELF:
        return newest
    if newest is not None and newest.status != "resolved":
        return _save(connection, seen_again(newest, seen, now=now))
    signal = first_seen(seen, now=now)
    connection.execute(
        _SQL["add"],
        [
            *(signal.id, signal.at, signal.kind, signal.severity, signal.summary, signal.subject),
            *(signal.key, _json(signal.detail), signal.seen_at),
        ],
    )
    add_notice(connection, of_signal(signal, "raised", now=now))
    connection.execute(_SQL["announce"])
    return signal


def over(connection: Connection, key: str, *, resolution: str, now: datetime) -> Signal | None:
    """See ``SignalStore.over``; in the caller's transaction."""
    newest = _newest(connection, key)
    if newest is None or newest.status == "resolved":
        return None
    ended = resolved(newest, by=BY_ITSELF, resolution=resolution, now=now)
    add_notice(connection, of_signal(ended, "resolved", now=now))
    return _save(connection, ended)


class PostgresSignals:
    """The signal store of the protocol in ``model/signal.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def observe(self, seen: Observation, *, now: datetime) -> Signal:
        with self._database.transaction() as connection:
            return observe(connection, seen, now=now)

    def over(self, key: str, *, resolution: str, now: datetime) -> Signal | None:
        with self._database.transaction() as connection:
            return over(connection, key, resolution=resolution, now=now)

    def get(self, signal_id: str) -> Signal:
        with self._database.transaction() as connection:
            return _get(connection, signal_id)

    def page(
        self,
        status: SignalStatus | Literal["unresolved"] | None,
        *,
        kind: str = "",
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[Signal], str | None]:
        before_at, before_id = place_in(cursor) or (None, None)
        values = {
            "status": status,
            "kind": kind,
            "before_at": before_at,
            "before_id": before_id,
            "limit": limit + 1,
        }
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], values).fetchall()
        return paged([_read(row) for row in rows], limit, lambda one: (one.at, one.id))

    def count_unresolved(self) -> int:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["count_unresolved"]).fetchone()
        return int(row[0]) if row is not None else 0

    def acknowledge(self, signal_id: str, *, by: str, note: str, now: datetime) -> Signal:
        return self._move(
            signal_id, lambda found: acknowledged(found, by=by, note=note, now=now), now=now
        )

    def resolve(self, signal_id: str, *, by: str, resolution: str, now: datetime) -> Signal:
        return self._move(
            signal_id, lambda found: resolved(found, by=by, resolution=resolution, now=now), now=now
        )

    def _move(self, signal_id: str, move: Callable[[Signal], Signal], *, now: datetime) -> Signal:
        with self._database.transaction() as connection:
            before = _get(connection, signal_id)
            after = move(before)
            if after.status == "open" or after == before:
                return before
            add_notice(connection, of_signal(after, after.status, now=now))
            return _save(connection, after)


def _newest(connection: Connection, key: str) -> Signal | None:
    connection.execute(_SQL["lock_key"], [key])
    row = connection.execute(_SQL["newest_of_key"], [key]).fetchone()
    return None if row is None else _read(row)


def _get(connection: Connection, signal_id: str) -> Signal:
    identifier = _uuid(signal_id)
    row = connection.execute(_SQL["get"], [identifier]).fetchone() if identifier else None
    if row is None:
        raise NotFound(f'there is no signal "{signal_id}"')
    return _read(row)


def _save(connection: Connection, signal: Signal) -> Signal:
    connection.execute(
        _SQL["save"],
        [
            *(signal.severity, signal.summary, _json(signal.detail), signal.seen_at),
            *(signal.acknowledged_at, signal.acknowledged_by, signal.note),
            *(signal.resolved_at, signal.resolved_by, signal.resolution, signal.id),
        ],
    )
    connection.execute(_SQL["announce"])
    return signal


def _read(row: tuple[Any, ...]) -> Signal:
    detail = msgspec.json.decode(row[_DETAIL])
    return Signal(*(*row[:_DETAIL], detail, *row[_DETAIL + 1 :]))


def _json(detail: dict[str, Any]) -> str:
    return msgspec.json.encode(detail, order="deterministic").decode()


def _uuid(text: str) -> UUID | None:
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text.lower() else None
