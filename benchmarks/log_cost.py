"""What the Merkle log costs as it grows: an append, and the proofs, from ten thousand leaves on.

Everything is in memory, so that the figures are the tree's own; ``benchmarks.store`` measures
ingest with the log in the database. Appends are timed in slices at each size, and read as ratios:
the cost must not grow with history.

    python -m benchmarks.log_cost            # ten million leaves, about a minute and 700 MB
    python -m benchmarks.log_cost --quick    # a million
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence

from kintsugi.ledger.merkle import (
    HASH_BYTES,
    Edge,
    Node,
    append,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    verify_inclusion,
)

SLICE = 20_000
PROOFS = 500


class Levels:
    """Every node of a tree, one array of bytes for each level."""

    def __init__(self) -> None:
        self.levels: list[bytearray] = []

    def add(self, complete: Sequence[tuple[Node, bytes]]) -> None:
        """Keep nodes; they come in order."""
        for node, found in complete:
            if node.level == len(self.levels):
                self.levels.append(bytearray())
            self.levels[node.level] += found

    def read(self, nodes: Sequence[Node]) -> list[bytes]:
        """The hashes of nodes."""
        return [
            bytes(self.levels[level][place * HASH_BYTES : (place + 1) * HASH_BYTES])
            for level, place in nodes
        ]


def grow(edge: Edge, kept: Levels, count: int) -> tuple[Edge, float]:
    """Add leaves one by one; the new edge and the microseconds that an append took."""
    started, spent = edge.size, 0.0
    for number in range(started, started + count):
        leaf = leaf_hash(b"%d" % number)
        before = time.perf_counter()
        edge, complete = append(edge, [leaf])
        spent += time.perf_counter() - before
        kept.add(complete)
    return edge, spent / count * 1e6


def proofs(edge: Edge, kept: Levels) -> tuple[float, float]:
    """Microseconds of an inclusion proof with its check, and of a consistency proof."""
    pick = random.Random(1)
    places = [pick.randrange(edge.size) for _ in range(PROOFS)]
    root = edge.root()
    before = time.perf_counter()
    for place in places:
        proof = inclusion_proof(place, edge.size, kept.read)
        verify_inclusion(leaf_hash(b"%d" % place), place, edge.size, proof, root)
    inclusion = (time.perf_counter() - before) / PROOFS * 1e6
    before = time.perf_counter()
    for place in places:
        consistency_proof(place + 1, edge.size, kept.read)
    return inclusion, (time.perf_counter() - before) / PROOFS * 1e6


def main() -> None:
    """Print one line for each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a million leaves instead of ten")
    quick = parser.parse_args().quick
    edge, kept, first = Edge(), Levels(), 0.0
    print(
        f"{'leaves':>12} {'append us':>10} {'ratio':>6} {'inclusion us':>13} {'consistency us':>15}"
    )
    for size in (10_000, 100_000, 1_000_000, *(() if quick else (10_000_000,))):
        while edge.size < size:
            edge, complete = append(
                edge, [leaf_hash(b"%d" % n) for n in range(edge.size, min(edge.size + SLICE, size))]
            )
            kept.add(complete)
        edge, taken = grow(edge, kept, SLICE)
        first = first or taken
        inclusion, consistency = proofs(edge, kept)
        ratio = taken / first
        print(
            f"{size:>12,} {taken:>10.2f} {ratio:>6.2f} {inclusion:>13.1f} {consistency:>15.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
