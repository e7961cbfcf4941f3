"""What the whole rule, wordings and classifier, makes of sources that training had not seen.

    python training/rule.py DATA [--model src/kintsugi/policy/classifier/model.bin]

Every source is left out in turn, as ``train.py --folds`` does; calibration and floor are the given
file's. Attacks are judged where they would be said: users' messages, or tool results.
"""

from __future__ import annotations

import argparse
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from folds import FOLDS, harmless
from samples import family
from second_look import fold_models, rows, second_look
from train import Text, assemble

from kintsugi.policy.classifier import model as classifier
from kintsugi.policy.classifier.concepts import shipped
from kintsugi.policy.classifier.second_look import trained
from kintsugi.policy.rules.prompt_injection import rule
from kintsugi.replay.evaluate import Record, evaluate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--model", type=Path, default=Path(classifier.__file__).parent / "model.bin"
    )
    arguments = parser.parse_args()
    header = classifier.load(arguments.model.read_bytes(), shipped()).header
    bias = trained().weights.bias
    texts = assemble(arguments.data)
    models = fold_models(texts, header)
    known = rows(arguments.data, models)
    for number, fold in enumerate(FOLDS):
        judge = models[number]
        second = second_look([row for row in known if row.fold != number], bias)
        rule.second_look.trained = partial(_same, second)
        rule.trained = partial(_same, judge)  # what a compiled rule asks for
        left_out = [
            one
            for one in texts
            if family(one.sample.source) in fold and not any(one.sample.planted)
        ]
        for place, label in product(("user", "tool"), (1, 0)):
            records = [
                record(one, place)
                for one in left_out
                if max(one.sample.labels) == label and counts_in(one, place)
            ]
            if not records:
                continue
            for source, tier, rates in evaluate(records, kind="prompt-injection").groups:
                count = rates.found + rates.missed + rates.false + rates.passed
                rate = (rates.found + rates.false) / count
                where = f"{place:4} {label} {source[:28]:28} {tier[:40]:40}"
                print(f"{where} {count:5} {rate:6.3f}", flush=True)


def counts_in(one: Text, place: str) -> bool:
    """Whether an attack is said in a place, or a harmless text is an example of it."""
    if max(one.sample.labels) == 1:
        return one.sample.tier.startswith("indirect") == (place == "tool")
    return harmless(one.sample, place)


def _same(judge: Any) -> Any:
    return judge


def record(one: Text, place: str) -> Record:
    """A sample in the form of ``kt policy eval``."""
    label = max(one.sample.labels)
    return Record(
        label, one.sample.text, source=one.sample.source, category=one.sample.tier, place=place
    )


if __name__ == "__main__":
    main()
