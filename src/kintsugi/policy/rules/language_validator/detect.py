"""Which language a text is in: its script first, then its small words, endings and letters."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import NamedTuple

from kintsugi.policy.prose import without_code
from kintsugi.policy.rules.language_validator.profiles import (
    ENDINGS,
    FUNCTION_WORDS,
    LETTERS,
    SCRIPT_LANGUAGES,
    SHARED_SCRIPTS,
    WORD,
)
from kintsugi.policy.sources import URL

_ENDING_WEIGHT = 0.35
_LETTER_WEIGHT = 0.5
_ENDING_LETTERS_MIN = 4
# Beyond this a paragraph says nothing new about its language; it is read evenly, not from the
# start only.
_WORDS_READ_MAX = 2_000
_LETTER = re.compile(r"[^\W\d_]")
_ADDRESS = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w.-]{1,255}|#\w+|[@/]\w[\w/.-]*")


class Reading(NamedTuple):
    """What a text looks like.

    Attributes:
        scores: evidence for each language that has any, in comparable units: about the number of
            its telling words.
        letters: how many letters the text has.
    """

    scores: Mapping[str, float]
    letters: int

    @property
    def best(self) -> str:
        """The likeliest language; empty without evidence."""
        return max(self.scores, key=lambda language: self.scores[language], default="")

    def lead(self, others: frozenset[str]) -> float:
        """By how much the likeliest language leads the likeliest of ``others``, in [0, 1]; less
        where there is little evidence."""
        best = self.scores.get(self.best, 0.0)
        if not best or self.best in others:
            return 0.0
        second = max((self.scores.get(language, 0.0) for language in others), default=0.0)
        return (1 - second / best) * min(best / 2, 1.0)


def prose_of(text: str) -> str:
    """The text with code, addresses and names of files blanked out, all else where it was."""
    text = without_code(text)
    for pattern in (URL, _ADDRESS):
        text = pattern.sub(lambda match: " " * len(match[0]), text)
    return text


def read(prose: str) -> Reading:
    """Evidence for the languages of a text; see ``prose_of``."""
    letters = len(_LETTER.findall(prose))
    if not letters:
        return Reading({}, 0)
    counts = {
        script: len(pattern.findall(prose)) for script, pattern in _profiles().scripts.items()
    }
    if counts["ja"] * 10 >= counts["zh"] and counts["ja"]:
        counts["ja"] += counts.pop("zh")
    script = max(counts, key=lambda name: counts[name])
    if not counts[script]:
        return Reading({}, letters)
    if script in SCRIPT_LANGUAGES:
        # Two letters of such a script weigh as much as a telling word.
        return Reading({script: counts[script] / 2}, letters)
    return Reading(_by_words(prose, SHARED_SCRIPTS[script]), letters)


def _by_words(prose: str, languages: tuple[str, ...]) -> dict[str, float]:
    profiles = _profiles()
    scores: defaultdict[str, float] = defaultdict(float)
    for word in _spread(WORD.findall(prose.casefold().replace("’", "'"))):
        for language, weight in profiles.telling.get(word, ()):
            scores[language] += weight
        if len(word) >= _ENDING_LETTERS_MIN:
            for language, weight in _ending(word, profiles.endings):
                scores[language] += weight
        if not word.isascii():
            for letter in set(word):
                for language, weight in profiles.letters.get(letter, ()):
                    scores[language] += weight
    return {language: scores[language] for language in languages if scores[language] > 0}


def _spread(words: list[str]) -> Iterator[str]:
    return islice(words, 0, None, max(len(words) // _WORDS_READ_MAX, 1))


def _ending(
    word: str, endings: Mapping[str, list[tuple[str, float]]]
) -> Iterator[tuple[str, float]]:
    for length in (3, 4, 5, 6):
        yield from endings.get(word[-length:], ())


def _shared(
    profile: Mapping[str, tuple[str, ...]], weight: float
) -> dict[str, list[tuple[str, float]]]:
    """What tells, with the languages it tells of: the more languages share it, the less."""
    owners: dict[str, set[str]] = {}
    for language, marks in profile.items():
        for mark in marks:
            owners.setdefault(mark, set()).add(language)
    return {
        mark: [(language, weight / len(sharing)) for language in sorted(sharing)]
        for mark, sharing in owners.items()
    }


class _Profiles(NamedTuple):
    """What tells languages apart, ready to be looked up."""

    scripts: Mapping[str, re.Pattern[str]]
    telling: Mapping[str, list[tuple[str, float]]]
    endings: Mapping[str, list[tuple[str, float]]]
    letters: Mapping[str, list[tuple[str, float]]]


@cache
def _profiles() -> _Profiles:
    """Made when the first text is read: it takes ten milliseconds."""
    chars = {**SCRIPT_LANGUAGES, **{chars: chars for chars in SHARED_SCRIPTS}}
    return _Profiles(
        {script: re.compile(f"[{chars[script]}]") for script in chars},
        _shared(FUNCTION_WORDS, 1.0),
        _shared(ENDINGS, _ENDING_WEIGHT),
        _shared({name: tuple(letters) for name, letters in LETTERS.items()}, _LETTER_WEIGHT),
    )
