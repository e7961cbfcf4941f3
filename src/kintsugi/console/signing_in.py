"""Coming in and going out: by token, by invitation, and by the organisation's OpenID provider."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
import structlog
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from kintsugi import __version__
from kintsugi.api.auth import as_caller, authorise
from kintsugi.api.control import Control, Ctl, RawBody
from kintsugi.api.credentials import keep, mint, secret_sha256
from kintsugi.api.permissions import Access, Scope, allows
from kintsugi.api.users import NAME, NAME_CHARS_MAX, code_sha256, require_free_name
from kintsugi.console.attempts import keys_of
from kintsugi.console.contexts import ForwardPage, InvitationPage, SignInPage, WelcomePage
from kintsugi.console.frame import Con, Console, page_routes
from kintsugi.console.oidc import Provider, ProviderUnavailable
from kintsugi.console.oidc_settings import OidcSettings
from kintsugi.console.rendering import render
from kintsugi.console.sessions import require_same_origin
from kintsugi.errors import Forbidden, KintsugiError, NotFound, StateConflict, Unauthenticated
from kintsugi.model.incident import new_id
from kintsugi.model.user import Session, SignInFlow, User

log = structlog.get_logger(__name__)
routes = page_routes()

PERSONAL_TOKEN_LIFETIME: Final = timedelta(days=90)
SIGN_IN_LIFETIME: Final = timedelta(minutes=10)
FLOW_COOKIE: Final = "kt_sign_in"
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
    """End the session of this browser, and that at the provider which vouched for it."""
    require_same_origin(request)
    try:
        caller = await console.sessions.identify(request, control)
        request.state.audit_actor = f"{caller.name}/{caller.id}"
    except Unauthenticated:
        pass  # it was over already; nobody to write down
    ended = await console.sessions.end(request, control)
    leads = await run_in_threadpool(_sign_out_address, control, console, ended)
    response: Response = RedirectResponse("/sign-in", status_code=303)
    if leads and console.provider is not None:
        label = console.provider.settings.label
        response = _forward(control, console, leads, label, title="Signing out")
    console.sessions.take_back(response)
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


@routes.add("POST", "/sign-in/oidc", Access.PUBLIC, raw_body=True, body_bytes_max=_FORM_BYTES_MAX)
async def leave_for_provider(
    control: Ctl, console: Con, request: Request, body: RawBody
) -> Response:
    """Send the browser to the organisation's OpenID provider."""
    form = _form(request, body)
    provider = _provider_of(console)
    keys = keys_of(request.client.host if request.client else "")
    now = control.clock()
    console.attempts.check(keys, now)
    # Counted as failed until it comes back, so that nobody fills the store with departures.
    console.attempts.failed(keys, now)
    leaving = await run_in_threadpool(provider.departure)
    browser = secrets.token_hex(32)
    flow = SignInFlow(
        _sha256(browser),
        leaving.nonce,
        leaving.verifier,
        own_address(form.get("next", "/")),
        now + SIGN_IN_LIFETIME,
    )
    await run_in_threadpool(
        control.stores.sessions.send_away, flow, state_sha256=_sha256(leaving.state), now=now
    )
    response = _forward(control, console, leaving.address, provider.settings.label)
    response.set_cookie(
        FLOW_COOKIE,
        browser,
        max_age=int(SIGN_IN_LIFETIME.total_seconds()),
        path="/sign-in/oidc",
        httponly=True,
        samesite="lax",  # it has to come along when the provider sends the browser back
        secure=console.sessions.secure(request),
    )
    return response


@routes.add("GET", "/sign-in/oidc/callback", Access.PUBLIC, parameters=True, audited=True)
async def return_from_provider(control: Ctl, console: Con, request: Request) -> Response:
    """Take back a browser that the provider vouches for; begin its session."""
    provider = _provider_of(console)
    keys = keys_of(request.client.host if request.client else "")
    console.attempts.check(keys, control.clock())
    request.state.audit_actor = ""
    try:
        flow = await run_in_threadpool(_flow_of, control, request, provider.settings.issuer)
        claims = await run_in_threadpool(
            partial(
                provider.claims,
                request.query_params.get("code", ""),
                verifier=flow.verifier,
                nonce=flow.nonce,
            )
        )
        user = await run_in_threadpool(vouched_for, control, provider.settings, claims)
    except KintsugiError:
        console.attempts.failed(keys, control.clock())
        raise
    console.attempts.succeeded(keys)
    request.state.audit_actor = f"{user.name}/{user.id}"
    response = _forward(control, console, flow.address, "the console", signed_in_as=user.name)
    await console.sessions.begin(response, request, control, user=user.id)
    response.delete_cookie(FLOW_COOKIE, path="/sign-in/oidc", httponly=True, samesite="lax")
    return response


