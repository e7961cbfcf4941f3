"""Cuts a text into pieces, coarse or fine, which put together again are the text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal

Grain = Literal["paragraph", "line", "sentence", "word", "character"]

_PARAGRAPH: Final = re.compile(r"(?s).+?(?:\n[^\S\n]*\n\s*|\Z)")
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")
# The full stops of scripts that put no blank after them count too.
_SENTENCE: Final = re.compile(r"(?s).+?(?:[.!?…]+[\"')\]]*\s+|[\u3002\uff01\uff1f\u0964]+\s*|\Z)")
# Chinese, Japanese, Thai, Lao, Burmese and Khmer write words without blanks between them.
_UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD: Final = re.compile(rf"[{_UNSPACED}]+|[^\s{_UNSPACED}]+\s*|\s+")
_IS_UNSPACED: Final = re.compile(f"[{_UNSPACED}]").match

_JOINER: Final = "\u200d"
_BLACK_FLAG: Final = "\U0001f3f4"
_REGIONAL: Final = range(0x1F1E6, 0x1F200)
_SKIN_TONES: Final = range(0x1F3FB, 0x1F400)
_TAGS: Final = range(0xE0020, 0xE0080)
# Leading, vowel and trailing parts of Korean syllables.
_LEADING: Final = range(0x1100, 0x1160)
_VOWELS: Final = range(0x1160, 0x11A8)
_TRAILING: Final = range(0x11A8, 0x1200)
_SYLLABLES: Final = range(0xAC00, 0xD7A4)


def words(text: str) -> list[str]:
    """Words with the blanks after them; characters where a script has no blanks."""
    pieces: list[str] = []
    for run in _WORD.findall(text):
        pieces += characters(run) if _IS_UNSPACED(run) else [run]
    return pieces


def characters(text: str) -> list[str]:
    """What a reader takes for one character: accents, joined emoji, flags and Korean syllables
    stay whole (extended grapheme clusters of UAX #29, without its rule for Indic conjuncts).

    Tag characters are pieces of their own unless they make a flag: whole messages are hidden
    in them.
    """
    pieces: list[str] = []
    for character in text:
        if pieces and _belongs(pieces[-1], character):
            pieces[-1] += character
        else:
            pieces.append(character)
    return pieces


def _belongs(before: str, character: str) -> bool:
    """Whether a character goes on with the piece before it."""
    if character.isascii():
        return character == "\n" and before == "\r"
    code, last = ord(character), ord(before[-1])
    if code in _TAGS:
        return before[0] == _BLACK_FLAG
    if character == _JOINER or code in _SKIN_TONES:
        return before[-1] not in "\r\n"
    if unicodedata.category(character) in ("Mn", "Me", "Mc"):
        return before[-1] not in "\r\n"
    if before[-1] == _JOINER:
        return unicodedata.category(character) == "So"
    if code in _REGIONAL:
        return last in _REGIONAL and len(before) == 1
    if code in _VOWELS:
        return last in _LEADING or last in _VOWELS or last in _SYLLABLES
    if code in _TRAILING:
        return last in _VOWELS or last in _TRAILING or last in _SYLLABLES
    return (code in _LEADING or code in _SYLLABLES) and last in _LEADING


#: From coarse to fine.
GRAINS: Final[Mapping[Grain, Callable[[str], list[str]]]] = MappingProxyType(
    {
        "paragraph": _PARAGRAPH.findall,
        "line": _LINE.findall,
        "sentence": _SENTENCE.findall,
        "word": words,
        "character": characters,
    }
)
