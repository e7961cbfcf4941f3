"""Characters that only look different: compatibility forms, look-alikes, invisible ones.

Everything here maps one character at a time, without regard to its neighbours. So a text folds
the same however it is cut into pieces, which streaming windows rely on.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_ASCII = bytes(range(128))

# Default_Ignorable_Code_Point (DerivedCoreProperties.txt) without the tag characters, plus the
# remaining bidirectional controls: nothing of them is seen, all of them split a word in two.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U0001d173-\U0001d17a"
    "\U000e0100-\U000e01ef\U000e0001]"
)
# Tag characters mirror ASCII, invisibly: whole messages are smuggled in them.
_TAGS = range(0xE0020, 0xE007F)

# Look-alikes that compatibility forms do not cover, after Unicode's confusables.txt (UTS #39),
# reduced to what a reader takes for a Latin letter or a digit.
_LOOK_ALIKES = {
    "a": "аɑαᴀ",
    "b": "Ьʙᏼ",
    "c": "сϲᴄⅽ",
    "d": "ԁᴅđɖ",
    "e": "еҽєεᴇ℮ɛ",
    "f": "ꜰƒғ",
    "g": "ɡɢց",
    "h": "һʜհħ",
    "i": "іıɩιӏɪі",
    "j": "јᴊϳ",
    "k": "кκᴋ",
    "l": "ⅼʟłǀ",
    "m": "мᴍⅿ",
    "n": "ոɴпηñ",
    "o": "оοօᴏøσ",
    "p": "рρᴘ",
    "q": "ԛգ",
    "r": "гʀᴦ",
    "s": "ѕꜱ",
    "t": "тτᴛŧ",
    "u": "υսᴜц",
    "v": "ѵνᴠ",
    "w": "ԝωᴡшѡ",
    "x": "хχⅹ",
    "y": "уγʏү",
    "z": "ᴢʐ",
    "A": "АΑᎪ",
    "B": "ВΒᏴ",
    "C": "СϹᏟ",
    "D": "ᎠĐ",
    "E": "ЕΕᎬ",
    "F": "Ϝ",
    "G": "ԌᏀ",
    "H": "НΗᎻ",
    "I": "ІΙӀ",
    "J": "ЈᎫ",
    "K": "КΚᏦ",
    "L": "ᏞŁ",
    "M": "МΜᎷ",
    "N": "Ν",
    "O": "ОΟՕØ",
    "P": "РΡᏢ",
    "R": "ᏒЯ",
    "S": "ЅᏚՏ",
    "T": "ТΤᎢ",
    "U": "Ս",
    "V": "ѴᏙ",
    "W": "ԜᎳ",
    "X": "ХΧ",
    "Y": "УΥҮ",
    "Z": "ΖᏃ",
    "-": "‐‑‒–—―−",
    "'": "‘’‛ʼ",
    '"': "“”„‟",
}
_LATIN = {ord(odd): plain for plain, odds in _LOOK_ALIKES.items() for odd in odds}
# Negative circled and negative squared capitals have no compatibility form.
_LATIN |= {
    first + offset: chr(ord("A") + offset) for first in (0x1F150, 0x1F170) for offset in range(26)
}
# Regional indicators (the halves of flags) and Braille letters.
_LATIN |= {0x1F1E6 + offset: chr(ord("A") + offset) for offset in range(26)}
_LATIN |= dict(
    zip(map(ord, "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵⠀"), "abcdefghijklmnopqrstuvwxyz ", strict=True)
)

Table = dict[str, str]


def odd_characters(text: str) -> set[str]:
    """The characters of a text that could be folded: those beyond ASCII."""
    data = text.encode("utf-8", "surrogatepass").translate(None, _ASCII)
    return set(data.decode("utf-8", "surrogatepass"))


def unicode_table(odd: Iterable[str], *, removing: bool) -> Table:
    """What to replace to read a text in compatibility form; empty when nothing.

    Args:
        odd: the text's characters beyond ASCII.
        removing: also drop invisible characters. Not for answers: a match could then be longer
            in the text than in the reading, and a streaming window would let go of it too early.
    """
    table: Table = {}
    for character in odd:
        folded = _compatible(character, removing=removing)
        if folded != character:
            table[character] = folded
    return table


def latin_table(odd: Iterable[str], *, removing: bool) -> Table:
    """What to replace to read look-alikes as Latin letters; on top of ``unicode_table``."""
    table: Table = {}
    for character in odd:
        folded = _latin(character, removing=removing)
        if folded != character:
            table[character] = folded
    return table


_FEW = 12


def fold(text: str, table: Table) -> str:
    """The text with every character of the table replaced."""
    if len(table) > _FEW:
        return text.translate({ord(character): folded for character, folded in table.items()})
    # Ten times as fast while there are few: each is found by a memory scan. What a character is
    # replaced with is never itself in the table.
    for character, folded in table.items():
        text = text.replace(character, folded)
    return text


def _compatible(character: str, *, removing: bool) -> str:
    code = ord(character)
    if code in _TAGS:
        return chr(code - 0xE0000)
    if _INVISIBLE.match(character):
        return "" if removing else character
    return unicodedata.normalize("NFKC", character)


def _latin(character: str, *, removing: bool) -> str:
    if (direct := _LATIN.get(ord(character))) is not None:
        return direct
    parts = unicodedata.normalize("NFKD", _compatible(character, removing=removing))
    letters = "".join(part for part in parts if not unicodedata.combining(part))
    folded = "".join(_LATIN.get(ord(letter), letter) for letter in letters)
    # A lone combining mark disappears, except where lengths must not shrink.
    return folded if folded or removing else character
