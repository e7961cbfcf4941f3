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

import re2

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


def _ascii_runs(
    step: str, regex: str, decode: Callable[[str], bytes | None]
) -> Callable[[Layer], Layer | None]:
    """The same for runs of ASCII that Python begins to read at nearly every character: RE2 needs a
    tenth of the time. Where runs are easily found, what it gives for each costs more."""
    pattern = re2.compile(regex)

    def read(layer: Layer) -> Layer | None:
        builder = _Builder(layer, step)
        for run in pattern.finditer(layer.data):
            text = _readable(decode(run.group().decode()))
            if text is not None:
                builder.replace(*layer.characters(*run.span()), text + "\n")
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


_BEYOND_ASCII = bytes(range(0x80, 0x100))


def _hex(run: str) -> bytes | None:
    digits = _NOT_HEX.sub("", run)
    data = bytes.fromhex(digits[: len(digits) & ~1])
    try:
        data.decode()
    except UnicodeDecodeError:
        # The end of a word beside it ("decode 69 67...") reads as digits, none of them of ASCII.
        return data.strip(_BEYOND_ASCII)
    return data


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
    """Letters with something between each two; what stands there least often ends a word."""
    between = _NO_LETTER.findall(run)
    usual = max(set(between), key=between.count)
    pieces = [letter for letter in _NO_LETTER.split(run) if letter]
    text = "".join(
        letter if gap == usual else f"{letter} "
        for letter, gap in zip(pieces, [*between, usual], strict=False)
    )
    # Without any gap the words are told apart by being known.
    return text if " " in text else _TOLD_APART.sub(r" \g<0> ", text).strip()


_NO_LETTER = re.compile(r"[\W_]+")
_TOLD_APART = re.compile(
    "(?i)instructions?|previous|prompts?|disregard|override|password|everything|guidelines|ignore"
    "|forget|reveal|system|secret|bypass|without|restrictions|answer|repeat|print|rules|above|"
    "prior|tell|show|your|with|from|that|this|what|now|all|and|any|the|you|say|are|for|not|me|my|to"
)


def _rot13(layer: Layer) -> Layer | None:
    text = codecs.encode(layer.text, "rot13")
    whole = (Piece(0, len(text), 0, len(text), 1),)
    return Layer(text, (*layer.steps, "rot13"), layer, lambda: whole)


def _reversed(layer: Layer) -> Layer | None:
    text = layer.text[::-1]
    whole = (Piece(0, len(text), 0, len(text), -1),)
    return Layer(text, (*layer.steps, "reversed"), layer, lambda: whole)


def _mirrored(layer: Layer) -> Layer | None:
    """Every word backwards where it stands."""
    builder = _Builder(layer, "mirrored")
    position = 0
    for word in _WORD.finditer(layer.text):
        builder.keep(position, word.start())
        builder.replace(word.start(), word.end(), word.group()[::-1])
        position = word.end()
    builder.keep(position, len(layer.text))
    return builder.layer()


_WORD = re.compile(r"[^\W\d_]{2,}")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def _lettered(step: str, layer: Layer, cipher: str) -> Layer:
    """The text with each letter of the alphabet replaced by the cipher's."""
    table = str.maketrans(_ALPHABET + _ALPHABET.upper(), cipher + cipher.upper())
    text = layer.text.translate(table)
    whole = (Piece(0, len(text), 0, len(text), 1),)
    return Layer(text, (*layer.steps, step), layer, lambda: whole)


def _atbash(layer: Layer) -> Layer | None:
    return _lettered("atbash", layer, _ALPHABET[::-1])


def _caesar(layer: Layer) -> Layer | None:
    """Read with the shift under which a telling word is there."""
    lowered = layer.text.lower()
    for shift, words in _SHIFTED.items():
        if any(word in lowered for word in words):
            return _lettered("caesar", layer, _ALPHABET[-shift:] + _ALPHABET[:-shift])
    return None


_FLIPPED = dict(zip("ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍxʎzıƐ", "abcdefghijklmnopqrstuvwxyzie", strict=True))


