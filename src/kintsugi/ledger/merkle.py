"""A Merkle tree over an append-only list: RFC 6962 hashing, kept incrementally. Pure.

The tree is never held in memory. What is kept of it are the hashes of its complete subtrees: level
0 holds the leaves, and the node ``position`` of level ``level`` covers the leaves from
``position << level`` on, ``1 << level`` of them. A complete subtree never changes, so an append
writes each hash once and reads nothing but the right edge (``Edge``): at most one hash for each
bit of the size. Proofs read as many nodes.

Source: RFC 6962 §2.1 (hashing), RFC 9162 §2.1.3 and §2.1.4 (proofs and how to verify them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from kintsugi.errors import ProofInvalid

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()


class Node(NamedTuple):
    """The place of a complete subtree."""

    level: int
    position: int


ReadNodes = Callable[[Sequence[Node]], Sequence[bytes]]


class Edge(msgspec.Struct, frozen=True):
    """The right edge of a tree: its size, and the roots of its largest complete subtrees.

    Attributes:
        hashes: from the largest (leftmost) subtree to the smallest: one for each bit of the size.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def root(self) -> bytes:
        """The hash of the whole tree."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf. Leaves and nodes are hashed apart, so that neither passes for the
    other."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node."""
    return sha256(b"\x01" + left + right).digest()


def append(edge: Edge, leaves: Iterable[bytes]) -> tuple[Edge, list[tuple[Node, bytes]]]:
    """Add leaf hashes; returns the new edge and every node that became complete, in order."""
    size, hashes = edge.size, list(edge.hashes)
    complete: list[tuple[Node, bytes]] = []
    for leaf in leaves:
        level, index, found = 0, size, leaf
        complete.append((Node(0, index), found))
        while index & 1:
            found = node_hash(hashes.pop(), found)
            level, index = level + 1, index >> 1
            complete.append((Node(level, index), found))
        hashes.append(found)
        size += 1
    return Edge(size, tuple(hashes)), complete


def edge_nodes(size: int) -> list[Node]:
    """The complete subtrees that make up a tree, from the largest to the smallest."""
    nodes, start = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            nodes.append(Node(level, start >> level))
            start += 1 << level
    return nodes


def edge_of(size: int, read: ReadNodes) -> Edge:
    """The edge that a tree had when it had this size."""
    return Edge(size, tuple(read(edge_nodes(size))))


def inclusion_proof(index: int, size: int, read: ReadNodes) -> tuple[bytes, ...]:
    """The hashes that lead from a leaf to the root of the tree of this size.

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    return _read_ranges(_siblings(index, size), read)


def consistency_proof(first: int, second: int, read: ReadNodes) -> tuple[bytes, ...]:
    """The hashes that show that the tree of one size is the beginning of that of another.

    Raises:
        ValueError: the first is not between 1 and the second.
    """
    if not 0 < first <= second:
        raise ValueError(f"the first size must be 1 to {second}, not {first}")
    return _read_ranges(_splits(first, second), read)


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that a leaf hash stands at a place of the tree with this root.

    Raises:
        ProofInvalid: it does not, or the proof is none.
    """
    found = leaf
    for step in climb(leaf, index, size, proof):
        found = step.hash
    if found != root:
        raise ProofInvalid("the leaf is not in the tree with this root")


class Step(msgspec.Struct, frozen=True):
    """One step on the way from a leaf to the root.

    Attributes:
        sibling: the hash that the proof gives for this step.
        on_left: whether it stands to the left.
        hash: of both together.
    """

    sibling: bytes
    on_left: bool
    hash: bytes


def climb(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> Iterator[Step]:
    """The steps of a proof (RFC 9162 §2.1.3.2); the last one's hash is what the root should be.

    Raises:
        ProofInvalid: the proof does not fit a tree of this size.
    """
    if not 0 <= index < size:
        raise ProofInvalid(f"a tree of {size} leaves has no leaf {index}")
    place, last, found = index, size - 1, leaf
    for sibling in proof:
        if not last:
            raise ProofInvalid("the proof is longer than the tree is high")
        on_left = bool(place & 1) or place == last
        found = node_hash(sibling, found) if on_left else node_hash(found, sibling)
        yield Step(sibling, on_left, found)
        while on_left and place and not place & 1:
            place, last = place >> 1, last >> 1
        place, last = place >> 1, last >> 1
    if last:
        raise ProofInvalid("the proof is shorter than the tree is high")


def verify_consistency(
    first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes
) -> None:
    """Check that the tree with the first root is the beginning of the tree with the second.

    An empty tree is the beginning of every tree, and needs no proof.

    Raises:
        ProofInvalid: it is not, or the proof is none.
    """
    if first > second:
        raise ProofInvalid(f"a tree of {first} leaves cannot have shrunk to {second}")
    if first in (0, second):
        expected = EMPTY_ROOT if first == 0 else second_root
        if proof or first_root != expected:
            raise ProofInvalid("the trees have the same size and differ, or are none")
        return
    hashes = list(proof)
    if first & (first - 1) == 0:  # complete, so its root is where the proof begins
        hashes.insert(0, first_root)
    if not hashes:
        raise ProofInvalid("the proof is empty")
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if not last:
            raise ProofInvalid("the proof is longer than the tree is high")
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise ProofInvalid("the proof is shorter than the tree is high")
    if old != first_root:
        raise ProofInvalid("the proof does not lead to the first root")
    if new != second_root:
        raise ProofInvalid("the proof does not lead to the second root")


class _Range(NamedTuple):
    """A stretch of leaves whose tree hash is wanted."""

    start: int
    end: int


def _siblings(index: int, size: int) -> list[_Range]:
    """RFC 9162 §2.1.3.1: the subtrees beside the way from the root to a leaf, lowest first."""
    found: list[_Range] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            found.append(_Range(middle, end))
            end = middle
        else:
            found.append(_Range(start, middle))
            start = middle
    return found[::-1]


def _splits(first: int, second: int) -> list[_Range]:
    """RFC 9162 §2.1.4.1."""
    found: list[_Range] = []
    start, end, whole = 0, second, True
    while start + first != end:
        middle = start + _split(end - start)
        if first <= middle - start:
            found.append(_Range(middle, end))
            end = middle
        else:
            found.append(_Range(start, middle))
            first -= middle - start
            start, whole = middle, False
    if not whole:
        found.append(_Range(start, end))
    return found[::-1]


def _split(size: int) -> int:
    """The largest power of two below a size above 1."""
    return 1 << ((size - 1).bit_length() - 1)


def _read_ranges(ranges: Sequence[_Range], read: ReadNodes) -> tuple[bytes, ...]:
    """The tree hashes of stretches, with one read for all of them."""
    nodes = [_nodes_of(one) for one in ranges]
    hashes = iter(read([node for some in nodes for node in some]))
    return tuple(Edge(0, tuple(next(hashes) for _ in some)).root() for some in nodes)


def _nodes_of(stretch: _Range) -> list[Node]:
    """The complete subtrees of a stretch that begins where a subtree of its size may begin."""
    return [
        Node(level, (stretch.start >> level) + index)
        for level, index in edge_nodes(stretch.end - stretch.start)
    ]
