"""Notices in PostgreSQL: a transactional outbox. Whoever changes something adds the notice in the
same transaction, so that nothing is told that did not happen, and nothing that happened is lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from kintsugi.model.notice import Notice
from kintsugi.store.connections import Connection, Database
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.statements import load_statements
from kintsugi.store.timelines import capture

_SQL: Final = load_statements("notices")
_RECORD: Final = msgspec.json.Decoder(Notice)


def add_notice(connection: Connection, one: Notice) -> None:
    """Add a notice in the transaction of what it tells of."""
    add_notices(connection, [one])


def add_notices(connection: Connection, notices: Sequence[Notice]) -> None:
    """Add several at once; none is no error."""
    if not notices:
        return
    connection.execute(
        _SQL["add"],
        [
            [one.id for one in notices],
            [one.at for one in notices],
            [one.type for one in notices],
            [msgspec.json.encode(one).decode() for one in notices],
        ],
    )
    connection.execute(_SQL["announce"])
    capture(connection, notices)


def add_notice_once(connection: Connection, key: str, one: Notice) -> bool:
    """Add a notice unless one was added under this key before; whether it was added."""
    added = connection.execute(_SQL["once"], [key, one.at]).rowcount == 1
    if added:
        add_notice(connection, one)
    return added


class PostgresNotices:
    """The notice store of the protocol in ``model/notice.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, notices: Sequence[Notice]) -> None:
        with self._database.transaction() as connection:
            add_notices(connection, notices)

    def add_once(self, key: str, one: Notice) -> bool:
        with self._database.transaction() as connection:
            return add_notice_once(connection, key, one)

    def page(
        self, *, type_name: str = "", limit: int, cursor: str | None = None
    ) -> tuple[list[Notice], str | None]:
        before_at, before_id = place_in(cursor) or (None, None)
        values = {
            "type": type_name,
            "before_at": before_at,
            "before_id": before_id,
            "limit": limit + 1,
        }
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], values).fetchall()
        found = [_RECORD.decode(record) for (record,) in rows]
        return paged(found, limit, lambda one: (one.at, one.id))

    def forget(self, *, before: datetime, limit: int) -> int:
        with self._database.transaction() as connection:
            connection.execute(_SQL["forget_keys"], [before, limit])
            return connection.execute(_SQL["forget"], [before, limit]).rowcount