def _flipped(layer: Layer) -> Layer | None:
    """Letters standing on their heads, the last one first."""
    turned = "".join(_FLIPPED.get(letter, letter) for letter in reversed(layer.text))
    whole = (Piece(0, len(turned), 0, len(turned), -1),)
    return Layer(turned, (*layer.steps, "flipped"), layer, lambda: whole)


_MORSE_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,?'!/()&:;=+-\"@"
_MORSE_CODES = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .--"
    " -..- -.-- --.. ----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----. .-.-.- --..--"
    " ..--.. .----. -.-.-- -..-. -.--. -.--.- .-... ---... -.-.-. -...- .-.-. -....- .-..-. .--.-."
)
_MORSE = dict(zip(_MORSE_CODES.split(), _MORSE_LETTERS, strict=True))
_MORSE_WORDS = re.compile(r"\s*[/|]\s*|\s{2,}")


def _morse(run: str) -> bytes | None:
    words = _MORSE_WORDS.split(run.strip())
    read = ("".join(_MORSE.get(code, "") for code in word.split()) for word in words)
    return " ".join(read).encode()


def _numbers(run: str) -> bytes | None:
    codes = [int(number) for number in _NUMBER.findall(run)]
    return bytes(codes) if all(9 <= code < 127 for code in codes) else None


_NUMBER = re.compile(r"\d+")


def _octal(run: str) -> bytes | None:
    codes = [int(number, 8) for number in _NUMBER.findall(run)]
    return bytes(codes) if max(codes) < 256 else None


def _selectors(run: str) -> bytes | None:
    """Bytes as variation selectors, which show as nothing behind an emoji."""
    codes = (ord(one) for one in run)
    return bytes(code - 0xFE00 if code <= 0xFE0F else code - 0xE0100 + 16 for code in codes)


def _invisible_bits(run: str) -> bytes | None:
    """Bits as two kinds of nothing; which of them is one is tried."""
    signs = sorted(set(run))
    for one in signs:
        bits = "".join("1" if sign == one else "0" for sign in run)
        data = _binary(bits)
        if _readable(data) is not None:
            return data
    return None


def _quoted(run: str) -> str | None:
    return bytes.fromhex(run.replace("=", "")).decode("utf-8", "replace")


def _nothing(run: str) -> str | None:  # noqa: ARG001
    return "\u2060"  # replaced, not dropped, so that the stretch keeps an origin; folds to nothing


def _ascii85(run: str) -> bytes | None:
    try:
        return base64.a85decode(run, adobe=True)
    except ValueError:
        return None


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
_MIRRORED = "|".join(word[::-1] for word in _TELLING if word not in ("forget", "system"))
_SHIFTED = {
    shift: tuple(
        word.translate(str.maketrans(_ALPHABET, _ALPHABET[shift:] + _ALPHABET[:shift]))
        for word in ("ignore", "previous", "instruction", "disregard", "override", "password")
    )
    for shift in range(1, 26)
    if shift != 13
}
_CAESAR = "|".join(word for words in _SHIFTED.values() for word in words)
_ATBASHED = "|".join(word.translate(str.maketrans(_ALPHABET, _ALPHABET[::-1])) for word in _TELLING)
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
_HEX_RUN = (
    r"(?i)(?:0x)?(?:[0-9a-f]{2}[ :,-]?){10,}|(?:0x[0-9a-f]{2}[ ,]{0,2}){6,}|(?:\\x[0-9a-f]{2}){6,}"
)
_BINARY_RUN = re.compile(r"(?:[01]{8}[ \n]?){6,}")
_PERCENT_RUN = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_ENTITY_RUN = re.compile(r"&#?[A-Za-z0-9]{2,8};")
_SPACED_RUN = re.compile(r"\b(?:[^\W_][ ._*\-|]{1,5}){7,}[^\W_]\b")

