"""The trained classifier: how much a text looks like an attack on the model that will read it.

A linear model over hashed words, neighbours and meanings (``words.py``). Its weights are a table
of whole numbers, three to an entry, one for each score; they are added up in one pass and read
off for every window of a text. Most windows end with what their words say one by one: where that
does not come near an attack, what their neighbours say is not looked up. Plain Python and no
library, a few microseconds for each ten words.
"""

from __future__ import annotations

import array
import json
import math
import sys
import zlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import accumulate, repeat
from operator import itemgetter
from typing import Literal, NamedTuple, Protocol

import msgspec

from kintsugi.policy.classifier.concepts import Concepts, shipped
from kintsugi.policy.classifier.words import (
    AFTER_ONE,
    BEFORE,
    BEFORE_ONE,
    BUCKETS,
    CONCEPT_GAP,
    CONCEPT_NEAR,
    FIRST_OF_THREE,
    SECOND_OF_THREE,
    concept_pair,
    concept_triple,
    describe,
    places,
    words,
)

HEADS = ("direct", "jailbreak", "indirect")
Place = Literal["user", "tool", "answer"]
PLACES: tuple[Place, ...] = ("user", "tool", "answer")

# Windows in words: a planted sentence shows in a small one, a persona in a large one.
WINDOWS = ((32, 16), (128, 64))
# All of them begin at the beginning of a block of words, and end at the end of one or of the text.
_BLOCK = 16
# A text shorter than this does not count as surer than one of this length.
WORDS_MIN = 10

# Each entry of the table holds three weights, so that one addition adds all three.
_BITS = 21
_HALF = 1 << (_BITS - 1)
_FIELD_MASK = (1 << _BITS) - 1
_SHIFTS = tuple((head, _BITS * head) for head in range(len(HEADS)))
# Added to a sum, makes every weight in it a positive number that can be cut out.
_ZEROS = sum(_HALF << shift for _, shift in _SHIFTS)
# By the number of words in a window.
_SCALES = tuple(1.0 / math.sqrt(max(size, WORDS_MIN)) for size in range(WINDOWS[-1][0] + 1))
_MASK = BUCKETS - 1
_KNOWN_MAX = 12_000


class Score(NamedTuple):
    """How sure one of the scores is, and of which words.

    Attributes:
        probability: 0 to 1, calibrated on sources that training had not seen.
        first, last: the window that decided, in words; see ``Model.span``.
    """

    probability: float
    first: int
    last: int


class Scores(NamedTuple):
    """What the classifier makes of a text.

    Attributes:
        direct: a speaker who wants the model to drop or to tell its instructions.
        jailbreak: a speaker who wants the model to be something without limits.
        indirect: content that addresses the model that reads it.
    """

    direct: Score
    jailbreak: Score
    indirect: Score


class Classifier(Protocol):
    """What can take the trained model's place: a larger one, for instance.

    It must be a pure function of the text, and local: what a decision was made of has to be the
    same when it is replayed. A model behind a network belongs into ``external-moderation``, which
    gives it a time limit and records its answer.
    """

    def score(self, text: str, place: Place) -> Scores:
        """Judge a text that somebody says in this place, in time linear in its length."""

    def span(self, text: str, score: Score) -> tuple[int, int]:
        """The characters that decided a score."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a model file says before its table.

    Attributes:
        version: raised with every training.
        bias: per head, in logits.
        unit: per head, what one step of a weight is, in logits.
        floor: logit that a window has to reach by its words alone, or neighbours do not count
            in it.
        slope: per head, from logit to calibrated logit.
        offset: the same per place (user, tool, answer) and head, so that one half is where a text
            counts as an attack in that place.
    """

    version: int
    bias: tuple[float, float, float]
    unit: tuple[float, float, float]
    floor: float
    slope: tuple[float, float, float]
    offset: tuple[tuple[float, float, float], ...]


class _Alone(dict[str, int]):
    """Words seen before: the packed weights of what each says by itself."""

    def __init__(self, table: Sequence[int], concepts: Concepts) -> None:
        self._table = table
        self._concepts = concepts

    def __missing__(self, word: str) -> int:
        if len(self) >= _KNOWN_MAX:
            self.clear()  # hostile text has no end of words; ordinary text is soon known again
        table = self._table
        features = describe(word, self._concepts).features
        found = self[word] = sum([table[feature] for feature in features])
        return found


