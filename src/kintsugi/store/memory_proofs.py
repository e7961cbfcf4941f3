"""Proofs in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from kintsugi.errors import NotFound
from kintsugi.ledger.leaves import ProofLeaf, proof_leaf
from kintsugi.model.log import StoredLeaf
from kintsugi.model.notice_sources import of_proof
from kintsugi.model.proof import (
    Proof,
    ProofFilter,
    proof_digest,
    proof_id,
    proof_number,
    proof_record,
)
from kintsugi.model.regression_ledger import Binding
from kintsugi.store.cursors import before_of, paged
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.memory_notices import Tell
from kintsugi.store.memory_regression_ledger import MemoryRegressionLedger
from kintsugi.store.proofs import named

_KIND = ProofLeaf.__struct_config__.tag
_LEAF = msgspec.json.Decoder(ProofLeaf)


class MemoryProofs:
    """The same promises as ``PostgresProofs``.

    Args:
        add_leaf: adds to the Merkle log; ``leaves`` gives those that are there.
    """

    def __init__(
        self,
        ledger: MemoryRegressionLedger,
        add_leaf: Callable[..., int],
        leaves: Callable[[], Iterable[StoredLeaf]],
        tell: Tell,
    ) -> None:
        self._ledger = ledger
        self._add_leaf = add_leaf
        self._leaves = leaves
        self._tell = tell
        self._proofs: list[Proof] = []

    def add(self, proof: Proof, binding: Binding | None = None) -> Proof:
        with LOCK:
            kept = msgspec.structs.replace(proof, id=proof_id(len(self._proofs) + 1))
            kept = msgspec.json.decode(proof_record(kept), type=Proof)
            entries = self._ledger.enter(named(binding, kept))
            self._proofs.append(kept)
            self._tell([of_proof(kept)])
            self._add_leaf(proof_leaf(kept), now=kept.at)
            self._ledger.add_leaves(entries, now=kept.at)
        return kept

    def get(self, proof_id: str) -> Proof:
        number = proof_number(proof_id) or 0
        if not 0 < number <= len(self._proofs):
            raise NotFound(f'there is no proof "{proof_id}"')
        return self._proofs[number - 1]

    def page(
        self, where: ProofFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Proof], str | None]:
        before = before_of(cursor, proof_number)
        found = [
            one
            for one in reversed(self._proofs)
            if (not where.incidents or one.incident_id in where.incidents)
            and where.passed in (None, one.passed)
            and (proof_number(one.id) or 0) < before
        ]
        return paged(found, limit, lambda one: (one.at, one.id))

    def check(self) -> list[str]:
        told = {leaf.id: leaf for leaf in map(_LEAF.decode, self._leaves_told())}
        found = []
        for one in self._proofs:
            leaf = told.pop(one.id, None)
            if leaf is None:
                found.append(f"proof {one.id} has no leaf in the log")
            elif leaf.record_digest != proof_digest(one):
                found.append(f"proof {one.id} was changed")
        return [*found, *(f"proof {name} was removed: the log tells of it" for name in told)]

    def _leaves_told(self) -> list[str]:
        return [one.data for one in self._leaves() if one.kind == _KIND]
