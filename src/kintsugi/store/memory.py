"""Every store in memory, for unit tests: the same promises as PostgreSQL, kept by plain lists.

Passes the contract cases of ``tests/contract``. Nothing here is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from kintsugi.model.query import QueryResult
from kintsugi.model.stores import Stores
from kintsugi.store.memory_affected import MemoryAffected
from kintsugi.store.memory_archives import MemoryArchives, MemoryShelf
from kintsugi.store.memory_audit import MemoryAudit
from kintsugi.store.memory_changes import MemoryChanges
from kintsugi.store.memory_configurations import MemoryConfigurations
from kintsugi.store.memory_containments import MemoryContainments
from kintsugi.store.memory_custody import MemoryCustody
from kintsugi.store.memory_events import MemoryEvents
from kintsugi.store.memory_exports import MemoryExports
from kintsugi.store.memory_followups import MemoryFollowups
from kintsugi.store.memory_freezes import MemoryFreezes
from kintsugi.store.memory_gateways import MemoryGateways
from kintsugi.store.memory_holds import MemoryHolds
from kintsugi.store.memory_idempotency import MemoryIdempotency
from kintsugi.store.memory_incidents import MemoryIncidents
from kintsugi.store.memory_log import MemoryLog
from kintsugi.store.memory_notices import MemoryNotices
from kintsugi.store.memory_notify import MemoryNotify
from kintsugi.store.memory_overrides import MemoryOverrides
from kintsugi.store.memory_oversight import MemoryOversight
from kintsugi.store.memory_packages import MemoryPackages
from kintsugi.store.memory_proofs import MemoryProofs
from kintsugi.store.memory_query import MemoryQueryRunner
from kintsugi.store.memory_reach import MemoryReach
from kintsugi.store.memory_regression_ledger import MemoryRegressionLedger
from kintsugi.store.memory_regressions import MemoryRegressions
from kintsugi.store.memory_report_doors import MemoryReportDoors
from kintsugi.store.memory_reports import MemoryReports
from kintsugi.store.memory_retention import MemoryRetention
from kintsugi.store.memory_signals import MemorySignals
from kintsugi.store.memory_spans import MemorySpans
from kintsugi.store.memory_tokens import MemoryTokens
from kintsugi.store.memory_users import MemorySessions, MemoryUsers
from kintsugi.store.memory_vault import MemoryVault
from kintsugi.store.memory_workflows import MemoryWorkflows

_MOMENT = timedelta(microseconds=1)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def memory_stores(
    *,
    now: Callable[[], datetime] = _utc_now,
    answers: Mapping[str, QueryResult] | None = None,
) -> Stores:
    """A full set of empty stores that notify one :class:`MemoryChanges`.

    Args:
        now: clock against which far-future events are refused.
        answers: what :class:`MemoryQueryRunner` answers, by statement.
    """
    changes = MemoryChanges()
    log = MemoryLog()
    notices = MemoryNotices(lambda: changes.announce("notices"))
    tell = notices.add
    notices.capture = lambda told: incidents.capture(told)
    notify = MemoryNotify(notices, lambda: changes.announce("notices"))
    notices.delivering = notify.known
    signals = MemorySignals(lambda: changes.announce("signals"), tell)
    custody = MemoryCustody(log.add)
    workflows = MemoryWorkflows(log.add, signals, tell)
    overrides = MemoryOverrides(log.add)
    oversight = MemoryOversight(
        lambda: changes.announce("oversight"),
        tell,
        signals,
        overrides,
        workflows.tier_of,
        custody,
    )
    spans = MemorySpans(custody, workflows, now)
    vault = MemoryVault(log, custody, lambda: changes.announce("vault"), now)
    followups = MemoryFollowups()
    configurations = MemoryConfigurations(changes, log, tell)
    ledger = MemoryRegressionLedger(
        log.add,
        lambda: log.stretch(first=0, limit=log.edge()[0]),
        lambda: {one.id: one.version for one in configurations.list()},
    )
    incidents = MemoryIncidents(
        log.add,
        lambda: changes.announce("incidents"),
        lambda event_id: events.holds(event_id),
        tell,
        followups,
        notices.told_before,
        ledger,
    )
    regressions = MemoryRegressions(incidents, log.add, tell, ledger)
    ledger.case = regressions.get
    shelf = MemoryShelf()
    events = MemoryEvents(
        changes, log, oversight, signals, spans, vault, workflows, incidents.tied, shelf, now=now
    )
    holds = MemoryHolds(custody, tell)
    exports = MemoryExports(changes, custody, tell)
    saved = MemoryIdempotency()
    archives = MemoryArchives(
        shelf, events.all_stored, custody, lambda: changes.announce("archives")
    )
    retention = MemoryRetention(
        log=log,
        custody=custody,
        holds=holds,
        incidents=incidents,
        events=events,
        vault=vault,
        spans=spans,
        exports=exports,
        signals=signals,
        answers=saved,
        archives=archives,
        announce=lambda: changes.announce("retention"),
    )
    events.expired_months = lambda at: retention.expired_months(since=at, until=at + _MOMENT)
    return Stores(
        events=events,
        configurations=configurations,
        gateways=MemoryGateways(changes, tell),
        tokens=MemoryTokens(),
        exports=exports,
        users=MemoryUsers(),
        sessions=MemorySessions(),
        log=log,
        idempotency=saved,
        oversight=oversight,
        spans=spans,
        vault=vault,
        erasures=vault,
        signals=signals,
        custody=custody,
        audit=MemoryAudit(log.add),
        packages=MemoryPackages(events, vault, spans, log),
        containments=MemoryContainments(
            lambda: changes.announce("oversight"), log.add, tell, incidents
        ),
        holds=holds,
        retention=retention,
        incidents=incidents,
        freezes=MemoryFreezes(incidents, holds, custody),
        archives=archives,
        affected=MemoryAffected(incidents),
        reach=MemoryReach(events, spans),
        notices=notices,
        notify=notify,
        overrides=overrides,
        followups=followups,
        workflows=workflows,
        reports=MemoryReports(incidents, custody, log.add, tell),
        report_doors=MemoryReportDoors(),
        regressions=regressions,
        proofs=MemoryProofs(
            ledger, log.add, lambda: log.stretch(first=0, limit=log.edge()[0]), tell
        ),
        ledger=ledger,
        query=MemoryQueryRunner(answers or {}),
        changes=changes,
    )
