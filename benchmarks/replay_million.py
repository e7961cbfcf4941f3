"""Replays generated exchanges of every dialect, and counts the decisions that come out the same.

    python -m benchmarks.replay_million [--exchanges N] [--from N] [--seed N] [--state FILE]

Every exchange is driven through the gateway's own code, its record is encoded and decoded as a
journal does it, and then it is judged again from that record alone. What is not the same is named
with its number: ``--from NUMBER --exchanges 1`` is that one again. With ``--state`` it goes on
where an earlier run stopped, so that a million may be run in pieces.

A decision counts where the record holds what it hangs on. The rest is counted by what is missing:
what was masked (one configuration in five keeps ``gateway.payload: redacted``), what no policy
judged, and what is no text.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.replay_traffic import Recorded, exchange
from kintsugi.replay.decisions import Replayed, replay

_PIECE: Final = 2_000
_NAMED_MAX: Final = 20
_NUMBER: Final = re.compile(r"\d+")


class Tally(msgspec.Struct):
    """What came of the exchanges so far.

    Attributes:
        next_number: of the exchange that comes next.
        results: ``same``, ``differs``, ``not_reproducible``, and ``no record``.
        kinds: of what was replayed: by dialect, verdict, status and chunking.
        missing: what the record lacked, and how often.
        differing: numbers of exchanges that came out otherwise, and of what.
    """

    next_number: int = 0
    generating_seconds: float = 0.0
    replaying_seconds: float = 0.0
    results: dict[str, int] = {}
    kinds: dict[str, int] = {}
    missing: dict[str, int] = {}
    differing: list[tuple[int, str]] = []

    def take(self, number: int, recorded: Recorded | None, found: Replayed | None) -> None:
        """Count one exchange."""
        self.next_number = number + 1
        if recorded is None or found is None:
            _count(self.results, "no record")
            return
        _count(self.results, found.result)
        if found.result == "not_reproducible":
            _count(self.missing, _NUMBER.sub("N", found.missing[0]))
            return
        event = recorded.event
        streamed = " streamed" if event.streamed else ""
        pieces = f" in {found.chunking} pieces" if found.chunking else ""
        _count(self.kinds, f"{event.dialect}{streamed}{pieces}")
        _count(self.kinds, f"verdict {event.verdict.value}")
        _count(self.kinds, f"status {event.status.value}")
        if found.result == "differs" and len(self.differing) < _NAMED_MAX:
            self.differing.append((number, ", ".join(one.field for one in found.differences)))


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


def run(tally: Tally, until: int, seed: int) -> None:
    """Generate and replay exchanges up to a number."""
    for number in range(tally.next_number, until):
        started = time.perf_counter()
        recorded = exchange(number, seed=seed)
        generated = time.perf_counter()
        found = None
        if recorded is not None:
            found = again(recorded)
        tally.generating_seconds += generated - started
        tally.replaying_seconds += time.perf_counter() - generated
        tally.take(number, recorded, found)


def again(recorded: Recorded) -> Replayed:
    """One of them, judged again."""
    event, judge = recorded.event, recorded.judge
    return replay(
        event,
        event.payload,
        judge.in_force,
        revision=judge.revision,
        contained=recorded.contained,
    )


def told(tally: Tally) -> str:
    """The figures."""
    results = Counter(tally.results)
    judged = results["same"] + results["differs"]
    share = 100 * results["same"] / judged if judged else 0.0
    same, otherwise = results["same"], results["differs"]
    replaying = _each(tally.replaying_seconds, judged)
    generating = _each(tally.generating_seconds, sum(results.values()))
    lines = [
        f"{sum(results.values())} exchanges, the last one number {tally.next_number - 1}",
        f"{judged} replayed: {same} the same ({share:.4f} %), {otherwise} otherwise",
        f"{results['not_reproducible']} not reproducible, {results['no record']} without a record",
        f"replay {replaying} each, generating {generating} each",
    ]
    for name, counts in (("replayed", tally.kinds), ("missing", tally.missing)):
        lines += [f"  {count:>8} {name}: {what}" for what, count in sorted(counts.items())]
    lines += [f"  differs: {number}: {fields}" for number, fields in tally.differing]
    return "\n".join(lines)


def _each(seconds: float, count: int) -> str:
    return f"{1000 * seconds / max(count, 1):.2f} ms"


def main() -> int:
    """Run, print, and fail where a decision came out otherwise."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.replay_million", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--exchanges", type=int, default=1_000_000)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, help="Kept here, and gone on from.")
    given = parser.parse_args()
    tally = Tally(next_number=given.first)
    if given.state is not None and given.state.exists():
        tally = msgspec.json.decode(given.state.read_bytes(), type=Tally)
    until = given.first + given.exchanges
    while tally.next_number < until:
        run(tally, min(tally.next_number + _PIECE, until), given.seed)
        if given.state is not None:
            given.state.write_bytes(msgspec.json.encode(tally))
        print(f"{tally.next_number} of {until}", file=sys.stderr, flush=True)
    print(told(tally))
    return 1 if tally.results.get("differs") else 0


if __name__ == "__main__":
    sys.exit(main())