class _Keys(dict[str, tuple[int, ...]]):
    """Words seen before beside others: the key of each, its key in each place of a combination,
    and its concept."""

    def __init__(self, concepts: Concepts) -> None:
        self._concepts = concepts

    def __missing__(self, word: str) -> tuple[int, ...]:
        if len(self) >= _KNOWN_MAX:
            self.clear()
        _, key, concept = describe(word, self._concepts)
        found = self[word] = (
            key,
            key * BEFORE & _MASK,
            key * BEFORE_ONE & _MASK,
            key * AFTER_ONE & _MASK,
            key * FIRST_OF_THREE & _MASK,
            key * SECOND_OF_THREE & _MASK,
            concept,
        )
        return found


class _Meanings:
    """Weights of concepts that stand together, ready to be added.

    Attributes:
        near, far: of a pair, by ``first * count + second``.
        three: of a triple, by ``(first * count + second) * count + third``.
    """

    def __init__(self, table: Sequence[int], count: int) -> None:
        numbers = range(count)

        def added(features: Sequence[int]) -> int:
            return sum(table[feature] for feature in features)

        self.near = [added(concept_pair(a, b, near=True)) for a in numbers for b in numbers]
        self.far = [added(concept_pair(a, b, near=False)) for a in numbers for b in numbers]
        self.three = [
            added(concept_triple(a, b, c)) for a in numbers for b in numbers for c in numbers
        ]
        self.count = count


class Model:
    """A trained model, ready to score. Never changes, but for what it remembers of words."""

    def __init__(self, header: Header, table: Sequence[int], concepts: Concepts) -> None:
        self.header = header
        # Sums of up to three keys are places in the table. Text never seen before looks up entries
        # all over it, so they stand in one block: a list would have to fetch each from elsewhere.
        self._table = array.array("q", table) * 3
        self._concepts = concepts
        self._alone = _Alone(self._table, concepts)
        self._keys = _Keys(concepts)
        self._meanings = _Meanings(table, len(concepts.names) + 1)
        self._floors = tuple(
            (header.floor - bias) / unit
            for bias, unit in zip(header.bias, header.unit, strict=True)
        )

    def score(self, text: str, place: Place = "user") -> Scores:
        """Judge a text by its most suspicious windows."""
        found = words(text, self._concepts)
        weights = list(map(self._alone.__getitem__, found))
        spans = _windows(len(found))
        heights = _heights(weights, spans)
        near = self._near(heights)
        if near:
            for first, last in _joined([spans[at] for at in near]):
                self._add_neighbours(weights, found, first, last)
            further = _heights(weights, [spans[at] for at in near])
            for head, _ in _SHIFTS:
                for at, height in zip(near, further[head], strict=True):
                    heights[head][at] = height
        header, offsets = self.header, self.header.offset[PLACES.index(place)]
        scores = []
        for head, of_head in enumerate(heights):
            top = max(of_head)  # the first of equals
            logit = header.bias[head] + header.unit[head] * top
            probability = _sigmoid(header.slope[head] * logit + offsets[head])
            scores.append(Score(probability, *spans[of_head.index(top)]))
        return Scores(*scores)

    def _near(self, heights: Sequence[Sequence[float]]) -> list[int]:
        """The windows in which the words alone come near an attack."""
        floors = self._floors
        if all(max(of_head) < floor for of_head, floor in zip(heights, floors, strict=True)):
            return []
        return [
            at
            for at, (direct, jailbreak, indirect) in enumerate(zip(*heights, strict=True))
            if direct >= floors[0] or jailbreak >= floors[1] or indirect >= floors[2]
        ]

    def span(self, text: str, score: Score) -> tuple[int, int]:
        """The characters of the window that decided."""
        found = places(text, self._concepts, max(score.last, 2))
        if len(found) < 2:
            return 0, len(text)
        first = found[max(score.first, 1)][0] if score.first > 0 else found[1][0]
        return first, found[min(score.last, len(found)) - 1][1]

    def _add_neighbours(
        self, weights: list[int], found: Sequence[str], first: int, last: int
    ) -> None:
        """Add to each word of a stretch what it completes with the words before it."""
        table = self._table
        lead = max(first - CONCEPT_GAP, 0)  # how far before the stretch anything counts
        rows = list(map(self._keys.__getitem__, found[lead:last]))
        keys, before, before_one, after_one, first_of_three, second_of_three, concepts = _columns(
            rows
        )
        if first < 2 <= last:
            weights[1] += table[before[0] + keys[1]]
        third = max(first, 2)  # the first word that has two before it
        at = third - lead
        # The hashes of ``words.pair``, ``around`` and ``triple``: a call for each would cost more
        # than all the rest. The table repeats itself so that sums need not be cut.
        weights[third:last] = [
            own + table[b + key] + table[o + after] + table[f + s + key]
            for own, key, after, b, o, f, s in zip(
                weights[third:last],
                keys[at:],
                after_one[at:],
                before[at - 1 :],
                before_one[at - 2 :],
                first_of_three[at - 2 :],
                second_of_three[at - 1 :],
                strict=False,
            )
        ]
        self._add_meanings(weights, concepts, lead, first)

    def _add_meanings(
        self, weights: list[int], concepts: Sequence[int], lead: int, first_word: int
    ) -> None:
        """The same for meanings; ``concepts`` begin at word ``lead``."""
        meanings = self._meanings
        near, far, three, count = meanings.near, meanings.far, meanings.three, meanings.count
        earlier = long_before = -1_000
        previous = first = 0
        for at, concept in enumerate(concepts, lead):
            if concept:
                gap = at - earlier
                if gap <= CONCEPT_GAP and at >= first_word:
                    two = previous * count + concept
                    weights[at] += near[two] if gap <= CONCEPT_NEAR else far[two]
                    if at - long_before <= CONCEPT_GAP:
                        weights[at] += three[first * count * count + two]
                long_before, first = earlier, previous
                earlier, previous = at, concept


