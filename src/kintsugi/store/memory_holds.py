"""Legal holds in memory, for unit tests."""

from __future__ import annotations

import builtins
from datetime import datetime

import msgspec

from kintsugi.errors import InvalidInput, NotFound, StateConflict
from kintsugi.model.custody import CustodyEntry, CustodyStore
from kintsugi.model.holds import HOLDS_MAX, Hold
from kintsugi.model.notice_sources import of_hold
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.memory_notices import Tell
from kintsugi.store.uuids import parse_uuid


class MemoryHolds:
    """The same promises as ``PostgresHolds``."""

    def __init__(self, custody: CustodyStore, tell: Tell) -> None:
        self._custody = custody
        self._tell = tell
        self._found: dict[str, Hold] = {}

    def place(self, hold: Hold, custody: CustodyEntry) -> None:
        with LOCK:
            names = [one.name for one in self._found.values() if one.released_at is None]
            if len(names) >= HOLDS_MAX:
                raise StateConflict(f"{HOLDS_MAX} holds are in force; release one that is over")
            if hold.name in names:
                raise StateConflict(f'a hold named "{hold.name}" is in force; choose another name')
            if parse_uuid(hold.id) is None or hold.id in self._found:
                raise InvalidInput(f'"{hold.id}" cannot be the id of a new hold')
            self._custody.add(custody)
            self._tell([of_hold(hold, "placed", now=hold.placed_at)])
            self._found[hold.id] = hold

    def get(self, hold_id: str) -> Hold:
        try:
            return self._found[hold_id]
        except KeyError:
            raise NotFound(f'there is no hold "{hold_id}"') from None

    def list(self, *, in_force: bool | None, limit: int) -> builtins.list[Hold]:
        found = sorted(
            self._found.values(), key=lambda hold: (hold.placed_at, hold.id), reverse=True
        )
        return [
            hold for hold in found if in_force is None or (hold.released_at is None) is in_force
        ][:limit]

    def release(
        self, hold_id: str, *, by: str, reason: str, now: datetime, custody: CustodyEntry
    ) -> Hold:
        with LOCK:
            found = self.get(hold_id)
            if found.released_at is not None:
                return found
            ended = msgspec.structs.replace(
                found, released_at=now, released_by=by, release_reason=reason
            )
            self._custody.add(custody)
            self._tell([of_hold(ended, "released", now=now)])
            self._found[hold_id] = ended
            return ended
