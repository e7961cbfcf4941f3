"""Sessions: a browser proves once who uses it, and keeps neither token nor proof.

The cookie holds a random secret, and the store its SHA-256 with whom it belongs to, since when and
until when. A sign-in always begins a session of its own, so nobody can prepare one for another; it
ends when it is idle for long, after a day's work at the latest, when the person's roles change, and
with the token that it was begun with.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from kintsugi.api.auth import SESSION_LIFETIME
from kintsugi.api.control import Control
from kintsugi.errors import Forbidden, Unauthenticated
from kintsugi.model.incident import new_id
from kintsugi.model.tokens import Token
from kintsugi.model.user import Session

COOKIE = "kt_session"
_SECRET = re.compile(r"[0-9a-f]{64}")
_AGENT_CHARS_MAX = 200


class Sessions:
    """Makes and checks sessions.

    Args:
        secret: signs the keys of forms.
        secure: browsers reach the console by HTTPS, whatever the last hop is.
    """

    def __init__(self, secret: bytes, *, secure: bool = False) -> None:
        self._secret = secret
        self._secure = secure

    async def begin(
        self,
        response: Response,
        request: Request,
        control: Control,
        *,
        user: str = "",
        token_sha256: str = "",
    ) -> None:
        """Set the cookie of a new session, for a person or a token that was just accepted. The
        session that the browser had before is over."""
        await self.end(request, control)
        now, secret = control.clock(), secrets.token_hex(32)
        session = Session(
            id=new_id(now),
            created_at=now,
            last_seen_at=now,
            ends_at=now + SESSION_LIFETIME,
            user=user,
            token_sha256=token_sha256,
            address=request.client.host if request.client else "",
            agent=request.headers.get("user-agent", "")[:_AGENT_CHARS_MAX],
        )
        await run_in_threadpool(
            control.stores.sessions.begin, session, secret_sha256=_digest(secret)
        )
        response.set_cookie(
            COOKIE,
            secret,
            max_age=int(SESSION_LIFETIME.total_seconds()),
            path="/",
            httponly=True,
            samesite="strict",
            secure=self.secure(request),
        )

    def take_back(self, response: Response) -> None:
        """Take back the cookie of a session that is over."""
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")

    async def identify(self, request: Request, control: Control, *, in_use: bool = True) -> Token:
        """Whoever the session belongs to.

        Args:
            in_use: somebody does something, rather than a page that is left open.

        Raises:
            Unauthenticated: no session, or it is over.
        """
        secret = request.cookies.get(COOKIE, "")
        if not _SECRET.fullmatch(secret):
            raise Unauthenticated("Sign in to see this page.")
        return await control.authenticator.session(_digest(secret), in_use=in_use)

    def secure(self, request: Request) -> bool:
        """Whether cookies are for HTTPS only."""
        return self._secure or request.url.scheme == "https"

    def form_key(self, request: Request) -> str:
        """What a form of this session carries, so that no other site can send it."""
        cookie = request.cookies.get(COOKIE, "")
        return hmac.digest(self._secret, f"form {cookie}".encode(), hashlib.sha256).hex()

    def require_form(self, request: Request, key: str) -> None:
        """Refuse a form that does not come from a page of this session.

        Raises:
            Forbidden: another site sent it, or it was made under another session.
        """
        require_same_origin(request)
        if not hmac.compare_digest(key.encode(), self.form_key(request).encode()):
            raise Forbidden(
                "This form was made under another session; open the page again and send it anew."
            )

    async def end(self, request: Request, control: Control) -> Session | None:
        """End the session of this browser; what it was, None where there was none."""
        secret = request.cookies.get(COOKIE, "")
        if not _SECRET.fullmatch(secret):
            return None
        sessions = control.stores.sessions
        found = await run_in_threadpool(sessions.find, _digest(secret))
        if found is not None:
            await run_in_threadpool(sessions.end, found.id)
            control.authenticator.forget()
        return found


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def require_same_origin(request: Request) -> None:
    """Refuse a form that another site sent with this browser's cookies.

    Browsers say so in ``Sec-Fetch-Site`` (W3C Fetch Metadata), older ones in ``Origin``; programs
    that send neither have no cookies to abuse.

    Raises:
        Forbidden: the form comes from another site.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        allowed = site in {"same-origin", "none"}
    else:
        allowed = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if not allowed:
        raise Forbidden("This form was sent from another site; open the console and try again.")
