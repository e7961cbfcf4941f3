"""Words and phrases in a text: exact, or with typing errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from kintsugi.model.content import Part
from kintsugi.policy.automata import Accept, Pattern, Sighting
from kintsugi.policy.normalise import Layer
from kintsugi.policy.recogniser import Recogniser, RecogniserRule
from kintsugi.policy.redaction import Redaction
from kintsugi.policy.rule import Detection, OptionInvalid

DISTANCE_MAX = 8
TERM_CHARS_MAX = 200
_LETTERS_PER_EDIT = 4
_GAP = r"\s{1,4}"
_WORD = re.compile(r"\w+")


def whole_words(text: str, start: int, end: int) -> bool:
    """Whether a match neither begins nor ends inside a word.

    RE2's own word boundary knows ASCII only, so it is of no use in other alphabets.
    """
    before = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
    after = end < len(text) and text[end].isalnum() and text[end - 1].isalnum()
    return not before and not after


def term_pattern(term: str, *, name: str, path: str) -> Pattern:
    """The pattern of a phrase, whatever white space is between its words."""
    return Pattern(name, _spaced(" ".join(term.split())), path=path)


def exact(term: str, *, name: str, path: str, reason_code: str) -> Recogniser:
    """A recogniser for a phrase as whole words.

    Raises:
        OptionInvalid: the phrase is empty or too long.
    """
    check_term(term, path)
    accept: Accept = whole_words
    return Recogniser(term_pattern(term, name=name, path=path), reason_code, accept)


def check_term(term: str, path: str) -> None:
    """Raises:
    OptionInvalid: not usable as a term.
    """
    if not term.strip():
        raise OptionInvalid(path, "is empty", "write a word or a phrase, or remove the line")
    if len(term) > TERM_CHARS_MAX:
        raise OptionInvalid(
            path, f"is longer than {TERM_CHARS_MAX} characters", "use detect_patterns"
        )


class FuzzyTerm:
    """A phrase and everything within an edit distance of it.

    Cut into one piece more than there may be errors, at least one piece of a misspelt phrase is
    untouched. The pieces go into the automaton; the distance is computed only where one stands.
    """

    def __init__(
        self, term: str, *, distance_max: int, name: str, path: str, reason_code: str
    ) -> None:
        check_term(term, path)
        self.name = name
        self.reason_code = reason_code
        self._term = " ".join(term.casefold().split())
        # A short word with two errors is any other short word.
        self._distance_max = min(distance_max, len(self._term) // _LETTERS_PER_EDIT)
        self._word_count = len(self._term.split())
        pieces = _pieces(self._term, self._distance_max + 1)
        self.pattern = Pattern(name, "|".join(map(_spaced, pieces)), path=path)
        # A word of the text may be as long as the phrase and all errors together.
        self.reach_chars = 2 * (len(self._term) + self._distance_max) + 4 * self._word_count

    def find(self, sighting: Sighting, pattern: int) -> Iterator[Detection]:
        """Every run of words near enough to the phrase, around the pieces that were seen."""
        known: dict[str, bool] = {}
        found: dict[tuple[int, int], None] = {}

        def note(text: str, start: int, end: int) -> bool:
            for span in self._around(text, start, end):
                candidate = " ".join(text[span[0] : span[1]].casefold().split())
                near = known.get(candidate)
                if near is None:
                    near = known[candidate] = self._near(candidate)
                if near:
                    found[span] = None
            return False  # go on right behind: pieces may overlap

        for _ in sighting.spans(pattern, note):
            pass
        for start, end in found:
            yield self._detection(sighting.layer, start, end)

    def _around(self, text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Runs of as many words as the phrase has, one more or one less, that hold a piece."""
        reach = self.reach_chars // 2
        first = max(start - reach, 0)
        words = [
            (first + word.start(), first + word.end())
            for word in _WORD.finditer(text[first : end + reach])
        ]
        for count in {max(self._word_count - 1, 1), self._word_count, self._word_count + 1}:
            for at in range(len(words) - count + 1):
                run_start, run_end = words[at][0], words[at + count - 1][1]
                if (
                    run_start <= start
                    and end <= run_end
                    and run_end - run_start <= reach
                    and whole_words(text, run_start, run_end)
                ):
                    yield run_start, run_end

    def _near(self, candidate: str) -> bool:
        return within_distance(candidate, self._term, self._distance_max)

    def _detection(self, layer: Layer, start: int, end: int) -> Detection:
        return Detection(self.name, self.reason_code, layer, start, end, score=0.9)


