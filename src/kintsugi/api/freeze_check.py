"""Checks a freeze: every event is there, is what was recorded, and is in the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec

from kintsugi.errors import NotFound, ProofInvalid
from kintsugi.ledger.leaves import EventsLeaf, Leaf, root_of
from kintsugi.ledger.merkle import Edge, Node, inclusion_proof, leaf_hash, verify_inclusion
from kintsugi.ledger.proof import record_hash
from kintsugi.model.freeze import Freeze, FreezeVerification, Pinned, chained, manifest_digest
from kintsugi.model.stores import Stores

_AT_ONCE: Final = 2_000
_PROBLEMS_MAX: Final = 100

_leaf = msgspec.json.Decoder(Leaf)


def check_freeze(
    freeze: Freeze, stores: Stores, *, now: datetime, progress: Callable[[int], None]
) -> FreezeVerification:
    """Read everything again, and say what is not as it was.

    Args:
        progress: gets the number of events so far; may raise to stop.
    """
    size, hashes = stores.log.edge()
    check = _Check(stores, size, Edge(size, hashes).root())
    chain, events = "", 0
    for some in _pieces(freeze, stores):
        for one in some:
            record = check.record(one)
            if record is not None:
                chain = chained(chain, leaf_hash(record.encode()))
            events += 1
        progress(events)
    if events != freeze.frozen:
        check.problem(f"{freeze.frozen:,} events were frozen and {events:,} are still pinned")
    read = msgspec.structs.replace(freeze, chain=chain)
    if manifest_digest(read) != freeze.digest and not check.problems:
        check.problem("the records together are not those whose digest was kept")
    return FreezeVerification(now, freeze.verify_by, size, tuple(check.problems))


def _pieces(freeze: Freeze, stores: Stores) -> Iterator[Sequence[Pinned]]:
    after = 0
    while some := stores.freezes.pinned(freeze.id, after=after, limit=_AT_ONCE):
        yield some
        after = some[-1].position


class _Check:
    """Looks at each batch of the log once, as positions go up."""

    def __init__(self, stores: Stores, size: int, root: bytes) -> None:
        self._stores = stores
        self._size = size
        self._root = root
        self._first = 0
        self._records: tuple[str | bytes, ...] = ()
        self.problems: list[str] = []

    def problem(self, sentence: str) -> None:
        """Note one; no more than anybody reads."""
        if len(self.problems) < _PROBLEMS_MAX:
            self.problems.append(sentence)

    def record(self, one: Pinned) -> str | None:
        """The record of an event, whose batch is in the log; None where it is gone."""
        index = one.position - self._first
        if not 0 <= index < len(self._records) and not self._open(one):
            return None
        found = self._records[one.position - self._first]
        if isinstance(found, bytes):
            self.problem(f"the record of event {one.event_id} has expired; its hash is in the log")
            return None
        return found

    def _open(self, one: Pinned) -> bool:
        try:
            found = self._stores.log.event(one.event_id)
        except NotFound:
            self.problem(f"event {one.event_id} is not stored any more")
            return False
        leaf = self._stores.log.leaf(found.leaf)
        told = _leaf.decode(leaf.data)
        if not isinstance(told, EventsLeaf):
            self.problem(f"leaf {found.leaf} of the log tells of no events")
            return False
        self._first, self._records = told.first_position, found.records
        expected = told.last_position - told.first_position + 1
        if len(found.records) != expected:
            self._records = ()
            self.problem(
                f"of the batch of event {one.event_id} (leaf {found.leaf}) {expected:,} events "
                f"were recorded and {len(found.records):,} are stored"
            )
            return False
        if root_of([record_hash(record) for record in found.records]) != told.root:
            self.problem(
                f"the batch of event {one.event_id} (leaf {found.leaf}) is not as it was recorded"
            )
        self._check_leaf(found.leaf, leaf.data)
        return True

    def _check_leaf(self, position: int, data: str) -> None:
        def read(places: Sequence[Node]) -> list[bytes]:
            return self._stores.log.nodes([(place.level, place.position) for place in places])

        if position >= self._size:
            self.problem(f"leaf {position} is behind the end of the log")
            return
        try:
            proof = inclusion_proof(position, self._size, read)
            verify_inclusion(leaf_hash(data.encode()), position, self._size, proof, self._root)
        except (NotFound, ProofInvalid) as error:
            self.problem(f"leaf {position} is not proven to be in the log: {error}")
