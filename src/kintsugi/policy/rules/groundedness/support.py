"""How much of what a sentence says is said, near together, in the texts that it should rest on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from kintsugi.policy.prose import FUNCTION_WORDS, sentences, stem, without_code, words

# Passages overlap by half, so that what belongs together is together in one of them.
_PASSAGE_WORDS = 60
_STEP_WORDS = 30
# A word that stands in so many passages places a sentence nowhere: it counts as said.
_COMMON_PASSAGES = 48
_CLAIM_WORDS_MIN = 4
_DIGITS = re.compile(r"\d")
# Numbers of list items and of citations count nothing.
_MARKS = re.compile(r"^\W*\d{1,3}[.)]\s|[\[【]\^?[\d,;\s–-]{1,40}[\]】]")
# Courtesies, refusals and offers claim nothing about the matter, as long as they name no number.
_NO_CLAIM = re.compile(
    r"(?i)^\W*(?:sorry\b|i'?m sorry|i am sorry|i (?:do not|don'?t|cannot|can'?t)|"
    r"i (?:could not|couldn'?t)|i (?:am|was) (?:unable|not able)|i(?:'m| am) happy to|"
    r"please\b|let me know|feel free|"
    r"is there anything|thank(?:s| you)|hello\b|hi\b|dear\b|"
    r"the (?:context|documents?|sources?|passages?) (?:does|do) not)"
)


class Claim(NamedTuple):
    """One sentence of an answer, weighed.

    Attributes:
        support: share of its words that the best passage has, in [0, 1].
        numbers: how many of its numbers stand nowhere in the context.
        start, end: in characters of the answer.
    """

    start: int
    end: int
    support: float
    numbers: int


class Context:
    """The texts that an answer should rest on, by word."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._passages: dict[str, list[int]] = {}
        self._numbers: set[str] = set()
        first = 0
        for text in texts:
            first = self._add(text, first)
        self.empty = not self._passages

    def _add(self, text: str, first: int) -> int:
        """Take in one text; the number of the first passage after it."""
        passage = first
        for at, word in enumerate(words(text)):
            if _DIGITS.search(word):
                self._numbers.add(word)
            if word in FUNCTION_WORDS:
                continue
            passage = first + at // _STEP_WORDS
            where = self._passages.setdefault(stem(word), [])
            # The passage that begins here, and the one before it that reaches here.
            for number in (passage - 1, passage) if passage > first else (passage,):
                if len(where) < _COMMON_PASSAGES and (not where or where[-1] < number):
                    where.append(number)
        return passage + 2

    def support(self, said: list[str]) -> float:
        """Share of these stems that one passage has together."""
        seen: Counter[int] = Counter()
        common = 0
        for word in said:
            where = self._passages.get(word, ())
            if len(where) >= _COMMON_PASSAGES:
                common += 1
            else:
                seen.update(where)
        best = max(seen.values(), default=0)
        return (best + common) / len(said)

    def weigh(self, answer: str) -> list[Claim]:
        """Every sentence of an answer that claims something."""
        text = without_code(answer)
        found: list[Claim] = []
        for start, end in sentences(text):
            sentence = text[start:end]
            plain = words(_MARKS.sub(" ", sentence))
            said = list(dict.fromkeys(stem(word) for word in plain if word not in FUNCTION_WORDS))
            numbers = {word for word in plain if _DIGITS.search(word)}
            courtesy = sentence.endswith("?") or _NO_CLAIM.match(sentence)
            if (courtesy or len(said) < _CLAIM_WORDS_MIN) and not numbers:
                continue
            missing = len(numbers - self._numbers)
            found.append(Claim(start, end, self.support(said) if said else 1.0, missing))
        return found
