"""Legal holds in PostgreSQL."""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import Final

import msgspec

from kintsugi.errors import InvalidInput, NotFound, StateConflict
from kintsugi.model.custody import CustodyEntry
from kintsugi.model.holds import HOLDS_MAX, Hold
from kintsugi.model.notice_sources import of_hold
from kintsugi.store.connections import Connection, Database
from kintsugi.store.custody import add_custody
from kintsugi.store.notices import add_notice
from kintsugi.store.statements import load_statements
from kintsugi.store.uuids import parse_uuid

_SQL: Final = load_statements("holds")
_RECORD: Final = msgspec.json.Decoder(Hold)


def add_hold(connection: Connection, hold: Hold) -> None:
    """Keep a new one, in the caller's transaction; see ``HoldStore.place``."""
    values = [hold.id, hold.placed_at, hold.name, _json(hold)]
    connection.execute(_SQL["lock_names"])
    if connection.execute(_SQL["named"], [hold.name]).fetchone() is not None:
        raise StateConflict(f'a hold named "{hold.name}" is in force; choose another name')
    row = connection.execute(_SQL["count"]).fetchone()
    if row is not None and row[0] >= HOLDS_MAX:
        raise StateConflict(f"{HOLDS_MAX} holds are in force; release one that is over")
    if parse_uuid(hold.id) is None or connection.execute(_SQL["add"], values).rowcount == 0:
        raise InvalidInput(f'"{hold.id}" cannot be the id of a new hold')
    add_notice(connection, of_hold(hold, "placed", now=hold.placed_at))


class PostgresHolds:
    """The hold store of the protocol in ``model/holds.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def place(self, hold: Hold, custody: CustodyEntry) -> None:
        with self._database.transaction() as connection:
            add_hold(connection, hold)
            add_custody(connection, custody, now=custody.at)

    def get(self, hold_id: str) -> Hold:
        with self._database.transaction() as connection:
            return _one(connection, hold_id, _SQL["one"])

    def list(self, *, in_force: bool | None, limit: int) -> builtins.list[Hold]:
        values = {"in_force": in_force, "limit": limit}
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["list"], values).fetchall()
        return [_RECORD.decode(record) for (record,) in rows]

    def release(
        self, hold_id: str, *, by: str, reason: str, now: datetime, custody: CustodyEntry
    ) -> Hold:
        with self._database.transaction() as connection:
            found = _one(connection, hold_id, _SQL["lock"])
            if found.released_at is not None:
                return found
            ended = msgspec.structs.replace(
                found, released_at=now, released_by=by, release_reason=reason
            )
            connection.execute(_SQL["release"], [now, _json(ended), hold_id])
            add_notice(connection, of_hold(ended, "released", now=now))
            add_custody(connection, custody, now=custody.at)
            return ended


def _one(connection: Connection, hold_id: str, statement: bytes) -> Hold:
    identifier = parse_uuid(hold_id)
    row = None
    if identifier is not None:
        row = connection.execute(statement, [identifier]).fetchone()
    if row is None:
        raise NotFound(f'there is no hold "{hold_id}"')
    return _RECORD.decode(row[0])


def _json(hold: Hold) -> str:
    return msgspec.json.encode(hold).decode()
