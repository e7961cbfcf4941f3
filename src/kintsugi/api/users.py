"""``/v1/users``: people, what they may do, how they come in, and where they are signed in."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated, Final, Literal

import msgspec
from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import Meta, One, Page, one, reply, whole
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.event_query import TOTAL_CEILING, PageQuery
from kintsugi.api.permissions import Access, Role, Scope, allows, scopes_of
from kintsugi.api.routing import Routes
from kintsugi.errors import Forbidden, InvalidInput, StateConflict
from kintsugi.model.incident import new_id
from kintsugi.model.tokens import Token
from kintsugi.model.user import Invitation, Session, User

routes = Routes("users")

INVITATION_LIFETIME: Final = timedelta(days=3)
INVITATION_PATH: Final = "/invitation"

NAME_CHARS_MAX: Final = 200
# A slash would end the name where actors are written as NAME/ID.
NAME: Final = re.compile(r"[^\x00-\x20/\x7f]([^\x00-\x1f/\x7f]*[^\x00-\x20/\x7f])?")

UserKey = Annotated[str, Path(max_length=200, description="A name, or an id.")]
PersonName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=NAME_CHARS_MAX,
        pattern=f"^{NAME.pattern}$",
        description="As people are named in incidents; nobody else ever gets it. No slash.",
    ),
]
Roles = Annotated[list[Role], Field(max_length=len(Role))]


class NewUser(BaseModel):
    """A person to let in.

    Attributes:
        issuer, subject: who vouches for the person, where that is known beforehand.
        invite: answer with a code that works once.
    """

    model_config = ConfigDict(extra="forbid")

    name: PersonName
    roles: Annotated[Roles, Field(default_factory=list)]
    email: Annotated[str, Field(max_length=320)] = ""
    issuer: Annotated[str, Field(max_length=500)] = ""
    subject: Annotated[str, Field(max_length=255)] = ""
    invite: bool = False


class RolesOf(BaseModel):
    """All roles that a person has from now on."""

    model_config = ConfigDict(extra="forbid")

    roles: Roles


class UsersQuery(PageQuery):
    """Which people; those who are let in, unless asked otherwise."""

    status: Literal["active", "deactivated", "all"] = "active"


class Invited(msgspec.Struct, frozen=True):
    """A way in that works once. ``code`` is shown once, and null in the answer to a repeated
    request; ``path`` is where it is entered, or followed with the code behind ``#``."""

    user: str
    path: str
    code: str | None
    expires_at: datetime


class UserView(msgspec.Struct, frozen=True):
    """A person. ``invitation`` only where one was just made."""

    id: str
    name: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    active: bool
    email: str
    issuer: str
    subject: str
    created_at: datetime
    created_by: str
    deactivated_at: datetime | None
    last_sign_in_at: datetime | None
    invitation: Invited | None = None


class SessionView(msgspec.Struct, frozen=True):
    """Where somebody is signed in."""

    id: str
    created_at: datetime
    last_seen_at: datetime
    ends_at: datetime
    address: str
    agent: str


class SignedOut(msgspec.Struct, frozen=True):
    """How many sessions were ended."""

    sessions: int


def view_of(user: User, invitation: Invited | None = None) -> UserView:
    """As the API shows a person."""
    return UserView(
        id=user.id,
        name=user.name,
        roles=user.roles,
        scopes=scopes_of(user.roles),
        active=user.deactivated_at is None,
        email=user.email,
        issuer=user.issuer,
        subject=user.subject,
        created_at=user.created_at,
        created_by=user.created_by,
        deactivated_at=user.deactivated_at,
        last_sign_in_at=user.last_sign_in_at,
        invitation=invitation,
    )


@routes.add("POST", "/v1/users", Scope.USERS_ADMIN, answer=One[UserView], status=201)
def add_user(control: Ctl, caller: Caller, request: Request, new: NewUser) -> Response:
    """Let a person in, with no more than the caller may do."""
    if bool(new.issuer) != bool(new.subject):
        raise InvalidInput("body.issuer, body.subject: give both, or neither")
    now = control.clock()
    user = User(
        id=new_id(now),
        name=new.name,
        roles=_in_order(new.roles),
        created_at=now,
        created_by=actor_of(caller),
        email=new.email,
        issuer=new.issuer,
        subject=new.subject,
    )
    _require_reach(caller, user.roles)
    require_free_name(control, user.name)
    control.stores.users.add(user)
    made = _invited(control, caller, user) if new.invite else None
    return _shown(request, user, made, status=201)


@routes.add("GET", "/v1/users", Scope.USERS_ADMIN, answer=Page[UserView], parameters=True)
def list_users(control: Ctl, query: Annotated[UsersQuery, Query()]) -> Response:
    """People, newest first."""
    users = control.stores.users
    active = {"active": True, "deactivated": False, "all": None}[query.status]
    total = users.count(active=active, ceiling=TOTAL_CEILING + 1)
    found: list[User] = []
    cursor = None
    if query.limit:
        found, cursor = users.page(active=active, limit=query.limit, cursor=query.cursor)
    meta = Meta(min(total, TOTAL_CEILING), total > TOTAL_CEILING, cursor)
    return reply(Page([view_of(user) for user in found], meta))


@routes.add("GET", "/v1/users/{user}", Scope.USERS_ADMIN, answer=One[UserView])
def show_user(control: Ctl, user: UserKey) -> Response:
    """One person."""
    return one(view_of(control.stores.users.get(user)))