def _windows(size: int) -> list[tuple[int, int]]:
    """Where the windows of a text begin and end, in words."""
    found: list[tuple[int, int]] = []
    for width, stride in WINDOWS:
        starts = range(0, max(size - width + stride, 1), stride)
        found += zip(starts[:-1], range(width, size, stride), strict=False)
        found.append((starts[-1], min(starts[-1] + width, size)))
        if size <= width:
            break
    return found


def _heights(weights: Sequence[int], spans: Sequence[tuple[int, int]]) -> list[list[float]]:
    """By head, how high each window of packed weights stands, in steps of a weight."""
    blocks = [sum(weights[at : at + _BLOCK]) for at in range(0, len(weights), _BLOCK)]
    sums = list(accumulate(blocks, initial=0))
    packed = [sums[-(-last // _BLOCK)] - sums[first // _BLOCK] + _ZEROS for first, last in spans]
    scales = [_SCALES[last - first] for first, last in spans]
    return [
        [
            ((total >> shift & _FIELD_MASK) - _HALF) * scale
            for total, scale in zip(packed, scales, strict=True)
        ]
        for _, shift in _SHIFTS
    ]


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches of text that these windows cover together."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


# Rows turned into columns at once up to here: beyond, as many iterators cost more than passes.
_ROWS_AT_ONCE = 2_048
_GETTERS = tuple(itemgetter(number) for number in range(7))


def _columns(rows: Sequence[tuple[int, ...]]) -> Sequence[Sequence[int]]:
    if len(rows) <= _ROWS_AT_ONCE:
        return tuple(zip(*rows, strict=True))
    return [list(map(getter, rows)) for getter in _GETTERS]


def _sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(min(logit, 30.0), -30.0)))


def pack(weights: Sequence[Sequence[int]]) -> bytes:
    """A table in the form of the file: by bucket, one small whole number for each head."""
    table = array.array("q", repeat(0, BUCKETS))
    for feature, values in enumerate(weights):
        total = 0
        for head, value in enumerate(values):
            total += value << (_BITS * head)
        table[feature] = total
    if sys.byteorder == "big":
        table.byteswap()
    return zlib.compress(table.tobytes(), 9)


def save(header: Header, weights: Sequence[Sequence[int]]) -> bytes:
    """A model file."""
    return json.dumps(msgspec.to_builtins(header)).encode() + b"\n" + pack(weights)


def load(data: bytes, concepts: Concepts) -> Model:
    """A model from its file.

    Raises:
        ValueError: not a model file of this program.
    """
    head, _, body = data.partition(b"\n")
    try:
        header = msgspec.json.decode(head, type=Header)
        table = array.array("q")
        table.frombytes(zlib.decompress(body))
    except (msgspec.MsgspecError, zlib.error, ValueError) as error:
        raise ValueError(f"not a classifier model: {error}") from None
    if sys.byteorder == "big":
        table.byteswap()
    if len(table) != BUCKETS:
        raise ValueError(f"not a classifier model: {len(table)} entries instead of {BUCKETS}")
    return Model(header, table, concepts)


@cache
def trained() -> Model:
    """The model that comes with the program; read once."""
    return load(files(__package__).joinpath("model.bin").read_bytes(), shipped())
