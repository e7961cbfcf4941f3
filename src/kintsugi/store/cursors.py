"""Opaque cursors: where a page ended, in a form that callers hand back unread."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from kintsugi.errors import InvalidInput
from kintsugi.store.uuids import parse_uuid

Thing = TypeVar("Thing")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = 2**31 - 1  # an integer of the database


def encode_cursor(timestamp: datetime, identifier: str) -> str:
    """The cursor after the row with this time and id; URL-safe."""
    # A float of seconds would lose the last microsecond, and with it a row.
    microseconds = (timestamp - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{microseconds:x} {identifier}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[datetime, str]:
    """The time and id in a cursor.

    Raises:
        InvalidInput: this store did not make it.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        microseconds, _, identifier = text.decode().partition(" ")
        timestamp = _EPOCH + timedelta(microseconds=int(microseconds, 16))
    except (binascii.Error, ValueError, OverflowError):
        raise InvalidInput("the cursor is not one that this server gave out") from None
    if not identifier or "\x00" in identifier:
        raise InvalidInput("the cursor is not one that this server gave out")
    return timestamp, identifier


def place_in(cursor: str | None) -> tuple[datetime, str] | None:
    """The time and id that a page goes on after, where ids are UUIDs; None for the first page.

    Raises:
        InvalidInput: this store did not make the cursor.
    """
    if not cursor:
        return None
    place = decode_cursor(cursor)
    if parse_uuid(place[1]) is None:
        raise InvalidInput("the cursor is not one that this server gave out")
    return place


def before_of(cursor: str | None, number_of: Callable[[str], int | None]) -> int:
    """The number before which a page goes on, where rows are numbered and the newest come first.

    Args:
        number_of: of the row with this id; None where it is no such id.

    Raises:
        InvalidInput: this store did not make the cursor.
    """
    if cursor is None:
        return _LAST
    number = number_of(decode_cursor(cursor)[1])
    if number is None:
        raise InvalidInput("the cursor is not one that this server gave out")
    return number


def paged(
    found: Sequence[Thing], limit: int, place: Callable[[Thing], tuple[datetime, str]]
) -> tuple[list[Thing], str | None]:
    """A page, and the cursor of the next one; None where this is the last.

    Args:
        found: in order, with one more than ``limit`` where there is more.
        place: the time and id that ``found`` is in the order of.
    """
    shown = list(found[:limit])
    if len(found) <= limit or not shown:
        return shown, None
    return shown, encode_cursor(*place(shown[-1]))
