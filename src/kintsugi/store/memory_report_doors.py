"""Sources and links of reports in memory, for unit tests."""

from __future__ import annotations

from datetime import datetime

import msgspec

from kintsugi.errors import NotFound
from kintsugi.model.report_doors import ReportLink, Source, UsedLink
from kintsugi.store.cursors import decode_cursor, paged
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.report_doors import check_version


class MemoryReportDoors:
    """The same promises as ``PostgresReportDoors``."""

    def __init__(self) -> None:
        self._sources: dict[str, Source] = {}
        self._links: dict[str, UsedLink] = {}
        self._hours: dict[tuple[str, datetime], int] = {}

    def put_source(self, source: Source, *, expected_version: int | None) -> Source:
        with LOCK:
            before = self._sources.get(source.name)
            number = before.version if before is not None else 0
            check_version(source.name, number, expected_version)
            kept = msgspec.structs.replace(source, version=number + 1)
            self._sources[source.name] = kept
        return kept

    def source(self, name: str) -> Source:
        try:
            return self._sources[name]
        except KeyError:
            raise NotFound(f'there is no source of reports "{name}"') from None

    def sources(self) -> list[Source]:
        return [self._sources[name] for name in sorted(self._sources)]

    def add_link(self, link: ReportLink) -> None:
        self._links[link.id] = UsedLink(link, 0)

    def link(self, link_id: str) -> UsedLink:
        try:
            return self._links[link_id]
        except KeyError:
            raise NotFound(f'there is no link "{link_id}"') from None

    def links(self, *, limit: int, cursor: str | None = None) -> tuple[list[UsedLink], str | None]:
        before = decode_cursor(cursor) if cursor else None
        found = sorted(
            (
                one
                for one in self._links.values()
                if before is None or (one.link.created_at, one.link.id) < before
            ),
            key=lambda one: (one.link.created_at, one.link.id),
            reverse=True,
        )
        return paged(found, limit, lambda one: (one.link.created_at, one.link.id))

    def revoke_link(self, link_id: str, *, by: str, now: datetime) -> UsedLink:
        with LOCK:
            found = self.link(link_id)
            if found.link.revoked_at is not None:
                return found
            ended = msgspec.structs.replace(found.link, revoked_at=now, revoked_by=by)
            self._links[link_id] = UsedLink(ended, found.used)
            return self._links[link_id]

    def use_link(self, link_id: str, *, now: datetime) -> bool:
        with LOCK:
            found = self.link(link_id)
            hour = link_id, now.replace(minute=0, second=0, microsecond=0)
            if self._hours.get(hour, 0) >= found.link.per_hour:
                return False
            self._hours[hour] = self._hours.get(hour, 0) + 1
            self._links[link_id] = UsedLink(found.link, found.used + 1)
            return True
