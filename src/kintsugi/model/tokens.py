"""Access tokens of the control plane."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec


class Token(msgspec.Struct, frozen=True):
    """An access token without its secret; only a SHA-256 of that is kept.

    Routes know a person with a session as one too, with the person's id.

    Attributes:
        scopes: of its own; in a request, all that it may do now.
        roles: whose scopes it has besides.
        user: id of the person that it belongs to, whose name and rights it then carries; with no
            scopes of its own, all of them.
        owner: who answers for the token of a service.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    roles: tuple[str, ...] = ()
    user: str = ""
    owner: str = ""


class TokenStore(Protocol):
    """Access tokens, found by the hash of their secret."""

    def add(self, token: Token, *, secret_sha256: str) -> None:
        """Keep a new token.

        Raises:
            InvalidInput: its id or its secret is taken.
        """

    def find(self, secret_sha256: str) -> Token | None:
        """The token with this secret, expired and revoked ones included; None when unknown."""

    def list(self) -> list[Token]:
        """All, newest first."""

    def revoke(self, token_id: str, *, now: datetime) -> Token:
        """End one; again is no error.

        Raises:
            NotFound: there is none with this id.
        """

    def expire(self, token_id: str, *, at: datetime) -> Token:
        """Let one end at a time, or sooner where it does so already.

        Raises:
            NotFound: there is none with this id.
        """

    def touch(self, token_id: str, *, now: datetime) -> None:
        """Note that it was used; callers do this at most once a minute."""
