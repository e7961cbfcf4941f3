"""Notices in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from kintsugi.model.notice import Notice
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.memory_lock import LOCK

Tell = Callable[[Sequence[Notice]], None]


class MemoryNotices:
    """The same promises as ``PostgresNotices``.

    Args:
        announce: wakes whoever delivers them.
    """

    def __init__(self, announce: Callable[[], None]) -> None:
        self._announce = announce
        self._notices: list[Notice] = []
        self._waiting: set[str] = set()
        self._once: set[str] = set()
        self.capture: Tell = lambda _: None
        self.delivering: Callable[[str], bool] = lambda _: False

    def add(self, notices: Sequence[Notice]) -> None:
        if not notices:
            return
        with LOCK:
            self._notices += notices
            self._waiting |= {one.id for one in notices}
        self._announce()
        self.capture(notices)

    def told_before(
        self, types: Sequence[str], *, since: datetime, until: datetime, limit: int
    ) -> list[Notice]:
        """Those of these types within a window, newest first."""
        found = [one for one in self._notices if one.type in types and since <= one.at <= until]
        return sorted(found, key=lambda one: (one.at, one.id), reverse=True)[:limit]

    def add_once(self, key: str, one: Notice) -> bool:
        with LOCK:
            if key in self._once:
                return False
            self._once.add(key)
            self.add([one])
        return True

    def page(
        self, *, type_name: str = "", limit: int, cursor: str | None = None
    ) -> tuple[list[Notice], str | None]:
        before = place_in(cursor)
        found = [
            one
            for one in sorted(self._notices, key=lambda one: (one.at, one.id), reverse=True)
            if type_name in ("", one.type) and (before is None or (one.at, one.id) < before)
        ]
        return paged(found, limit, lambda one: (one.at, one.id))

    def take_waiting(self, limit: int) -> list[Notice]:
        """The oldest that wait, which wait no longer."""
        with LOCK:
            ordered = sorted(self._notices, key=lambda one: (one.at, one.id))
            taken = [one for one in ordered if one.id in self._waiting][:limit]
            self._waiting -= {one.id for one in taken}
        return taken

    def handed_out(self, since: datetime) -> list[Notice]:
        """Those since a time that do not wait any more, oldest first."""
        return [
            one
            for one in sorted(self._notices, key=lambda one: (one.at, one.id))
            if one.at >= since and one.id not in self._waiting
        ]

    def forget(self, *, before: datetime, limit: int) -> int:
        with LOCK:
            settled = [
                one
                for one in sorted(self._notices, key=lambda one: (one.at, one.id))
                if one.at < before and one.id not in self._waiting and not self.delivering(one.id)
            ][:limit]
            gone = {one.id for one in settled}
            self._notices = [one for one in self._notices if one.id not in gone]
        return len(settled)
