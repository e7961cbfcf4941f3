"""Containments in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from kintsugi.errors import InvalidInput, NotFound
from kintsugi.ledger.leaves import containment_leaf
from kintsugi.model.containment import Bypassed, Containment, ContainmentState
from kintsugi.model.incident import Change, Incident
from kintsugi.model.notice_sources import of_containment
from kintsugi.store.containment_moves import approved, judged, released
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.memory_incidents import MemoryIncidents
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.memory_notices import Tell
from kintsugi.store.uuids import parse_uuid


class MemoryContainments:
    """The same promises as ``PostgresContainments``.

    Args:
        announce: tells gateways that something changed.
        add_leaf: adds to the Merkle log.
        tell: keeps notices.
    """

    def __init__(
        self,
        announce: Callable[[], None],
        add_leaf: Callable[..., int],
        tell: Tell,
        incidents: MemoryIncidents,
    ) -> None:
        self._incidents = incidents
        self._tell = tell
        self._announce = announce
        self._add_leaf = add_leaf
        self._found: dict[str, Containment] = {}

    def put(self, containment: Containment, *, declaring: Change | None = None) -> Incident | None:
        now = containment.created_at
        declared = None
        with LOCK:
            if parse_uuid(containment.id) is None or containment.id in self._found:
                raise InvalidInput(f'"{containment.id}" cannot be the id of a new containment')
            if declaring is not None:
                [declared] = self._incidents.change([], lambda _: (declaring,), now=now)
            self._keep(containment, now)
        self._announce()
        return declared

    def get(self, containment_id: str) -> Containment:
        try:
            return self._found[containment_id]
        except KeyError:
            raise NotFound(f'there is no containment "{containment_id}"') from None

    def page(
        self,
        *,
        state: ContainmentState | None,
        now: datetime,
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[Containment], str | None]:
        before = place_in(cursor)
        found = [
            one
            for one in reversed(self._oldest_first())
            if state in (None, one.state(now))
            and (before is None or (one.created_at, one.id) < before)
        ]
        return paged(found, limit, lambda one: (one.created_at, one.id))

    def count(self, *, state: ContainmentState | None, now: datetime) -> int:
        return sum(state in (None, one.state(now)) for one in self._found.values())

    def in_force(self, *, now: datetime, limit: int) -> list[Containment]:
        return [one for one in self._oldest_first() if one.in_force(now)][:limit]

    def expired(self, *, since: datetime, until: datetime, limit: int) -> list[Containment]:
        found = [
            one
            for one in self._found.values()
            if one.released_at is None and not one.waits and since < one.expires_at <= until
        ]
        return sorted(found, key=lambda one: (one.expires_at, one.id))[:limit]

    def approve(self, containment_id: str, *, by: str, now: datetime) -> Containment:
        return self._change(containment_id, lambda found: approved(found, by=by, now=now), now)

    def release(self, containment_id: str, *, by: str, reason: str, now: datetime) -> Containment:
        return self._change(
            containment_id, lambda found: released(found, by=by, reason=reason, now=now), now
        )

    def judge(self, containment_id: str, bypassed: Bypassed, *, now: datetime) -> Containment:
        return self._change(containment_id, lambda found: judged(found, bypassed, now=now), now)

    def unjudged(self, *, over_before: datetime, limit: int) -> list[Containment]:
        found = [
            one for one in self._found.values() if one.owes_judgement and one.over_at <= over_before
        ]
        return sorted(found, key=lambda one: (one.over_at, one.id))[:limit]

    def _change(
        self, containment_id: str, change: Callable[[Containment], Containment], now: datetime
    ) -> Containment:
        with LOCK:
            found = self.get(containment_id)
            after = change(found)
            if after == found:
                return found
            self._keep(after, now)
        self._announce()
        return after

    def _keep(self, containment: Containment, now: datetime) -> None:
        self._add_leaf(containment_leaf(containment, now=now), now=now)
        self._found[containment.id] = containment
        self._tell([of_containment(containment, containment.last_act, now=now)])

    def _oldest_first(self) -> list[Containment]:
        return sorted(self._found.values(), key=lambda one: (one.created_at, one.id))
