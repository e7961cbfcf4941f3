"""Custody in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kintsugi.errors import InvalidInput
from kintsugi.ledger.leaves import Leaf, custody_leaf
from kintsugi.model.custody import CustodyEntry, CustodyFilter
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.uuids import parse_uuid


class MemoryCustody:
    """The same promises as ``PostgresCustody``.

    Args:
        add_leaf: adds to the Merkle log.
    """

    def __init__(self, add_leaf: Callable[..., int]) -> None:
        self._add_leaf = add_leaf
        self._entries: dict[str, CustodyEntry] = {}

    def add(self, entry: CustodyEntry) -> None:
        with LOCK:
            if parse_uuid(entry.id) is None or entry.id in self._entries:
                raise InvalidInput(f'"{entry.id}" cannot be the id of a new custody entry')
            leaf: Leaf = custody_leaf(entry)
            self._add_leaf(leaf, now=entry.at)
            self._entries[entry.id] = entry

    def page(
        self, where: CustodyFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[CustodyEntry], str | None]:
        before = place_in(cursor)
        found = [
            entry
            for entry in self._oldest_first()[::-1]
            if _is(entry, where) and (before is None or (entry.at, entry.id) < before)
        ]
        return paged(found, limit, lambda one: (one.at, one.id))

    def count(self, where: CustodyFilter, *, ceiling: int) -> int:
        return min(ceiling, sum(_is(entry, where) for entry in self._entries.values()))

    def of(self, objects: Sequence[str]) -> list[CustodyEntry]:
        wanted = set(objects)
        return [entry for entry in self._oldest_first() if entry.object in wanted]

    def _oldest_first(self) -> list[CustodyEntry]:
        return sorted(self._entries.values(), key=lambda entry: (entry.at, entry.id))


def _is(entry: CustodyEntry, where: CustodyFilter) -> bool:
    return all(
        not wanted or wanted == has
        for wanted, has in (
            (where.object, entry.object),
            (where.actor, entry.actor),
            (where.action, entry.action),
        )
    )
