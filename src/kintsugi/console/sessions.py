"""Signed sessions: a browser proves once that it holds a token, and keeps no token.

The cookie holds the SHA-256 under which the token is kept, the time the session ends, and a
signature over both. So a session ends with its token, and the cookie is no token itself.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from kintsugi.api.control import Control
from kintsugi.api.credentials import secret_sha256
from kintsugi.errors import Forbidden, Unauthenticated
from kintsugi.model.stores import Token

COOKIE = "kt_session"
LIFETIME = timedelta(hours=12)


class Sessions:
    """Makes and checks session cookies."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def begin(self, response: Response, request: Request, token_text: str, now: datetime) -> None:
        """Set the cookie of a session for a token that was just accepted."""
        digest = secret_sha256(token_text) or ""
        ends_at = int((now + LIFETIME).timestamp())
        response.set_cookie(
            COOKIE,
            self._sign(f"{digest}.{ends_at}"),
            max_age=int(LIFETIME.total_seconds()),
            path="/",
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )

    def end(self, response: Response) -> None:
        """Take the cookie back."""
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")

    async def identify(self, request: Request, control: Control) -> Token:
        """The token behind the session.

        Raises:
            Unauthenticated: no session, or it ended, or its token did.
        """
        text = self._verified(request.cookies.get(COOKIE, ""))
        digest, _, ends_at = text.partition(".")
        if not text or control.clock().timestamp() >= int(ends_at):
            raise Unauthenticated("Sign in to see this page.")
        return await control.authenticator.digest(digest)

    def form_key(self, request: Request) -> str:
        """What a form of this session carries, so that no other site can send it."""
        return self._signature(f"form {request.cookies.get(COOKIE, '')}")

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

    def _sign(self, text: str) -> str:
        return f"{text}.{self._signature(text)}"

    def _verified(self, cookie: str) -> str:
        """What was signed; empty where the signature is not ours."""
        text, _, signature = cookie.rpartition(".")
        genuine = hmac.compare_digest(signature.encode(), self._signature(text).encode())
        return text if genuine else ""

    def _signature(self, text: str) -> str:
        return hmac.digest(self._secret, text.encode(), hashlib.sha256).hex()


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
