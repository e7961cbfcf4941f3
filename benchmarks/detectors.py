"""What the detectors find on the labelled data sets, by source.

    python -m benchmarks.detectors DATA_DIR [--set injection_direct]

DATA_DIR holds JSON Lines files (``injection_direct.jsonl``, ``injection_indirect.jsonl``,
``pii.jsonl``, ``secrets.jsonl``, ``unsafe_content.jsonl``), each record with ``text``, ``label``,
``source`` and, where known, ``spans``. Patterns were written while looking at this data: read the
figures as "not worse than", and trust figures on other data more.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from kintsugi.model.config import Config, Gateway, Pack, PolicyBlock
from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Evaluation, Finding, Phase
from kintsugi.model.facts import Facts
from kintsugi.policy.decide import decide
from kintsugi.policy.plan import Plan, compile_plan
from kintsugi.policy.rules import KINDS

FACTS = Facts(now=datetime(2026, 1, 1, tzinfo=UTC), fingerprint_key=b"benchmark")
OVERLAP_MIN = 0.5
# Types of pii.jsonl with a checkable form; the others are outside what the rule claims.
TYPES = {
    "email": "EMAIL",
    "phone": "PHONE",
    "credit_card": "CREDIT_CARD",
    "iban": "IBAN",
    "ip_address": "IP_ADDRESS",
    "us_ssn": "NATIONAL_ID",
    "drivers_license": "DRIVER_LICENSE",
}


class DataSet(NamedTuple):
    """A file, the policy that is measured on it, and who is speaking."""

    kind: str
    role: str


DATA_SETS = {
    "injection_direct": DataSet("prompt-injection", "user"),
    "injection_indirect": DataSet("prompt-injection", "tool"),
    "pii": DataSet("pii-detector", "user"),
    "secrets": DataSet("secrets-detector", "user"),
    "unsafe_content": DataSet("safety-filter", "user"),
}


class Counts(msgspec.Struct):
    """Records by truth and finding."""

    found: int = 0
    missed: int = 0
    false: int = 0
    passed: int = 0

    def line(self, name: str) -> str:
        """One row: recall, false positive rate and precision, where they exist."""
        positives, negatives = self.found + self.missed, self.false + self.passed
        recall = f"{self.found / positives:7.3f}" if positives else "      -"
        rate = f"{self.false / negatives:7.3f}" if negatives else "      -"
        reported = self.found + self.false
        precision = f"{self.found / reported:9.3f}" if positives and reported else "        -"
        return f"{name:32} {positives:5} {negatives:5} {recall} {rate} {precision}"


def plan_of(kind: str) -> Plan:
    """One policy with its defaults."""
    block = PolicyBlock(kind, msgspec.convert({}, KINDS[kind].options))
    pack = Pack(name="benchmark", version="1.0.0", id="benchmark")
    return compile_plan(Config(pack, Gateway(), (), (block,), (), "", "", {}))


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The records that hold one text."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            record: dict[str, Any] = json.loads(line)
            if record.get("text"):
                yield record


def judge(plan: Plan, role: str, text: str) -> Evaluation:
    """What the policy made of a text."""
    (evaluation,) = decide(
        plan, Phase.INPUT, ExchangeView([Part(role, "text", text, "/text")]), FACTS
    ).evaluations
    return evaluation


def measure(name: str, path: Path) -> None:
    """Print one data set."""
    data_set = DATA_SETS[name]
    plan = plan_of(data_set.kind)
    sources: dict[str, Counts] = defaultdict(Counts)
    microseconds: list[float] = []
    spans: dict[str, Counts] = defaultdict(Counts)
    for record in records(path):
        text = record["text"]
        judge(plan, data_set.role, text)  # once for the automaton's states, once for the clock
        started = time.perf_counter()
        evaluation = judge(plan, data_set.role, text)
        microseconds.append((time.perf_counter() - started) * 1e6)
        hit, wanted = evaluation.outcome == "matched", bool(record["label"])
        for counts in (sources[record["source"]], sources["all"]):
            counts.found += hit and wanted
            counts.missed += not hit and wanted
            counts.false += hit and not wanted
            counts.passed += not hit and not wanted
        if name in ("pii", "secrets"):
            count_spans(name, record, evaluation.findings, spans)
    microseconds.sort()
    print(f"\n{name}: {data_set.kind}, detector {KINDS[data_set.kind].detector_version}")
    print(f"{'source':32} {'pos':>5} {'neg':>5} {'recall':>7} {'FPR':>7} {'precision':>9}")
    for source in sorted(sources, key=lambda source: (source == "all", source)):
        print(sources[source].line(source))
    for entity in sorted(spans):
        print(spans[entity].line(f"spans: {entity}"))
    print(
        f"microseconds per text, median {statistics.median(microseconds):.0f},"
        f" 99th percentile {microseconds[int(len(microseconds) * 0.99)]:.0f}"
    )


def count_spans(
    name: str,
    record: dict[str, Any],
    findings: tuple[Finding, ...],
    spans: dict[str, Counts],
) -> None:
    """Compare places: same type where types are told, overlap of at least a half."""
    wanted = [
        (span.get("type", "secret") if name == "pii" else "secret", span["start"], span["end"])
        for span in record.get("spans") or ()
    ]
    wanted = [span for span in wanted if name == "secrets" or span[0] in TYPES.values()]
    reported = [
        (
            TYPES.get(one.rule, "") if name == "pii" else "secret",
            one.offset,
            one.offset + one.length,
        )
        for one in findings
    ]
    for span in wanted:
        if any(overlap(span, other) >= OVERLAP_MIN for other in reported):
            spans[span[0]].found += 1
        else:
            spans[span[0]].missed += 1
    if name == "pii":
        for other in reported:
            if other[0] and not any(overlap(span, other) >= OVERLAP_MIN for span in wanted):
                spans[other[0]].false += 1


def overlap(one: tuple[str, int, int], other: tuple[str, int, int]) -> float:
    """Shared characters over all characters; 0 for spans of different types."""
    if one[0] != other[0]:
        return 0.0
    shared = min(one[2], other[2]) - max(one[1], other[1])
    return max(shared, 0) / (max(one[2], other[2]) - min(one[1], other[1]))


def main() -> None:
    """Measure what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--set", dest="names", action="append", choices=sorted(DATA_SETS))
    arguments = parser.parse_args()
    for name in arguments.names or DATA_SETS:
        path = arguments.data_dir / f"{name}.jsonl"
        if path.exists():
            measure(name, path)


if __name__ == "__main__":
    main()
