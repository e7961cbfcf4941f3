"""``/v1/tokens``: who may do what. A secret is shown once, when it is made."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import Path, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, whole
from kintsugi.api.control import Caller, Ctl
from kintsugi.api.credentials import keep, mint
from kintsugi.api.permissions import Access, Scope, allows
from kintsugi.api.problems import FieldError, Invalid
from kintsugi.api.routing import Routes
from kintsugi.errors import Forbidden
from kintsugi.model.stores import Token

routes = Routes("tokens")


class NewToken(BaseModel):
    """A token to make. Without ``expires_at`` it lasts until it is revoked."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]
    expires_at: AwareDatetime | None = None


class MintedToken(msgspec.Struct, frozen=True):
    """A new token. ``secret`` is the text to present; it is never shown again, and null in the
    answer to a repeated request."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    secret: str | None


@routes.add("POST", "/v1/tokens", Scope.TOKENS_ADMIN, answer=One[MintedToken], status=201)
def create_token(control: Ctl, caller: Caller, request: Request, new: NewToken) -> Response:
    """Make a token that may do no more than the one that makes it."""
    now = control.clock()
    if new.expires_at is not None and new.expires_at <= now:
        raise Invalid([FieldError("body.expires_at", "lies in the past")])
    beyond = [scope.value for scope in new.scopes if not allows(caller.scopes, scope)]
    if beyond:
        raise Forbidden(f"Your token cannot give what it does not have: {', '.join(beyond)}.")
    scopes = tuple(dict.fromkeys(new.scopes))
    token, text = mint(new.name, scopes, now=now, expires_at=new.expires_at)
    keep(control.stores.tokens, token, text)
    minted = MintedToken(
        token.id, token.name, token.scopes, token.created_at, token.expires_at, secret=text
    )
    without_secret = msgspec.structs.replace(minted, secret=None)
    request.state.answer_to_keep = msgspec.json.encode(One(without_secret))
    return one(minted, status=201)


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


@routes.add("GET", "/v1/whoami", Access.SIGNED_IN, answer=One[Token])
def who_am_i(caller: Caller) -> Response:
    """The token that this request carries."""
    return one(caller)
