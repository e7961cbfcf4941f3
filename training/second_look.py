"""Train the second look at what tools return, on texts that the first look had not seen.

    python training/second_look.py DATA [--out src/kintsugi/policy/classifier/second_look.json]

The classifier is trained once for every fold; requests in the sources that a fold leaves out are
described with its help, so that the second look learns from the first one's real mistakes. Plain
requests of our own corpus are planted into harmless texts of the same fold; each fifth of them is
left out with other sources too.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from folds import FOLDS, harmless
from samples import corpus, family, labelled
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from train import SEED, Text, assemble, fit, quantised

from kintsugi.policy.classifier import model as classifier
from kintsugi.policy.classifier.concepts import shipped
from kintsugi.policy.classifier.requests import requests
from kintsugi.policy.classifier.second_look import SecondLook, Weights, described

VERSION = 2
PLANTED = 7_000
TEXT_CHARS_MAX = 20_000
CARRIER_CHARS_MAX = 2_500
# Harmless texts that may be flagged by it alone, every source counting alike.
RATE = 0.01
DOUBT = 1.0
REGULARISATION = 0.1
# A word has to stand in as many harmless requests, or it would only say which sentence is ours.
WORD_COUNT_MIN = 8
# What users ask of a model says nothing about what tools return.
USERS_QUERIES = frozenset({"bfcl_live_or_swe_lancer"})


NOTHING, UNSEEN = -1, -2


class Row(NamedTuple):
    """A text with its requests.

    Attributes:
        planted: which of the requests was put there; ``NOTHING`` was, or none that is seen.
    """

    fold: int
    source: str
    described: Sequence[dict[str, float]]
    planted: int


def fold_models(texts: Sequence[Text], header: classifier.Header) -> list[classifier.Model]:
    """For every fold, a classifier that has not seen what it leaves out."""
    models = []
    for number, fold in enumerate(FOLDS):
        weights, biases = fit([one for one in texts if family(one.sample.source) not in fold])
        whole, units = quantised(weights)
        unseen = msgspec.structs.replace(
            header, bias=tuple(map(float, biases)), unit=tuple(map(float, units))
        )
        models.append(classifier.load(classifier.save(unseen, whole.tolist()), shipped()))
        print(f"  fold {number + 1} of {len(FOLDS)}", file=sys.stderr)
    return models


def rows(data: Path, models: Sequence[classifier.Model]) -> list[Row]:
    """Harmless texts, and texts with a planted request."""
    chosen = random.Random(SEED)
    carriers: list[dict[str, list[str]]] = [defaultdict(list) for _ in FOLDS]
    plants: list[list[str]] = [[] for _ in FOLDS]
    numbers = {source: number for number, fold in enumerate(FOLDS) for source in fold}
    for one in (*labelled(data), *corpus(SEED)):
        number = numbers.get(family(one.source))
        if number is None or one.source in USERS_QUERIES:
            continue
        if one.tier.startswith("foreign"):
            plants[number].append(one.text)
        elif harmless(one, "tool"):
            carriers[number][one.source].append(one.text[:TEXT_CHARS_MAX])
    found = []
    for number, sources in enumerate(carriers):
        for source, texts in sources.items():
            found += [_row(number, source, text, models[number], (0, 0)) for text in texts]
    for _ in range(PLANTED):
        number = chosen.randrange(len(FOLDS))
        source = chosen.choice(list(carriers[number]))
        inner = chosen.choice(plants[number])
        text, place = plant(chosen.choice(carriers[number][source]), inner, chosen)
        found.append(_row(number, source, text, models[number], place))
    return found


def _row(fold: int, source: str, text: str, model: classifier.Model, place: tuple[int, int]) -> Row:
    scores = model.score(text, "tool")
    asked = requests(text)
    inside = [at for at, one in enumerate(asked) if one.start < place[1] and one.end > place[0]]
    return Row(
        fold,
        "corpus" if source.startswith("corpus") else source,
        [described(text, one, scores, model) for one in asked],
        inside[0] if inside else UNSEEN if place[1] else NOTHING,
    )


_VALUE = re.compile(r'": ?"([^"\n]{3,300})"')
_SENTENCE_END = re.compile(r'[.!?][")]?(?=\s)|\n')
_FRAMES = (
    *((" ", ""),) * 3,
    ("\n", "\n"),
    ("\n\n", "\n\n"),
    ("\n- ", "\n"),
    ("\n<!-- ", " -->\n"),
    (" (", ")"),
    ("\n# ", "\n"),
    ("\n> ", "\n"),
    ('\n"', '"\n'),
)
_AT_THE_END = (" ", " ", "\n", "\n\n", "; ", "\n\n---\n", "\n\n\n")
_IN_A_VALUE = (" ", " ", ". ", "; ", "\\n", "\\n\\n", " - ")


def plant(text: str, inner: str, chosen: random.Random) -> tuple[str, tuple[int, int]]:
    """A text with a sentence put into it, and where it stands then."""
    if len(text) > CARRIER_CHARS_MAX:
        at = chosen.randrange(len(text) - 2_000)
        text = text[at : at + 2_000]
    values = list(_VALUE.finditer(text)) if text.lstrip()[:1] in ("{", "[") else []
    if values and chosen.random() < 0.85:
        value = chosen.choice(values)
        quoted = inner.replace('"', "'")
        first, before = value.end(1), chosen.choice(_IN_A_VALUE)
        if chosen.random() < 0.35:
            first, before = value.start(1), ""
        after = text[value.end(1) :]
        return text[:first] + before + quoted + after, _placed(first + len(before), quoted)
    where = chosen.random()
    if where < 0.4:
        before = text.rstrip() + chosen.choice(_AT_THE_END)
        return before + inner, _placed(len(before), inner)
    if where < 0.95:
        ends = [match.end() for match in _SENTENCE_END.finditer(text)]
        at = chosen.choice(ends) if ends else len(text)
        opening, closing = chosen.choice(_FRAMES)
        before = text[:at] + opening
        return before + inner + closing + text[at:], _placed(len(before), inner)
    return inner + chosen.choice((" ", "\n", "\n\n")) + text, _placed(0, inner)


def _placed(start: int, inner: str) -> tuple[int, int]:
    return start, start + len(inner)


def weigh(known: Sequence[Row]) -> dict[str, float]:
    """Weights by feature, and the bias under the empty name."""
    seen = Counter(name for row in known for one in row.described for name in one)
    common = Counter(
        name for row in known if row.planted == NOTHING for one in row.described for name in one
    )
    names = sorted(
        name for name in seen if not name.startswith("word:") or common[name] >= WORD_COUNT_MIN
    )
    numbers = {name: number for number, name in enumerate(names)}
    sizes = Counter(row.source for row in known if row.planted == NOTHING)
    indices: list[int] = []
    values: list[float] = []
    ends, labels, weights = [0], [], []
    for row in known:
        others = max(len(row.described) - (row.planted >= 0), 1)
        share = min(1.0, (100 / sizes[row.source]) ** 0.5) if row.planted == NOTHING else 0.5
        for number, one in enumerate(row.described):
            for name, value in one.items():
                if name in numbers and value:
                    indices.append(numbers[name])
                    values.append(value)
            ends.append(len(indices))
            labels.append(int(number == row.planted))
            weights.append(1.0 if number == row.planted else share / others**0.5)
    matrix = csr_matrix((values, indices, ends), shape=(len(labels), len(names)))
    spread = np.sqrt(
        np.maximum(
            np.asarray(matrix.multiply(matrix).mean(axis=0))[0]
            - np.asarray(matrix.mean(axis=0))[0] ** 2,
            1e-9,
        )
    )
    # Words count for what they are; features are put on one scale.
    spread[[name.startswith("word:") for name in names]] = 1.0
    label, weight = np.array(labels), np.array(weights)
    weight[label == 1] *= weight[label == 0].sum() / weight[label == 1].sum()
    model = LogisticRegression(
        C=REGULARISATION, max_iter=200, solver="liblinear", random_state=SEED
    )
    model.fit(matrix @ _diagonal(1 / spread), label, sample_weight=weight)
    found = dict(zip(names, model.coef_[0] / spread, strict=True))
    return {**found, "": float(model.intercept_[0])}


def _diagonal(values: np.ndarray) -> csr_matrix:
    size = len(values)
    return csr_matrix((values, np.arange(size), np.arange(size + 1)), shape=(size, size))


def score(weights: dict[str, float], row: Row) -> float:
    """The logit of a text's worst request."""
    return max(
        (sum(weights.get(n, 0.0) * v for n, v in one.items()) for one in row.described),
        default=-100.0,
    )


