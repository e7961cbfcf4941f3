"""HTTP/1.1 heads as bytes: what the shell adds to a message, and how it refuses one.

Nothing here decides; it only writes. Reading is llhttp's work (``server``, ``upstream``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus

import msgspec

from kintsugi.gateway.events import Headers

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
# Segments "." and ".." in any spelling, an encoded slash or backslash, an encoded NUL.
_CONFUSING = re.compile(rb"(?i)/(?:\.|%2e){1,2}(?:/|$)|%(?:2f|5c|00)|\\|//|;")


def http_date(now: datetime) -> bytes:
    """The Date header line (RFC 9110 §5.6.7), independent of the locale."""
    return (
        f"date: {_DAYS[now.weekday()]}, {now.day:02} {_MONTHS[now.month - 1]} {now.year} "
        f"{now.hour:02}:{now.minute:02}:{now.second:02} GMT\r\n"
    ).encode()


def status_line(status: int) -> bytes:
    """``HTTP/1.1 409 Conflict`` and its line end; any three digits are written as they are."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Every header on its line."""
    return b"\r\n".join([*map(b": ".join, headers), b""])


def request_head(
    method: bytes, target: bytes, host: bytes, headers: Headers, body_bytes: int
) -> bytes:
    """The head of a request with a known body, on a connection that is to be kept."""
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n%bcontent-length: %d\r\n\r\n" % (
        method,
        target,
        host,
        header_lines(headers),
        body_bytes,
    )


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body. Empty data has none: an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


@lru_cache(maxsize=1024)
def path_of(target: bytes) -> bytes | None:
    """The raw path of a request target, or None when it must not be routed at all.

    Only the origin form (RFC 9112 §3.2.1) is taken. Spellings that another hop could read as a
    different path are refused rather than normalised: dot segments, encoded slashes, doubled
    slashes, path parameters.
    """
    path = target.partition(b"?")[0]
    if not path.startswith(b"/") or b"#" in target or not target.isascii():
        return None
    return None if _CONFUSING.search(path) else path


class ErrorDetail(msgspec.Struct, frozen=True):
    """What the OpenAI SDK reads of an error."""

    message: str
    type: str
    code: str
    param: str | None = None


class ErrorBody(msgspec.Struct, frozen=True):
    """OpenAI's error shape, raised by its SDK as the exception of the status."""

    error: ErrorDetail


def error_body(code: str, message: str, *, kind: str = "invalid_request_error") -> bytes:
    """An error that is about HTTP and not about any dialect."""
    return msgspec.json.encode(ErrorBody(ErrorDetail(message=message, type=kind, code=code)))


def now_utc() -> datetime:
    """The wall clock; only the shell reads it."""
    return datetime.now(UTC)
