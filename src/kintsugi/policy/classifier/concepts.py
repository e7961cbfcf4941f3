"""What words mean in any language, as far as attacks on a model are concerned.

The list (``concepts.txt``) says for each of some thirty languages how people say *ignore*,
*instructions*, *earlier*, *reveal* and so on. A model that has learnt what an English attack is
made of thereby knows most of one in Turkish.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib.resources import files

# Stems shorter than this would be the beginning of too many words.
_STEM_CHARS_MIN = 3
_HAN_FIRST = "\u3400"
_HAN_CLASSES = 1_024


class Concepts:
    """A list of meanings.

    Attributes:
        names: the concepts; a concept's number is its place in here, from 1.
    """

    def __init__(self, listing: str) -> None:
        self.names: list[str] = []
        self._words: dict[str, int] = {}
        # By their first three letters, the longest first: most words have no such beginning.
        self._stems: dict[str, list[tuple[str, int]]] = {}
        self._terms: dict[str, list[str]] = {}
        number = 0
        for line in listing.splitlines():
            if not line or line.startswith("#"):
                continue
            if line.startswith("["):
                name = line.strip("[]")
                if name not in self.names:
                    self.names.append(name)
                number = self.names.index(name) + 1
                continue
            for word in line.partition(":")[2].split():
                self._add(word, number)
        for terms in self._terms.values():
            terms.sort(key=len, reverse=True)
        for stems in self._stems.values():
            stems.sort(key=lambda stem: -len(stem[0]))

    def _add(self, word: str, number: int) -> None:
        if unspaced(word):
            self._terms.setdefault(word[0], []).append(word)
            self._words.setdefault(without_accents(word), number)
        elif word.endswith("*"):
            stem = without_accents(word[:-1])
            stems = self._stems.setdefault(stem[:_STEM_CHARS_MIN], [])
            if stem not in (known for known, _ in stems):
                stems.append((stem, number))
        else:
            self._words.setdefault(without_accents(word), number)

    def of(self, word: str) -> int:
        """The number of a word's concept; 0 when it has none."""
        found = self._words.get(word)
        if found is not None:
            return found
        for stem, number in self._stems.get(word[:_STEM_CHARS_MIN], ()):
            if word.startswith(stem):
                return number
        return 0

    def split(self, run: str, into: list[str]) -> None:
        """Cut text without spaces into the terms of the list and single characters."""
        at, size = 0, len(run)
        terms = self._terms
        while at < size:
            for term in terms.get(run[at], ()):
                if run.startswith(term, at):
                    into.append(term)
                    at += len(term)
                    break
            else:
                sign = run[at]
                if sign >= _HAN_FIRST:  # there are tens of thousands; a thousand classes do
                    sign = chr(0x4E00 + ord(sign) % _HAN_CLASSES)
                into.append(sign)
                at += 1


def unspaced(word: str) -> bool:
    """Whether a word is of a script that writes no spaces."""
    code = ord(word[0])
    return 0x0E00 <= code <= 0x0E7F or 0x3040 <= code <= 0x9FFF


def without_accents(word: str) -> str:
    """The word in compatibility form and without marks on its letters."""
    parts = unicodedata.normalize("NFKD", word)
    return "".join(part for part in parts if not unicodedata.combining(part)) or word


@cache
def shipped() -> Concepts:
    """The list that comes with the program."""
    return Concepts(files(__package__).joinpath("concepts.txt").read_text(encoding="utf-8"))