def _spaced(phrase: str) -> str:
    return _GAP.join(re.escape(word) for word in phrase.split(" "))


def _pieces(term: str, count: int) -> list[str]:
    """The term cut into stretches of nearly equal length, without blank edges."""
    edges = [round(index * len(term) / count) for index in range(count + 1)]
    pieces = (term[start:end].strip() for start, end in pairwise(edges))
    return list(dict.fromkeys(piece for piece in pieces if piece))


def within_distance(one: str, other: str, distance_max: int) -> bool:
    """Whether the Levenshtein distance of two texts is at most ``distance_max``.

    Looks only at the diagonal band that can still matter: time is the length times the band.
    """
    if abs(len(one) - len(other)) > distance_max:
        return False
    if one == other:
        return True
    beyond = distance_max + 1
    row = [min(column, beyond) for column in range(len(other) + 1)]
    for index, letter in enumerate(one, start=1):
        low, high = max(1, index - distance_max), min(len(other), index + distance_max)
        diagonal = row[low - 1]
        row[low - 1] = min(index, beyond) if low == 1 else beyond
        for column in range(low, high + 1):
            above = row[column] if column < index + distance_max else beyond
            best = min(above + 1, row[column - 1] + 1, diagonal + (letter != other[column - 1]))
            diagonal, row[column] = row[column], min(best, beyond)
        if min(row[low - 1 : high + 1]) > distance_max:
            return False
    return row[len(other)] <= distance_max


class FuzzyRecogniserRule(RecogniserRule):
    """Recognisers, and after them the fuzzy terms, whose patterns are only pieces."""

    def __init__(
        self,
        recognisers: Sequence[Recogniser],
        fuzzy: Sequence[FuzzyTerm],
        redaction: Redaction | None = None,
    ) -> None:
        super().__init__(recognisers, redaction=redaction)
        self._fuzzy = tuple(fuzzy)
        self._first_fuzzy = len(self.patterns)
        self.patterns += tuple(term.pattern for term in fuzzy)
        reach = max((term.reach_chars for term in fuzzy), default=0)
        self.reach_chars = max(self.reach_chars, reach)
        self.context_chars = max(self.context_chars, reach)

    def examine(self, part: Part, sightings: Sequence[Sighting]) -> Sequence[Detection]:  # noqa: ARG002
        """Confirm what was seen."""
        found: list[Detection] = []
        for sighting in sightings:
            for index in sighting.patterns:
                if index < self._first_fuzzy:
                    found.extend(self.confirmed(sighting, index))
                else:
                    found.extend(self._fuzzy[index - self._first_fuzzy].find(sighting, index))
        return found


def check_distance(distance_max: int) -> None:
    """Raises:
    OptionInvalid: ``max_distance`` is out of range.
    """
    if not 0 <= distance_max <= DISTANCE_MAX:
        raise OptionInvalid(
            "max_distance", f"{distance_max} is out of range", f"use 0 to {DISTANCE_MAX}"
        )


def own_terms(
    terms: Mapping[int, str], *, name: str, path: str, reason_code: str, distance_max: int
) -> tuple[list[Recogniser], list[FuzzyTerm]]:
    """What finds the words and phrases of an option: ``name_1`` for the first, and so on.

    Args:
        terms: by their places in the option at ``path``.
        distance_max: typing errors that a term may have; 0 finds it as it is written.

    Raises:
        OptionInvalid: a term is empty or too long.
    """
    exactly: list[Recogniser] = []
    nearly: list[FuzzyTerm] = []
    for place, term in terms.items():
        called, where = f"{name}_{place + 1}", f"{path}.{place}"
        if distance_max:
            nearly.append(
                FuzzyTerm(
                    term,
                    distance_max=distance_max,
                    name=called,
                    path=where,
                    reason_code=reason_code,
                )
            )
        else:
            exactly.append(exact(term, name=called, path=where, reason_code=reason_code))
    return exactly, nearly
