"""The Merkle log in memory; see ``log``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from kintsugi.errors import InvalidInput, NotFound, VersionConflict
from kintsugi.ledger.leaves import (
    EventsLeaf,
    Leaf,
    batch_root,
    kind_of,
    leaf_data,
)
from kintsugi.ledger.merkle import Edge, append, leaf_hash
from kintsugi.ledger.proof import record_hash
from kintsugi.model.event import DecisionEvent
from kintsugi.model.journal import JournalSpan
from kintsugi.model.log import (
    WITNESSES_MAX,
    Cosigned,
    EventInLog,
    RecordedBatch,
    StoredLeaf,
    Witnessed,
)
from kintsugi.store.event_rows import encode
from kintsugi.store.memory_lock import LOCK

_NAMED = ("proof", "regression_ledger")


class MemoryLog:
    """The Merkle log, every node of it in a dictionary."""

    def __init__(self) -> None:
        self._edge = Edge()
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._leaves: list[StoredLeaf] = []
        self._batches: dict[str, EventInLog] = {}
        self._records: list[tuple[str, str]] = []  # by position, from 1
        self._expired: dict[int, bytes] = {}  # hashes, by position
        self._witnessed: dict[str, Witnessed] = {}
        self._cosigned: dict[str, Cosigned] = {}

    def witnessed(self, origin: str) -> Witnessed | None:
        return self._witnessed.get(origin)

    def witness(self, seen: Witnessed, *, after: Witnessed | None) -> None:
        with LOCK:
            if self._witnessed.get(seen.origin) != after:
                raise VersionConflict(f"another checkpoint of {seen.origin} was cosigned meanwhile")
            self._witnessed[seen.origin] = seen

    def all_witnessed(self) -> list[Witnessed]:
        found = sorted(self._witnessed.values(), key=lambda one: one.origin)
        return sorted(found, key=lambda one: one.seen_at, reverse=True)[:WITNESSES_MAX]

    def cosigned(self) -> list[Cosigned]:
        found = sorted(self._cosigned.values(), key=lambda one: one.key)
        return sorted(found, key=lambda one: one.cosigned_at, reverse=True)[:WITNESSES_MAX]

    def keep_cosigned(self, one: Cosigned) -> None:
        with LOCK:
            before = self._cosigned.get(one.key)
            if before is None and len(self._cosigned) >= WITNESSES_MAX:
                raise InvalidInput(f"{WITNESSES_MAX} witnesses are known already")
            if before is None or before.cosigned_at < one.cosigned_at:
                self._cosigned[one.key] = one

    def add(self, leaf: Leaf, *, now: datetime) -> int:
        """Add a leaf; returns its position."""
        data = leaf_data(leaf)
        with LOCK:
            position = self._edge.size
            self._edge, complete = append(self._edge, [leaf_hash(data)])
            self._nodes.update(complete)
            self._leaves.append(StoredLeaf(position, now, kind_of(leaf), data.decode()))
        return position

    def add_events(
        self,
        events: Sequence[DecisionEvent],
        journals: tuple[JournalSpan, ...],
        *,
        after: int,
        now: datetime,
    ) -> None:
        """Add a batch of records that was stored behind this position."""
        records = [encode(event) for event in events]
        root = batch_root(records)
        leaf = EventsLeaf(after + 1, after + len(records), root, now, journals)
        position = self.add(leaf, now=now)
        texts: tuple[str, ...] = tuple(record.decode() for record in records)
        for index, event in enumerate(events):
            self._batches[event.id] = EventInLog(position, index, texts)
            self._records.append((event.id, texts[index]))

    def edge(self) -> tuple[int, tuple[bytes, ...]]:
        return self._edge.size, self._edge.hashes

    def nodes(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        for level, position in places:
            if (level, position) not in self._nodes:
                raise NotFound(f"the log has no node {position} on level {level}")
        return [self._nodes[level, position] for level, position in places]

    def leaf(self, position: int) -> StoredLeaf:
        if not 0 <= position < len(self._leaves):
            raise NotFound(f"the log has no leaf {position}")
        return self._leaves[position]

    def named(self, identifier: str) -> int:
        for leaf in self._leaves:
            if leaf.kind in _NAMED and msgspec.json.decode(leaf.data)["id"] == identifier:
                return leaf.position
        raise NotFound(f'the log has no leaf of "{identifier}"')

    def leaves(self, *, before: int | None, limit: int) -> list[StoredLeaf]:
        found = [leaf for leaf in self._leaves if before is None or leaf.position < before]
        return found[::-1][:limit]

    def stretch(self, *, first: int, limit: int) -> list[StoredLeaf]:
        return self._leaves[first : first + limit]

    def nodes_there(self, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        return {place: self._nodes[place] for place in places if place in self._nodes}

    def batch(self, first_event: int, last_event: int) -> RecordedBatch:
        records = self._records[first_event - 1 : last_event]
        places = list(enumerate(records, start=first_event))
        return RecordedBatch(
            tuple((place, *told) for place, told in places if place not in self._expired),
            tuple(
                self._expired.get(place) or leaf_hash(record.encode())
                for place, (_, record) in places
            ),
            tuple(place for place, _ in places if place in self._expired),
        )

    def drop_records(self, event_ids: Sequence[str]) -> None:
        """Forget records, but not their hashes."""
        gone = set(event_ids)
        for place, (event_id, record) in enumerate(self._records, start=1):
            if event_id in gone:
                self._expired[place] = leaf_hash(record.encode())
                self._records[place - 1] = ("", "")
        for event_id in gone:
            batch, at = self._batches[event_id].leaf, self._batches.pop(event_id).index
            for other, found in self._batches.items():
                if found.leaf == batch:
                    records = list(found.records)
                    records[at] = record_hash(records[at])
                    self._batches[other] = msgspec.structs.replace(found, records=tuple(records))

    def event(self, event_id: str) -> EventInLog:
        try:
            return self._batches[event_id.lower()]
        except KeyError:
            raise NotFound(f'the log has no event "{event_id}"') from None
