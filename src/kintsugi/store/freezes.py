"""Evidence freezes in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from kintsugi.errors import NotFound, StateConflict, VersionConflict
from kintsugi.model.custody import CustodyEntry
from kintsugi.model.freeze import FREEZES_MAX, Freeze, Pinned
from kintsugi.model.holds import Hold
from kintsugi.model.incident import Entry
from kintsugi.store.connections import Connection, Database
from kintsugi.store.custody import add_custody
from kintsugi.store.holds import add_hold
from kintsugi.store.incidents import recount
from kintsugi.store.statements import load_statements
from kintsugi.store.timelines import write_entries
from kintsugi.store.uuids import parse_uuid

_SQL: Final = load_statements("freezes")
_RECORD: Final = msgspec.json.Decoder(Freeze)


class PostgresFreezes:
    """The freeze store of the protocol in ``model/freeze.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, freeze: Freeze, *, hold: Hold, custody: CustodyEntry, told: Entry) -> Freeze:
        now = freeze.asked_at
        with self._database.transaction() as connection:
            connection.execute(_SQL["lock_incident"], [freeze.incident_id])
            before = _of(connection, freeze.incident_id)
            if (same := same_freeze(before, freeze)) is not None:
                return same
            values = [freeze.id, freeze.incident_id, now, freeze.state, freeze.attempt, now]
            connection.execute(_SQL["add"], [*values, _json(freeze)])
            connection.execute(_SQL["announce"])
            add_hold(connection, hold)
            write_entries(connection, [told], now=now)
            add_custody(connection, custody, now=now)
        return freeze

    def get(self, freeze_id: str) -> Freeze:
        with self._database.transaction() as connection:
            return _one(connection, freeze_id, _SQL["get"])

    def of(self, incident_id: str) -> list[Freeze]:
        with self._database.transaction() as connection:
            return _of(connection, incident_id)

    def claim(self, *, now: datetime, stale_after_seconds: float) -> Freeze | None:
        stale = now - timedelta(seconds=stale_after_seconds)
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["claimable"], [stale]).fetchone()
            if row is None:
                return None
            found = _RECORD.decode(row[0])
            claimed = msgspec.structs.replace(found, state="running", attempt=found.attempt + 1)
            _update(connection, claimed, now=now)
        return claimed

    def save(self, freeze: Freeze, *, pinned: Sequence[Pinned] = (), now: datetime) -> None:
        with self._database.transaction() as connection:
            _check_claim(connection, freeze)
            if pinned:
                ids = [one.event_id for one in pinned]
                positions = [one.position for one in pinned]
                connection.execute(_SQL["pin"], [freeze.id, positions, ids])
                connection.execute(_SQL["tie"], [freeze.incident_id, now, ids])
            _update(connection, freeze, now=now)

    def finish(
        self, freeze: Freeze, *, custody: CustodyEntry | None, told: Entry | None, now: datetime
    ) -> None:
        with self._database.transaction() as connection:
            _check_claim(connection, freeze)
            _update(connection, freeze, now=now)
            connection.execute(_SQL["announce"])
            if told is not None:
                scope = freeze.scope
                recount(connection, freeze.incident_id, told, scope=scope, now=now)
            if custody is not None:
                add_custody(connection, custody, now=now)

    def verify(self, freeze_id: str, *, by: str, now: datetime) -> Freeze:
        with self._database.transaction() as connection:
            found = to_be_verified(_one(connection, freeze_id, _SQL["lock"]), by=by)
            _update(connection, found, now=now)
            connection.execute(_SQL["announce"])
        return found

    def pinned(self, freeze_id: str, *, after: int, limit: int) -> list[Pinned]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["pinned"], [freeze_id, after, limit]).fetchall()
        return [Pinned(*row) for row in rows]


def same_freeze(before: Sequence[Freeze], wanted: Freeze) -> Freeze | None:
    """The one that pins the same already; None where there is none.

    Raises:
        StateConflict: there are too many for one more.
    """
    for one in before:
        if (one.where, one.bound) == (wanted.where, wanted.bound) and one.state != "failed":
            return one
    if len(before) >= FREEZES_MAX:
        raise StateConflict(f"this incident has {FREEZES_MAX} freezes; verify those")
    return None


def to_be_verified(found: Freeze, *, by: str) -> Freeze:
    """The freeze with its check queued.

    Raises:
        StateConflict: it is not frozen yet.
    """
    if found.frozen_at is None:
        raise StateConflict(f"freeze {found.id} is {found.state}: verify it when it is frozen")
    if found.state in ("queued", "running"):
        return found
    return msgspec.structs.replace(
        found, task="verify", state="queued", progress=0, verify_by=by, error=""
    )


def check_claim(stored: Freeze, freeze: Freeze) -> None:
    """Raise when the one who worked on it works on it no more.

    Raises:
        VersionConflict: somebody else claimed it, or it ended.
    """
    if stored.state not in ("queued", "running") or stored.attempt != freeze.attempt:
        raise VersionConflict(
            f'freeze "{freeze.id}" is {stored.state} (attempt {stored.attempt}) by now'
        )


def _check_claim(connection: Connection, freeze: Freeze) -> None:
    check_claim(_one(connection, freeze.id, _SQL["lock"]), freeze)


def _one(connection: Connection, freeze_id: str, statement: bytes) -> Freeze:
    identifier = parse_uuid(freeze_id)
    row = None
    if identifier is not None:
        row = connection.execute(statement, [identifier]).fetchone()
    if row is None:
        raise NotFound(f'there is no freeze "{freeze_id}"')
    return _RECORD.decode(row[0])


def _of(connection: Connection, incident_id: str) -> list[Freeze]:
    rows = connection.execute(_SQL["of"], [incident_id, FREEZES_MAX]).fetchall()
    return [_RECORD.decode(record) for (record,) in rows]


def _update(connection: Connection, freeze: Freeze, *, now: datetime) -> None:
    values = [freeze.state, freeze.attempt, now, _json(freeze), freeze.id]
    connection.execute(_SQL["update"], values)


def _json(freeze: Freeze) -> str:
    return msgspec.json.encode(freeze).decode()
