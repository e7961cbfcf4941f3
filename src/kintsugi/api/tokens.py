"""``/v1/tokens``: who may do what. A secret is shown once, when it is made."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from fastapi import Path, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, whole
from kintsugi.api.auth import as_caller, with_scopes
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.credentials import keep, mint, usable
from kintsugi.api.permissions import Access, Role, Scope, allows, scopes_of
from kintsugi.api.problems import FieldError, Invalid
from kintsugi.api.routing import Routes
from kintsugi.errors import Forbidden, NotFound, StateConflict
from kintsugi.model.tokens import Token
from kintsugi.model.user import User

routes = Routes("tokens")


class NewToken(BaseModel):
    """A token to make. Without ``expires_at`` it lasts until it is revoked.

    Attributes:
        user: the person (a name, or an id) that it belongs to: it carries that person's name and
            may do what the person may, or only ``scopes`` of that.
        owner: who answers for the token of a service; the caller's name when left out.
    """

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200)]
    scopes: Annotated[list[Scope], Field(max_length=len(Scope), default_factory=list)]
    roles: Annotated[list[Role], Field(max_length=len(Role), default_factory=list)]
    user: Annotated[str, Field(max_length=200)] = ""
    owner: Annotated[str, Field(max_length=200)] = ""
    expires_at: AwareDatetime | None = None


class Rotation(BaseModel):
    """How to change over to another secret."""

    model_config = ConfigDict(extra="forbid")

    overlap_seconds: Annotated[
        int, Field(ge=0, le=604_800, description="How long the old secret works beside the new.")
    ] = 0
    expires_at: AwareDatetime | None = None


class MintedToken(msgspec.Struct, frozen=True):
    """A new token. ``secret`` is the text to present; it is never shown again, and null in the
    answer to a repeated request."""

    id: str
    name: str
    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    user: str
    owner: str
    created_at: datetime
    expires_at: datetime | None
    secret: str | None


@routes.add("POST", "/v1/tokens", Scope.TOKENS_ADMIN, answer=One[MintedToken], status=201)
def create_token(control: Ctl, caller: Caller, request: Request, new: NewToken) -> Response:
    """Make a token that may do no more than the one that makes it."""
    now = control.clock()
    _require_ahead(new.expires_at, now)
    user = control.stores.users.get(new.user) if new.user else None
    _refuse_what_does_not_fit(new, user)
    named = tuple(scope.value for scope in new.scopes)
    if user is not None:
        wanted = as_caller(user).scopes
    else:
        wanted = (*named, *scopes_of(role.value for role in new.roles))
        _require_no_person(control, new.name)
    _require_reach(caller, wanted)
    token, text = mint(
        new.name,
        tuple(dict.fromkeys(new.scopes)),
        now=now,
        expires_at=new.expires_at,
        roles=tuple(role for role in Role if role in new.roles),
        user=user.id if user is not None else "",
        owner="" if user is not None else new.owner.strip() or caller.name,
    )
    keep(control.stores.tokens, token, text)
    return _minted(request, token, text)


@routes.add("GET", "/v1/tokens", Scope.TOKENS_ADMIN, answer=Page[Token])
def list_tokens(control: Ctl) -> Response:
    """All tokens without their secrets, newest first."""
    return whole(control.stores.tokens.list())


@routes.add("POST", "/v1/tokens/{token_id}/revoke", Scope.TOKENS_ADMIN, answer=One[Token])
def revoke_token(control: Ctl, token_id: Annotated[str, Path(max_length=64)]) -> Response:
    """End a token: here at once, on other servers within a second."""
    revoked = control.stores.tokens.revoke(token_id, now=control.clock())
    control.authenticator.forget()
    return one(revoked)


@routes.add(
    "POST",
    "/v1/tokens/{token_id}/rotate",
    Scope.TOKENS_ADMIN,
    answer=One[MintedToken],
    status=201,
)
def rotate_token(
    control: Ctl,
    caller: Caller,
    request: Request,
    token_id: Annotated[str, Path(max_length=64)],
    rotation: Rotation,
) -> Response:
    """A token in place of one that is in use, with the same rights. The old one works on for the
    overlap, and ends."""
    now, tokens = control.clock(), control.stores.tokens
    _require_ahead(rotation.expires_at, now)
    old = next((token for token in tokens.list() if token.id == token_id), None)
    if old is None:
        raise NotFound(f'there is no token "{token_id}"')
    if not usable(old, now):
        raise StateConflict(f"token {old.id} was revoked or has expired; make a new one")
    user = control.stores.users.get(old.user) if old.user else None
    _require_reach(caller, with_scopes(old, user).scopes)
    lifetime = old.expires_at - old.created_at if old.expires_at else None
    token, text = mint(
        old.name,
        tuple(Scope(scope) for scope in old.scopes),
        now=now,
        expires_at=rotation.expires_at or (now + lifetime if lifetime else None),
        roles=tuple(Role(role) for role in old.roles),
        user=old.user,
        owner=old.owner,
    )
    keep(tokens, token, text)
    tokens.expire(old.id, at=now + timedelta(seconds=rotation.overlap_seconds))
    control.authenticator.forget()
    return _minted(request, token, text)


@routes.add("GET", "/v1/whoami", Access.SIGNED_IN, answer=One[Token])
def who_am_i(caller: Caller) -> Response:
    """Who this request comes from, and all that it may do now."""
    return one(caller)


def _minted(request: Request, token: Token, text: str) -> Response:
    minted = MintedToken(
        token.id,
        token.name,
        token.scopes,
        token.roles,
        token.user,
        token.owner,
        token.created_at,
        token.expires_at,
        secret=text,
    )
    without_secret = msgspec.structs.replace(minted, secret=None)
    request.state.answer_to_keep = msgspec.json.encode(One(without_secret))
    return one(minted, status=201)


def _refuse_what_does_not_fit(new: NewToken, user: User | None) -> None:
    found = []
    if user is None and not new.scopes and not new.roles:
        found.append(
            FieldError("body.scopes", "it could do nothing", help="name scopes, roles or a user")
        )
    if user is not None and new.roles:
        found.append(
            FieldError("body.roles", "a person's token has the roles of that person", help="scopes")
        )
    if user is not None and new.owner:
        found.append(FieldError("body.owner", "a person's token is that person's"))
    if found:
        raise Invalid(found)


def _require_ahead(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise Invalid([FieldError("body.expires_at", "lies in the past")])


def _require_reach(caller: Token, scopes: Iterable[str]) -> None:
    """Raises:
    Forbidden: the caller cannot give what it does not have.
    """
    beyond = [scope for scope in scopes if not allows(caller.scopes, Scope(scope))]
    if beyond:
        raise Forbidden(f"Your token cannot give what it does not have: {', '.join(beyond)}.")


def _require_no_person(control: Control, name: str) -> None:
    """What is done in a person's name is that person's: a service goes by another one.

    Raises:
        StateConflict: a user has this name.
    """
    try:
        control.stores.users.get(name)
    except NotFound:
        return
    raise StateConflict(
        f'"{name}" is a person here; name the token otherwise, or make it theirs with user'
    )
