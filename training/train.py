"""Train the classifier that ships with the program, and say what it is worth.

    python training/train.py DATA [--out src/kintsugi/policy/classifier/model.bin] [--folds]

DATA is a folder with the labelled sets (``injection_direct.jsonl`` and the others, format in the
manual under "Measuring detectors"). With ``--folds`` every source is left out in turn and judged
by a model that never saw it: the figures of the model card, and the calibration of the scores.
Everything is seeded: the same data and versions give the same file.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from samples import HEADS, Sample, corpus, labelled, planted
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from kintsugi.policy.classifier.concepts import shipped
from kintsugi.policy.classifier.model import PLACES, WINDOWS, WORDS_MIN, Header, save
from kintsugi.policy.classifier.words import (
    BUCKETS,
    Word,
    describe,
    features_by_position,
    places,
    words,
)

VERSION = 6
SEED = 7
# JSON has no infinity.
LOGIT_MIN = -1_000.0
TEXT_CHARS_MAX = 40_000
PLANTED = 6_000
# Weight of all windows of one source together, against one corpus line's share.
CORPUS_WEIGHT = 1.0
REGULARISATION = {"direct": 6.0, "jailbreak": 3.0, "indirect": 6.0}
POSITIVE_WEIGHT = {"direct": 1.0, "jailbreak": 1.0, "indirect": 1.0}


class Text(NamedTuple):
    """A sample with its features by word."""

    sample: Sample
    features: np.ndarray  # all features, word after word
    ends: np.ndarray  # where each word's features end; starts with 0
    alone: np.ndarray  # which of them the word has by itself
    inside: tuple[int, int]  # words of the planted part


class _Known(dict[str, Word]):
    def __missing__(self, word: str) -> Word:
        self[word] = found = describe(word, shipped())
        return found

    def __contains__(self, word: object) -> bool:
        return True


_KNOWN = _Known()


def read(sample: Sample) -> Text:
    """The features of a sample."""
    found = features_by_position(sample.text[:TEXT_CHARS_MAX], shipped(), _KNOWN)
    ends = np.cumsum([0, *map(len, found)])
    flat = np.fromiter((one for word in found for one in word), dtype=np.int32, count=ends[-1])
    own = [len(_KNOWN[word].features) for word in words(sample.text[:TEXT_CHARS_MAX], shipped())]
    alone = np.concatenate([np.arange(len(word)) < n for word, n in zip(found, own, strict=True)])
    inside = (0, len(found))
    start, end = sample.planted
    if end:
        spots = places(sample.text, shipped())
        within = [at for at, (a, b) in enumerate(spots) if a >= start and b <= end and b > a]
        inside = (within[0], within[-1] + 1) if within else (0, 0)
    return Text(sample, flat, ends, alone, inside)


def windows(size: int) -> list[tuple[int, int]]:
    """The windows that scoring looks at, see ``Model.score``."""
    found: dict[tuple[int, int], None] = {}
    for width, stride in WINDOWS:
        for first in range(0, max(size - width + stride, 1), stride):
            found[first, min(first + width, size)] = None
        if size <= width:
            break
    return list(found)


def window_logits(
    text: Text, weights: np.ndarray, *, alone: bool = False
) -> tuple[list[tuple[int, int]], np.ndarray]:
    """The windows of a text, and what each of them says per head; weights are buckets by heads.

    Args:
        alone: leave out what words say by their neighbours.
    """
    size = len(text.ends) - 1
    said = weights[text.features]
    if alone:
        said = said * text.alone[:, None]
    sums = np.vstack([np.zeros(weights.shape[1]), np.cumsum(said, axis=0)])
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
            shape=(len(lengths), BUCKETS),
        )
        labels, weights = np.array(self.labels), np.array(self.weights)
        for value, share in ((1, positive), (0, 1.0)):
            chosen = labels == value
            weights[chosen] *= share * len(labels) / 2 / weights[chosen].sum()
        used = np.unique(matrix.indices)
        model = LogisticRegression(C=strength, max_iter=120, tol=1e-3)
        model.fit(matrix[:, used], labels, sample_weight=weights)
        found = np.zeros(BUCKETS)
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


def fit(texts: Sequence[Text], rounds: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Weights (buckets by heads) and biases; the second round knows where attacks are."""
    previous: np.ndarray | None = None
    biases = np.zeros(len(HEADS))
    sizes: dict[tuple[str, bool], int] = defaultdict(int)
    for text in texts:
        sizes[text.sample.source, max(text.sample.labels) == 1] += 1
    for _ in range(rounds):
        weights = np.zeros((BUCKETS, len(HEADS)))
        for head, name in enumerate(HEADS):
            chosen = random.Random(SEED)
            rows = Rows()
            for text in texts:
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
        previous = weights
    return weights, biases


def quantised(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers and what one of them is worth, per head."""
    units = np.maximum(np.quantile(np.abs(weights), 0.9999, axis=0), 1e-9) / 127
    return np.clip(np.rint(weights / units), -255, 255).astype(int), units


def assemble(data: Path) -> list[Text]:
    """Everything there is to train on."""
    ours = [one for one in corpus(SEED) if max(one.labels) >= 0]
    theirs = list(labelled(data))
    carriers = [one for one in theirs + ours if one.labels == (0, 0, 0) and len(one.text) > 200] + [
        one for one in ours if one.tier.startswith("document")
    ]
    inner = [one for one in ours if one.tier.startswith("planted")]
    return [read(one) for one in (*ours, *theirs, *planted(inner, carriers, PLANTED, SEED))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--folds", action="store_true")
    parser.add_argument("--report", type=Path, help="where to write the figures, as JSON")
    arguments = parser.parse_args()
    started = time.monotonic()
    texts = assemble(arguments.data)
    print(f"{len(texts)} texts, {time.monotonic() - started:.0f} s", file=sys.stderr)
    slope, offset = np.ones(len(HEADS)), np.zeros((len(PLACES), len(HEADS)))
    bar = -math.inf
    if arguments.folds:
        from folds import judge_left_out

        slope, offset, bar, figures = judge_left_out(texts)
        if arguments.report:
            arguments.report.write_text(json.dumps(figures, indent=1))
    if arguments.out:
        weights, biases = fit(texts)
        whole, units = quantised(weights)
        header = Header(
            version=VERSION,
            bias=tuple(map(float, biases)),
            unit=tuple(map(float, units)),
            floor=max(float(bar), LOGIT_MIN),
            slope=tuple(map(float, slope)),
            offset=tuple(tuple(map(float, place)) for place in offset),
        )
        data: Any = save(header, whole.tolist())
        arguments.out.write_bytes(data)
        print(f"{arguments.out}: {len(data)} bytes", file=sys.stderr)
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
