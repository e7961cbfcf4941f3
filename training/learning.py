"""Learning weights from texts: what a text has, its windows, and a linear model over them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from samples import HEADS, Sample
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from kintsugi.policy.classifier.concepts import shipped
from kintsugi.policy.classifier.model import WINDOWS, WORDS_MIN
from kintsugi.policy.classifier.words import Feature, features_by_position, places

SEED = 7
# Weight of all windows of one source together, against one corpus line's share.
CORPUS_WEIGHT = 1.0
REGULARISATION = {"direct": 6.0, "jailbreak": 3.0, "indirect": 6.0}
POSITIVE_WEIGHT = {"direct": 1.0, "jailbreak": 1.0, "indirect": 1.0}


# A word or a pair of words seen in fewer texts is not learnt from.
TEXTS_MIN = 2
# In documents a word alone says nothing that is in more than this share of all texts.
SHARE_MAX = 0.1
# Pairs that are kept: as many as fit into a table that stays in a processor's nearer caches.
PAIRS_MAX = 20_000


class Text(NamedTuple):
    """A sample with its features by word."""

    sample: Sample
    features: np.ndarray  # all features, word after word
    ends: np.ndarray  # where each word's features end; starts with 0
    inside: tuple[int, int]  # words of the planted part


NUMBERS: dict[Feature, int] = {}  # of every feature that any text has


def read(sample: Sample) -> Text:
    """The features of a sample."""
    found = features_by_position(sample.text[:40_000], shipped())
    ends = np.cumsum([0, *map(len, found)])
    flat = np.fromiter(
        (NUMBERS.setdefault(one, len(NUMBERS)) for word in found for one in word),
        dtype=np.int32,
        count=ends[-1],
    )
    inside = (0, len(found))
    start, end = sample.planted
    if end:
        spots = places(sample.text, shipped())
        within = [at for at, (a, b) in enumerate(spots) if a >= start and b <= end and b > a]
        inside = (within[0], within[-1] + 1) if within else (0, 0)
    return Text(sample, flat, ends, inside)


def of_kind(*kinds: str) -> np.ndarray:
    """Which features are of these kinds."""
    return np.fromiter((name[0] in kinds for name in NUMBERS), dtype=bool, count=len(NUMBERS))


def text_counts(texts: Sequence[Text]) -> np.ndarray:
    """In how many texts each feature is."""
    counts = np.zeros(len(NUMBERS), dtype=int)
    for text in texts:
        counts[np.unique(text.features)] += 1
    return counts


def seldom(texts: Sequence[Text]) -> np.ndarray:
    """The words and pairs that are in too few texts."""
    return of_kind("word", "pair") & (text_counts(texts) < TEXTS_MIN)


def everywhere(texts: Sequence[Text]) -> np.ndarray:
    """The words that are in too many."""
    many = text_counts(texts) > SHARE_MAX * len(texts)
    return of_kind("word", "beginning", "ending") & many


def light_pairs(weights: np.ndarray) -> np.ndarray:
    """The pairs of words that say least."""
    _, units = quantised(weights)
    heaviest = np.abs(weights / units).max(axis=1) * of_kind("pair")
    return of_kind("pair") & (heaviest <= np.sort(heaviest)[-PAIRS_MAX - 1])


def without(texts: Sequence[Text], left_out: np.ndarray) -> list[Text]:
    """The texts without these features."""
    found = []
    for text in texts:
        kept = ~left_out[text.features]
        before = np.concatenate([[0], np.cumsum(kept)])
        found.append(text._replace(features=text.features[kept], ends=before[text.ends]))
    return found


def windows(size: int) -> list[tuple[int, int]]:
    """The windows that scoring looks at, see ``Model.score``."""
    found: dict[tuple[int, int], None] = {}
    for width, stride in WINDOWS:
        if size <= width:
            found[0, size] = None
            break
        for first in (*range(0, size - width, stride), size - width):
            found[first, first + width] = None
    return list(found)


def logits(text: Text, weights: np.ndarray) -> np.ndarray:
    """Per head, the highest window; weights are features by heads."""
    return window_logits(text, weights)[1].max(axis=0)


def window_logits(text: Text, weights: np.ndarray) -> tuple[list[tuple[int, int]], np.ndarray]:
    size = len(text.ends) - 1
    sums = np.vstack([np.zeros(weights.shape[1]), np.cumsum(weights[text.features], axis=0)])
    sums = sums[text.ends]
    spans = windows(size)
    first, last = np.array(spans).T
    roots = np.sqrt(np.maximum(last - first, WORDS_MIN))[:, None]
    return spans, (sums[last] - sums[first]) / roots


class Rows:
    """Training windows of one head."""

    def __init__(self) -> None:
        self.indices: list[np.ndarray] = []
        self.values: list[np.ndarray] = []
        self.labels: list[int] = []
        self.weights: list[float] = []

    def add(self, text: Text, first: int, last: int, label: int, weight: float) -> None:
        features = text.features[text.ends[first] : text.ends[last]]
        root = float(np.sqrt(max(last - first, WORDS_MIN)))
        unique, counts = np.unique(features, return_counts=True)
        self.indices.append(unique)
        self.values.append(counts / root)
        self.labels.append(label)
        self.weights.append(weight)

    def fit(self, strength: float, positive: float) -> tuple[np.ndarray, float]:
        lengths = [len(one) for one in self.indices]
        matrix = csr_matrix(
            (np.concatenate(self.values), np.concatenate(self.indices), np.cumsum([0, *lengths])),
            shape=(len(lengths), len(NUMBERS)),
        )
        labels, weights = np.array(self.labels), np.array(self.weights)
        for value, share in ((1, positive), (0, 1.0)):
            chosen = labels == value
            weights[chosen] *= share * len(labels) / 2 / weights[chosen].sum()
        used = np.unique(matrix.indices)
        model = LogisticRegression(C=strength, max_iter=120, tol=1e-3)
        model.fit(matrix[:, used], labels, sample_weight=weights)
        found = np.zeros(len(NUMBERS))
        found[used] = model.coef_[0]
        return found, float(model.intercept_[0])


def chosen_windows(
    text: Text, head: int, chosen: random.Random, previous: np.ndarray | None
) -> list[tuple[int, int, int]]:
    """Windows of a text to learn one score from, with their labels."""
    size = len(text.ends) - 1
    label = text.sample.labels[head]
    spans = windows(size)
    start, end = text.inside
    if (start, end) != (0, size):  # planted: what overlaps most of it, and what does not at all
        found = []
        for first, last in spans:
            shared = min(last, end) - max(first, start)
            if shared >= 0.6 * min(end - start, last - first):
                found.append((first, last, label))
            elif shared <= 0 and label == 1:
                found.append((first, last, 0))
        return chosen.sample(found, min(len(found), 4))
    if label == 1 and len(spans) > 1:
        if previous is None:
            return []  # which part is the attack is not known before a first model
        ranked = np.argsort(-window_logits(text, previous)[1][:, head])
        keep = 1 if head == 2 else 3
        return [(*spans[at], 1) for at in ranked[:keep]]
    if len(spans) > 5:
        if previous is None:
            spans = chosen.sample(spans, 5)
        else:  # the ones that are hardest to tell, and any others
            ranked = np.argsort(-window_logits(text, previous)[1][:, head])
            hard = [spans[at] for at in ranked[:3]]
            spans = hard + chosen.sample(spans, 3)
    return [(*span, label) for span in spans]


def fit(texts: Sequence[Text]) -> tuple[np.ndarray, np.ndarray]:
    """Weights (features by heads) and biases.

    The second round knows where attacks are; the third has only the pairs that mattered.
    """
    texts = without(texts, seldom(texts))
    weights, _ = fit_round(texts, None)
    weights, _ = fit_round(texts, weights)
    texts = without(texts, light_pairs(weights))
    return fit_round(texts, weights)


def fit_round(texts: Sequence[Text], previous: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """One training, with windows chosen by the one before."""
    telling = without(texts, everywhere(texts))
    sizes: dict[tuple[str, bool], int] = defaultdict(int)
    for text in texts:
        sizes[text.sample.source, max(text.sample.labels) == 1] += 1
    weights, biases = np.zeros((len(NUMBERS), len(HEADS))), np.zeros(len(HEADS))
    for head, name in enumerate(HEADS):
        chosen = random.Random(SEED)
        rows = Rows()
        # In documents frequent words only tell what kind of document it is.
        for text in telling if name == "indirect" else texts:
            if text.sample.labels[head] < 0:
                continue
            found = chosen_windows(text, head, chosen, previous)
            source = text.sample.source
            count = sizes[source, max(text.sample.labels) == 1]
            # Many records of one source are worth less than as many of different ones.
            share = 1.0 if source == "corpus" else min(1.0, (150 / count) ** 0.5)
            for first, last, label in found:
                rows.add(text, first, last, label, share / len(found) ** 0.5)
        weights[:, head], biases[head] = rows.fit(REGULARISATION[name], POSITIVE_WEIGHT[name])
    return weights, biases


def quantised(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers and what one of them is worth, per head."""
    units = np.maximum(np.quantile(np.abs(weights), 0.9999, axis=0), 1e-9) / 127
    return np.clip(np.rint(weights / units), -255, 255).astype(int), units