@routes.add("POST", "/v1/users/{user}/set-roles", Scope.USERS_ADMIN, answer=One[UserView])
def set_user_roles(control: Ctl, caller: Caller, user: UserKey, wanted: RolesOf) -> Response:
    """Give a person these roles and no others. Browsers have to sign in again: a session begun
    with other rights does not live on."""
    roles = _in_order(wanted.roles)

    def decide(found: User) -> User:
        _require_reach(caller, (*found.roles, *roles))
        return msgspec.structs.replace(found, roles=roles)

    return _changed(control, control.stores.users.change(user, decide))


@routes.add("POST", "/v1/users/{user}/deactivate", Scope.USERS_ADMIN, answer=One[UserView])
def deactivate_user(control: Ctl, caller: Caller, user: UserKey) -> Response:
    """Let a person in no more: neither by sessions nor by tokens. Names in records stay."""
    now = control.clock()

    def decide(found: User) -> User:
        if found.id == caller.user:
            raise StateConflict("nobody locks themselves out; ask another administrator")
        _require_reach(caller, found.roles)
        return msgspec.structs.replace(found, deactivated_at=found.deactivated_at or now)

    return _changed(control, control.stores.users.change(user, decide))


@routes.add("POST", "/v1/users/{user}/activate", Scope.USERS_ADMIN, answer=One[UserView])
def activate_user(control: Ctl, caller: Caller, user: UserKey) -> Response:
    """Let a person in again, with the roles that were left."""

    def decide(found: User) -> User:
        _require_reach(caller, found.roles)
        return msgspec.structs.replace(found, deactivated_at=None)

    return _changed(control, control.stores.users.change(user, decide))


@routes.add("POST", "/v1/users/{user}/invite", Scope.USERS_ADMIN, answer=One[UserView])
def invite_user(control: Ctl, caller: Caller, request: Request, user: UserKey) -> Response:
    """A code that lets the person in once; the one before works no more."""
    found = control.stores.users.get(user)
    if found.deactivated_at is not None:
        raise StateConflict(f"{found.name} is deactivated; activate first")
    _require_reach(caller, found.roles)
    return _shown(request, found, _invited(control, caller, found), status=200)


@routes.add("GET", "/v1/users/{user}/sessions", Scope.USERS_ADMIN, answer=Page[SessionView])
def list_user_sessions(control: Ctl, user: UserKey) -> Response:
    """Where a person is signed in, newest first."""
    found = control.stores.users.get(user)
    return whole([session_view(one) for one in control.stores.sessions.of(found.id)])


@routes.add("POST", "/v1/users/{user}/sign-out", Scope.USERS_ADMIN, answer=One[SignedOut])
def sign_user_out(control: Ctl, caller: Caller, user: UserKey) -> Response:
    """End every session of a person: here at once, on other servers within a second."""
    found = control.stores.users.get(user)
    _require_reach(caller, found.roles)
    return one(_signed_out(control, found.id))


@routes.add("POST", "/v1/whoami/sign-out", Access.SIGNED_IN, answer=One[SignedOut])
def sign_me_out(control: Ctl, caller: Caller) -> Response:
    """End every session of the caller."""
    if not caller.user:
        raise StateConflict("this token belongs to no person, so it has no sessions to end")
    return one(_signed_out(control, caller.user))


def session_view(session: Session) -> SessionView:
    """A session without what it is found by."""
    return SessionView(
        session.id,
        session.created_at,
        session.last_seen_at,
        session.ends_at,
        session.address,
        session.agent,
    )


def require_free_name(control: Control, name: str) -> None:
    """Refuse a person the name of a token that is in use: roles go by names.

    Raises:
        StateConflict: such a token exists.
    """
    now = control.clock()
    for token in control.stores.tokens.list():
        ended = token.revoked_at or (token.expires_at or None)
        if token.name == name and not token.user and (ended is None or ended > now):
            raise StateConflict(
                f'the token {token.id} is named "{name}", and what is done in a name has to be one '
                "person's; revoke it, or choose another name"
            )


def new_code() -> tuple[str, str]:
    """A code to come in with, and the hash that it is kept by."""
    code = f"kti_{secrets.token_hex(24)}"
    return code, code_sha256(code)


def code_sha256(code: str) -> str:
    """What an invitation is kept by."""
    return sha256(code.strip().encode()).hexdigest()


def _invited(control: Control, caller: Token, user: User) -> Invited:
    code, digest = new_code()
    now = control.clock()
    invitation = Invitation(user.id, now, actor_of(caller), now + INVITATION_LIFETIME)
    control.stores.sessions.invite(invitation, code_sha256=digest)
    return Invited(user.name, INVITATION_PATH, code, invitation.expires_at)


def _shown(request: Request, user: User, made: Invited | None, *, status: int) -> Response:
    if made is not None:
        kept = view_of(user, msgspec.structs.replace(made, code=None))
        request.state.answer_to_keep = msgspec.json.encode(One(kept))
    return one(view_of(user, made), status=status)


def _changed(control: Control, user: User) -> Response:
    _signed_out(control, user.id)
    return one(view_of(user))


def _signed_out(control: Control, user_id: str) -> SignedOut:
    ended = control.stores.sessions.end_all(user_id)
    control.authenticator.forget()
    return SignedOut(ended)


def _in_order(roles: list[Role]) -> tuple[str, ...]:
    return tuple(role.value for role in Role if role in roles)


def _require_reach(caller: Token, roles: tuple[str, ...]) -> None:
    """Nobody gives, takes or comes in by what they do not have themselves.

    Raises:
        Forbidden: these roles hold more than the caller may do.
    """
    beyond = [scope for scope in scopes_of(roles) if not allows(caller.scopes, Scope(scope))]
    if beyond:
        raise Forbidden(
            f"These roles hold more than you may do yourself: {', '.join(beyond)}. Ask somebody "
            "who has it."
        )
