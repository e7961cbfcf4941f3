"""Watches whether what decides anywhere meets the cases that bind it: a file of a gateway's own, a
change of the database, a restore or a containment get around the check of a publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Final

import msgspec

from kintsugi.api.bound_cases import binds, breaches
from kintsugi.api.loosened import Loosened, in_force, let_through, loosened_by
from kintsugi.api.proving import judge_of
from kintsugi.errors import ConfigurationInvalid, NotFound
from kintsugi.ledger.leaves import content_digest
from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.gateways import GatewayReport, WorkerReport
from kintsugi.model.regression_ledger import BoundFilter, LedgerEntry
from kintsugi.model.signal import BY_ITSELF, Observation
from kintsugi.model.stores import Stores
from kintsugi.replay.compiled import compiled

UNPROVEN_EVERY_SECONDS: Final = 10.0
UNPROVEN: Final = "configuration_unproven"
_OPEN_MAX: Final = 200
_NAMED_MAX: Final = 20
# Between the key of a signal and the id of the one before it, which a person resolved.
_AGAIN: Final = " after "

Look = Callable[[], Observation | None]


class Running(msgspec.Struct, frozen=True):
    """What decides somewhere.

    Attributes:
        where: ``gateway:ID``; ``configuration:ID`` for the newest version, ``containment:ID`` for
            that under a containment.
        digest: of the newest version's text, so that a change in the database is seen.
    """

    where: str
    name: str
    revision: str
    digest: str = ""


class UnprovenWatch:
    """Raises a signal for everything that does not meet what binds it, and ends it when that is
    over. Nothing is tried twice while neither it nor the ledger changes."""

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
        for one, look in running.items():
            if one not in self._tried:
                self._tried[one] = look()
        seen = [found for found in self._tried.values() if found is not None]
        for found in seen:
            self._raise(found)
        self._end_others({found.key for found in seen})
        return False

    def _running(self, bound: list[LedgerEntry]) -> Iterator[tuple[Running, Look]]:
        """What decides somewhere and is bound by something, and how to look at it."""
        for newest in self._stores.configurations.list():
            entries = [one for one in bound if one.config_id == newest.id]
            if entries:
                name = f"{newest.id}@{newest.version}"
                digest = content_digest(newest.content)
                told = Running(f"configuration:{newest.id}", name, newest.revision, digest)
                yield told, partial(self._look, told, newest, entries)
        for record in self._stores.gateways.list():
            report = record.report
            entries = [one for one in bound if binds(one, report.config_id, (report.id,))]
            for worker in report.workers if entries else ():
                told = Running(f"gateway:{report.id}", worker.config_version, worker.revision)
                yield told, partial(self._look_at_worker, told, report, worker, entries)
                for name in worker.contained:
                    told = Running(f"gateway:{report.id}", f"containment {name}", "")
                    yield told, partial(self._look_for, told, name, len(entries))
        loosening = in_force(self._stores, now=self._clock())
        for loosened in loosened_by(self._stores, loosening, bound):
            newest = loosened.newest
            told = Running(
                f"containment:{loosened.containment.id}",
                f"{newest.id}@{newest.version}",
                newest.revision,
                content_digest(newest.content),
            )
            yield told, partial(self._look_under, told, loosened)

    def _kept(self, report: GatewayReport, worker: WorkerReport) -> ConfigurationVersion | None:
        """The version that a worker runs; None where none that is kept means the same."""
        versions = self._stores.configurations.versions(report.config_id)
        same = (one for one in versions if one.revision == worker.revision)
        return next(same, None) or next(
            (
                # Published under another release, whose engine made another revision of it.
                one
                for one in versions
                if worker.config_version == f"{one.id}@{one.version}"
                and _revision(one) == worker.revision
            ),
            None,
        )

    def _look_at_worker(
        self,
        one: Running,
        report: GatewayReport,
        worker: WorkerReport,
        entries: list[LedgerEntry],
    ) -> Observation | None:
        return self._look(one, self._kept(report, worker), entries)

    def _look(
        self, one: Running, kept: ConfigurationVersion | None, entries: list[LedgerEntry]
    ) -> Observation | None:
        runs = f"{one.where.replace(':', ' ')} runs {one.name}, which {len(entries)} regression "
        runs += "cases of closed incidents bind"
        if kept is None:
            why = "no version that is kept here means the same, so nobody knows"
            return _observation(one, f"{runs}; {why}", [])
        names = [each.regression_id for each in breaches(self._stores, judge_of(kept), entries)]
        if not names:
            return None
        return _observation(one, f"{runs}; {len(names)} of them do not hold", names)

    def _look_for(self, one: Running, containment_id: str, tried: int) -> Observation | None:
        try:
            self._stores.containments.get(containment_id)
        except NotFound:
            summary = (
                f"{one.where.replace(':', ' ')} judges by {one.name}, which is not kept here, so "
                f"nobody knows what it lets through of what {tried} regression cases of closed "
                "incidents bind"
            )
            return _observation(one, summary, [])
        return None

    def _look_under(self, one: Running, loosened: Loosened) -> Observation | None:
        names = [each.regression_id for each in let_through(self._stores, loosened)]
        if not names:
            return None
        containment = loosened.containment
        summary = (
            f"{containment.lever.name} {containment.id} of {containment.owner}, in force until "
            f"{containment.expires_at:%F %H:%M} UTC, keeps {len(names)} of "
            f"{len(loosened.entries)} regression cases of closed incidents that bind {one.name} "
            "from holding in its scope"
        )
        return _observation(one, summary, names)

    def _raise(self, seen: Observation) -> None:
        """Tell of it, also where a person resolved the signal: a word does not mend it."""
        now, key = self._clock(), seen.key
        told = self._stores.signals.observe(seen, now=now)
        while told.resolved_by != BY_ITSELF:
            again = msgspec.structs.replace(seen, key=f"{key}{_AGAIN}{told.id}")
            told = self._stores.signals.observe(again, now=now)

    def _end_others(self, keys: set[str]) -> None:
        found, _ = self._stores.signals.page("unresolved", kind=UNPROVEN, limit=_OPEN_MAX)
        for one in found:
            if one.key.partition(_AGAIN)[0] not in keys:
                over = "it is over, or meets what binds it"
                self._stores.signals.over(one.key, resolution=over, now=self._clock())


def _revision(version: ConfigurationVersion) -> str:
    """What this engine makes of a version; empty where it cannot read it."""
    try:
        return compiled(version.content).revision
    except ConfigurationInvalid:
        return ""


def _observation(one: Running, summary: str, names: list[str]) -> Observation:
    shown = f": {', '.join(names[:_NAMED_MAX])}" if names else ""
    return Observation(
        kind=UNPROVEN,
        key=f"{UNPROVEN}:{one.where}:{one.name}:{one.revision}",
        severity="high",
        subject=one.where,
        summary=f"{summary}{shown}.",
        detail={"config_version": one.name, "revision": one.revision, "regression_ids": names},
    )
