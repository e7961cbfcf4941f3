"""Edits to a JSON document on its raw bytes: what is not edited stays as it was sent.

Only the edited strings are written anew; numbers keep their digits, objects their order, and
fields that we do not know survive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from kintsugi.gateway.dialects.json_text import json_text
from kintsugi.model.content import Edit

_SPACE = re.compile(rb"[ \t\n\r]*")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SCALAR = re.compile(rb"[^,\]}\s]+")
_STRING_OR_BRACKET = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class CannotSplice(Exception):
    """The edits cannot be made without breaking the document; the caller must stop it instead."""


class Spot:
    """A place that is looked for, and the places below it."""

    __slots__ = ("below", "end", "start")

    def __init__(self) -> None:
        self.below: dict[str, Spot] = {}
        self.start = self.end = -1

    def at(self, pointer: str) -> Spot:
        """The spot for a JSON pointer seen from here, made on demand."""
        spot = self
        for token in pointer.split("/")[1:]:
            token = token.replace("~1", "/").replace("~0", "~")
            spot = spot.below.setdefault(token, Spot())
        return spot

    def forget(self) -> None:
        """Undo what was found here and below: a later value of the same key counts instead."""
        self.start = self.end = -1
        for spot in self.below.values():
            spot.forget()


def pointer_token(key: str) -> str:
    """A key as a JSON pointer writes it (RFC 6901 §3)."""
    return key.replace("~", "~0").replace("/", "~1") if "~" in key or "/" in key else key


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """The text with its edits made; they run left to right and do not overlap."""
    pieces: list[str] = []
    position = 0
    for edit in edits:
        pieces += text[position : edit.start], edit.replacement
        position = edit.end
    pieces.append(text[position:])
    return "".join(pieces)


def splice(
    body: bytes,
    edits: Sequence[Edit],
    *,
    clear: Iterable[str] = (),
    break_structures: bool = False,
) -> bytes:
    """Make edits in a JSON document.

    Args:
        body: a valid JSON document. Where an object repeats a key, the last one counts.
        edits: offsets are in characters of the decoded string at ``path``. Where the value there
            is no string, of its compact JSON text.
        clear: pointers whose values become ``null``; a pointer to nothing is passed over.
        break_structures: let a value that is no string become one where an edit makes it invalid
            JSON. For evidence, which must be masked but is never parsed as a request again.

    Raises:
        CannotSplice: there is no value at a path, or an edit cuts through the structure of a
            value that is no string.
    """
    by_path: dict[str, list[Edit]] = {}
    for edit in edits:
        by_path.setdefault(edit.path, []).append(edit)
    root = Spot()
    spots = {path: root.at(path) for path in by_path}
    cleared = [root.at(pointer) for pointer in clear]
    _locate(body, _skip_space(body, 0), root)

    changes = [(spot.start, spot.end, b"null") for spot in cleared if spot.start >= 0]
    for path, spot in spots.items():
        if spot.start < 0:
            raise CannotSplice(f"nothing at {path}")
        raw = body[spot.start : spot.end]
        changes.append((spot.start, spot.end, _edited(raw, by_path[path], break_structures)))
    changes.sort()

    pieces: list[bytes] = []
    position = 0
    for start, end, replacement in changes:
        if start < position:
            raise CannotSplice("two edits meet in one value")
        pieces += body[position:start], replacement
        position = end
    pieces.append(body[position:])
    return b"".join(pieces)


def _edited(raw: bytes, edits: list[Edit], break_structures: bool) -> bytes:
    """One value after its edits, as JSON."""
    value: Any = _decode(raw)
    edits.sort(key=lambda edit: edit.start)
    if isinstance(value, str):
        return _encode(apply_edits(value, edits))
    text = apply_edits(json_text(value), edits)
    try:
        _decode(text)
    except (msgspec.DecodeError, RecursionError):
        if break_structures:
            return _encode(text)
        raise CannotSplice("the edit cuts through the structure of a value") from None
    return text.encode()


def _locate(body: bytes, position: int, spot: Spot) -> int:
    """Find the places below ``spot`` in the value that begins here; return where it ends."""
    spot.start = position
    opening = body[position : position + 1]
    if not spot.below or opening not in (b"{", b"["):
        spot.end = _skip_value(body, position)
        return spot.end
    index = 0
    position = _skip_space(body, position + 1)
    while body[position : position + 1] not in (b"}", b"]"):
        if opening == b"{":
            key_end = _end(_STRING.match(body, position))
            token = _decode(body[position:key_end])
            position = _skip_space(body, _skip_space(body, key_end) + 1)  # over the colon
        else:
            token = str(index)
            index += 1
        below = spot.below.get(token)
        if below is None:
            position = _skip_value(body, position)
        else:
            below.forget()
            position = _locate(body, position, below)
        position = _skip_space(body, position)
        if body[position : position + 1] == b",":
            position = _skip_space(body, position + 1)
    spot.end = position + 1
    return spot.end


def _skip_space(body: bytes, position: int) -> int:
    return _end(_SPACE.match(body, position))


def _skip_value(body: bytes, position: int) -> int:
    first = body[position : position + 1]
    if first == b'"':
        return _end(_STRING.match(body, position))
    if first not in (b"{", b"["):
        return _end(_SCALAR.match(body, position))
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(body, position):
        mark = body[token.start()]
        if mark in b"{[":
            depth += 1
        elif mark in b"}]":
            depth -= 1
            if depth == 0:
                return token.end()
    raise CannotSplice("the document ends inside a value")


def _end(match: re.Match[bytes] | None) -> int:
    if match is None:
        raise CannotSplice("the document is not JSON")
    return match.end()
