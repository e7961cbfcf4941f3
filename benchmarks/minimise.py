"""How short labelled attacks get while they still reproduce, how long that takes, and which of
their variants are still caught.

    python -m benchmarks.minimise DATA_DIR [--each 200] [--template starter] [--finest word]

DATA_DIR holds JSON Lines files with ``text`` or ``messages`` and ``label``, as for
``benchmarks.detectors``. Every attack that the template blocks as it is shipped is minimised with
the same verdict, reason code and policy as condition. Whether the result reproduces is asked again
with a configuration that was compiled anew, as a case that expects all three.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from kintsugi.gateway.in_force import InForce
from kintsugi.model.config import Case, CaseExpected, CaseInput, Config, Position
from kintsugi.policy.parse import parse_config
from kintsugi.replay.case_runner import run_cases
from kintsugi.replay.driver import put_in_force
from kintsugi.replay.minimise import Minimised, minimise
from kintsugi.replay.reproduction import decided, run_one
from kintsugi.replay.sources import Located
from kintsugi.replay.variants import TECHNIQUES, variants

SEED = 20261121
SETS = ("injection_direct", "injection_indirect", "tool_hijack", "unsafe_content", "secrets")
RATIO_MAX, SECONDS_MAX = 0.5, 10.0


class Measured(msgspec.Struct):
    """One attack and what became of it."""

    result: Minimised
    seconds: float
    reproduces: bool

    @property
    def ratio(self) -> float:
        """What is left of its texts."""
        return self.result.minimised_chars / self.result.original_chars


def attacks(path: Path) -> Iterator[Case]:
    """The positive records of a set, each as a request that would carry it."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            record: dict[str, Any] = json.loads(line)
            if not record["label"]:
                continue
            if path.stem == "tool_hijack":
                request = {"tools": [_offered(one) for one in record["tools"]]}
                wanted = CaseInput(messages=tuple(record["messages"]), request=request)
            elif path.stem == "injection_indirect":
                wanted = CaseInput(messages=tuple(_from_tool(record["text"])))
            else:
                wanted = CaseInput(messages=({"role": "user", "content": record["text"]},))
            yield Case(record["id"], wanted, CaseExpected())


def _offered(tool: dict[str, Any]) -> dict[str, Any]:
    return tool if "function" in tool else {"type": "function", "function": tool}


def _from_tool(text: str) -> Iterator[dict[str, Any]]:
    function = {"name": "read_document", "arguments": '{"path": "report.txt"}'}
    yield {"role": "system", "content": "You help with documents. Use the tools."}
    yield {"role": "user", "content": "Summarise the report, please."}
    call = {"id": "call_1", "type": "function", "function": function}
    yield {"role": "assistant", "content": None, "tool_calls": [call]}
    yield {"role": "tool", "tool_call_id": "call_1", "content": text}


def blocked(path: Path, in_force: InForce, each: int) -> list[Case]:
    """At most ``each`` of the attacks that are blocked, drawn by a fixed seed; 0 takes all."""
    found = list(attacks(path))
    random.Random(SEED).shuffle(found)  # a sample, not a secret
    taken: list[Case] = []
    for case in found:
        if run_one(in_force, case).verdict == "block":
            taken.append(case)
            if len(taken) == each:
                break
    return taken


def measure(case: Case, in_force: InForce, config: Config, finest: Any) -> Measured:
    """Minimise one and check the result by other means."""
    wanted = decided(in_force, case)
    started = time.perf_counter()
    result = minimise(case, lambda shorter: decided(in_force, shorter) == wanted, finest=finest)
    seconds = time.perf_counter() - started
    expected = CaseExpected(wanted.verdict, wanted.reason_code, wanted.policy_name)
    again = msgspec.structs.replace(result.case, expected=expected)
    report = run_cases(config, [Located("check", again, "", Position())])
    return Measured(result, seconds, report.ok)


def line(name: str, measured: Sequence[Measured]) -> str:
    """One row of the report."""
    ratios = sorted(one.ratio for one in measured)
    seconds = sorted(one.seconds for one in measured)
    return (
        f"{name:20} {len(measured):5} {statistics.median(ratios):7.3f} {_p90(ratios):6.3f} "
        f"{sum(one.reproduces for one in measured) / len(measured):10.3f} "
        f"{sum(one.result.complete for one in measured) / len(measured):8.3f} "
        f"{statistics.median(one.result.tests_run for one in measured):6.0f} "
        f"{statistics.median(seconds):7.3f} {_p90(seconds):6.3f} {seconds[-1]:6.2f}"
    )


def _p90(ordered: Sequence[float]) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.9))]


def caught(cases: Sequence[Case], in_force: InForce) -> dict[str, list[bool]]:
    """By technique, whether each variant is stopped too."""
    found: dict[str, list[bool]] = defaultdict(list)
    for case in cases:
        for variant in variants(case):
            result = run_one(in_force, variant.case)
            found[variant.technique].append(result.verdict == "block")
    return found


def main() -> None:
    """Measure the sets that are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--each", type=int, default=200, help="Attacks of each set; 0 for all.")
    parser.add_argument("--template", default="starter")
    parser.add_argument("--finest", default="word", choices=("sentence", "word", "character"))
    given = parser.parse_args()
    source = files("kintsugi.policy") / "templates" / given.template / "policy-config.yaml"
    config = parse_config(source.read_text(encoding="utf-8"), file=f"{given.template}.yaml")
    in_force = put_in_force(config)
    print(
        f"{'':20} {'n':>5} {'median':>7} {'p90':>6} {'reproduce':>10} {'minimal':>8} {'tests':>6} "
        f"{'seconds':>7} {'p90':>6} {'worst':>6}"
    )
    everything: list[Measured] = []
    attacked: list[Case] = []
    for name in SETS:
        cases = blocked(given.data / f"{name}.jsonl", in_force, given.each)
        measured = [measure(case, in_force, config, given.finest) for case in cases]
        print(line(name, measured), flush=True)
        everything += measured
        attacked += [] if name == "secrets" else cases
    print(line("all", everything))
    median = statistics.median(one.ratio for one in everything)
    worst = max(one.seconds for one in everything)
    print(
        f"\nmedian at most {RATIO_MAX}: {_met(median <= RATIO_MAX)}; "
        f"all reproduce: {_met(all(one.reproduces for one in everything))}; "
        f"each under {SECONDS_MAX:g} s: {_met(worst < SECONDS_MAX)}"
    )
    print(f"\nvariants of the attacks as they were that {given.template} blocks too\n")
    for name, outcomes in caught(attacked, in_force).items():
        share = sum(outcomes) / len(outcomes)
        print(f"{TECHNIQUES[name].family:10} {name:20} {len(outcomes):5} {share:6.3f}")


def _met(good: bool) -> str:  # read at once
    return "met" if good else "NOT MET"


if __name__ == "__main__":
    main()
