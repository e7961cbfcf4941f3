"""The Merkle log in PostgreSQL. Leaves are added by whoever records what they tell of, in the same
transaction: what is stored is in the log, and what is in the log is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from kintsugi.errors import InvalidInput, NotFound, StoreUnavailable, VersionConflict
from kintsugi.ledger.leaves import Leaf, kind_of, leaf_data
from kintsugi.ledger.merkle import HASH_BYTES, Edge, Node, append, leaf_hash
from kintsugi.model.log import (
    WITNESSES_MAX,
    Cosigned,
    EventInLog,
    RecordedBatch,
    StoredLeaf,
    Witnessed,
)
from kintsugi.store.cold import Cold, Found
from kintsugi.store.connections import Connection, Database
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("log")
_LAST: Final = 2**63 - 1


def add_leaf(connection: Connection, leaf: Leaf, *, now: datetime) -> int:
    """Add a leaf in the transaction that it tells of; returns its position.

    Reads and writes the edge and the nodes that become complete, so it costs the same at any size.
    The edge stays locked until the commit: call it late.
    """
    row = connection.execute(_SQL["lock_edge"]).fetchone()
    if row is None:
        raise StoreUnavailable("the edge of the log is missing; was this restored in part?")
    data = leaf_data(leaf)
    before = Edge(row[0], tuple(row[1]))
    edge, complete = append(before, [leaf_hash(data)])
    connection.execute(_SQL["add_leaf"], [before.size, now, kind_of(leaf), data.decode()])
    connection.execute(
        _SQL["add_nodes"],
        [
            [node.level for node, _ in complete],
            [node.position for node, _ in complete],
            [found for _, found in complete],
        ],
    )
    connection.execute(_SQL["move_edge"], [edge.size, list(edge.hashes)])
    return before.size


def add_batch(
    connection: Connection,
    *,
    first_event: int,
    last_event: int,
    leaf: int,
    hashes: Sequence[bytes],
) -> None:
    """Note which leaf holds the events of these positions, and the hash of each record."""
    connection.execute(_SQL["add_batch"], [last_event, first_event, leaf, b"".join(hashes)])


def expired_positions(connection: Connection, first: int, last: int) -> list[int]:
    """Of these positions those whose records went away at the end of their time."""
    rows = connection.execute(_SQL["expired_positions"], {"first": first, "last": last}).fetchall()
    return [place for begin, end in rows for place in range(begin, end)]


def expired_hashes(
    connection: Connection, first: int, last: int, *, stored: int
) -> dict[int, bytes]:
    """Of a batch of which so many events are stored the hashes, by position, of those whose records
    went away at the end of their time. What is missing for another reason is not among them."""
    if stored >= last - first + 1:
        return {}
    kept = connection.execute(_SQL["batch_hashes"], [last]).fetchone()
    hashes = bytes(kept[0]) if kept is not None and kept[0] is not None else b""
    return {
        place: hashes[at : at + HASH_BYTES]
        for place in expired_positions(connection, first, last)
        if (at := (place - first) * HASH_BYTES) < len(hashes)
    }


class PostgresLog:
    """The log store of the protocol in ``model/log.py``."""

    def __init__(self, database: Database, cold: Cold) -> None:
        self._database = database
        self._cold = cold

    def witnessed(self, origin: str) -> Witnessed | None:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["witnessed"], [origin]).fetchone()
        return None if row is None else Witnessed(row[0], row[1], row[2], tuple(row[3]), row[4])

    def witness(self, seen: Witnessed, *, after: Witnessed | None) -> None:
        with self._database.transaction() as connection:
            if after is None:
                values = [seen.origin, seen.size, seen.root, list(seen.keys), seen.seen_at]
                done = connection.execute(_SQL["first_witnessed"], values)
            else:
                values = [seen.size, seen.root, list(seen.keys), seen.seen_at]
                before = [after.origin, after.size, after.root]
                done = connection.execute(_SQL["next_witnessed"], [*values, *before])
        if done.rowcount != 1:
            raise VersionConflict(f"another checkpoint of {seen.origin} was cosigned meanwhile")

    def all_witnessed(self) -> list[Witnessed]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["all_witnessed"], [WITNESSES_MAX]).fetchall()
        return [Witnessed(row[0], row[1], row[2], tuple(row[3]), row[4]) for row in rows]

    def cosigned(self) -> list[Cosigned]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["cosigned"], [WITNESSES_MAX]).fetchall()
        return [Cosigned(*row) for row in rows]

    def keep_cosigned(self, one: Cosigned) -> None:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["count_cosigned"], [one.key]).fetchone()
            if row is not None and row[0] >= WITNESSES_MAX:
                raise InvalidInput(f"{WITNESSES_MAX} witnesses are known already")
            values = [one.witness, one.key, one.size, one.root, one.cosigned_at]
            connection.execute(_SQL["keep_cosigned"], values)

    def edge(self) -> tuple[int, tuple[bytes, ...]]:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["edge"]).fetchone()
        if row is None:
            raise StoreUnavailable("the edge of the log is missing; was this restored in part?")
        return row[0], tuple(row[1])

    def nodes(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        with self._database.transaction() as connection:
            levels, positions = [level for level, _ in places], [place for _, place in places]
            rows = connection.execute(_SQL["nodes"], [levels, positions]).fetchall()
        found = {Node(level, position): kept for level, position, kept in rows}
        missing = [place for place in places if Node(*place) not in found]
        if missing:
            raise NotFound(f"the log has no node {missing[0][1]} on level {missing[0][0]}")
        return [found[Node(*place)] for place in places]

    def leaf(self, position: int) -> StoredLeaf:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["leaf"], [position]).fetchone()
        if row is None:
            raise NotFound(f"the log has no leaf {position}")
        return StoredLeaf(*row)

    def named(self, identifier: str) -> int:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["named"], [identifier]).fetchone()
        if row is None:
            raise NotFound(f'the log has no leaf of "{identifier}"')
        return int(row[0])

    def leaves(self, *, before: int | None, limit: int) -> list[StoredLeaf]:
        with self._database.transaction() as connection:
            bound = _LAST if before is None else before
            rows = connection.execute(_SQL["leaves"], [bound, limit]).fetchall()
        return [StoredLeaf(*row) for row in rows]

    def stretch(self, *, first: int, limit: int) -> list[StoredLeaf]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["stretch"], [first, limit]).fetchall()
        return [StoredLeaf(*row) for row in rows]

    def nodes_there(self, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        levels, positions = [level for level, _ in places], [place for _, place in places]
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["nodes"], [levels, positions]).fetchall()
        return {(level, position): bytes(kept) for level, position, kept in rows}

    def batch(self, first_event: int, last_event: int) -> RecordedBatch:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["batch"], [first_event, last_event]).fetchall()
            kept = connection.execute(_SQL["batch_hashes"], [last_event]).fetchone()
            expired: list[int] = []
            if len(rows) < last_event - first_event + 1:
                expired = expired_positions(connection, first_event, last_event)
        whole = bytes(kept[0]) if kept is not None and kept[0] is not None else b""
        hashes = [whole[at : at + HASH_BYTES] for at in range(0, len(whole), HASH_BYTES)]
        missing = {identifier: position for position, identifier, record in rows if record is None}
        cold = self._cold.find(missing, contents=False)
        whole_rows = tuple(
            (position, str(identifier), _record(record, cold, identifier))
            for position, identifier, record in rows
        )
        return RecordedBatch(whole_rows, tuple(hashes), tuple(expired))

    def event(self, event_id: str) -> EventInLog:
        try:
            identifier = UUID(event_id)
        except ValueError:
            identifier = None
        row = None
        if identifier is not None and str(identifier) == event_id.lower():
            with self._database.transaction() as connection:
                row = connection.execute(_SQL["leaf_of_event"], [identifier]).fetchone()
                if row is not None:
                    _, first, last, _ = row
                    records = connection.execute(_SQL["records_of_batch"], [first, last]).fetchall()
                    expired = expired_hashes(connection, first, last, stored=len(records))
        if row is None:
            raise NotFound(f'the log has no event "{event_id}"')
        leaf, first, _, position = row
        missing = {identifier: at for record, identifier, at in records if record is None}
        cold = self._cold.find(missing, contents=False)
        whole: dict[int, str | bytes] = {
            **expired,
            **{
                at: found
                for record, identifier, at in records
                if (found := _record(record, cold, identifier))
            },
        }
        return EventInLog(leaf, position - first, tuple(whole[at] for at in sorted(whole)))


def _record(record: str | None, cold: Mapping[UUID, Found], identifier: UUID) -> str:
    """A record, wherever it is; empty where it was lost."""
    if record is not None:
        return record
    return cold[identifier].record if identifier in cold else ""
