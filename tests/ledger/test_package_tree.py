"""A tree with gaps has the root of the whole tree, whatever is shown of it."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.errors import ProofInvalid
from kintsugi.ledger.merkle import EMPTY_ROOT, Edge, append
from kintsugi.ledger.package.tree import Climb, gaps


@given(st.integers(0, 200), st.sets(st.integers(0, 199)))
def test_any_leaves_and_the_gaps_between_them_make_the_root(size: int, shown: set[int]) -> None:
    hashes = [sha256(bytes([n])).digest() for n in range(size)]
    edge, complete = append(Edge(), hashes)
    nodes = dict(complete)
    chosen = sorted(position for position in shown if position < size)
    parts = [(position, 0, hashes[position]) for position in chosen]
    parts += [(node.position << node.level, node.level, nodes[node]) for node in gaps(chosen, size)]
    climb = Climb()
    for start, level, found in sorted(parts):
        assert start == climb.size
        climb.add(found, level)
    assert (climb.size, climb.root()) == (size, edge.root())
    assert len(parts) - len(chosen) <= (len(chosen) + 1) * 2 * size.bit_length()


def test_a_tree_of_nothing_has_the_root_of_nothing() -> None:
    assert Climb().root() == EMPTY_ROOT
    assert list(gaps([], 0)) == []


def test_a_subtree_begins_only_where_one_of_its_size_may() -> None:
    climb = Climb()
    climb.add(bytes(32))
    with pytest.raises(ProofInvalid, match="cannot begin at leaf 1"):
        climb.add(bytes(32), level=1)
