"""Who calls: a token presented as ``Authorization: Bearer``, looked up at most once a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from starlette.concurrency import run_in_threadpool

from kintsugi.api.credentials import secret_sha256, usable
from kintsugi.api.permissions import Permission, allows
from kintsugi.errors import Forbidden, Unauthenticated
from kintsugi.model.stores import Token, TokenStore

# A revocation by another server is in force after this long; one by this server at once.
CACHE_SECONDS = 0.8
_CACHE_ENTRIES_MAX = 4096
_TOUCH_EVERY = timedelta(minutes=1)


class Authenticator:
    """Finds tokens by the hash of their secret, with a short memory."""

    def __init__(
        self,
        tokens: TokenStore,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._clock = clock
        self._monotonic = monotonic
        self._seen: dict[str, tuple[Token, float]] = {}

    async def bearer(self, authorization: str) -> Token:
        """The usable token of an ``Authorization`` header.

        Raises:
            Unauthenticated: none, unknown, revoked or expired.
        """
        scheme, _, text = authorization.partition(" ")
        digest = secret_sha256(text.strip()) if scheme.lower() == "bearer" else None
        return await self.digest(digest)

    async def digest(self, digest: str | None) -> Token:
        """The usable token whose secret has this SHA-256.

        Raises:
            Unauthenticated: none, unknown, revoked or expired.
        """
        if digest is None:
            raise Unauthenticated
        known = self._seen.get(digest)
        if known is None or self._monotonic() - known[1] >= CACHE_SECONDS:
            token = await run_in_threadpool(self._look_up, digest)
        else:
            token = known[0]
        if not usable(token, self._clock()):
            raise Unauthenticated("This token was revoked or has expired; ask for a new one.")
        return token

    def forget(self) -> None:
        """Make a change to the tokens count from the next request on."""
        self._seen.clear()

    def _look_up(self, digest: str) -> Token:
        asked_at = self._monotonic()
        token = self._tokens.find(digest)
        if token is None:
            # Unknown ones are not remembered, so nobody fills the memory by guessing.
            self._seen.pop(digest, None)
            raise Unauthenticated("This token is not known here; check it, or ask for a new one.")
        now = self._clock()
        if token.last_used_at is None or now - token.last_used_at >= _TOUCH_EVERY:
            self._tokens.touch(token.id, now=now)
        if len(self._seen) >= _CACHE_ENTRIES_MAX:
            self._seen.clear()
        self._seen[digest] = (token, asked_at)
        return token


def authorise(token: Token, permission: Permission) -> None:
    """Let the token pass, or say which scope it lacks.

    Raises:
        Forbidden: the token does not carry the scope.
    """
    if not allows(token.scopes, permission):
        raise Forbidden(
            f'This needs the scope "{permission.value}"; token "{token.name}" has: '
            f"{', '.join(token.scopes) or 'none'}."
        )
