"""The trained classifier: how much a text looks like an attack on the model that will read it.

A linear model over words, neighbours and meanings (``words.py``). Each of them has three weights,
one for each score, which ride in one whole number: they are added up in one pass and read off for
every window of a text. Plain Python and no library; what it does not know costs it nothing.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import accumulate, compress, count, islice, repeat
from operator import add, itemgetter, sub
from typing import Literal, NamedTuple, Protocol

import msgspec

from kintsugi.policy.classifier.concepts import Concepts, shipped
from kintsugi.policy.classifier.words import (
    CONCEPT_GAP,
    CONCEPT_NEAR,
    Feature,
    across,
    alone,
    parts,
    places,
    shape,
    together,
    words,
)

HEADS = ("direct", "jailbreak", "indirect")
Place = Literal["user", "tool", "answer"]
PLACES: tuple[Place, ...] = ("user", "tool", "answer")

# Windows in words: a planted sentence shows in a small one, a persona in a large one.
WINDOWS = ((32, 16), (128, 64))
# A text shorter than this does not count as surer than one of this length.
WORDS_MIN = 10

# Three weights in one number, so that one addition adds all three.
_BITS = 21
_FIELD = (1 << _BITS) - 1
_HALF = 1 << (_BITS - 1)
# Makes each of three sums positive, so that each can be read off by itself.
_LIFT = _HALF << 2 * _BITS | _HALF << _BITS | _HALF
# Words are numbered from 1; pairs of them are two numbers in one.
_WORD_BITS = 16
WORDS_MAX = (1 << _WORD_BITS) - 1


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
        slope: per head, from logit to calibrated logit.
        offset: the same per place (user, tool, answer) and head, so that one half is where a text
            counts as an attack in that place.
    """

    version: int
    bias: tuple[float, float, float]
    unit: tuple[float, float, float]
    slope: tuple[float, float, float]
    offset: tuple[tuple[float, float, float], ...]


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """What training has learnt, three weights to a number; see ``pack``.

    Attributes:
        words: of known words everything that they say by themselves.
        beginnings, endings, concepts: of other words what can be said of them.
        pairs: of two words next to each other, by ``first << 16 | second``, where words are
            numbered from 1 in the order of ``words``.
        near, far, across: of two meanings, by ``first * count + second``.
        three: of three meanings, by ``(first * count + second) * count + third``.
    """

    words: dict[str, int]
    beginnings: dict[str, int]
    endings: dict[str, int]
    concepts: dict[int, int]
    pairs: dict[int, int]
    near: dict[int, int]
    far: dict[int, int]
    across: dict[int, int]
    three: dict[int, int]


# What a word says by itself, its number shifted to be the first of a pair, its number, its concept.
_Row = tuple[int, int, int, int]


class _Rows(dict[str, _Row]):
    """Known words. Others are looked at anew each time: there is no end of them."""

    def __init__(self, weights: Weights, concepts: Concepts) -> None:
        self._beginnings, self._endings = weights.beginnings, weights.endings
        self._weights, self._concepts = weights.concepts, concepts
        for number, (word, weight) in enumerate(weights.words.items(), start=1):
            self[word] = (weight, number << _WORD_BITS, number, concepts.of(word))
        # Taking accents off costs more than the rest.
        self._accented = lru_cache(maxsize=4_096)(self._without_accents)

    def __missing__(self, word: str) -> _Row:
        return self._unknown(word) if word.isascii() else self._accented(word)

    def _without_accents(self, word: str) -> _Row:
        plain = shape(word)
        return self.get(plain) or self._unknown(plain)

    def _unknown(self, word: str) -> _Row:
        weight = 0
        if concept := self._concepts.of(word):
            weight = self._weights.get(concept, 0)
        beginning, ending = parts(word)
        if beginning:
            weight += self._beginnings.get(beginning, 0) + self._endings.get(ending, 0)
        return weight, 0, 0, concept


