"""Text that came from outside, made fit to be shown.

An answer with escape sequences or bidirectional controls in it must not rewrite a terminal, nor
read otherwise in a file than it is.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

# C0 (less tab and newline), DEL, C1, bidirectional controls, zero-width characters, line and
# paragraph separators, the byte order mark, tags, and lone surrogates.
_HOSTILE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)


def harmless(text: str) -> str:
    """The text with everything that could steer a terminal shown as an escape instead."""
    return _HOSTILE.sub(lambda match: _escaped(match.group()), text)


def one_line(text: str, *, width_max: int = 120) -> str:
    """The text on one line, harmless and cut to a width in characters."""
    flat = harmless(" ".join(text.split()))
    return flat if len(flat) <= width_max else flat[: width_max - 1] + "…"


def json_text(value: Any, *, indent: int = 2) -> str:
    """JSON that is safe on a terminal too; ``indent`` 0 gives one line."""
    encoded = msgspec.json.encode(value)
    text = (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()
    # Such characters occur only inside strings, where an escape means the same.
    return _HOSTILE.sub(lambda match: _json_escaped(match.group()), text)


def _escaped(character: str) -> str:
    point = ord(character)
    if point <= 0xFF:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def _json_escaped(character: str) -> str:
    if character == "\t":
        return "\\t"
    point = ord(character)
    if point <= 0xFFFF:
        return f"\\u{point:04x}"
    high, low = divmod(point - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
