"""Proofs in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from kintsugi.errors import NotFound
from kintsugi.ledger.leaves import proof_leaf
from kintsugi.model.notice_sources import of_proof
from kintsugi.model.proof import Proof, ProofFilter, proof_id, proof_number, proof_record
from kintsugi.model.regression_ledger import Binding
from kintsugi.store.cursors import before_of, paged
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.memory_notices import Tell
from kintsugi.store.memory_regression_ledger import MemoryRegressionLedger
from kintsugi.store.proofs import named


class MemoryProofs:
    """The same promises as ``PostgresProofs``.

    Args:
        add_leaf: adds to the Merkle log.
    """

    def __init__(
        self, ledger: MemoryRegressionLedger, add_leaf: Callable[..., int], tell: Tell
    ) -> None:
        self._ledger = ledger
        self._add_leaf = add_leaf
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