class Model:
    """A trained model, ready to score. Never changes."""

    def __init__(self, header: Header, weights: Weights, concepts: Concepts) -> None:
        self.header = header
        self._concepts = concepts
        self._rows = _Rows(weights, concepts)
        self._weights = weights
        self._count = len(concepts.names) + 1

    def score(self, text: str, place: Place = "user") -> Scores:
        """Judge a text by its most suspicious windows."""
        sums = list(accumulate(self._by_word(text), initial=0))
        size = len(sums) - 1
        best = [(-math.inf, 0, size)] * len(HEADS)
        for width, stride in WINDOWS:
            if size <= width:
                self._best(best, [sums[size]], range(1), size)
                break
            totals = list(
                map(sub, islice(sums, width, None, stride), islice(sums, 0, None, stride))
            )
            firsts: Sequence[int] = range(0, size - width + 1, stride)
            if firsts[-1] < size - width:
                totals.append(sums[size] - sums[size - width])
                firsts = [*firsts, size - width]
            self._best(best, totals, firsts, width)
        slope, offset = self.header.slope, self.header.offset[PLACES.index(place)]
        bias = self.header.bias
        return Scores(
            *(
                Score(_sigmoid(slope[head] * (bias[head] + logit) + offset[head]), first, last)
                for head, (logit, first, last) in enumerate(best)
            )
        )

    def _best(
        self,
        best: list[tuple[float, int, int]],
        totals: Sequence[int],
        firsts: Sequence[int],
        width: int,
    ) -> None:
        """Take over the windows of one width that are more suspicious than those so far."""
        root = math.sqrt(max(width, WORDS_MIN))
        lifted = [total + _LIFT for total in totals]
        for head, unit in enumerate(self.header.unit):
            shift = head * _BITS
            values = [total >> shift & _FIELD for total in lifted]
            highest = max(values)
            logit = (highest - _HALF) * unit / root
            if logit > best[head][0]:
                first = firsts[values.index(highest)]
                best[head] = (logit, first, first + width)

    def span(self, text: str, score: Score) -> tuple[int, int]:
        """The characters of the window that decided."""
        found = places(text, self._concepts, max(score.last, 2))
        if len(found) < 2:
            return 0, len(text)
        first = found[max(score.first, 1)][0] if score.first > 0 else found[1][0]
        return first, found[min(score.last, len(found)) - 1][1]

    def _by_word(self, text: str) -> list[int]:
        """By word, the packed weights of everything that the word completes."""
        rows = list(map(self._rows.__getitem__, words(text, self._concepts)))
        own, firsts, seconds, concepts = _columns(rows)
        pairs = map(add, firsts, islice(seconds, 1, None))
        following = map(self._weights.pairs.get, pairs, repeat(0))
        weights = [own[0], *map(add, islice(own, 1, None), following)]
        self._add_meanings(weights, concepts)
        return weights

    def _add_meanings(self, weights: list[int], concepts: Sequence[int]) -> None:
        known, number = self._weights, self._count
        near, far, skipping, three = known.near, known.far, known.across, known.three
        earlier = long_before = -1_000
        previous = first = 0
        for at in compress(count(), concepts):
            concept = concepts[at]
            gap = at - earlier
            if gap <= CONCEPT_GAP:
                two = previous * number + concept
                weights[at] += near.get(two, 0) if gap <= CONCEPT_NEAR else far.get(two, 0)
                if at - long_before <= CONCEPT_GAP:
                    weights[at] += three.get(first * number * number + two, 0)
                    weights[at] += skipping.get(first * number + concept, 0)
            long_before, first = earlier, previous
            earlier, previous = at, concept


# Rows turned into columns at once up to here: beyond, as many iterators cost more than passes.
_ROWS_AT_ONCE = 2_048
_GETTERS = tuple(itemgetter(number) for number in range(4))


def _columns(rows: Sequence[_Row]) -> Sequence[Sequence[int]]:
    if len(rows) <= _ROWS_AT_ONCE:
        return tuple(zip(*rows, strict=True))
    return [list(map(getter, rows)) for getter in _GETTERS]


def _sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(min(logit, 30.0), -30.0)))


def weights_of(named: Mapping[Feature, Sequence[int]], concepts: Concepts) -> Weights:
    """Weights by the names of ``features_by_position`` in the form that scores.

    Args:
        named: by feature one small whole number for each head; what is missing is nothing.

    Raises:
        ValueError: more words than can be numbered.
    """
    packed = {name: pack(values) for name, values in named.items()}
    spoken = {word for kind, *its in packed if kind in ("word", "pair") for word in its}
    numbers = {str(word): number for number, word in enumerate(sorted(map(str, spoken)), start=1)}
    if len(numbers) > WORDS_MAX:
        raise ValueError(f"{len(numbers)} words; at most {WORDS_MAX} can be numbered")

    def total(features: Iterable[Feature]) -> int:
        return sum(packed.get(feature, 0) for feature in features)

    def known(kind: str) -> dict[str, int]:
        return {str(name[1]): weight for name, weight in packed.items() if name[0] == kind}

    size = len(concepts.names) + 1
    numbered = range(1, size)
    return Weights(
        words={word: total(alone(word, concepts)) for word in numbers},
        beginnings=known("beginning"),
        endings=known("ending"),
        concepts={number: total([("concept", number)]) for number in numbered},
        pairs={
            numbers[str(name[1])] << _WORD_BITS | numbers[str(name[2])]: weight
            for name, weight in packed.items()
            if name[0] == "pair"
        },
        near={a * size + b: total(together(a, b, near=True)) for a in numbered for b in numbered},
        far={a * size + b: total(together(a, b, near=False)) for a in numbered for b in numbered},
        across={a * size + b: total(across(a, b)) for a in numbered for b in numbered},
        three={
            (a * size + b) * size + c: weight
            for a in numbered
            for b in numbered
            for c in numbered
            if (weight := packed.get(("three", a, b, c)))
        },
    )


def pack(values: Sequence[int]) -> int:
    """The weights of the heads as one number."""
    return sum(value << _BITS * head for head, value in enumerate(values))


def save(header: Header, weights: Weights) -> bytes:
    """A model file."""
    return msgspec.json.encode(header) + b"\n" + zlib.compress(msgspec.msgpack.encode(weights), 9)


def load(data: bytes, concepts: Concepts) -> Model:
    """A model from its file.

    Raises:
        ValueError: not a model file of this program.
    """
    head, _, body = data.partition(b"\n")
    try:
        header = msgspec.json.decode(head, type=Header)
        weights = msgspec.msgpack.decode(zlib.decompress(body), type=Weights)
    except (msgspec.MsgspecError, zlib.error, ValueError) as error:
        raise ValueError(f"not a classifier model: {error}") from None
    return Model(header, weights, concepts)


@cache
def trained() -> Model:
    """The model that comes with the program; read once."""
    return load(files(__package__).joinpath("model.bin").read_bytes(), shipped())
