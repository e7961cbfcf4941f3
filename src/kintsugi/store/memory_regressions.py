"""Regression cases in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import msgspec

from kintsugi.errors import NotFound
from kintsugi.ledger.leaves import regression_leaf
from kintsugi.model.incident import IncidentStore
from kintsugi.model.incident_access import visibility_of
from kintsugi.model.notice_sources import of_regression, of_regressions
from kintsugi.model.regression import (
    Regression,
    RegressionFilter,
    canonical_id,
    erased,
    regression_id,
    regression_number,
)
from kintsugi.model.regression_ledger import LedgerEntry
from kintsugi.store.cursors import before_of, paged
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.memory_notices import Tell
from kintsugi.store.memory_regression_ledger import MemoryRegressionLedger
from kintsugi.store.regression_moves import StandsIn, entries_after, refuse_known
from kintsugi.store.regressions import check_version


class MemoryRegressions:
    """The same promises as ``PostgresRegressions``.

    Args:
        add_leaf: adds to the Merkle log.
    """

    def __init__(
        self,
        incidents: IncidentStore,
        add_leaf: Callable[..., int],
        tell: Tell,
        ledger: MemoryRegressionLedger,
    ) -> None:
        self._ledger = ledger
        self._incidents = incidents
        self._add_leaf = add_leaf
        self._tell = tell
        # Of each its versions, oldest first, by number.
        self._cases: dict[int, list[Regression]] = {}

    def add(
        self, new: Sequence[Regression], *, now: datetime, once: bool = False
    ) -> list[Regression]:
        with LOCK:
            for one in new if once else ():
                self.require_new(one)
            kept = []
            for one in new:
                subject = one.subject
                if not subject and one.parent:
                    subject = self.get(one.parent).subject
                number = max(self._cases, default=0) + 1
                identifier = regression_id(number)
                made = msgspec.structs.replace(one, id=identifier, version=1, subject=subject)
                self._cases[number] = [made]
                kept.append(made)
            self._tell(of_regressions([one for one in kept if not self._hidden(one)]))
            for one in kept:
                self._add_leaf(regression_leaf(one), now=now)
            return kept

    def require_new(self, one: Regression) -> None:
        source = one.source.event_id or one.source.id
        where = RegressionFilter(incident=one.incident_id, config_id=one.config_id)
        same = (
            each
            for each in self.scan(where)
            if each.digest == one.digest
            and each.state in ("proposed", "approved")
            and source in (each.source.id, each.source.event_id)
        )
        if (known := next(same, None)) is not None:
            refuse_known(known)

    def get(self, regression_id: str, version: int | None = None) -> Regression:
        for one in self.history(regression_id):
            if version in (None, one.version):
                return one
        raise NotFound(f'there is no regression case "{regression_id}, version {version}"')

    def named(self, regression_ids: Sequence[str]) -> dict[str, Regression]:
        wanted = {regression_number(one) for one in regression_ids}
        return {one.id: one for number, (*_, one) in self._cases.items() if number in wanted}

    def history(self, regression_id: str) -> list[Regression]:
        number = regression_number(regression_id) or 0
        if number not in self._cases:
            raise NotFound(f'there is no regression case "{regression_id}"')
        return self._cases[number][::-1]

    def page(
        self, where: RegressionFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Regression], str | None]:
        before = before_of(cursor, regression_number)
        found = [one for one in self.scan(where) if (regression_number(one.id) or 0) < before]
        found.reverse()
        return paged(found, limit, lambda one: (one.created_at, one.id))

    def scan(self, where: RegressionFilter) -> Iterator[Regression]:
        yield from [one for _, (*_, one) in sorted(self._cases.items()) if _is(one, where)]

    def change(
        self,
        regression_id: str,
        apply: Callable[[Regression], Regression],
        *,
        expected_version: int | None = None,
    ) -> Regression:
        with LOCK:
            before = self.get(regression_id)
            check_version(before, expected_version)
            after = apply(before)
            if after == before:
                return before
            after = msgspec.structs.replace(after, id=before.id, version=before.version + 1)
            return self._next(before, after)

    def put_back(self, lost: Sequence[Regression], *, now: datetime) -> None:
        with LOCK:
            for one in lost:
                number = regression_number(one.id) or 0
                if number not in self._cases:
                    self._cases[number] = [one]
                    self._add_leaf(regression_leaf(one), now=now)

    def matter(self, subject: str) -> int:
        return sum(one.subject == subject for *_, one in self._cases.values())

    def forget(self, subject: str, *, by: str, now: datetime) -> int:
        with LOCK:
            found = [each for each in self._cases.values() if each[-1].subject == subject]
            for versions in found:
                before = versions[-1]
                if before.state != "erased" and any(one.kept for one in versions):
                    gone = erased(before, by=by, now=now)
                    after = msgspec.structs.replace(gone, version=before.version + 1)
                    versions[:] = [_emptied(one, after) for one in versions]
                    self._next(before, after)
                versions[:] = [_cut(one) for one in versions]
            return len(found)

    def _next(self, before: Regression, after: Regression) -> Regression:
        entries = self._follow(before, after)
        self._cases[regression_number(after.id) or 0].append(after)
        if not self._hidden(after):
            self._tell([of_regression(before, after)])
        self._add_leaf(regression_leaf(after), now=after.changed_at)
        self._ledger.add_leaves(entries, now=after.changed_at)
        return after

    def _follow(self, before: Regression, after: Regression) -> tuple[LedgerEntry, ...]:
        """What ``store.regression_ledger.follow_case`` does."""
        found = self._ledger.standing([before.id, after.replaced_by])
        bound = found.get(before.id)
        if bound is None or not bound.binds:
            return ()
        by = self.named([after.replaced_by]).get(after.replaced_by)
        stands_in = None if by is None else StandsIn(found.get(by.id), by)
        return self._ledger.append(entries_after(bound, before, after, stands_in))

    def _hidden(self, one: Regression) -> bool:
        try:
            return visibility_of(self._incidents.get(one.incident_id)) == "hidden"
        except NotFound:
            return False


def _emptied(one: Regression, gone: Regression) -> Regression:
    return msgspec.structs.replace(one, case=gone.case, lost=gone.lost, lost_digest=one.digest)


def _cut(one: Regression) -> Regression:
    source = msgspec.structs.replace(one.source, id="", event_id="")
    return msgspec.structs.replace(one, source=source, subject="")


def _is(one: Regression, where: RegressionFilter) -> bool:
    return (
        where.incident.lower() in ("", one.incident_id)
        and where.config_id in ("", one.config_id)
        and where.state in ("", one.state)
        and where.kind in ("", one.kind)
        and canonical_id(where.parent) in ("", one.parent)
        and canonical_id(where.source) in ("", one.source.id, one.source.event_id)
    )
