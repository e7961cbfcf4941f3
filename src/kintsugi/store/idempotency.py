"""Answers to repeated requests in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from kintsugi.model.idempotency import ANSWER_LIFETIME, SavedAnswer
from kintsugi.store.connections import Database
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("idempotency")


class PostgresIdempotency:
    """The idempotency store of the protocol in ``model/idempotency.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, token_id: str, key: str, *, now: datetime) -> SavedAnswer | None:
        with self._database.transaction() as connection:
            values = [token_id, key, now - ANSWER_LIFETIME]
            row = connection.execute(_SQL["find"], values).fetchone()
        return None if row is None else SavedAnswer(*row)

    def save(self, token_id: str, key: str, answer: SavedAnswer, *, now: datetime) -> None:
        expired = now - ANSWER_LIFETIME
        saved = [token_id, key, answer.request_sha256, answer.status, answer.body, now]
        with self._database.transaction() as connection:
            connection.execute(_SQL["save"], [*saved, expired])
            connection.execute(_SQL["forget"], [expired])
