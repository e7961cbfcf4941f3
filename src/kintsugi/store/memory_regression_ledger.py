"""The regression ledger in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import msgspec

from kintsugi.errors import NotFound
from kintsugi.ledger.leaves import RegressionLedgerLeaf, ledger_leaf
from kintsugi.model.log import StoredLeaf
from kintsugi.model.regression import Regression, canonical_id, regression_number
from kintsugi.model.regression_ledger import (
    Binding,
    BoundFilter,
    LedgerEntry,
    LedgerFilter,
    ledger_record,
)
from kintsugi.store.cursors import before_of, encode_cursor
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.regression_ledger import check_binding, ledger_position

_KIND = RegressionLedgerLeaf.__struct_config__.tag
_LEAF = msgspec.json.Decoder(RegressionLedgerLeaf)


class MemoryRegressionLedger:
    """The same promises as ``PostgresRegressionLedger``.

    Args:
        add_leaf: adds to the Merkle log; ``leaves`` gives those that are there.
        published: the newest version of each configuration.
    """

    def __init__(
        self,
        add_leaf: Callable[..., int],
        leaves: Callable[[], Iterable[StoredLeaf]],
        published: Callable[[], Mapping[str, int]],
    ) -> None:
        self._add_leaf = add_leaf
        self._leaves = leaves
        self._published = published
        self.case: Callable[[str], Regression] = _no_case
        self._entries: list[LedgerEntry] = []

    def add(self, binding: Binding, *, now: datetime) -> None:
        self.add_leaves(self.enter(binding), now=now)

    def enter(self, binding: Binding) -> tuple[LedgerEntry, ...]:
        """What ``store.regression_ledger.add_entries`` does."""
        with LOCK:
            check_binding(binding, self._published(), dict(self._cases(binding)))
            return self.append(binding.entries)

    def append(self, entries: Sequence[LedgerEntry]) -> tuple[LedgerEntry, ...]:
        """Keep entries, with nothing to be checked."""
        with LOCK:
            copied = (ledger_record(one) for one in entries)
            self._entries += [msgspec.json.decode(one, type=LedgerEntry) for one in copied]
        return tuple(entries)

    def add_leaves(self, entries: Sequence[LedgerEntry], *, now: datetime) -> None:
        """What ``store.regression_ledger.add_entry_leaves`` does."""
        for one in entries:
            self._add_leaf(ledger_leaf(one), now=now)

    def mark(self) -> int:
        return len(self._entries)

    def page(
        self, where: LedgerFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[LedgerEntry], str | None]:
        before = before_of(cursor, ledger_position)
        found = [
            (position, one)
            for position, one in reversed(list(enumerate(self._entries, 1)))
            if position < before
            and canonical_id(where.regression) in ("", one.regression_id)
            and where.config_id in ("", one.config_id)
            and (not where.incidents or one.incident_id in where.incidents)
        ]
        shown = found[:limit]
        entries = [one for _, one in shown]
        if len(found) <= limit or not shown:
            return entries, None
        return entries, encode_cursor(entries[-1].at, str(shown[-1][0]))

    def bound(self, where: BoundFilter) -> list[LedgerEntry]:
        newest = {one.regression_id: one for one in self._entries}
        return [
            one
            for _, one in sorted(newest.items())
            if one.binds
            and (
                where == BoundFilter()
                or one.config_id == where.config_id
                or set(one.gateways) & set(where.gateways)
                or one.incident_id in where.incidents
            )
        ]

    def standing(self, regression_ids: Sequence[str]) -> dict[str, LedgerEntry]:
        wanted = set(regression_ids)
        return {one.regression_id: one for one in self._entries if one.regression_id in wanted}

    def after(self, mark: int, *, limit: int) -> list[LedgerEntry]:
        return self._entries[mark : mark + limit]

    def put_back(self, entries: Iterable[LedgerEntry], *, now: datetime) -> list[LedgerEntry]:
        with LOCK:
            known = {one.id for one in self._entries}
            missing = [one for one in entries if one.id not in known]
            self._entries += missing
            self.add_leaves(missing, now=now)
        return missing

    def check(self) -> list[str]:
        told = [_LEAF.decode(one.data) for one in self._leaves() if one.kind == _KIND]
        by_id = {one.id: one for one in told}
        found = []
        for one in self._entries:
            named = f"entry {one.id} ({one.act} {one.regression_id})"
            leaf = by_id.pop(one.id, None)
            if leaf is None:
                found.append(f"{named} has no leaf in the log")
            elif leaf != ledger_leaf(one):
                found.append(f"{named} was changed")
        return [*found, *(f"entry {name} was removed: the log tells of it" for name in by_id)]

    def _cases(self, binding: Binding) -> Iterator[tuple[int, tuple[str, str]]]:
        for one in binding.entries:
            try:
                found = self.case(one.regression_id)
            except NotFound:
                continue
            yield regression_number(one.regression_id) or 0, (found.state, found.digest)


def _no_case(regression_id: str) -> Regression:
    raise NotFound(f'there is no regression case "{regression_id}"')
