"""The citations in an answer, in the forms that models write them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Literal, NamedTuple

from kintsugi.policy.prose import words
from kintsugi.policy.sources import URL, label, url_key

Form = Literal["bracket", "url", "quote", "academic"]

# Not `a[1]`, and not the text of a Markdown link, whose URL is the citation.
_BRACKET = re.compile(
    r"(?<![\w\])])[\[【]\^?([^\[\]【】\n]{1,80})[\]】](?!\()|(?<=[\])])\[\^?(\d{1,4})\](?!\()"
)
_LIST = re.compile(r"\s*[,;]\s*|\s+and\s+|\s*&\s*")
_RANGE = re.compile(r"(\d{1,4})\s*[-–]\s*(\d{1,4})\Z")
_RANGE_MAX = 50
_NUMBERED = re.compile(
    r"(?:source|document|doc|ref|reference|passage|chunk|context)?[ #_-]{0,2}\d{1,4}\Z",
    re.IGNORECASE,
)
_LENS = re.compile(r"†.*\Z")
_QUOTE = re.compile(
    r"“([^“”\n]{1,2000})”|\"([^\"\n]{1,2000})\"|„([^„“\n]{1,2000})“|«([^«»\n]{1,2000})»"
)
_NAME = r"[A-Z][\w'’-]{1,40}"
_ACADEMIC = re.compile(
    rf"\(({_NAME})(?:\s+(?:et\s+al\.?|(?:and|&)\s+{_NAME}))?,?\s+((?:19|20)\d\d)[a-z]?\)"
    rf"|\b({_NAME})(?:\s+(?:et\s+al\.?|(?:and|&)\s+{_NAME}))?\s+\(((?:19|20)\d\d)[a-z]?\)"
)


class Citation(NamedTuple):
    """One citation.

    Attributes:
        keys: what has to be found for it: a label, a URL, the words of a quote, or surname and
            year.
        start, end: in characters of the answer.
    """

    form: Form
    keys: tuple[str, ...]
    start: int
    end: int


def citations(text: str, forms: Collection[Form], known: Collection[str]) -> Iterator[Citation]:
    """Every citation in a text, form by form.

    Args:
        text: without code, in which brackets and quotes mean other things.
        known: labels of sources. Words in brackets are a citation only if they are one of these,
            for brackets hold remarks too; numbers always are.
    """
    if "bracket" in forms:
        yield from _brackets(text, known)
    if "url" in forms:
        for match in URL.finditer(text):
            yield Citation("url", (url_key(match[0]),), match.start(), match.end())
    if "quote" in forms:
        for match in _QUOTE.finditer(text):
            said = match[match.lastindex or 0]
            yield Citation("quote", tuple(words(said)), match.start(), match.end())
    if "academic" in forms:
        for match in _ACADEMIC.finditer(text):
            name, year = match[1] or match[3], match[2] or match[4]
            yield Citation("academic", (name.casefold(), year), match.start(), match.end())


def _brackets(text: str, known: Collection[str]) -> Iterator[Citation]:
    for match in _BRACKET.finditer(text):
        inner = _LENS.sub("", match[1] or match[2])
        for name in _LIST.split(inner):
            key = label(name)
            span = _RANGE.match(name)
            if span and 0 <= int(span[2]) - int(span[1]) <= _RANGE_MAX:
                for number in range(int(span[1]), int(span[2]) + 1):
                    yield Citation("bracket", (str(number),), match.start(), match.end())
            elif key in known or _NUMBERED.match(name.strip()):
                yield Citation("bracket", (key,), match.start(), match.end())
