"""People who use the control plane, how they were let in, and their sessions.

Nobody has a password here: people sign in at their organisation's OpenID provider, with an
invitation that works once, or with an access token of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec


class User(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person.

    Attributes:
        id: UUIDv7.
        name: as people are named in incidents; nobody else ever gets it.
        roles: see ``api/permissions.py``.
        issuer, subject: who vouches for the person (OpenID Connect); empty where nobody does.
        deactivated_at: since when the person is let in no more.
    """

    id: str
    name: str
    roles: tuple[str, ...]
    created_at: datetime
    created_by: str
    email: str = ""
    issuer: str = ""
    subject: str = ""
    deactivated_at: datetime | None = None
    last_sign_in_at: datetime | None = None


class Session(msgspec.Struct, frozen=True, omit_defaults=True):
    """A browser that signed in. Only a SHA-256 of what its cookie holds is kept.

    Attributes:
        user: id of the person; empty for a session of a token.
        token_sha256: the hash of the secret that it was begun with, for a session of a token.
        ends_at: at the latest; ``last_seen_at`` is noted at most once a minute.
        address, agent: of the browser, as it said.
    """

    id: str
    created_at: datetime
    last_seen_at: datetime
    ends_at: datetime
    user: str = ""
    token_sha256: str = ""
    address: str = ""
    agent: str = ""


class Invitation(msgspec.Struct, frozen=True):
    """A way in that works once. Only a SHA-256 of its code is kept."""

    user: str
    created_at: datetime
    created_by: str
    expires_at: datetime


class SignInFlow(msgspec.Struct, frozen=True):
    """A sign-in that was sent to the provider and has not come back.

    Attributes:
        browser_sha256: of what the browser keeps meanwhile, so that nobody else comes back for it.
        nonce, verifier: what the provider's answer is held against (OpenID Connect, RFC 7636).
        address: where to go afterwards.
    """

    browser_sha256: str
    nonce: str
    verifier: str
    address: str
    expires_at: datetime


class UserStore(Protocol):
    """People. None is ever removed, so that a name in the records means one person."""

    def add(self, user: User) -> None:
        """Keep a new one.

        Raises:
            StateConflict: the name, or what the provider calls the person, is taken.
            InvalidInput: the id is taken, or is no UUID.
        """

    def get(self, key: str) -> User:
        """One person by id or name.

        Raises:
            NotFound: there is none.
        """

    def known_as(self, issuer: str, subject: str) -> User | None:
        """The person whom a provider vouches for under this name; None when unknown."""

    def page(
        self, *, active: bool | None, limit: int, cursor: str | None = None
    ) -> tuple[list[User], str | None]:
        """Newest first, and the cursor of the next page; None for all."""

    def count(self, *, active: bool | None, ceiling: int) -> int:
        """How many there are, counted up to ``ceiling``."""

    def change(self, key: str, decide: Callable[[User], User]) -> User:
        """Let ``decide`` see a person and keep what it returns, while nobody else changes it.

        Raises:
            NotFound: there is none.
            StateConflict: what the provider calls the person belongs to another.
        """


class SessionStore(Protocol):
    """Sessions, invitations and sign-ins under way. What has ended is forgotten."""

    def begin(self, session: Session, *, secret_sha256: str) -> None:
        """Keep a new session; those that are over by its beginning are removed."""

    def find(self, secret_sha256: str) -> Session | None:
        """The session with this secret; None when there is none (any more)."""

    def touch(self, session_id: str, *, now: datetime) -> None:
        """Note that it is used; callers do this at most once a minute."""

    def end(self, session_id: str) -> None:
        """End one; again is no error."""

    def end_all(self, user: str) -> int:
        """End every session of a person; how many there were."""

    def of(self, user: str) -> list[Session]:
        """The sessions of a person, newest first."""

    def invite(self, invitation: Invitation, *, code_sha256: str) -> None:
        """Keep an invitation; the one that the person had before works no more."""

    def accept(self, code_sha256: str, *, now: datetime) -> Invitation | None:
        """Use an invitation up; None where it is unknown, used or expired."""

    def send_away(self, flow: SignInFlow, *, state_sha256: str, now: datetime) -> None:
        """Keep a sign-in until it comes back; those that expired are removed."""

    def come_back(self, state_sha256: str, *, now: datetime) -> SignInFlow | None:
        """Take a sign-in, once; None where it is unknown, taken or expired."""
