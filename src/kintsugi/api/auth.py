"""Who calls: a token presented as ``Authorization: Bearer``, or a browser's session. Each is looked
up at most once a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool

from kintsugi.api.credentials import secret_sha256, usable
from kintsugi.api.permissions import Permission, Scope, allows, scopes_of
from kintsugi.errors import Forbidden, Unauthenticated
from kintsugi.model.stores import Stores
from kintsugi.model.tokens import Token
from kintsugi.model.user import Session, User

# A revocation by another server is in force after this long; one by this server at once.
CACHE_SECONDS = 0.8
_CACHE_ENTRIES_MAX = 4096
_TOUCH_EVERY = timedelta(minutes=1)

K = TypeVar("K")

# OWASP ASVS 5.0, 7.3: an idle time and an absolute one. A working day, and a long lunch.
SESSION_IDLE: Final = timedelta(hours=2)
SESSION_LIFETIME: Final = timedelta(hours=12)


class Authenticator:
    """Finds callers by the hash of their secret, with a short memory."""

    def __init__(
        self,
        stores: Stores,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stores = stores
        self._clock = clock
        self._monotonic = monotonic
        self._seen: dict[str, tuple[Token, float]] = {}
        self._sessions: dict[str, tuple[Session, Token, float]] = {}

    async def bearer(self, authorization: str) -> Token:
        """The usable token of an ``Authorization`` header, with the scopes that it has now.

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

    async def session(self, digest: str, *, in_use: bool = True) -> Token:
        """Whoever the session with this secret belongs to.

        Args:
            in_use: somebody does something, rather than a page that is left open.

        Raises:
            Unauthenticated: none, or it is over, or its token or its person is let in no more.
        """
        known = self._sessions.get(digest)
        if known is None or self._monotonic() - known[2] >= CACHE_SECONDS:
            session, caller = await run_in_threadpool(self._look_up_session, digest, in_use)
        else:
            session, caller, _ = known
        now = self._clock()
        if now >= session.ends_at or now >= session.last_seen_at + SESSION_IDLE:
            raise Unauthenticated("This session is over; sign in again.")
        if session.token_sha256:
            return await self.digest(session.token_sha256)
        return caller

    def forget(self) -> None:
        """Make a change to tokens, people or sessions count from the next request on."""
        self._seen.clear()
        self._sessions.clear()

    def _look_up(self, digest: str) -> Token:
        asked_at = self._monotonic()
        tokens = self._stores.tokens
        token = tokens.find(digest)
        if token is None:
            # Unknown ones are not remembered, so nobody fills the memory by guessing.
            self._seen.pop(digest, None)
            raise Unauthenticated("This token is not known here; check it, or ask for a new one.")
        now = self._clock()
        if token.last_used_at is None or now - token.last_used_at >= _TOUCH_EVERY:
            tokens.touch(token.id, now=now)
        user = self._stores.users.get(token.user) if token.user else None
        token = with_scopes(token, user)
        _remember(self._seen, digest, (token, asked_at))
        return token

    def _look_up_session(self, digest: str, in_use: bool) -> tuple[Session, Token]:
        asked_at, now = self._monotonic(), self._clock()
        session = self._stores.sessions.find(digest)
        if session is None:
            self._sessions.pop(digest, None)
            raise Unauthenticated("Sign in to see this page.")
        over = now >= session.last_seen_at + SESSION_IDLE
        if in_use and not over and now - session.last_seen_at >= _TOUCH_EVERY:
            self._stores.sessions.touch(session.id, now=now)
            session = msgspec.structs.replace(session, last_seen_at=now)
        caller = (
            as_caller(self._stores.users.get(session.user))
            if session.user
            else Token("", "", (), session.created_at)  # the token itself is looked up
        )
        _remember(self._sessions, digest, (session, caller, asked_at))
        return session, caller


def as_caller(user: User) -> Token:
    """A person as routes know callers.

    Raises:
        Unauthenticated: the person was deactivated.
    """
    if user.deactivated_at is not None:
        raise Unauthenticated("This user was deactivated; ask an administrator.")
    return Token(
        id=user.id,
        name=user.name,
        scopes=scopes_of(user.roles),
        created_at=user.created_at,
        roles=user.roles,
        user=user.id,
    )


def with_scopes(token: Token, user: User | None) -> Token:
    """A token with everything that it may do now: its own scopes and those of its roles; of a
    person's token no more than the person may, under the person's name.

    Raises:
        Unauthenticated: the person was deactivated.
    """
    if user is None:
        scopes = (*token.scopes, *scopes_of(token.roles))
        return msgspec.structs.replace(token, scopes=tuple(dict.fromkeys(scopes)))
    person = as_caller(user)
    held = set(person.scopes)
    narrowed = tuple(scope for scope in token.scopes if scope in held or Scope.ADMIN.value in held)
    return msgspec.structs.replace(
        token,
        name=person.name,
        scopes=narrowed if token.scopes else person.scopes,
        roles=() if token.scopes else person.roles,
    )


def authorise(token: Token, permission: Permission) -> None:
    """Let the token pass, or say which scope it lacks.

    Raises:
        Forbidden: the token does not carry the scope.
    """
    if not allows(token.scopes, permission):
        raise Forbidden(
            f'This needs the scope "{permission.value}"; "{token.name}" has: '
            f"{', '.join(token.scopes) or 'none'}."
        )


def _remember(memory: dict[str, K], key: str, value: K) -> None:
    if len(memory) >= _CACHE_ENTRIES_MAX:
        memory.clear()
    memory[key] = value