_MORSE_RUN = re.compile(r"(?:[.-]{1,6}(?:[ \t]{1,3}|[ ]?[/|][ ]?)){7,}[.-]{1,6}")
_NUMBERS_RUN = re.compile(r"(?:\b\d{2,3}[ ,;]{1,2}){7,}\d{2,3}\b")
_OCTAL_RUN = re.compile(r"(?:\\[0-3]?[0-7]{2}){6,}")
_SELECTORS_RUN = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{6,}")
_INVISIBLE_RUN = re.compile(
    "(?:[\u200b\u200c]{24,}|[\u200c\u200d]{24,}|[\u200b\u200d]{24,}|[\u2062\u2063]{24,}|[\u200b\u2060]{24,})"
)
_QUOTED_RUN = re.compile(r"(?:=[0-9A-F]{2})+")
_TAG = re.compile(r"(?<=[A-Za-z])(?:<[/!A-Za-z][^<>]{0,60}>)+(?=[A-Za-z])")
_ASCII85_RUN = re.compile(r"<~[!-uz\s]{10,}?~>")

ENCODINGS: tuple[Encoding, ...] = (
    Encoding("base64", r"[A-Za-z0-9]{20}", _runs("base64", _B64_RUN, _base64)),
    Encoding("base32", r"[A-Z2-7]{24}", _runs("base32", _B32_RUN, _base32)),
    Encoding(
        "hex",
        r"(?i:(?:[0-9a-f]{2}[ :,-]?){10}|(?:0x[0-9a-f]{2}[ ,]{0,2}){6}|(?:\\x[0-9a-f]{2}){6})",
        _ascii_runs("hex", _HEX_RUN, _hex),
    ),
    Encoding("binary", r"(?:[01]{8}[ \n]?){6}", _runs("binary", _BINARY_RUN, _binary)),
    Encoding("url", r"%[2-7][0-9A-Fa-f]", _inline("url", _PERCENT_RUN, _percent)),
    Encoding("html", r"&#?[A-Za-z0-9]{2,8};", _inline("html", _ENTITY_RUN, _entity)),
    Encoding(
        "escape", r"\\(?:u\{?[0-9a-fA-F]{2}|x[0-9a-fA-F]{2})", _inline("escape", _ESCAPE, _escape)
    ),
    Encoding("rot13", rf"(?i:\b(?:{_ROTATED}))", _rot13),
    Encoding("reversed", rf"(?i:(?:{_BACKWARDS})\b)", _reversed),
    Encoding("mirrored", rf"(?i:\b(?:{_MIRRORED})\b)", _mirrored),
    Encoding("atbash", rf"(?i:\b(?:{_ATBASHED}))", _atbash),
    Encoding("caesar", rf"(?i:\b(?:{_CAESAR}))", _caesar),
    Encoding("flipped", r"[ɐǝɹʇʌʍʎɯɥ][a-zɐɔǝɟƃɥᴉɾʞɯɹʇʌʍʎı]{0,12}[ɐǝɹʇʌʍʎɯɥ]", _flipped),
    Encoding("leet", rf"(?i:{_LEETED})", _leet),
    Encoding("morse", r"(?:[.-]{1,6}[ /|]{1,3}){7}[.-]", _runs("morse", _MORSE_RUN, _morse)),
    Encoding("numbers", r"(?:\d{2,3}[ ,;]{1,2}){7}\d\d", _runs("numbers", _NUMBERS_RUN, _numbers)),
    Encoding("octal", r"(?:\\[0-3]?[0-7]{2}){6}", _runs("octal", _OCTAL_RUN, _octal)),
    Encoding("quoted", r"=[2-7][0-9A-F]=?[0-9A-Za-z]", _inline("quoted", _QUOTED_RUN, _quoted)),
    Encoding(
        "selectors",
        r"[\x{FE00}-\x{FE0F}\x{E0100}-\x{E01EF}]{6}",
        _runs("selectors", _SELECTORS_RUN, _selectors),
    ),
    Encoding(
        "invisible",
        r"[\x{200B}\x{200C}\x{200D}\x{2060}\x{2062}\x{2063}]{24}",
        _runs("invisible", _INVISIBLE_RUN, _invisible_bits),
    ),
    Encoding("tags", r"[A-Za-z]<[/!A-Za-z][^<>]{0,60}>[A-Za-z]", _inline("tags", _TAG, _nothing)),
    Encoding("ascii85", r"<~[!-uz]{10}", _runs("ascii85", _ASCII85_RUN, _ascii85)),
    Encoding(
        "spaced",
        r"(?:\b[A-Za-z0-9][ ._*|-]{1,5}){7}",
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
