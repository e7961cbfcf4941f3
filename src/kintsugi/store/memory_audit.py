"""The audit log in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable

from kintsugi.errors import InvalidInput
from kintsugi.ledger.leaves import audit_leaf
from kintsugi.model.audit import AuditEntry, AuditFilter
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.uuids import parse_uuid


class MemoryAudit:
    """The same promises as ``PostgresAudit``.

    Args:
        add_leaf: adds to the Merkle log.
    """

    def __init__(self, add_leaf: Callable[..., int]) -> None:
        self._add_leaf = add_leaf
        self._entries: dict[str, AuditEntry] = {}

    def add(self, entry: AuditEntry) -> None:
        with LOCK:
            if parse_uuid(entry.id) is None or entry.id in self._entries:
                raise InvalidInput(f'"{entry.id}" cannot be the id of a new audit entry')
            self._add_leaf(audit_leaf(entry), now=entry.at)
            self._entries[entry.id] = entry

    def page(
        self, where: AuditFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[AuditEntry], str | None]:
        before = place_in(cursor)
        found = sorted(
            (
                entry
                for entry in self._entries.values()
                if _is(entry, where) and (before is None or (entry.at, entry.id) < before)
            ),
            key=lambda entry: (entry.at, entry.id),
            reverse=True,
        )
        return paged(found, limit, lambda one: (one.at, one.id))

    def count(self, where: AuditFilter, *, ceiling: int) -> int:
        return min(ceiling, sum(_is(entry, where) for entry in self._entries.values()))


def _is(entry: AuditEntry, where: AuditFilter) -> bool:
    below = where.object.endswith("/")
    return (
        where.actor in ("", entry.actor)
        and where.operation in ("", entry.operation)
        and where.result in ("", entry.result)
        and (entry.object.startswith(where.object) if below else where.object in ("", entry.object))
        and (where.since is None or entry.at >= where.since)
        and (where.until is None or entry.at <= where.until)
    )
