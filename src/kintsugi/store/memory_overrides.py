"""Overrides in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from statistics import median

from kintsugi.ledger.leaves import override_leaf
from kintsugi.model.incident import new_id
from kintsugi.model.overrides import (
    LOAD_ROWS_MAX,
    Judgement,
    Load,
    Override,
    OverrideFilter,
    PolicyLoad,
    ReviewerLoad,
    Seen,
)
from kintsugi.model.oversight import Escalation, override_of
from kintsugi.store.cursors import paged, place_in


class MemoryOverrides:
    """The same promises as ``PostgresOverrides``.

    Args:
        add_leaf: adds to the Merkle log.
    """

    def __init__(self, add_leaf: Callable[..., int]) -> None:
        self._add_leaf = add_leaf
        self._overrides: list[Override] = []

    def add(self, after: Escalation, said: Judgement | None, *, now: datetime) -> None:
        """Keep how an escalation was decided."""
        seen, bulk_id = (said.seen, said.bulk_id) if said is not None else (Seen(), "")
        made = override_of(after, override_id=new_id(now), now=now, bulk_id=bulk_id, seen=seen)
        self._add_leaf(override_leaf(made), now=now)
        self._overrides.append(made)

    def page(
        self, where: OverrideFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Override], str | None]:
        before = place_in(cursor)
        found = [
            one
            for one in self._newest_first()
            if where.by in ("", one.by)
            and where.outcome in ("", one.outcome)
            and not (where.proposing and one.proposes is None)
            and (before is None or (one.at, one.id) < before)
        ]
        return paged(found, limit, lambda one: (one.at, one.id))

    def of(self, escalation_id: str) -> list[Override]:
        return [one for one in self._newest_first() if one.escalation_id == escalation_id]

    def load(self, *, since: datetime) -> Load:
        found = [one for one in self._overrides if one.at >= since]
        decided = [one for one in found if one.outcome != "expired"]
        people = [
            _reviewer(name, [one for one in decided if one.by == name])
            for name in {one.by for one in decided}
        ]
        policies = [
            _policy(name, code, [one for one in found if _key(one) == (name, code)])
            for name, code in {_key(one) for one in found}
        ]
        people.sort(key=lambda one: (-one.decided, one.by))
        policies.sort(key=lambda one: (-one.decided - one.expired, one.policy_name))
        return Load(since, tuple(people[:LOAD_ROWS_MAX]), tuple(policies[:LOAD_ROWS_MAX]))

    def _newest_first(self) -> list[Override]:
        return sorted(self._overrides, key=lambda one: (one.at, one.id), reverse=True)


def _reviewer(name: str, found: Sequence[Override]) -> ReviewerLoad:
    approved = sum(one.outcome == "approved" for one in found)
    return ReviewerLoad(
        by=name,
        decided=len(found),
        approved=approved,
        rejected=len(found) - approved,
        late=sum(one.late for one in found),
        in_bulk=sum(bool(one.bulk_id) for one in found),
        unseen=sum(not one.seen.digest for one in found),
        override_rate=round(approved / len(found), 4),
        waited_seconds_median=round(median(one.waited_seconds for one in found), 3),
    )


def _policy(name: str, code: str, found: Sequence[Override]) -> PolicyLoad:
    decided = [one for one in found if one.outcome != "expired"]
    approved = sum(one.outcome == "approved" for one in decided)
    return PolicyLoad(
        policy_name=name,
        reason_code=code,
        decided=len(decided),
        approved=approved,
        expired=len(found) - len(decided),
        false_positives=sum(one.classification == "false_positive" for one in found),
        confirmed=sum(one.classification == "confirmed" for one in found),
        override_rate=round(approved / len(decided), 4) if decided else 0.0,
    )


def _key(one: Override) -> tuple[str, str]:
    return one.policy_name, one.reason_code
