"""Coming in and going out: by token, by invitation, and by the organisation's OpenID provider."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qs

import msgspec
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from kintsugi import __version__
from kintsugi.api.auth import as_caller, authorise
from kintsugi.api.control import Control, Ctl, RawBody
from kintsugi.api.credentials import keep, mint, secret_sha256
from kintsugi.api.permissions import Access, Scope, allows
from kintsugi.api.users import code_sha256
from kintsugi.console.attempts import keys_of
from kintsugi.console.contexts import InvitationPage, SignInPage, WelcomePage
from kintsugi.console.frame import Con, Console, page_routes
from kintsugi.console.rendering import render
from kintsugi.console.sessions import require_same_origin
from kintsugi.errors import Unauthenticated
from kintsugi.model.user import User

routes = page_routes()

PERSONAL_TOKEN_LIFETIME: Final = timedelta(days=90)
_FORM_BYTES_MAX = 10_000
_TOKEN_ID = re.compile(r"kt_([0-9a-z]{1,32})_.*")


@routes.add("GET", "/sign-in", Access.PUBLIC, parameters=True)
def sign_in_page(control: Ctl, console: Con, request: Request) -> Response:
    """The form that takes a token, and the way to the provider."""
    return _sign_in_form(control, console, request.query_params.get("next", "/"))


@routes.add(
    "POST",
    "/sign-in",
    Access.PUBLIC,
    raw_body=True,
    body_bytes_max=_FORM_BYTES_MAX,
    audited=True,
)
async def sign_in(control: Ctl, console: Con, request: Request, body: RawBody) -> Response:
    """Take a token, give a session."""
    form = _form(request, body)
    text, address = form.get("token", ""), form.get("next", "/")
    account = found[1] if (found := _TOKEN_ID.fullmatch(text)) else ""
    keys = keys_of(request.client.host if request.client else "", account)
    console.attempts.check(keys, control.clock())
    request.state.audit_actor = f"/{account}" if account else ""
    try:
        token = await control.authenticator.digest(secret_sha256(text))
    except Unauthenticated:
        console.attempts.failed(keys, control.clock())
        error = "This token is not known here, was revoked, or has expired."
        return await run_in_threadpool(
            _sign_in_form, control, console, address, error=error, status=401
        )
    request.state.audit_actor = f"{token.name}/{token.id}"
    to = own_address(address)
    if not allows(token.scopes, Scope.EVENTS_READ) and allows(token.scopes, Scope.INCIDENTS_REPORT):
        to = "/report"  # whoever may only report has a page of their own
    else:
        authorise(token, Scope.EVENTS_READ)
    if token.user:
        await run_in_threadpool(note_sign_in, control, token.user)
    response = RedirectResponse(to, status_code=303)
    await console.sessions.begin(
        response, request, control, user=token.user, token_sha256=secret_sha256(text) or ""
    )
    return response


@routes.add(
    "POST",
    "/sign-out",
    Access.PUBLIC,
    raw_body=True,
    body_bytes_max=_FORM_BYTES_MAX,
    audited=True,
)
async def sign_out(control: Ctl, console: Con, request: Request) -> Response:
    """End the session of this browser."""
    require_same_origin(request)
    try:
        caller = await console.sessions.identify(request, control)
        request.state.audit_actor = f"{caller.name}/{caller.id}"
    except Unauthenticated:
        pass  # it was over already; nobody to write down
    response = RedirectResponse("/sign-in", status_code=303)
    await console.sessions.end(response, request, control)
    return response


@routes.add("GET", "/invitation", Access.PUBLIC)
def invitation_page(control: Ctl, console: Con) -> Response:
    """The form that takes an invitation. Its code stands behind the link's ``#``, which browsers
    send to nobody."""
    return _invitation_form(control, console)


@routes.add(
    "POST",
    "/invitation",
    Access.PUBLIC,
    raw_body=True,
    body_bytes_max=_FORM_BYTES_MAX,
    audited=True,
)
async def accept_invitation(
    control: Ctl, console: Con, request: Request, body: RawBody
) -> Response:
    """Use an invitation up: a session now, and a token of one's own for the times to come."""
    form = _form(request, body)
    keys = keys_of(request.client.host if request.client else "")
    console.attempts.check(keys, control.clock())
    request.state.audit_actor = ""
    digest = code_sha256(form.get("code", ""))
    invitation = await run_in_threadpool(
        control.stores.sessions.accept, digest, now=control.clock()
    )
    if invitation is None:
        console.attempts.failed(keys, control.clock())
        error = "This invitation is not known here, was used, or has expired."
        return await run_in_threadpool(_invitation_form, control, console, error=error, status=401)
    user = await run_in_threadpool(note_sign_in, control, invitation.user)
    request.state.audit_actor = f"{user.name}/{user.id}"
    return await _welcome(control, console, request, user)


def note_sign_in(control: Control, user_id: str) -> User:
    """Note that a person signs in.

    Raises:
        Unauthenticated: the person was deactivated.
    """
    now = control.clock()
    as_caller(control.stores.users.get(user_id))
    return control.stores.users.change(
        user_id, lambda found: msgspec.structs.replace(found, last_sign_in_at=now)
    )


def own_address(address: str) -> str:
    """A path on this server; ``//elsewhere`` and ``/\\elsewhere`` lead away in browsers."""
    own = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if own and address.isprintable() and address.isascii() else "/"


async def _welcome(control: Control, console: Console, request: Request, user: User) -> Response:
    now = control.clock()
    token, text = mint(
        f"{user.name}, by invitation",
        (),
        now=now,
        expires_at=now + PERSONAL_TOKEN_LIFETIME,
        user=user.id,
    )
    await run_in_threadpool(keep, control.stores.tokens, token, text)
    page = WelcomePage(
        title="Welcome",
        signed_in_as=user.name,
        now=now,
        version=__version__,
        next_address="/",
        token=text,
        token_expires_at=token.expires_at or now,
    )
    response = render(console.templates, page)
    await console.sessions.begin(response, request, control, user=user.id)
    return response


def _form(request: Request, body: bytes) -> Mapping[str, str]:
    require_same_origin(request)
    form = parse_qs(body.decode("utf-8", "replace"))
    return {name: values[0].strip() for name, values in form.items()}


def _sign_in_form(
    control: Control, console: Console, address: str, *, error: str = "", status: int = 200
) -> Response:
    page = SignInPage(
        title="Sign in",
        signed_in_as="",
        now=control.clock(),
        version=__version__,
        provider="",
        next_address=own_address(address),
        error=error,
    )
    return render(console.templates, page, status=status)


def _invitation_form(
    control: Control, console: Console, *, error: str = "", status: int = 200
) -> Response:
    page = InvitationPage(
        title="Invitation",
        signed_in_as="",
        now=control.clock(),
        version=__version__,
        error=error,
    )
    return render(console.templates, page, status=status)
