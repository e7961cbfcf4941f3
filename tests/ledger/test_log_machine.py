"""Any order of appending, proving, witnessing and tampering: what holds is shown, nothing else."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kintsugi.errors import ProofInvalid
from kintsugi.ledger.checkpoint import Checkpoint
from kintsugi.ledger.merkle import (
    Edge,
    Node,
    append,
    consistency_proof,
    edge_of,
    inclusion_proof,
    leaf_hash,
    verify_inclusion,
)
from kintsugi.ledger.note import SigningKey, VerifierKey
from kintsugi.ledger.witness import check_next

ORIGIN = "test/log"
KEY = SigningKey.from_seed(ORIGIN, bytes(32))


class Log:
    """Leaves and every node of the tree over them."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves: list[bytes] = []
        self.edge = Edge()
        self.nodes: dict[Node, bytes] = {}
        self.add(leaves)

    def add(self, leaves: list[bytes]) -> None:
        self.edge, complete = append(self.edge, map(leaf_hash, leaves))
        self.nodes.update(complete)
        self.leaves += leaves

    def read(self, nodes: object) -> list[bytes]:
        return [self.nodes[node] for node in nodes]  # type: ignore[attr-defined]

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(ORIGIN, self.edge.size, self.edge.root())


class LogAndWitness(RuleBasedStateMachine):
    """A log that grows, may be rewritten or set back, and a witness that saw some of it."""

    @initialize()
    def begin(self) -> None:
        self.log = Log([])
        self.seen: Checkpoint | None = None
        self.seen_leaves: list[bytes] = []
        self.known: tuple[VerifierKey, ...] = ()
        self.number = 0

    @rule(count=st.integers(1, 9))
    def record(self, count: int) -> None:
        self.log.add([b"%d" % (self.number + place) for place in range(count)])
        self.number += count

    @rule(place=st.randoms(use_true_random=False))
    def every_leaf_is_proven_and_no_other(self, place: object) -> None:
        size = self.log.edge.size
        if not size:
            return
        index = place.randrange(size)  # type: ignore[attr-defined]
        proof = inclusion_proof(index, size, self.log.read)
        root = self.log.edge.root()
        verify_inclusion(leaf_hash(self.log.leaves[index]), index, size, proof, root)
        for leaf, at in ((b"forged", index), (self.log.leaves[index], (index + 1) % size)):
            if at == index and leaf == self.log.leaves[index]:
                continue
            try:
                verify_inclusion(leaf_hash(leaf), at, size, proof, root)
            except ProofInvalid:
                continue
            raise AssertionError("a proof for something else was taken")

    @precondition(lambda self: self.log.leaves)
    @rule(keep=st.randoms(use_true_random=False))
    def set_back(self, keep: object) -> None:
        """An older state is restored, and goes on with other things."""
        size = keep.randrange(len(self.log.leaves))  # type: ignore[attr-defined]
        self.log = Log(self.log.leaves[:size])

    @precondition(lambda self: self.log.leaves)
    @rule(at=st.randoms(use_true_random=False))
    def rewrite(self, at: object) -> None:
        leaves = list(self.log.leaves)
        leaves[at.randrange(len(leaves))] = b"rewritten %d" % self.number  # type: ignore[attr-defined]
        self.number += 1
        self.log = Log(leaves)

    @rule()
    def show_to_the_witness(self) -> None:
        """It signs if, and only if, the log begins with what it saw."""
        now = self.log.checkpoint()
        begins = self.log.leaves[: len(self.seen_leaves)] == self.seen_leaves
        proof: tuple[bytes, ...] = ()
        if self.seen is not None and 0 < self.seen.size < now.size:
            proof = consistency_proof(self.seen.size, now.size, self.log.read)
        try:
            _, keys = check_next(
                now.sign(KEY), self.known, [KEY.verifier], seen=self.seen, proof=proof
            )
        except ProofInvalid:
            assert not begins, "a log that only grew was refused"
            return
        assert begins, "a log that was rewritten was signed"
        self.seen, self.seen_leaves, self.known = now, list(self.log.leaves), keys

    @invariant()
    def the_edge_is_that_of_the_leaves(self) -> None:
        if hasattr(self, "log"):
            assert edge_of(self.log.edge.size, self.log.read) == self.log.edge


LogAndWitness.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLogAndWitness = LogAndWitness.TestCase
