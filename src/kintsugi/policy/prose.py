"""Sentences and words of a text, for rules that compare what an answer says with what it was given.

Plain means, the same for every alphabet: no dictionary, no model, time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]{1,400}`", re.DOTALL)
# A full stop ends a sentence only before white space; in scripts without blanks it always does.
_END = re.compile(
    r"[.!?…]+[\"'”’)\]]*(?=\s|\Z)|[。！？]+[」』”’]*|\n\s*\n|\n(?=\s*(?:[-*•#>|]|\d+[.)]\s))"
)
_ABBREVIATED = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|approx|no|nos|fig|dr|mr|mrs|ms|prof|st|inc|ltd|co|dept|est|p|pp|art|"
    r"sec|al|cf|ca|bzw|z\.b|d\.h|nr|usw|str|evtl)|\b[A-Za-z])\Z",
    re.IGNORECASE,
)
# Scripts without blanks between words: their characters are taken two by two.
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
_WORD = re.compile(r"\d[\d.,:]*\d|\w+(?:['’]\w+)?")
_GROUPED = re.compile(r"(?<=\d)[,'](?=\d{3}(?:\D|\Z))")
_KEPT_CHARS = 7


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that say nothing about what a sentence is about, in languages that many answers have.
FUNCTION_WORDS = _set(
    """
    a about after again all also an and any are as at be because been before being both but by can
    could did do does each few for from further had has have having he her here him his how i if in
    into is it its just may me might more most must my no nor not of off on once only or other our
    out over own same she should so some such than that the their them then there these they this
    those through to too under until up very was we were what when where which while who whom why
    will with would you your yours
    als auch auf aus aber bei das dass dem den der des die ein eine einem einen einer eines er es
    für haben hat ihr im in ist mit nach nicht oder sich sie sind und von war werden wie wir wird zu
    avec ce ces cette dans de des du elle est et il ils la le les mais ne nous ou par pas pour que
    qui se son sont sur un une vous
    como con el en es las lo los más o para pero por su sus unas unos una y
    che da di e gli i il lo ma non per sono su tra uno è
    com em mas na nas no nos não os ou por seu sua são um uma é
    dat de een en het maar met niet op te van voor zijn
    """
)


class Span(NamedTuple):
    """A stretch of a text."""

    start: int
    end: int


def without_code(text: str) -> str:
    """The same text with code blanked out, every other character where it was."""
    return _CODE.sub(lambda match: " " * len(match[0]), text)


def sentences(text: str) -> Iterator[Span]:
    """Sentences, headings and list items, in order, without white space around them."""
    start = 0
    for end in _END.finditer(text):
        if end[0][0] == "." and _ABBREVIATED.search(
            text, max(start, end.start() - 12), end.start()
        ):
            continue
        yield from _trimmed(text, start, end.end())
        start = end.end()
    yield from _trimmed(text, start, len(text))


def _trimmed(text: str, start: int, end: int) -> Iterator[Span]:
    piece = text[start:end]
    first = start + len(piece) - len(piece.lstrip())
    last = start + len(piece.rstrip())
    if last > first:
        yield Span(first, last)


def words(text: str) -> list[str]:
    """Words in lower case, in order; numbers as one word, without separators of thousands.

    Scripts without blanks give overlapping pairs of characters.
    """
    found: list[str] = []
    for match in _WORD.finditer(text.casefold()):
        word = match[0]
        if word.isascii():
            found.append(_number(word) if word[0].isdigit() else word)
        else:
            found.extend(_pairs(word))
    return found


def _pairs(word: str) -> Iterator[str]:
    at = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > at:
            yield word[at : run.start()]
        chars = run[0]
        yield from (chars[n : n + 2] for n in range(max(len(chars) - 1, 1)))
        at = run.end()
    if at < len(word):
        yield word[at:]


def _number(word: str) -> str:
    return _GROUPED.sub("", word)


def content_words(text: str) -> list[str]:
    """The words that say what a text is about, without their endings."""
    return [stem(word) for word in words(text) if word not in FUNCTION_WORDS]


def stem(word: str) -> str:
    """A word without its usual English endings, seven letters at most; numbers as they are."""
    if word[0].isdigit() or not word.isascii():
        return word[:_KEPT_CHARS] if word[0].isalpha() else word
    word = word.removesuffix("'s")
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)] + instead
            break
    else:
        if word.endswith("s") and not word.endswith("ss") and len(word) > 3:
            word = word[:-1]
    if word.endswith("e") and len(word) > 3:
        word = word[:-1]
    return word[:_KEPT_CHARS]
