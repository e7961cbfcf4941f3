"""What the classifier sees of a text: words, what each of them means, and which stand together.

Everything is counted in one pass over the words of a text, so that the cost is linear and the same
for every text: there is nothing to backtrack into.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from zlib import crc32

from kintsugi.policy.classifier.concepts import Concepts, without_accents

BUCKETS = 1 << 17
_MASK = BUCKETS - 1

# Scripts that write no spaces between words: each character is a word, or a known term is.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
# Commas, full stops and quotation marks say little and are many. Signs in a row are one word, so
# that a text of nothing but signs is cheap.
_ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]{1,4}\b)?|[^ ,.'a-z0-9]+")
# Letters of all scripts, with the marks that belong to them.
_LETTERS = (
    "0-9a-z\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u0dff\u0e80-\u1fff"
    "\u200c\u2c00-\u2dff\ua4d0-\ud7ff\ufb00-\ufdff\ufe70-\ufeff\U00010000-\U0001efff"
)
_ANY_WORD = re.compile(
    rf"[{_UNSPACED}]+|[{_LETTERS}]+(?:['\u2019][{_LETTERS}]{{1,4}}\b)?"
    rf"|[^\s,.'\u2019{_LETTERS}{_UNSPACED}]+"
)
# The same for a line without any letter beyond ASCII, in a fifth of the time.
_ANY_WORD_OF_ASCII = re.compile(r"[0-9a-z]+(?:'[0-9a-z]{1,4}\b)?|[^\s,.'0-9a-z]+")
_UNSPACED_RUN = re.compile(rf"[{_UNSPACED}]")
START = "\x02"

# A word longer than this is judged by its first characters.
_WORD_CHARS_MAX = 24
_STEM_CHARS_MIN = 6


class Word(NamedTuple):
    """A word as the model knows it.

    Attributes:
        features: what it says by itself, as buckets.
        key: what it is in a combination with its neighbours.
        concept: what it means in any language; 0 for most words.
    """

    features: tuple[int, ...]
    key: int
    concept: int


def words(text: str, concepts: Concepts) -> list[str]:
    """The words of a text in order, in lower case, after a mark for its beginning."""
    lowered = text.lower()
    if lowered.isascii():
        return [START, *_ASCII_WORD.findall(lowered)]
    found = [START]
    for line in lowered.split("\n"):  # no word goes on in the next one
        if line.isascii():
            found += _ANY_WORD_OF_ASCII.findall(line)
            continue
        for word in _ANY_WORD.findall(line):
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
    pattern = _ASCII_WORD if lowered.isascii() else _ANY_WORD
    for match in pattern.finditer(lowered):
        if count is not None and len(found) >= count:
            break
        if pattern is _ANY_WORD and _UNSPACED_RUN.match(match.group()):
            pieces: list[str] = []
            concepts.split(match.group(), pieces)
            at = match.start()
            for piece in pieces:
                found.append((at, at + len(piece)))
                at += len(piece)
        else:
            found.append(match.span())
    return found


# Sums of the letters that say what a feature is about, to which what follows is added.
_WORD = crc32(b"w")
_BEGINNING = crc32(b"p")
_END = crc32(b"s")


def describe(word: str, concepts: Concepts) -> Word:
    """What a word says by itself."""
    shape = _shape(word)
    concept = concepts.of(shape)
    data = shape.encode("utf-8", "replace")
    features: tuple[int, ...] = (crc32(data, _WORD) & _MASK,)
    if len(shape) >= _STEM_CHARS_MIN and shape.isalpha():
        beginning, end = data[:5], data[-4:]
        if len(data) != len(shape):
            beginning, end = shape[:5].encode(), shape[-4:].encode()
        features = (
            *features,
            crc32(beginning, _BEGINNING) & _MASK,
            crc32(end, _END) & _MASK,
        )
    if concept:
        features = (*features, bucket(f"c{concept}"))
    return Word(features, crc32(data) & _MASK, concept)


def bucket(name: str) -> int:
    """The place of a feature in the table."""
    return crc32(name.encode("utf-8", "replace")) & _MASK


def _shape(word: str) -> str:
    """The word without what does not matter: accents, which number it is, its far end."""
    if word.isascii() and word.isalpha():
        return word[:_WORD_CHARS_MAX]
    if not word[0].isalnum():
        return word[:3]
    if not word.isascii():
        word = without_accents(word).replace("\u2019", "'")
        if word.isalpha():
            return word[:_WORD_CHARS_MAX]
    if word.isdigit():
        return "0" if len(word) < 3 else "000"
    if len(word) > 7 and any(one.isdigit() for one in word):
        return "x0"
    return word[:_WORD_CHARS_MAX]


# A word's key is multiplied by another number for each place that it can have in a combination,
# so that the same words in another order are something else.
BEFORE = 0x3D4D
BEFORE_ONE = 0x5F35
AFTER_ONE = 3
FIRST_OF_THREE = 0x2B0B
SECOND_OF_THREE = 0x6C8F


def pair(first: int, second: int) -> int:
    """Two words next to each other."""
    return ((first * BEFORE & _MASK) + second) & _MASK


def around(first: int, third: int) -> int:
    """Two words with any one between them."""
    return ((first * BEFORE_ONE & _MASK) + (third * AFTER_ONE & _MASK)) & _MASK


def triple(first: int, second: int, third: int) -> int:
    """Three words in a row."""
    return ((first * FIRST_OF_THREE & _MASK) + (second * SECOND_OF_THREE & _MASK) + third) & _MASK


# How many words may lie between two meanings that belong together.
CONCEPT_GAP = 10
CONCEPT_NEAR = 3


def concept_pair(first: int, second: int, *, near: bool) -> tuple[int, int]:
    """Two meanings that follow each other: in this order, and in any."""
    return _mixed(first, second, 1 if near else 2), _either(first, second)


def concept_triple(first: int, second: int, third: int) -> tuple[int, int, int]:
    """Three meanings that follow each other, besides the pairs in them."""
    return (
        _mixed(first, third, 4),
        _mixed(first * 64 + second, third, 5),
        _either(first, third),
    )


def _either(first: int, second: int) -> int:
    return _mixed(min(first, second), max(first, second), 3)


def _mixed(first: int, second: int, way: int) -> int:
    return (((first * 64 + second) * 8 + way) * 0x9E3779B1 >> 9) & _MASK


def features_by_position(
    text: str, concepts: Concepts, known: Mapping[str, Word] | None = None
) -> list[list[int]]:
    """Every feature of a text, by the position of the word that completes it.

    The slow and plain form, which training uses; ``Model.score`` adds up the weights of the same
    features without listing them.
    """
    described = [
        known[word] if known is not None and word in known else describe(word, concepts)
        for word in words(text, concepts)
    ]
    found: list[list[int]] = []
    for at, word in enumerate(described):
        features = list(word.features)
        if at > 0:
            features.append(pair(described[at - 1].key, word.key))
        if at > 1:
            features.append(around(described[at - 2].key, word.key))
            features.append(triple(described[at - 2].key, described[at - 1].key, word.key))
        found.append(features)
    placed = [(at, word.concept) for at, word in enumerate(described) if word.concept]
    for number, (at, concept) in enumerate(placed):
        if number > 0 and at - placed[number - 1][0] <= CONCEPT_GAP:
            earlier, before = placed[number - 1]
            found[at] += concept_pair(before, concept, near=at - earlier <= CONCEPT_NEAR)
            if number > 1 and at - placed[number - 2][0] <= CONCEPT_GAP:
                found[at] += concept_triple(placed[number - 2][1], before, concept)
    return found
