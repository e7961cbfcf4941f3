"""The tree against the published vectors, against its definition, and against forgeries."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kintsugi.errors import ProofInvalid
from kintsugi.ledger.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    Edge,
    Node,
    append,
    consistency_proof,
    edge_of,
    inclusion_proof,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

# The reference list of Certificate Transparency (RFC 6962) and its roots at every size.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


class Kept:
    """Every node of a tree, as a store keeps them."""

    def __init__(self, count: int = 0) -> None:
        self.nodes: dict[Node, bytes] = {}
        self.edge = Edge()
        self.leaves: list[bytes] = []
        self.add([leaf_hash(b"%d" % number) for number in range(count)])

    def add(self, leaves: Sequence[bytes]) -> None:
        self.edge, complete = append(self.edge, leaves)
        assert not self.nodes.keys() & dict(complete).keys()  # nothing is written twice
        self.nodes.update(complete)
        self.leaves += leaves

    def read(self, nodes: Sequence[Node]) -> list[bytes]:
        return [self.nodes[node] for node in nodes]


def defined(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 §2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(defined(leaves[:split]), defined(leaves[split:]))


def test_the_published_roots_come_out() -> None:
    edge = Edge()
    assert edge.root() == EMPTY_ROOT
    for data, root in zip(LEAVES, ROOTS, strict=True):
        edge, _ = append(edge, [leaf_hash(data)])
        assert edge.root().hex() == root


@given(st.lists(st.integers(0, 9), max_size=8))
def test_the_root_is_that_of_the_definition_however_leaves_arrive(batches: list[int]) -> None:
    kept = Kept()
    for batch in batches:
        start = len(kept.leaves)
        kept.add([leaf_hash(b"%d" % number) for number in range(start, start + batch)])
    assert kept.edge.root() == defined(kept.leaves)
    assert edge_of(kept.edge.size, kept.read) == kept.edge


TREE = Kept(70)


def root_at(size: int) -> bytes:
    return edge_of(size, TREE.read).root()


@pytest.mark.parametrize("size", [*range(1, 34), 63, 64, 65, 70])
def test_every_leaf_is_proven_at_every_size(size: int) -> None:
    for index in range(size):
        proof = inclusion_proof(index, size, TREE.read)
        verify_inclusion(TREE.leaves[index], index, size, proof, root_at(size))
        assert len(proof) <= (size - 1).bit_length()


@pytest.mark.parametrize("second", [*range(1, 34), 63, 64, 65, 70])
def test_every_size_is_proven_to_be_the_beginning_of_every_later_one(second: int) -> None:
    for first in range(1, second + 1):
        proof = consistency_proof(first, second, TREE.read)
        verify_consistency(first, second, proof, root_at(first), root_at(second))


def test_the_empty_tree_is_the_beginning_of_all() -> None:
    verify_consistency(0, 5, (), EMPTY_ROOT, root_at(5))
    with pytest.raises(ProofInvalid):
        verify_consistency(0, 5, (), root_at(5), root_at(5))


sizes = st.integers(1, 70)


@given(sizes, st.data())
def test_a_proof_of_inclusion_with_anything_changed_is_refused(
    size: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = list(inclusion_proof(index, size, TREE.read))
    leaf, root = TREE.leaves[index], root_at(size)
    forged = data.draw(st.sampled_from(["leaf", "root", "index", "longer", "shorter", "bit"]))
    if forged == "leaf":
        leaf = leaf_hash(b"another")
    elif forged == "root":
        root = leaf_hash(b"another")
    elif forged == "index":
        others = [place for place in range(size) if place != index]
        if not others:
            return
        index = data.draw(st.sampled_from(others))
    elif forged == "longer":
        proof.append(bytes(HASH_BYTES))
    elif forged == "shorter" and proof:
        proof.pop()
    elif forged == "bit" and proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        bit = data.draw(st.integers(0, 255))
        number = int.from_bytes(proof[place], "big") ^ (1 << bit)
        proof[place] = number.to_bytes(HASH_BYTES, "big")
    else:
        return
    with pytest.raises(ProofInvalid):
        verify_inclusion(leaf, index, size, proof, root)


@given(sizes, sizes, st.data())
def test_a_rewritten_history_is_refused(one: int, other: int, data: st.DataObject) -> None:
    first, second = sorted((one, other))
    if first == second:
        return
    proof = list(consistency_proof(first, second, TREE.read))
    forged = data.draw(st.sampled_from(["history", "future", "longer", "shorter", "bit", "shrunk"]))
    old, new = root_at(first), root_at(second)
    if forged == "history":
        changed = Kept()
        changed.add([leaf_hash(b"changed"), *TREE.leaves[1:first]])
        old = changed.edge.root()
    elif forged == "future":
        new = leaf_hash(b"another")
    elif forged == "longer":
        proof.append(bytes(HASH_BYTES))
    elif forged == "shorter":
        proof.pop()
    elif forged == "shrunk":
        first, second, old, new = second, first, new, old
    else:
        place = data.draw(st.integers(0, len(proof) - 1))
        proof[place] = bytes([proof[place][0] ^ 1]) + proof[place][1:]
    with pytest.raises(ProofInvalid):
        verify_consistency(first, second, proof, old, new)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 3)])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="leaf"):
        inclusion_proof(index, size, TREE.read)
    with pytest.raises(ProofInvalid):
        verify_inclusion(TREE.leaves[0], index, size, (), EMPTY_ROOT)


@pytest.mark.parametrize(("first", "second"), [(0, 3), (4, 3)])
def test_there_is_no_proof_between_sizes_that_do_not_follow(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="first size"):
        consistency_proof(first, second, TREE.read)


def test_an_append_writes_two_nodes_on_average_and_reads_none() -> None:
    edge, complete = append(Edge(), [leaf_hash(b"x")] * 4096)
    assert len(complete) == 2 * 4096 - 1
    _, more = append(edge, [leaf_hash(b"x")])
    assert len(more) == 1


class Growing(RuleBasedStateMachine):
    """A log that grows, and a verifier that saw it now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = Kept()
        self.seen: list[tuple[int, bytes]] = []

    @rule(count=st.integers(0, 5))
    def grow(self, count: int) -> None:
        start = len(self.kept.leaves)
        self.kept.add([leaf_hash(b"%d" % number) for number in range(start, start + count)])

    @rule()
    def look(self) -> None:
        self.seen.append((self.kept.edge.size, self.kept.edge.root()))

    @invariant()
    def everything_seen_is_a_beginning(self) -> None:
        size, root = self.kept.edge.size, self.kept.edge.root()
        for first, old in self.seen:
            proof = consistency_proof(first, size, self.kept.read) if first else ()
            verify_consistency(first, size, proof, old, root)


TestGrowing = Growing.TestCase
