"""People, sessions and ways in, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg

from kintsugi.errors import InvalidInput, NotFound, StateConflict
from kintsugi.model.user import Invitation, Session, SignInFlow, User
from kintsugi.store.connections import Database
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.statements import load_statements
from kintsugi.store.uuids import parse_uuid

_SQL: Final = load_statements("users")
_USER: Final = msgspec.json.Decoder(User)
_SESSION: Final = msgspec.json.Decoder(Session)
_INVITATION: Final = msgspec.json.Decoder(Invitation)
_FLOW: Final = msgspec.json.Decoder(SignInFlow)


class PostgresUsers:
    """The user store of the protocol in ``model/user.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, user: User) -> None:
        check_user_id(user)
        values = [user.id, user.name, user.created_at, *_columns(user), _json(user)]
        with self._database.transaction() as connection:
            try:
                connection.execute(_SQL["add"], values)
            except psycopg.errors.UniqueViolation as error:
                raise taken(user, error.diag.constraint_name or "") from None

    def get(self, key: str) -> User:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["get"], _key(key)).fetchone()
        if row is None:
            raise NotFound(f'there is no user "{key}"')
        return _USER.decode(row[0])

    def known_as(self, issuer: str, subject: str) -> User | None:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["known_as"], [issuer, subject]).fetchone()
        return None if row is None else _USER.decode(row[0])

    def page(
        self, *, active: bool | None, limit: int, cursor: str | None = None
    ) -> tuple[list[User], str | None]:
        at, identifier = place_in(cursor) or (None, None)
        values = {"active": active, "before_at": at, "before_id": identifier, "limit": limit + 1}
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], values).fetchall()
        found = [_USER.decode(record) for (record,) in rows]
        return paged(found, limit, lambda one: (one.created_at, one.id))

    def count(self, *, active: bool | None, ceiling: int) -> int:
        values = {"active": active, "ceiling": ceiling}
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["count"], values).fetchone()
        return int(row[0]) if row is not None else 0

    def change(self, key: str, decide: Callable[[User], User]) -> User:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["lock"], _key(key)).fetchone()
            if row is None:
                raise NotFound(f'there is no user "{key}"')
            after = decide(_USER.decode(row[0]))
            try:
                connection.execute(_SQL["save"], [*_columns(after), _json(after), after.id])
            except psycopg.errors.UniqueViolation as error:
                raise taken(after, error.diag.constraint_name or "") from None
        return after


class PostgresSessions:
    """The session store of the protocol in ``model/user.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, session: Session, *, secret_sha256: str) -> None:
        at = session.created_at
        user = session.user or None
        times = [at, session.last_seen_at, session.ends_at]
        with self._database.transaction() as connection:
            connection.execute(_SQL["sweep_sessions"], [at])
            values = [session.id, secret_sha256, user, *times, _json(session)]
            connection.execute(_SQL["begin"], values)

    def find(self, secret_sha256: str) -> Session | None:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["find"], [secret_sha256]).fetchone()
        return None if row is None else _session(*row)

    def touch(self, session_id: str, *, now: datetime) -> None:
        with self._database.transaction() as connection:
            connection.execute(_SQL["touch"], [now, session_id])

    def end(self, session_id: str) -> None:
        if parse_uuid(session_id) is None:
            return
        with self._database.transaction() as connection:
            connection.execute(_SQL["end"], [session_id])

    def end_all(self, user: str) -> int:
        with self._database.transaction() as connection:
            return connection.execute(_SQL["end_all"], [user]).rowcount

    def of(self, user: str) -> list[Session]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["sessions_of"], [user]).fetchall()
        return [_session(*row) for row in rows]

    def invite(self, invitation: Invitation, *, code_sha256: str) -> None:
        values = [invitation.user, code_sha256, invitation.expires_at, _json(invitation)]
        with self._database.transaction() as connection:
            connection.execute(_SQL["invite"], values)

    def accept(self, code_sha256: str, *, now: datetime) -> Invitation | None:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["accept"], [code_sha256, now]).fetchone()
        return None if row is None else _INVITATION.decode(row[0])

    def send_away(self, flow: SignInFlow, *, state_sha256: str, now: datetime) -> None:
        with self._database.transaction() as connection:
            connection.execute(_SQL["sweep_flows"], [now])
            connection.execute(_SQL["send_away"], [state_sha256, flow.expires_at, _json(flow)])

    def come_back(self, state_sha256: str, *, now: datetime) -> SignInFlow | None:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["come_back"], [state_sha256, now]).fetchone()
        return None if row is None else _FLOW.decode(row[0])


def check_user_id(user: User) -> None:
    """Raise where the id cannot be one.

    Raises:
        InvalidInput: it is no UUID.
    """
    if parse_uuid(user.id) is None:
        raise InvalidInput(f'"{user.id}" cannot be the id of a new user')


def taken(user: User, constraint: str) -> StateConflict | InvalidInput:
    """What is the matter when something of a person has to be unique and is not."""
    if constraint == "users_name":
        return StateConflict(f'there is already a user named "{user.name}"')
    if constraint == "users_subject":
        return StateConflict(f'"{user.subject}" of {user.issuer} is another user already')
    return InvalidInput(f'"{user.id}" cannot be the id of a new user')


def _columns(user: User) -> list[Any]:
    return [user.issuer or None, user.subject or None, user.deactivated_at is None]


def _key(key: str) -> dict[str, Any]:
    return {"id": parse_uuid(key), "name": key}


def _session(record: str, last_seen_at: datetime) -> Session:
    return msgspec.structs.replace(_SESSION.decode(record), last_seen_at=last_seen_at)


def _json(value: User | Session | Invitation | SignInFlow) -> str:
    return msgspec.json.encode(value).decode()
