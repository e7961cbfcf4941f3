"""Access tokens in memory; see ``tokens``."""

from __future__ import annotations

from datetime import datetime

import msgspec

from kintsugi.errors import InvalidInput, NotFound
from kintsugi.model.tokens import Token


class MemoryTokens:
    """Tokens by the hash of their secret."""

    def __init__(self) -> None:
        self._by_secret: dict[str, Token] = {}

    def add(self, token: Token, *, secret_sha256: str) -> None:
        if secret_sha256 in self._by_secret or self._secret_of(token.id):
            raise InvalidInput(f'there is already a token "{token.id}"')
        self._by_secret[secret_sha256] = token

    def find(self, secret_sha256: str) -> Token | None:
        return self._by_secret.get(secret_sha256)

    def list(self) -> list[Token]:
        return sorted(
            self._by_secret.values(), key=lambda token: (token.created_at, token.id), reverse=True
        )

    def revoke(self, token_id: str, *, now: datetime) -> Token:
        secret = self._secret_of(token_id)
        if secret is None:
            raise NotFound(f'there is no token "{token_id}"')
        token = self._by_secret[secret]
        if token.revoked_at is None:
            token = msgspec.structs.replace(token, revoked_at=now)
            self._by_secret[secret] = token
        return token

    def expire(self, token_id: str, *, at: datetime) -> Token:
        secret = self._secret_of(token_id)
        if secret is None:
            raise NotFound(f'there is no token "{token_id}"')
        token = self._by_secret[secret]
        ends = min(token.expires_at or at, at)
        self._by_secret[secret] = msgspec.structs.replace(token, expires_at=ends)
        return self._by_secret[secret]

    def touch(self, token_id: str, *, now: datetime) -> None:
        secret = self._secret_of(token_id)
        if secret is not None:
            self._by_secret[secret] = msgspec.structs.replace(
                self._by_secret[secret], last_used_at=now
            )

    def _secret_of(self, token_id: str) -> str | None:
        return next((s for s, token in self._by_secret.items() if token.id == token_id), None)
