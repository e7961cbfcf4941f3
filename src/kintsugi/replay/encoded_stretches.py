"""Encoded stretches of a text: where one begins and ends, and how to change what it says. Pure."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

_CHARACTERS: Final = re.compile(r"[A-Za-z0-9+/=_%.~-]")
_RUN: Final = re.compile(f"{_CHARACTERS.pattern}+")
# rot13 has no characters of its own: its stretch is what the detector named.
Change = Callable[[str], str | None]


class _Encoding(NamedTuple):
    looks: re.Pattern[str]
    decode: Callable[[str], str]
    encode: Callable[[str], str]


def _from_hex(text: str) -> str:
    return bytes.fromhex(text).decode()


def _from_base64(text: str) -> str:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()


def _from_base64url(text: str) -> str:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()


_ENCODINGS: Final = (
    _Encoding(re.compile(r"(?:[0-9a-fA-F]{2})+"), _from_hex, lambda text: text.encode().hex()),
    _Encoding(
        re.compile(r"[A-Za-z0-9+/]+={0,2}"),
        _from_base64,
        lambda text: base64.b64encode(text.encode()).decode(),
    ),
    _Encoding(
        re.compile(r"[A-Za-z0-9_-]+={0,2}"),
        _from_base64url,
        lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    ),
    _Encoding(re.compile(r"[^%]*(?:%[0-9a-fA-F]{2}[^%]*)+"), unquote, lambda text: quote(text)),
    _Encoding(
        re.compile(r".*", re.DOTALL),
        lambda text: codecs.decode(text, "rot13"),
        lambda text: codecs.encode(text, "rot13"),
    ),
)


def stretches_around(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The encoded stretches that a finding may lie in: the whole of where it stands; then the
    longest run in it, for detectors that take a word beside it for a part."""
    yield _widened(text, start, end)
    runs = (run.span() for run in _RUN.finditer(text, start, end))
    longest = max(runs, key=lambda run: run[1] - run[0], default=None)
    if longest is not None and longest != (start, end):
        yield _widened(text, *longest)


def _widened(text: str, start: int, end: int) -> tuple[int, int]:
    while start > 0 and _CHARACTERS.match(text[start - 1]):
        start -= 1
    while end < len(text) and _CHARACTERS.match(text[end]):
        end += 1
    return start, end


def recoded(stretch: str, change: Change) -> str | None:
    """The stretch with what it says changed.

    Args:
        change: what becomes of a text; None where it is not what is looked for.

    Returns:
        None where it is not found under any encoding.
    """
    for encoding in _ENCODINGS:
        if encoding.looks.fullmatch(stretch) is None:
            continue
        try:
            said = encoding.decode(stretch)
        except (ValueError, binascii.Error):
            continue
        changed = change(said)
        if changed is not None:
            return stretch if changed == said else encoding.encode(changed)
    return None
