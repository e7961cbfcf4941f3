"""Access tokens in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from kintsugi.errors import InvalidInput, NotFound
from kintsugi.model.tokens import Token
from kintsugi.store.connections import Database
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("tokens")


class PostgresTokens:
    """The token store of the protocol in ``model/tokens.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, token: Token, *, secret_sha256: str) -> None:
        values: list[Any] = [
            token.id,
            secret_sha256,
            token.name,
            [*token.scopes],
            token.created_at,
            token.expires_at,
            token.revoked_at,
            token.last_used_at,
            [*token.roles],
            token.user or None,
            token.owner,
        ]
        with self._database.transaction() as connection:
            if connection.execute(_SQL["add"], values).rowcount == 0:
                raise InvalidInput(f'there is already a token "{token.id}"')

    def find(self, secret_sha256: str) -> Token | None:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["find"], [secret_sha256]).fetchone()
        return None if row is None else _token(row)

    def list(self) -> list[Token]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["list"]).fetchall()
        return [_token(row) for row in rows]

    def revoke(self, token_id: str, *, now: datetime) -> Token:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["revoke"], [now, token_id]).fetchone()
        if row is None:
            raise NotFound(f'there is no token "{token_id}"')
        return _token(row)

    def expire(self, token_id: str, *, at: datetime) -> Token:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["expire"], [at, token_id]).fetchone()
        if row is None:
            raise NotFound(f'there is no token "{token_id}"')
        return _token(row)

    def touch(self, token_id: str, *, now: datetime) -> None:
        with self._database.transaction() as connection:
            connection.execute(_SQL["touch"], [now, token_id])


def _token(row: tuple[Any, ...]) -> Token:
    identifier, name, scopes, created, expires, revoked, used, roles, user, owner = row
    return Token(
        id=identifier,
        name=name,
        scopes=tuple(scopes),
        created_at=created,
        expires_at=expires,
        revoked_at=revoked,
        last_used_at=used,
        roles=tuple(roles),
        user=user or "",
        owner=owner,
    )
