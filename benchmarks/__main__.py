"""Every benchmark, one after the other: ``make bench``.

    python -m benchmarks [--quick] [--data-dir DIR]

Each runs in a process of its own, as it would alone; one that fails does not keep the others from
running. ``--quick`` takes a few minutes and shows that everything works: its figures scatter.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple


class Benchmark(NamedTuple):
    """A module of this package.

    Attributes:
        quick: arguments that make it short.
        data: the option, or place, that takes the folder of labelled data sets; empty for none.
        needs_data: whether there is nothing to measure without it.
    """

    module: str
    title: str
    quick: tuple[str, ...] = ()
    data: tuple[str, ...] | None = None
    needs_data: bool = False


BENCHMARKS = (
    Benchmark(
        "gateway",
        "Gateway: throughput per core and latency added, beside nginx",
        ("--rounds", "1", "--seconds", "2"),
    ),
    Benchmark("exchange_cost", "Exchange: the core alone"),
    Benchmark("policy_cost", "Policies: what judging costs", data=("--data-dir",)),
    Benchmark(
        "journal_cost",
        "Journal: append and group commit, beside a plain loop",
        ("--records", "2000", "--seconds", "0.3"),
    ),
    Benchmark("archive", "Archive: a month in it beside the same one", ("--events", "10000")),
    Benchmark("vault_cost", "Vault: ingest with sealing and without", ("--events", "10000")),
    Benchmark("store", "Store: ingest beside a raw COPY, and every read", ("--events", "20000")),
    Benchmark(
        "ingest_log",
        "Ingest: with and without the log and the journals' chain",
        ("--batches", "5"),
    ),
    Benchmark("log_cost", "Log: append and proofs as the tree grows", ("--quick",)),
    Benchmark(
        "span_intake",
        "Spans: reading beside protobuf, storing beside a raw COPY",
        ("--spans", "5000"),
    ),
    Benchmark(
        "incident_reach",
        "Incidents: freeze, verify and look at one with very many events",
        ("--events", "2000"),
    ),
    Benchmark("package_cost", "Packages: write, pack and check", ("--quick",)),
    Benchmark(
        "replay_million",
        "Replay: generated exchanges of every dialect, judged again",
        ("--exchanges", "5000"),
    ),
    Benchmark(
        "replay_incident", "Replay: kt replay INC through a real kt up", ("--events", "1000")
    ),
    Benchmark("detectors", "Detectors: what they find on labelled data", data=(), needs_data=True),
    Benchmark(
        "minimise",
        "Minimising: how short labelled attacks get, and which variants are caught",
        ("--each", "10"),
        data=(),
        needs_data=True,
    ),
    Benchmark("tool_calls", "Tool calls: schema violations found, and the cost", data=()),
    Benchmark(
        "containment",
        "Containment: from asking to in force on four gateways under load",
        ("--trials", "10"),
    ),
    Benchmark("prove", "Proof: a thousand cases on two configurations", ("--cases", "100")),
    Benchmark("start", "Start: kt up to the first governed answer", ("--rounds", "1")),
)


def command(benchmark: Benchmark, *, quick: bool, data_dir: Path | None) -> list[str] | None:
    """How to run it; None when it has nothing to measure."""
    words = [sys.executable, "-m", f"benchmarks.{benchmark.module}"]
    if quick:
        words += benchmark.quick
    if benchmark.data is not None and data_dir is not None:
        words += [*benchmark.data, str(data_dir)]
    return None if benchmark.needs_data and data_dir is None else words


def main() -> int:
    """Run them all; 1 when one of them failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="Short runs; figures scatter.")
    parser.add_argument("--data-dir", type=Path, help="Labelled data sets, for the detectors.")
    given = parser.parse_args()
    failed = []
    for benchmark in BENCHMARKS:
        print(f"\n== {benchmark.title} (benchmarks.{benchmark.module})\n", flush=True)
        words = command(benchmark, quick=given.quick, data_dir=given.data_dir)
        if words is None:
            print("skipped: name the data sets with --data-dir")
        elif subprocess.run(words).returncode:
            failed.append(benchmark.module)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
