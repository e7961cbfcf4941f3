"""The outer edge: hostile bytes are refused before anyone interprets them."""

from __future__ import annotations

import secrets
from typing import Any, Final

import msgspec
import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kintsugi.api import problems
from kintsugi.errors import InvalidInput

log = structlog.get_logger(__name__)

JSON_DEPTH_MAX: Final = 32

# No script, style or frame from anywhere else, and none inline. ``data:`` images are the arrows
# that Pico draws in form fields.
_CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)

SECURITY_HEADERS: Final = {
    "content-security-policy": _CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class Edge:
    """Outermost: security headers on everything, problem details for what nobody foresaw.

    Answers never depend on the Host header: no address is built from it, and nothing is
    redirected to it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_safely(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if request_id := scope.get("kintsugi.request_id"):
                    headers["x-request-id"] = request_id
            await send(message)

        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            refusal = problems.problem_of(InvalidInput("The address holds a NUL character."))
            await problems.show(Request(scope), refusal)(scope, receive, send_safely)
            return
        try:
            await self.app(scope, receive, send_safely)
        except ClientDisconnect:
            return
        except Exception:  # the outer edge: a reference for the caller, the details for the log
            reference = secrets.token_hex(6)
            # The route, not the address: some addresses are secret (api/report_keys.py).
            route = scope.get("kintsugi.route", "")
            log.exception(
                "request.failed", reference=reference, method=scope["method"], route=route
            )
            if started:
                raise
            shown = problems.show(Request(scope), problems.unforeseen(reference))
            await shown(scope, receive, send_safely)


async def read_body(request: Request, *, bytes_max: int) -> bytes:
    """The whole body.

    Raises:
        HTTPException: 413, larger than ``bytes_max``.
    """
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > bytes_max:
            raise HTTPException(413, f"The body is larger than {bytes_max:,} bytes.")
        pieces.append(piece)
    return b"".join(pieces)


def decode_json(body: bytes) -> Any:
    """JSON as plain values, free of what databases and logs choke on.

    Raises:
        InvalidInput: not JSON, not UTF-8, nested too deeply, or with a NUL or lone surrogate.
    """
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise InvalidInput(f"body: nested deeper than {JSON_DEPTH_MAX} levels") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(f"body: not JSON in UTF-8: {error}") from None
    _check(value, JSON_DEPTH_MAX)
    return value


def _check(value: Any, depth_left: int) -> None:
    if depth_left == 0:
        raise InvalidInput(f"body: nested deeper than {JSON_DEPTH_MAX} levels")
    if isinstance(value, str):
        if "\0" in value:
            raise InvalidInput("body: a text holds a NUL character")
    elif isinstance(value, list):
        for item in value:
            _check(item, depth_left - 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth_left - 1)
            _check(item, depth_left - 1)
