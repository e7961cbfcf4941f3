"""Proofs in PostgreSQL; the table itself refuses changes, see the migration that made it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from kintsugi.errors import NotFound
from kintsugi.ledger.leaves import proof_leaf
from kintsugi.model.notice_sources import of_proof
from kintsugi.model.proof import (
    Proof,
    ProofFilter,
    proof_id,
    proof_number,
    proof_record,
)
from kintsugi.model.regression_ledger import Binding
from kintsugi.store.connections import Database
from kintsugi.store.cursors import before_of, paged
from kintsugi.store.log import add_leaf
from kintsugi.store.notices import add_notice
from kintsugi.store.regression_ledger import FINDINGS_MAX, add_entries, add_entry_leaves
from kintsugi.store.statements import load_statements
from kintsugi.store.uuids import parse_uuid

_SQL: Final = load_statements("proofs")
_RECORD: Final = msgspec.json.Decoder(Proof)


class PostgresProofs:
    """The proof store of the protocol in ``model/proof.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, proof: Proof, binding: Binding | None = None) -> Proof:
        with self._database.transaction() as connection:
            connection.execute(_SQL["lock_numbers"])
            row = connection.execute(_SQL["last_number"]).fetchone()
            number = (row[0] if row else 0) + 1
            kept = msgspec.structs.replace(proof, id=proof_id(number))
            record = proof_record(kept).decode()
            values = [number, kept.incident_id, kept.at, kept.passed, record]
            connection.execute(_SQL["add"], values)
            entries = add_entries(connection, named(binding, kept))
            add_notice(connection, of_proof(kept))
            add_leaf(connection, proof_leaf(kept), now=kept.at)
            add_entry_leaves(connection, entries, now=kept.at)
        return kept

    def get(self, proof_id: str) -> Proof:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["get"], [proof_number(proof_id) or 0]).fetchone()
        if row is None:
            raise NotFound(f'there is no proof "{proof_id}"')
        return _RECORD.decode(row[0])

    def page(
        self, where: ProofFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Proof], str | None]:
        values: dict[str, Any] = {
            "any_incident": not where.incidents,
            "incidents": [found for one in where.incidents if (found := parse_uuid(one))],
            "passed": where.passed,
            "before": before_of(cursor, proof_number),
            "limit": limit + 1,
        }
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], values).fetchall()
        proofs = [_RECORD.decode(record) for _, record in rows]
        return paged(proofs, limit, lambda one: (one.at, one.id))

    def check(self) -> list[str]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["beside_the_log"], [FINDINGS_MAX]).fetchall()
        return [f"proof {name} {finding}" for name, finding in rows]


def named(binding: Binding | None, proof: Proof) -> Binding:
    """What follows from a proof, with its name."""
    if binding is None:
        return Binding(())
    entries = (msgspec.structs.replace(one, proof_id=proof.id) for one in binding.entries)
    return msgspec.structs.replace(binding, entries=tuple(entries))
