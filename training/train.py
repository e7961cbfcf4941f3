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
import sys
import time
from pathlib import Path

import numpy as np
from folds import judge_left_out
from learning import NUMBERS, SEED, Text, fit, quantised, read
from samples import HEADS, corpus, labelled, planted

from kintsugi.policy.classifier.concepts import shipped
from kintsugi.policy.classifier.model import PLACES, Header, save, weights_of

VERSION = 4
PLANTED = 6_000


def assemble(data: Path) -> list[Text]:
    """Everything there is to train on."""
    ours = list(corpus(SEED))
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
    if arguments.folds:
        slope, offset, figures = judge_left_out(texts)
        if arguments.report:
            arguments.report.write_text(json.dumps(figures, indent=1))
    if arguments.out:
        weights, biases = fit(texts)
        whole, units = quantised(weights)
        header = Header(
            version=VERSION,
            bias=tuple(map(float, biases)),
            unit=tuple(map(float, units)),
            slope=tuple(map(float, slope)),
            offset=tuple(tuple(map(float, place)) for place in offset),
        )
        named = dict(zip(NUMBERS, whole.tolist(), strict=True))
        named = {name: values for name, values in named.items() if any(values)}
        data = save(header, weights_of(named, shipped()))
        arguments.out.write_bytes(data)
        print(f"{arguments.out}: {len(data)} bytes", file=sys.stderr)
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
