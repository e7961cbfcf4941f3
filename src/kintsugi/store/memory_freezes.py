"""Evidence freezes in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from kintsugi.errors import NotFound
from kintsugi.model.custody import CustodyEntry, CustodyStore
from kintsugi.model.freeze import Freeze, Pinned
from kintsugi.model.holds import Hold, HoldStore
from kintsugi.model.incident import Entry
from kintsugi.store.freezes import check_claim, same_freeze, to_be_verified
from kintsugi.store.memory_incidents import MemoryIncidents
from kintsugi.store.memory_lock import LOCK


class MemoryFreezes:
    """The same promises as ``PostgresFreezes``."""

    def __init__(self, incidents: MemoryIncidents, holds: HoldStore, custody: CustodyStore) -> None:
        self._incidents = incidents
        self._holds = holds
        self._custody = custody
        self._found: dict[str, Freeze] = {}
        self._progress_at: dict[str, datetime] = {}
        self._pinned: dict[str, set[Pinned]] = {}

    def begin(self, freeze: Freeze, *, hold: Hold, custody: CustodyEntry, told: Entry) -> Freeze:
        with LOCK:
            if (same := same_freeze(self.of(freeze.incident_id), freeze)) is not None:
                return same
            self._holds.place(hold, custody)
            self._keep(freeze, now=freeze.asked_at)
        self._incidents.tell([told], now=freeze.asked_at)
        return freeze

    def get(self, freeze_id: str) -> Freeze:
        try:
            return self._found[freeze_id.lower()]
        except KeyError:
            raise NotFound(f'there is no freeze "{freeze_id}"') from None

    def of(self, incident_id: str) -> list[Freeze]:
        found = (one for one in self._found.values() if one.incident_id == incident_id)
        return sorted(found, key=lambda one: (one.asked_at, one.id), reverse=True)

    def claim(self, *, now: datetime, stale_after_seconds: float) -> Freeze | None:
        stale = now - timedelta(seconds=stale_after_seconds)
        with LOCK:
            for one in sorted(self._found.values(), key=lambda one: (one.asked_at, one.id)):
                waits = one.state == "queued"
                if waits or (one.state == "running" and self._progress_at[one.id] < stale):
                    claimed = msgspec.structs.replace(one, state="running", attempt=one.attempt + 1)
                    self._keep(claimed, now=now)
                    return claimed
        return None

    def save(self, freeze: Freeze, *, pinned: Sequence[Pinned] = (), now: datetime) -> None:
        with LOCK:
            check_claim(self.get(freeze.id), freeze)
            self._pinned.setdefault(freeze.id, set()).update(pinned)
            self._incidents.tie(freeze.incident_id, [one.event_id for one in pinned])
            self._keep(freeze, now=now)

    def finish(
        self, freeze: Freeze, *, custody: CustodyEntry | None, told: Entry | None, now: datetime
    ) -> None:
        with LOCK:
            check_claim(self.get(freeze.id), freeze)
            self._keep(freeze, now=now)
            if custody is not None:
                self._custody.add(custody)
        if told is not None:
            self._incidents.recount(freeze.incident_id, told, scope=freeze.scope, now=now)

    def verify(self, freeze_id: str, *, by: str, now: datetime) -> Freeze:
        with LOCK:
            found = to_be_verified(self.get(freeze_id), by=by)
            self._keep(found, now=now)
        self._incidents.wake()
        return found

    def pinned(self, freeze_id: str, *, after: int, limit: int) -> list[Pinned]:
        found = sorted(one for one in self._pinned.get(freeze_id, ()) if one.position > after)
        return found[:limit]

    def _keep(self, freeze: Freeze, *, now: datetime) -> None:
        self._found[freeze.id] = msgspec.json.decode(msgspec.json.encode(freeze), type=Freeze)
        self._progress_at[freeze.id] = now
