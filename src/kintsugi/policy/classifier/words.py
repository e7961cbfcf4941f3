"""What the classifier sees of a text: words, what each of them means, and which stand together.

Everything is counted in one pass over the words of a text, so that the cost is linear and the same
for every text: there is nothing to backtrack into.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kintsugi.policy.classifier.concepts import Concepts, without_accents

# Scripts that write no spaces between words: each character is a word, or a known term is.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
# Letters of all scripts, with the marks that belong to them.
_LETTERS = (
    "0-9a-z\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u0dff\u0e80-\u1fff"
    "\u200c\u2c00-\u2dff\ua4d0-\ud7ff\ufb00-\ufdff\ufe70-\ufeff"
    "\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\uff66-\uffdc\U00010000-\U0001efff"
)
# Signs that say something are words. The others only part words.
_SIGNS = '?:"'
_ANY_WORD = re.compile(rf"[{_UNSPACED}]+|[{_LETTERS}]+|[{re.escape(_SIGNS)}]")
# The same before apostrophes are taken out, which are no part of a word: "don't" is "dont".
_ANY_PLACE = re.compile(rf"[{_UNSPACED}]+|[{_LETTERS}](?:'*[{_LETTERS}])*|[{re.escape(_SIGNS)}]")
_UNSPACED_RUN = re.compile(rf"[{_UNSPACED}]")
_DIGIT = re.compile(r"\d")
_KEPT = frozenset("abcdefghijklmnopqrstuvwxyz" + _SIGNS)
# By character of ASCII: itself, a zero for any digit, else a space.
_PLAIN = {
    code: "0" if chr(code).isdigit() else chr(code) if chr(code) in _KEPT else " "
    for code in range(128)
}
# What fine print uses, one sign for one: English with it is read as quickly as without.
_TYPOGRAPHY = (
    *(("\u2019", "'"), ("\u2018", "'"), ("\u201c", '"'), ("\u201d", '"'), ("\u2013", " ")),
    *(("\u2014", " "), ("\u2026", " "), ("\u2022", " "), ("\u00a0", " ")),
)
_APART = tuple((sign, f" {sign} ") for sign in _SIGNS)
START = "\x02"

# What it is, and of which words or meanings.
Feature = tuple[str | int, ...]

_STEM_CHARS_MIN = 6
_BEGINNING_CHARS = 5
_ENDING_CHARS = 4


def words(text: str, concepts: Concepts) -> list[str]:
    """The words of a text in order, in lower case, after a mark for its beginning.

    Every digit is a zero; apostrophes are left out.
    """
    lowered = text.lower()
    if not lowered.isascii():
        lowered = _plain_typography(lowered)
    lowered = lowered.replace("'", "")
    if lowered.isascii():
        lowered = lowered.translate(_PLAIN)
        for sign, apart in _APART:
            lowered = lowered.replace(sign, apart)
        found = lowered.split()
        found.insert(0, START)
        return found
    found = [START]
    for word in _ANY_WORD.findall(_DIGIT.sub("0", lowered)):
        if _UNSPACED_RUN.match(word):
            concepts.split(word, found)
        else:
            found.append(word)
    return found


def places(text: str, concepts: Concepts, count: int | None = None) -> list[tuple[int, int]]:
    """Where the same words stand, in characters of the text; (0, 0) for the beginning.

    Args:
        count: how many are wanted at least; None for all.
    """
    lowered = text.lower()
    found = [(0, 0)]
    if len(lowered) != len(text):  # a few capitals become two small letters: no place is exact
        lowered = "".join(one.lower() if len(one.lower()) == 1 else one for one in text)
    for match in _ANY_PLACE.finditer(_plain_typography(lowered)):
        if count is not None and len(found) >= count:
            break
        if _UNSPACED_RUN.match(match.group()):
            pieces: list[str] = []
            concepts.split(match.group(), pieces)
            at = match.start()
            for piece in pieces:
                found.append((at, at + len(piece)))
                at += len(piece)
        else:
            found.append(match.span())
    return found


def _plain_typography(text: str) -> str:
    for sign, plain in _TYPOGRAPHY:
        text = text.replace(sign, plain)
    return text


def parts(word: str) -> tuple[str, str]:
    """How a word begins and how it ends; empty where it is too short to be told by that."""
    if len(word) < _STEM_CHARS_MIN or not word.isalpha():
        return "", ""
    return word[:_BEGINNING_CHARS], word[-_ENDING_CHARS:]


def shape(word: str) -> str:
    """The word without accents."""
    return word if word.isascii() else without_accents(word)


# How many words may lie between two meanings that belong together.
CONCEPT_GAP = 10
CONCEPT_NEAR = 3


def features_by_position(text: str, concepts: Concepts) -> list[list[Feature]]:
    """Every feature of a text by name, by the position of the word that completes it.

    The slow and plain form, which training uses; ``Model.score`` adds up the weights of the same
    features without listing them.
    """
    shapes = [shape(word) for word in words(text, concepts)]
    found: list[list[Feature]] = [list(alone(word, concepts)) for word in shapes]
    for at in range(1, len(shapes)):
        found[at].append(("pair", shapes[at - 1], shapes[at]))
    placed = [(at, concept) for at, word in enumerate(shapes) if (concept := concepts.of(word))]
    for number, (at, concept) in enumerate(placed):
        if number > 0 and at - placed[number - 1][0] <= CONCEPT_GAP:
            earlier, before = placed[number - 1]
            found[at] += together(before, concept, near=at - earlier <= CONCEPT_NEAR)
            if number > 1 and at - placed[number - 2][0] <= CONCEPT_GAP:
                found[at] += in_a_row(placed[number - 2][1], before, concept)
    return found


def alone(word: str, concepts: Concepts) -> Iterator[Feature]:
    """What a word says by itself."""
    yield "word", word
    beginning, ending = parts(word)
    if beginning:
        yield "beginning", beginning
        yield "ending", ending
    if concept := concepts.of(word):
        yield "concept", concept


def together(first: int, second: int, *, near: bool) -> tuple[Feature, ...]:
    """Two meanings that follow each other: in this order, and in any."""
    return ("near" if near else "far", first, second), _either(first, second)


def in_a_row(first: int, second: int, third: int) -> tuple[Feature, ...]:
    """Three meanings that follow each other, besides the pairs in them."""
    return ("three", first, second, third), *across(first, third)


def across(first: int, third: int) -> tuple[Feature, ...]:
    """Two meanings with another one between them."""
    return ("across", first, third), _either(first, third)


def _either(first: int, second: int) -> Feature:
    return "either", min(first, second), max(first, second)