def second_look(known: Sequence[Row], bias: float) -> SecondLook:
    """A second look trained on these texts."""
    return SecondLook(as_weights(weigh(known), bias))


def as_weights(found: dict[str, float], bias: float) -> Weights:
    """What is written to the file: what says next to nothing is left out."""
    named = {n: round(float(v), 3) for n, v in found.items() if n and abs(v) >= 0.005}
    return Weights(version=VERSION, bias=round(bias, 3), doubt=DOUBT, weights=named)


def left_out_bias(known: Sequence[Row]) -> float:
    """The bias with which harmless texts of unseen sources are flagged at the rate allowed."""
    by_source: dict[str, list[float]] = defaultdict(list)
    recalled: list[float] = []
    for number in range(len(FOLDS)):
        weights = weigh([row for row in known if row.fold != number])
        for row in known:
            if row.fold == number:
                height = score(weights, row)
                (by_source[row.source] if row.planted == NOTHING else recalled).append(height)
    groups = [np.array(values) for values in by_source.values() if len(values) >= 20]
    bar = next(
        bar
        for bar in np.linspace(-5, 15, 2_001)
        if np.mean([(group >= bar).mean() for group in groups]) <= RATE
    )
    print(f"planted by us and found: {np.mean(np.array(recalled) >= bar):.3f}", file=sys.stderr)
    for source, values in sorted(by_source.items()):
        flagged = (np.array(values) >= bar).mean()
        print(f"  {source:32} {len(values):5} {flagged:6.3f}", file=sys.stderr)
    return -float(bar)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--out", type=Path, default=Path(classifier.__file__).parent / "second_look.json"
    )
    arguments = parser.parse_args()
    header = classifier.trained().header
    models = fold_models(assemble(arguments.data), header)
    known = rows(arguments.data, models)
    written = as_weights(weigh(known), left_out_bias(known))
    text = json.dumps(msgspec.to_builtins(written), indent=1, sort_keys=True)
    arguments.out.write_text(text + "\n", encoding="utf-8")
    print(f"{arguments.out}: {len(written.weights)} weights", file=sys.stderr)


if __name__ == "__main__":
    main()
