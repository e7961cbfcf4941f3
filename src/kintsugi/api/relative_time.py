"""Times as people type them: RFC 3339, or so long ago (``5m``, ``1h``, ``24h``, ``7d``)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from kintsugi.errors import InvalidInput

_AGO = re.compile(r"[0-9]{1,6}[smhdw]")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# In a query string an unescaped "+02:00" arrives as " 02:00".
_LOST_PLUS = re.compile(r"([Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?) (\d\d:\d\d)$")


def parse_time(text: str, *, now: datetime) -> datetime:
    """A point in time, in UTC.

    Raises:
        ValueError: neither form, or without a time zone.
    """
    text = text.strip()
    if _AGO.fullmatch(text):
        try:
            return now - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)
    try:
        moment = datetime.fromisoformat(_LOST_PLUS.sub(r"\1+\2", text))
    except ValueError:
        raise ValueError(
            f'"{text}" is no time; use RFC 3339 such as 2026-04-23T14:00:00Z, or 5m, 1h, 7d'
        ) from None
    if moment.tzinfo is None:
        raise ValueError(f'"{text}" has no time zone; add Z for UTC, or an offset such as +02:00')
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f'"{text}" is out of range') from None


def parse_due(text: str, *, now: datetime) -> datetime:
    """When something is due, in UTC: a time, a day (its end, in UTC), or so long ahead (``+3d``).

    Raises:
        ValueError: it is none of these.
    """
    text = text.strip()
    if text.startswith("+") and _AGO.fullmatch(text[1:]):
        try:
            return now + timedelta(**{_UNITS[text[-1]]: int(text[1:-1])})
        except OverflowError:
            raise ValueError(f'"{text}" is out of range') from None
    if _DAY.fullmatch(text):
        try:
            return datetime.fromisoformat(text).replace(hour=23, minute=59, second=59, tzinfo=UTC)
        except ValueError:
            raise ValueError(f'"{text}" is no day') from None
    if _AGO.fullmatch(text):
        raise ValueError(f'"{text}" lies behind; write +{text} for so long from now')
    return parse_time(text, now=now)


def time_in(name: str, text: str, *, now: datetime) -> datetime:
    """What a field of a body says, as ``parse_time`` reads it.

    Raises:
        InvalidInput: it names the field, and what is wrong.
    """
    return _in_body(parse_time, name, text, now)


def due_in(name: str, text: str, *, now: datetime) -> datetime:
    """The same, as ``parse_due`` reads it."""
    return _in_body(parse_due, name, text, now)


def _in_body(read: Callable[..., datetime], name: str, text: str, now: datetime) -> datetime:
    try:
        return read(text, now=now)
    except ValueError as error:
        raise InvalidInput(f"body.{name}: {error}") from None
