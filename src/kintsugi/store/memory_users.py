"""People, sessions and ways in, in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from kintsugi.errors import NotFound
from kintsugi.model.user import Invitation, Session, SignInFlow, User
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.users import check_user_id, taken


class MemoryUsers:
    """The same promises as ``PostgresUsers``."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}

    def add(self, user: User) -> None:
        check_user_id(user)
        with LOCK:
            if user.id in self._users:
                raise taken(user, "")
            self._check(user)
            self._users[user.id] = user

    def get(self, key: str) -> User:
        for user in self._users.values():
            if key.lower() == user.id or key == user.name:
                return user
        raise NotFound(f'there is no user "{key}"')

    def known_as(self, issuer: str, subject: str) -> User | None:
        wanted = (issuer, subject)
        return next((u for u in self._users.values() if (u.issuer, u.subject) == wanted), None)

    def page(
        self, *, active: bool | None, limit: int, cursor: str | None = None
    ) -> tuple[list[User], str | None]:
        before = place_in(cursor)
        found = sorted(
            (
                user
                for user in self._listed(active)
                if before is None or (user.created_at, user.id) < before
            ),
            key=lambda user: (user.created_at, user.id),
            reverse=True,
        )
        return paged(found, limit, lambda one: (one.created_at, one.id))

    def count(self, *, active: bool | None, ceiling: int) -> int:
        return min(ceiling, len(self._listed(active)))

    def change(self, key: str, decide: Callable[[User], User]) -> User:
        with LOCK:
            after = decide(self.get(key))
            self._check(after)
            self._users[after.id] = after
        return after

    def _listed(self, active: bool | None) -> list[User]:
        return [u for u in self._users.values() if active in (None, u.deactivated_at is None)]

    def _check(self, user: User) -> None:
        for other in self._users.values():
            if other.id == user.id:
                continue
            if other.name == user.name:
                raise taken(user, "users_name")
            if user.subject and (other.issuer, other.subject) == (user.issuer, user.subject):
                raise taken(user, "users_subject")


class MemorySessions:
    """The same promises as ``PostgresSessions``."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._invitations: dict[str, Invitation] = {}
        self._flows: dict[str, SignInFlow] = {}

    def begin(self, session: Session, *, secret_sha256: str) -> None:
        with LOCK:
            at = session.created_at
            self._sessions = {k: one for k, one in self._sessions.items() if one.ends_at > at}
            self._sessions[secret_sha256] = session

    def find(self, secret_sha256: str) -> Session | None:
        return self._sessions.get(secret_sha256)

    def touch(self, session_id: str, *, now: datetime) -> None:
        with LOCK:
            for key, one in self._sessions.items():
                if one.id == session_id:
                    self._sessions[key] = msgspec.structs.replace(one, last_seen_at=now)

    def end(self, session_id: str) -> None:
        with LOCK:
            self._sessions = {k: one for k, one in self._sessions.items() if one.id != session_id}

    def end_all(self, user: str) -> int:
        with LOCK:
            before = len(self._sessions)
            self._sessions = {k: one for k, one in self._sessions.items() if one.user != user}
            return before - len(self._sessions)

    def of(self, user: str) -> list[Session]:
        found = [one for one in self._sessions.values() if one.user == user]
        return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)

    def invite(self, invitation: Invitation, *, code_sha256: str) -> None:
        with LOCK:
            others = {k: o for k, o in self._invitations.items() if o.user != invitation.user}
            self._invitations = {**others, code_sha256: invitation}

    def accept(self, code_sha256: str, *, now: datetime) -> Invitation | None:
        with LOCK:
            found = self._invitations.get(code_sha256)
            if found is None or found.expires_at <= now:
                return None
            return self._invitations.pop(code_sha256)

    def send_away(self, flow: SignInFlow, *, state_sha256: str, now: datetime) -> None:
        with LOCK:
            self._flows = {k: one for k, one in self._flows.items() if one.expires_at > now}
            self._flows[state_sha256] = flow

    def come_back(self, state_sha256: str, *, now: datetime) -> SignInFlow | None:
        with LOCK:
            found = self._flows.get(state_sha256)
            if found is None or found.expires_at <= now:
                return None
            return self._flows.pop(state_sha256)
