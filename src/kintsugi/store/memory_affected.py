"""Who and what incidents affected, in memory, for unit tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from kintsugi.model.affected import Affected, AffectedKind, AffectedStatus, Settling, settled
from kintsugi.model.incident import Entry
from kintsugi.store.affected import require_all
from kintsugi.store.memory_incidents import MemoryIncidents
from kintsugi.store.memory_lock import LOCK


class MemoryAffected:
    """The same promises as ``PostgresAffected``."""

    def __init__(self, incidents: MemoryIncidents) -> None:
        self._incidents = incidents
        self._found: dict[tuple[str, str, str], Affected] = {}

    def add(self, found: Sequence[Affected], *, told: Entry | None = None, now: datetime) -> int:
        with LOCK:
            before = len(self._found)
            for one in found:
                self._found.setdefault((one.incident_id, one.kind, one.key), one)
            new = len(self._found) - before
        if told is not None and new:
            self._incidents.tell([told], now=now)
        return new

    def page(
        self,
        incident_id: str,
        kinds: Sequence[AffectedKind],
        *,
        status: AffectedStatus | Literal[""],
        limit: int,
        after: tuple[str, str] | None = None,
    ) -> list[Affected]:
        found = sorted(
            (
                one
                for one in self._found.values()
                if one.incident_id == incident_id
                and one.kind in kinds
                and status in ("", one.status)
                and (after is None or (one.kind, one.key) > after)
            ),
            key=lambda one: (one.kind, one.key),
        )
        return found[:limit]

    def counts(self, incident_id: str) -> dict[tuple[AffectedKind, AffectedStatus], int]:
        mine = (one for one in self._found.values() if one.incident_id == incident_id)
        return dict(Counter((one.kind, one.status) for one in mine))

    def settle(
        self,
        incident_id: str,
        kind: AffectedKind,
        keys: Sequence[str],
        settling: Settling,
        *,
        told: Entry,
    ) -> list[Affected]:
        with LOCK:
            known = [key for key in keys if (incident_id, kind, key) in self._found]
            require_all(keys, known)
            places = [(incident_id, kind, key) for key in sorted(dict.fromkeys(keys))]
            after = [settled(self._found[place], settling) for place in places]
            self._found.update(zip(places, after, strict=True))
        self._incidents.tell([told], now=settling.at)
        return after
