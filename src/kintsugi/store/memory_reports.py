"""Reports in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from kintsugi.errors import NotFound
from kintsugi.ledger.leaves import report_leaf
from kintsugi.model.custody import CustodyEntry, CustodyStore
from kintsugi.model.incident import Change, Incident
from kintsugi.model.notice import Notice
from kintsugi.model.notice_sources import of_report
from kintsugi.model.report import (
    Arrival,
    KeptReport,
    Recurrence,
    Report,
    ReportFilter,
    Standing,
    Take,
    Taken,
    counted,
    report_digest,
)
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.memory_incidents import MemoryIncidents
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.reports import check_unsettled, is_news


class MemoryReports:
    """The same promises as ``PostgresReports``.

    Args:
        add_leaf: adds to the Merkle log.
        tell: keeps notices.
    """

    def __init__(
        self,
        incidents: MemoryIncidents,
        custody: CustodyStore,
        add_leaf: Callable[..., int],
        tell: Callable[[Sequence[Notice]], None],
    ) -> None:
        self._incidents = incidents
        self._custody = custody
        self._add_leaf = add_leaf
        self._tell = tell
        self._kept: dict[str, KeptReport] = {}
        self._recurrences: dict[tuple[str, str], Recurrence] = {}
        self._files: dict[tuple[str, str], bytes] = {}

    def receive(
        self, arrivals: Sequence[Arrival], take: Take, *, now: datetime
    ) -> list[KeptReport]:
        with LOCK:
            return [self._receive(one, take, now=now) for one in arrivals]

    def joins(self, fingerprint: str) -> tuple[Incident, Recurrence | None] | None:
        ids = [one for name, one in self._recurrences if name == fingerprint]
        if not ids:
            return None
        incident = self._incidents.get(max(ids))
        while incident.merged_into:
            incident = self._incidents.get(incident.merged_into)
        if incident.state in ("closed", "not_an_incident"):
            return None
        return incident, self._recurrences.get((fingerprint, incident.id))

    def get(self, report_id: str) -> KeptReport:
        try:
            return self._kept[report_id.lower()]
        except KeyError:
            raise NotFound(f'there is no report "{report_id}"') from None

    def page(
        self, where: ReportFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[KeptReport], str | None]:
        before = place_in(cursor)
        found = sorted(
            (
                one
                for one in self._kept.values()
                if _is(one, where) and (before is None or (one.report.at, one.report.id) < before)
            ),
            key=lambda one: (one.report.at, one.report.id),
            reverse=True,
        )
        return paged(found, limit, lambda one: (one.report.at, one.report.id))

    def count(self, where: ReportFilter, *, ceiling: int) -> int:
        return min(ceiling, sum(_is(one, where) for one in self._kept.values()))

    def recurrences(self, incident_id: str) -> list[Recurrence]:
        found = [one for one in self._recurrences.values() if one.incident_id == incident_id]
        found.sort(key=lambda one: one.fingerprint)
        return sorted(found, key=lambda one: one.last_at, reverse=True)[:100]

    def settle(
        self,
        report_id: str,
        incident: str,
        decide: Callable[[KeptReport, Incident | None], Taken],
        *,
        by: str,
        now: datetime,
    ) -> KeptReport:
        with LOCK:
            kept = self.get(report_id)
            check_unsettled(kept)
            keys = [incident] if incident else []
            taken, got = self._change(keys, lambda found: decide(kept, found), now=now)
            name = got.id if got is not None else ""
            standing = Standing(taken.status, name, by, now, taken.reason)
            settled = msgspec.structs.replace(kept, standing=standing)
            self._kept[kept.report.id] = settled
            if name:
                self._count(kept.report, name)
            return settled

    def file(self, report_id: str, digest: str, entry: CustodyEntry) -> bytes:
        kept = self.get(report_id)
        try:
            content = self._files[kept.report.id, digest]
        except KeyError:
            raise NotFound(f'report "{report_id}" has no file "{digest}"') from None
        self._custody.add(entry)
        return content

    def files_of(self, report_id: str) -> int:
        return sum(one == report_id for one, _ in self._files)

    def erase_files(self, report_id: str) -> int:
        with LOCK:
            gone = [key for key in self._files if key[0] == report_id]
            for key in gone:
                del self._files[key]
        return len(gone)

    def _receive(self, one: Arrival, take: Take, *, now: datetime) -> KeptReport:
        report = one.report
        joins = self.joins(report.fingerprint.digest)
        keys = [joins[0].id] if joins is not None else []
        before = joins[1] if joins is not None else None
        taken, incident = self._change(keys, lambda found: take(report, found, before), now=now)
        name = incident.id if incident is not None else ""
        if name:
            self._count(report, name)
        standing = Standing(taken.status, name, "", now, taken.reason)
        if is_news(taken):
            self._tell([of_report(report, standing, incident, now=now)])
        leaf = self._add_leaf(report_leaf(report, now=now), now=now)
        kept = KeptReport(report, standing, report_digest(report), leaf)
        self._kept[report.id] = kept
        for digest, content in one.contents.items():
            self._files[report.id, digest] = content
        return kept

    def _change(
        self, keys: list[str], decide: Callable[[Incident | None], Taken], *, now: datetime
    ) -> tuple[Taken, Incident | None]:
        found: list[Taken] = []

        def change(before: tuple[Incident, ...]) -> tuple[Change, ...]:
            found.append(decide(before[0] if before else None))
            made = found[0].change
            return () if made is None else (made,)

        stored = self._incidents.change(keys, change, now=now)
        return found[0], stored[0] if stored else None

    def _count(self, report: Report, incident_id: str) -> None:
        key = report.fingerprint.digest, incident_id
        self._recurrences[key] = counted(self._recurrences.get(key), report, incident_id)


def _is(kept: KeptReport, where: ReportFilter) -> bool:
    return (
        where.status in ("", kept.standing.status)
        and where.channel in ("", kept.report.channel)
        and where.incident_id in ("", kept.standing.incident_id)
        and where.sender in ("", kept.report.sender)
    )
