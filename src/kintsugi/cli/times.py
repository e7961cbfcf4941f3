"""Moments as people type them: ``1h``, ``2026-04-23T14:00:00Z``, ``now``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from kintsugi.errors import InvalidInput

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_moment(text: str, *, now: datetime) -> datetime:
    """A moment, aware UTC. A duration counts back from ``now``; no zone means UTC.

    Raises:
        InvalidInput: neither a duration nor an ISO 8601 time.
    """
    word = text.strip()
    if word == "now":
        return now
    if "".join(match.group() for match in _AGO.finditer(word)) == word and word:
        try:
            return now - timedelta(seconds=_total_seconds(word))
        except OverflowError:
            raise InvalidInput(f'"{text}" is longer ago than time goes') from None
    try:
        moment = datetime.fromisoformat(word)
    except ValueError:
        raise InvalidInput(
            f'"{text}" is no time; use a duration such as 30m, 1h, 7d or a time such as '
            "2026-04-23T14:00:00Z"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _total_seconds(word: str) -> float:
    return sum(float(match[1]) * _SECONDS[match[2]] for match in _AGO.finditer(word))
