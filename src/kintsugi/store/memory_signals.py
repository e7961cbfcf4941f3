"""Signals in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from kintsugi.errors import NotFound
from kintsugi.model.notice_sources import of_signal
from kintsugi.model.signal import (
    BY_ITSELF,
    Observation,
    Signal,
    SignalStatus,
    acknowledged,
    first_seen,
    resolved,
    seen_again,
)
from kintsugi.store.cursors import decode_cursor, paged
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.memory_notices import Tell


class MemorySignals:
    """The same promises as ``PostgresSignals``.

    Args:
        announce: wakes whoever waits for a change.
        tell: keeps notices.
    """

    def __init__(self, announce: Callable[[], None], tell: Tell) -> None:
        self._tell = tell
        self._announce = announce
        self._signals: dict[str, Signal] = {}

    def observe(self, seen: Observation, *, now: datetime) -> Signal:
        with LOCK:
            newest = self._newest(seen.key)
            if newest is None or (newest.resolved_at and newest.resolved_by == BY_ITSELF):
                signal = first_seen(seen, now=now)
                self._tell([of_signal(signal, "raised", now=now)])
                return self._save(signal)
            if newest.resolved_at:
                return newest
            return self._save(seen_again(newest, seen, now=now))

    def over(self, key: str, *, resolution: str, now: datetime) -> Signal | None:
        with LOCK:
            newest = self._newest(key)
            if newest is None or newest.resolved_at:
                return None
            return self._move(
                newest, resolved(newest, by=BY_ITSELF, resolution=resolution, now=now), now=now
            )

    def get(self, signal_id: str) -> Signal:
        try:
            return self._signals[signal_id.lower()]
        except KeyError:
            raise NotFound(f'there is no signal "{signal_id}"') from None

    def page(
        self,
        status: SignalStatus | Literal["unresolved"] | None,
        *,
        kind: str = "",
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[Signal], str | None]:
        before = decode_cursor(cursor) if cursor else None
        found = [
            one
            for one in self._newest_first()
            if (status in (None, one.status) or (status == "unresolved" and not one.resolved_at))
            and kind in ("", one.kind)
            and (before is None or (one.at, one.id) < before)
        ]
        return paged(found, limit, lambda one: (one.at, one.id))

    def count_unresolved(self) -> int:
        return sum(one.resolved_at is None for one in self._signals.values())

    def acknowledge(self, signal_id: str, *, by: str, note: str, now: datetime) -> Signal:
        with LOCK:
            found = self.get(signal_id)
            return self._move(found, acknowledged(found, by=by, note=note, now=now), now=now)

    def resolve(self, signal_id: str, *, by: str, resolution: str, now: datetime) -> Signal:
        with LOCK:
            found = self.get(signal_id)
            return self._move(
                found, resolved(found, by=by, resolution=resolution, now=now), now=now
            )

    def _move(self, before: Signal, after: Signal, *, now: datetime) -> Signal:
        if after.status == "open" or after == before:
            return before
        self._tell([of_signal(after, after.status, now=now)])
        return self._save(after)

    def resolved_before(self, moment: datetime) -> list[str]:
        """Ids of what was resolved before then, oldest first."""
        found = [one for one in self._signals.values() if one.resolved_at]
        found.sort(key=lambda one: (one.resolved_at or one.at, one.id))
        return [one.id for one in found if one.resolved_at and one.resolved_at < moment]

    def forget(self, ids: Sequence[str]) -> None:
        """Remove these."""
        with LOCK:
            for identifier in ids:
                self._signals.pop(identifier, None)

    def _newest(self, key: str) -> Signal | None:
        return next((one for one in self._newest_first() if one.key == key), None)

    def _newest_first(self) -> list[Signal]:
        return sorted(self._signals.values(), key=lambda one: (one.at, one.id), reverse=True)

    def _save(self, signal: Signal) -> Signal:
        self._signals[signal.id] = signal
        self._announce()
        return signal