def vouched_for(control: Control, settings: OidcSettings, claims: Mapping[str, Any]) -> User:
    """The person whom the provider means, let in for the first time where need be; with the roles
    that the provider gives now, where it decides about them.

    Raises:
        Forbidden: the name is somebody else's, or none.
        Unauthenticated: the person was deactivated.
    """
    users, now = control.stores.users, control.clock()
    subject = str(claims["sub"])
    roles = settings.roles_of(claims)
    known = users.known_as(settings.issuer, subject)
    if known is None:
        known = User(
            id=new_id(now),
            name=_name_in(claims, settings),
            roles=settings.default_roles if roles is None else roles,
            created_at=now,
            created_by=f"system/{settings.issuer}",
            email=str(claims.get("email") or "")[:320],
            issuer=settings.issuer,
            subject=subject,
        )
        try:
            require_free_name(control, known.name)
            users.add(known)
        except StateConflict as error:
            raise Forbidden(
                f"You are not known here yet, and your name is taken ({error}). Ask an "
                f"administrator to add you with --issuer {settings.issuer} --subject {subject}."
            ) from None
        return note_sign_in(control, known.id)
    if roles is not None and roles != known.roles:
        users.change(known.id, lambda found: msgspec.structs.replace(found, roles=roles))
        control.stores.sessions.end_all(known.id)
        control.authenticator.forget()
    return note_sign_in(control, known.id)


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


def _provider_of(console: Console) -> Provider:
    if console.provider is None:
        raise NotFound("no OpenID provider is set up here; sign in with a token")
    return console.provider


def _sign_out_address(control: Control, console: Console, ended: Session | None) -> str:
    """Where to end the session at the provider; empty where that did not begin this one, or where
    it cannot be asked: the session here is over in any case."""
    provider = console.provider
    if provider is None or ended is None or not ended.user or ended.token_sha256:
        return ""
    if control.stores.users.get(ended.user).issuer != provider.settings.issuer:
        return ""
    try:
        return provider.sign_out_address()
    except ProviderUnavailable as error:
        log.warning("oidc.not_signed_out", error=str(error))
        return ""


def _flow_of(control: Control, request: Request, issuer: str) -> SignInFlow:
    """The sign-in that this browser was sent away with, which nobody takes twice."""
    query = request.query_params
    browser = request.cookies.get(FLOW_COOKIE, "")
    flow = control.stores.sessions.come_back(_sha256(query.get("state", "")), now=control.clock())
    if flow is None or not hmac.compare_digest(flow.browser_sha256, _sha256(browser)):
        raise Forbidden("This sign-in was not begun here, took too long, or was used; begin again.")
    if query.get("iss", issuer) != issuer:  # RFC 9207
        raise Forbidden("Another provider answered than the one that was asked; begin again.")
    if "error" in query:
        raise Forbidden("The provider did not let you in; begin again, or ask an administrator.")
    return flow


def _name_in(claims: Mapping[str, Any], settings: OidcSettings) -> str:
    for claim in (settings.name_claim, "email", "sub"):
        name = str(claims.get(claim) or "").strip()
        if name and NAME.fullmatch(name) and len(name) <= NAME_CHARS_MAX:
            return name
    raise Forbidden(
        f'What the provider gives as "{settings.name_claim}" is no name here; ask an administrator.'
    )


def _forward(
    control: Control,
    console: Console,
    address: str,
    whereto: str,
    *,
    signed_in_as: str = "",
    title: str = "Signing in",
) -> Response:
    page = ForwardPage(
        title=title,
        signed_in_as=signed_in_as,
        now=control.clock(),
        version=__version__,
        address=address,
        whereto=whereto,
    )
    return render(console.templates, page)


def _sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()


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
        provider=console.provider.settings.label if console.provider else "",
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
