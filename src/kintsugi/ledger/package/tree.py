"""A Merkle tree of which only some leaves are shown: the rest stands as hashes of whole subtrees.
Pure.

One such tree proves any number of leaves at once, with no more hashes than it has gaps, and is
checked from left to right without being held in memory. It is the same tree, and the same root,
as that of ``ledger/merkle.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kintsugi.errors import ProofInvalid
from kintsugi.ledger.merkle import EMPTY_ROOT, Node, node_hash


def gaps(shown: Iterable[int], size: int) -> Iterator[Node]:
    """The complete subtrees that cover every leaf that is not shown, from left to right.

    Args:
        shown: positions of leaves, ascending, all below ``size``.
    """
    start = 0
    for position in shown:
        yield from _cover(start, position)
        start = position + 1
    yield from _cover(start, size)


def _cover(start: int, end: int) -> Iterator[Node]:
    """The largest complete subtrees between two positions."""
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        yield Node(level, start >> level)
        start += 1 << level


class Climb:
    """The root of a tree, from its leaves and subtrees as they come, left to right.

    Attributes:
        size: leaves covered so far.
    """

    __slots__ = ("_hashes", "size")

    def __init__(self) -> None:
        self.size = 0
        self._hashes: list[bytes] = []

    def add(self, found: bytes, level: int = 0) -> None:
        """Add a leaf, or a subtree of ``1 << level`` leaves.

        Raises:
            ProofInvalid: no subtree of this size can begin here.
        """
        width = 1 << level
        if self.size & (width - 1):
            raise ProofInvalid(f"a subtree of {width} leaves cannot begin at leaf {self.size}")
        index = self.size >> level
        while index & 1:
            found = node_hash(self._hashes.pop(), found)
            index >>= 1
        self._hashes.append(found)
        self.size += width

    def root(self) -> bytes:
        """The hash of what was added."""
        if not self._hashes:
            return EMPTY_ROOT
        root = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            root = node_hash(left, root)
        return root
