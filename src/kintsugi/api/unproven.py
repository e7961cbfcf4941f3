"""Watches whether what gateways run, and what is newest, meets the cases that bind it: a file of a
gateway's own, a change of the database or a restore get around the check of a publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

import msgspec

from kintsugi.api.bound_cases import Breach, breaches
from kintsugi.api.proving import judge_of
from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.gateways import GatewayReport, WorkerReport
from kintsugi.model.regression_ledger import BoundFilter, LedgerEntry
from kintsugi.model.signal import Observation
from kintsugi.model.stores import Stores
from kintsugi.replay.prove import Judge

UNPROVEN_EVERY_SECONDS: Final = 10.0
UNPROVEN: Final = "configuration_unproven"
_OPEN_MAX: Final = 200
_NAMED_MAX: Final = 20


class Running(msgspec.Struct, frozen=True):
    """A configuration that decides somewhere.

    Attributes:
        where: ``gateway:ID``, or ``configuration:ID`` for the newest version.
    """

    where: str
    name: str
    revision: str


class UnprovenWatch:
    """Raises a signal for each configuration that does not meet what binds it, and ends it when
    that is over. Nothing is tried twice while neither it nor the ledger changes."""

    def __init__(self, stores: Stores, clock: Callable[[], datetime]) -> None:
        self._stores = stores
        self._clock = clock
        self._mark = -1
        self._tried: dict[Running, Observation | None] = {}

    def look_once(self) -> bool:
        """Look at everything that runs; there is never more to do at once."""
        mark = self._stores.ledger.mark()
        if mark != self._mark:
            self._mark, self._tried = mark, {}
        bound = self._stores.ledger.bound(BoundFilter()) if mark else []
        running = dict(self._running(bound)) if bound else {}
        self._tried = {one: seen for one, seen in self._tried.items() if one in running}
        for one, (judge, entries) in running.items():
            if one not in self._tried:
                self._tried[one] = self._look(one, judge, entries)
        seen = [found for found in self._tried.values() if found is not None]
        now = self._clock()
        for found in seen:
            self._stores.signals.observe(found, now=now)
        self._end_others({found.key for found in seen}, now)
        return False

    def _running(
        self, bound: list[LedgerEntry]
    ) -> Iterator[tuple[Running, tuple[Judge | None, list[LedgerEntry]]]]:
        """What decides somewhere, with its text where that is known and the cases that bind it."""
        for config_id in sorted({one.config_id for one in bound}):
            versions = self._stores.configurations.versions(config_id)
            entries = [one for one in bound if one.config_id == config_id]
            if versions:
                judge = judge_of(versions[0])
                yield (
                    Running(f"configuration:{config_id}", judge.name, versions[0].revision),
                    (
                        judge,
                        entries,
                    ),
                )
        for record in self._stores.gateways.list():
            report = record.report
            entries = [
                one
                for one in bound
                if one.config_id == report.config_id or report.id in one.gateways
            ]
            if entries:
                for worker in report.workers:
                    told = Running(f"gateway:{report.id}", worker.config_version, worker.revision)
                    yield told, (self._judge(report, worker), entries)

    def _judge(self, report: GatewayReport, worker: WorkerReport) -> Judge | None:
        """The text of what a worker runs; None where no version that is kept means the same."""
        versions = self._stores.configurations.versions(report.config_id)
        same: list[ConfigurationVersion] = [
            one for one in versions if one.revision == worker.revision
        ]
        return judge_of(same[0]) if same else None

    def _look(
        self, one: Running, judge: Judge | None, entries: list[LedgerEntry]
    ) -> Observation | None:
        if judge is None:
            why = "no version that is kept here means the same, so nobody knows"
            return _observation(one, why, len(entries), [])
        found = breaches(self._stores, judge, entries)
        why = f"{len(found)} of them do not hold"
        return _observation(one, why, len(entries), found) if found else None

    def _end_others(self, keys: set[str], now: datetime) -> None:
        found, _ = self._stores.signals.page("unresolved", kind=UNPROVEN, limit=_OPEN_MAX)
        for one in found:
            if one.key not in keys:
                self._stores.signals.over(one.key, resolution="it meets what binds it", now=now)


def _observation(one: Running, why: str, tried: int, found: list[Breach]) -> Observation:
    names = [each.regression_id for each in found]
    shown = f": {', '.join(names[:_NAMED_MAX])}" if names else ""
    return Observation(
        kind=UNPROVEN,
        key=f"{UNPROVEN}:{one.where}:{one.name}:{one.revision}",
        severity="high",
        subject=one.where,
        summary=(
            f"{one.where.replace(':', ' ')} runs {one.name}, which {tried} regression cases of "
            f"closed incidents bind; {why}{shown}."
        ),
        detail={"config_version": one.name, "revision": one.revision, "regression_ids": names},
    )
