"""Encodings and disguises that hide a text inside a text, and how to take them off.

Each has a trigger: a pattern that goes into the same automaton as the rules' own, so that looking
for it costs nothing extra, and a text without it is never decoded. What a trigger lets through
in vain is cheap; what it does not let through is not read.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from kintsugi.policy.automata import Automaton, Pattern
from kintsugi.policy.normalise import WORD_DISGUISES, Layer, Piece, foldings

DEPTH_MAX = 3
# All readings of one text together are at most this many times as long as the text, so that
# nested encodings stay linear. The shallow ones come first.
GROWTH_MAX = 8
_GROWTH_ALWAYS_CHARS = 4_096
_DECODED_MIN = 6


class Encoding(NamedTuple):
    """One disguise: a pattern that gives it away, and the reading without it."""

    name: str
    trigger: str
    decode: Callable[[Layer], Layer | None]


class _Builder:
    """Puts a layer together from kept and replaced stretches of its parent."""

    def __init__(self, parent: Layer, step: str) -> None:
        self._parent = parent
        self._step = step
        self._text: list[str] = []
        self._pieces: list[Piece] = []
        self._length = 0

    def keep(self, start: int, end: int) -> None:
        if start < end:
            self._put(self._parent.text[start:end], start, end, whole=False)

    def replace(self, start: int, end: int, text: str) -> None:
        if text:
            self._put(text, start, end, whole=True)

    def layer(self) -> Layer | None:
        """None when nothing was decoded."""
        if not any(piece.step == 0 for piece in self._pieces):
            return None
        pieces = self._pieces
        return Layer(
            "".join(self._text), (*self._parent.steps, self._step), self._parent, lambda: pieces
        )

    def _put(self, text: str, start: int, end: int, *, whole: bool) -> None:
        self._text.append(text)
        stop = self._length + len(text)
        self._pieces.append(Piece(self._length, stop, start, end, 0 if whole else 1))
        self._length = stop


def _runs(
    step: str, pattern: re.Pattern[str], decode: Callable[[str], bytes | None]
) -> Callable[[Layer], Layer | None]:
    """Decoded runs one after the other, each on a line of its own, without what is around."""

    def read(layer: Layer) -> Layer | None:
        builder = _Builder(layer, step)
        for run in pattern.finditer(layer.text):
            text = _readable(decode(run.group()))
            if text is not None:
                builder.replace(run.start(), run.end(), text + "\n")
        return builder.layer()

    return read


def _inline(
    step: str, pattern: re.Pattern[str], decode: Callable[[str], str | None]
) -> Callable[[Layer], Layer | None]:
    """The whole text with the encoded places decoded where they stand."""

    def read(layer: Layer) -> Layer | None:
        builder = _Builder(layer, step)
        position = 0
        for run in pattern.finditer(layer.text):
            text = decode(run.group())
            if text is not None:
                builder.keep(position, run.start())
                builder.replace(run.start(), run.end(), text)
                position = run.end()
        builder.keep(position, len(layer.text))
        return builder.layer()

    return read


def _readable(data: bytes | None) -> str | None:
    """The text in these bytes; None when they are not text, as with keys and pictures."""
    if data is None or len(data) < _DECODED_MIN:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    odd = sum(1 for character in text[:400] if not (character.isprintable() or character.isspace()))
    return text if odd * 20 <= min(len(text), 400) else None


_SPACE = re.compile(r"\s+")
_PADDING = {0: "", 2: "==", 3: "="}


def _base64(run: str) -> bytes | None:
    compact = _SPACE.sub("", run).rstrip("=")
    if len(compact) % 4 == 1:
        compact = compact[:-1]
    padded = compact + _PADDING[len(compact) % 4]
    try:
        return base64.b64decode(padded.translate(_URL_SAFE))
    except binascii.Error:
        return None


_URL_SAFE = str.maketrans("-_", "+/")


def _base32(run: str) -> bytes | None:
    compact = run.rstrip("=")
    compact = compact[: len(compact) - (len(compact) % 8 in (1, 3, 6))]
    try:
        return base64.b32decode(compact + "=" * (-len(compact) % 8))
    except binascii.Error:
        return None


_NOT_HEX = re.compile(r"(?i)0x|\\x|[^0-9a-f]")


def _hex(run: str) -> bytes | None:
    digits = _NOT_HEX.sub("", run)
    return bytes.fromhex(digits[: len(digits) & ~1])


def _binary(run: str) -> bytes | None:
    bits = _SPACE.sub("", run)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))


def _percent(run: str) -> str | None:
    return bytes.fromhex(run.replace("%", "")).decode("utf-8", "replace")


def _entity(run: str) -> str | None:
    text = html.unescape(run)
    return text if text != run else None


_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")


def _escape(run: str) -> str | None:
    match = _ESCAPE.fullmatch(run)
    code = int(next(filter(None, match.groups())), 16) if match else 0
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else None


def _spaced(run: str) -> str | None:
    """Letters with something between each two; a wider gap is where a word ends."""
    return "".join(_letters(run))


def _letters(run: str) -> Iterator[str]:
    for index, letter in enumerate(run):
        if letter.isalnum():
            yield letter
        elif index + 1 < len(run) and not run[index + 1].isalnum():
            yield " "


def _rot13(layer: Layer) -> Layer | None:
    text = codecs.encode(layer.text, "rot13")
    whole = (Piece(0, len(text), 0, len(text), 1),)
    return Layer(text, (*layer.steps, "rot13"), layer, lambda: whole)


def _reversed(layer: Layer) -> Layer | None:
    text = layer.text[::-1]
    whole = (Piece(0, len(text), 0, len(text), -1),)
    return Layer(text, (*layer.steps, "reversed"), layer, lambda: whole)


_LEET = str.maketrans("0134578@$!|", "oieastbasil")


def _leet(layer: Layer) -> Layer | None:
    text = layer.text.translate(_LEET)
    whole = (Piece(0, len(text), 0, len(text), 1),)
    return Layer(text, (*layer.steps, "leet"), layer, lambda: whole)


# Words without which an attack is hard to write. Read backwards, rotated or with digits for
# letters they occur in no ordinary text.
_TELLING = (
    "ignore",
    "disregard",
    "forget",
    "previous",
    "instruction",
    "prompt",
    "override",
    "bypass",
    "reveal",
    "system",
    "password",
    "jailbreak",
    "pretend",
    "unrestricted",
)
_ROTATED = "|".join(codecs.encode(word, "rot13") for word in _TELLING)
_BACKWARDS = "|".join(word[::-1] for word in _TELLING if word not in ("forget", "system"))
_LEET_DIGITS = {"i": "1!|", "e": "3", "o": "0", "a": "4@", "s": "5$", "t": "7", "l": "1|"}


def _with_digits(word: str) -> str:
    """The word with at least one of its letters written as a digit or sign."""
    shapes = []
    for at, letter in enumerate(word):
        if letter not in _LEET_DIGITS:
            continue
        around = [
            f"[{other}{re.escape(_LEET_DIGITS[other])}]" if other in _LEET_DIGITS else other
            for other in word
        ]
        around[at] = f"[{re.escape(_LEET_DIGITS[letter])}]"
        shapes.append("".join(around))
    return "|".join(shapes)


_LEETED = "|".join(_with_digits(word) for word in _TELLING)

_B64_RUN = re.compile(r"[A-Za-z0-9+/_-]{20,}(?:\r?\n[A-Za-z0-9+/_-]{4,})*={0,2}")
_B32_RUN = re.compile(r"[A-Z2-7]{24,}={0,6}")
_HEX_RUN = re.compile(
    r"(?i)(?:0x)?(?:[0-9a-f]{2}[ :,-]?){10,}|(?:0x[0-9a-f]{2}[ ,]{0,2}){6,}|(?:\\x[0-9a-f]{2}){6,}"
)
_BINARY_RUN = re.compile(r"(?:[01]{8}[ \n]?){6,}")
_PERCENT_RUN = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_ENTITY_RUN = re.compile(r"&#?[A-Za-z0-9]{2,8};")
_SPACED_RUN = re.compile(r"\b(?:[^\W_][ ._*\-|]{1,3}){7,}[^\W_]\b")

ENCODINGS: tuple[Encoding, ...] = (
    Encoding("base64", r"[A-Za-z0-9]{20}", _runs("base64", _B64_RUN, _base64)),
    Encoding("base32", r"[A-Z2-7]{24}", _runs("base32", _B32_RUN, _base32)),
    Encoding(
        "hex",
        r"(?i:(?:[0-9a-f]{2}[ :,-]?){10}|(?:0x[0-9a-f]{2}[ ,]{0,2}){6}|(?:\\x[0-9a-f]{2}){6})",
        _runs("hex", _HEX_RUN, _hex),
    ),
    Encoding("binary", r"(?:[01]{8}[ \n]?){6}", _runs("binary", _BINARY_RUN, _binary)),
    Encoding("url", r"%[2-7][0-9A-Fa-f]", _inline("url", _PERCENT_RUN, _percent)),
    Encoding("html", r"&#?[A-Za-z0-9]{2,8};", _inline("html", _ENTITY_RUN, _entity)),
    Encoding(
        "escape", r"\\(?:u\{?[0-9a-fA-F]{2}|x[0-9a-fA-F]{2})", _inline("escape", _ESCAPE, _escape)
    ),
    Encoding("rot13", rf"(?i:\b(?:{_ROTATED}))", _rot13),
    Encoding("reversed", rf"(?i:(?:{_BACKWARDS})\b)", _reversed),
    Encoding("leet", rf"(?i:{_LEETED})", _leet),
    Encoding(
        "spaced",
        r"(?:\b[A-Za-z0-9][ ._*|-]{1,3}){7}",
        _inline("spaced", _SPACED_RUN, _spaced),
    ),
)

TRIGGERS: tuple[Pattern, ...] = tuple(
    Pattern(encoding.name, encoding.trigger, ignore_case=False, group="encodings")
    for encoding in ENCODINGS
)


def readings(
    text: str, hits: list[int], automaton: Automaton, *, decodes: bool
) -> Iterator[tuple[Layer, list[int]]]:
    """A text in every reading, and which patterns are in each; the plain text first.

    Args:
        hits: what the automaton found in the plain text.
        automaton: one whose first patterns are ``TRIGGERS``, when ``decodes``.
        decodes: whether encodings are taken off and invisible characters removed.
    """
    budget = GROWTH_MAX * len(text) + _GROWTH_ALWAYS_CHARS
    queue = deque([(Layer(text), hits, 0)])
    while queue:
        layer, found, depth = queue.popleft()
        yield layer, found
        children = [(child, depth) for child in foldings(layer, removing=decodes)]
        if decodes and depth < DEPTH_MAX:
            children += [(child, depth + 1) for child in _decoded(layer, found)]
        for child, child_depth in children:
            budget -= len(child.text)
            if budget >= 0:
                queue.append((child, automaton.search(child.data), child_depth))


def _decoded(layer: Layer, found: list[int]) -> Iterator[Layer]:
    for index, encoding in enumerate(ENCODINGS):
        again = encoding.name in WORD_DISGUISES and layer.words_only
        if index in found and not again and (child := encoding.decode(layer)) is not None:
            yield child
