"""Whether every decision arrived: a gateway's own counts beside what is stored of it.

What was counted on one side must be found on the next: admitted = decided + in flight;
decided = shipped + waiting (+ refused); shipped = stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from kintsugi.model.gateways import GatewayRecord, GatewayReport
from kintsugi.model.signal import Observation, SignalStore

# Gateways report every two seconds; three missed reports mean that one is away.
AWAY_AFTER: Final = timedelta(seconds=7)
# Counts of two processes are never taken at one moment; what is wrong stays.
LASTING: Final = timedelta(seconds=30)

MEANINGS: Final[Mapping[str, str]] = {
    "undecided": "exchanges were admitted, are over, and have no decision",
    "unjournaled": "decisions were counted and stand in no journal",
    "gap": "records were acknowledged and are not stored",
}


class Difference(msgspec.Struct, frozen=True):
    """Two counters that do not agree.

    Attributes:
        name: ``undecided`` (admitted, not in flight and not decided), ``unjournaled`` (decided and
            in no journal) or ``gap`` (acknowledged and not stored).
        since: of the first report that showed it; null for one that no report has shown yet.
    """

    name: str
    count: int
    means: str
    since: datetime | None


class Reconciliation(msgspec.Struct, frozen=True):
    """Where a gateway's decisions are. What was counted on one side must be found on the next:
    admitted = decided + in flight; decided = shipped + waiting + refused; shipped = stored.

    Attributes:
        admitted, decided, in_flight, shipped, waiting, refused: as the gateway counted them; the
            first three since its workers started.
        stored: decision events in this store.
        gap: records that the gateway saw acknowledged and that are not stored. 0 is right;
            anything else means lost evidence.
        differences: what does not agree; empty when all is well.
    """

    gateway_id: str
    connected: bool
    last_seen_at: datetime
    admitted: int
    decided: int
    in_flight: int
    shipped: int
    waiting: int
    refused: int
    stored: int
    gap: int
    differences: tuple[Difference, ...]


def reconcile(record: GatewayRecord, stored: int, *, now: datetime) -> Reconciliation:
    """Set a gateway's own counts beside what is stored of it."""
    report = record.report
    counts = differing(report, stored)
    return Reconciliation(
        gateway_id=report.id,
        connected=now - record.last_seen_at < AWAY_AFTER,
        last_seen_at=record.last_seen_at,
        admitted=sum(worker.admitted for worker in report.workers),
        decided=sum(worker.decided for worker in report.workers),
        in_flight=sum(worker.in_flight for worker in report.workers),
        shipped=report.shipped,
        waiting=report.waiting,
        refused=report.refused,
        stored=stored,
        gap=counts.get("gap", 0),
        differences=tuple(
            Difference(name, count, MEANINGS[name], record.differs.get(name))
            for name, count in counts.items()
        ),
    )


def differing(report: GatewayReport, stored: int) -> dict[str, int]:
    """The counters that do not agree, and by how much."""
    counts = {
        "undecided": sum(
            worker.admitted - worker.decided - worker.in_flight for worker in report.workers
        ),
        "unjournaled": report.unjournaled,
        # More stored than shipped is no gap: an acknowledgement that was lost on its way.
        "gap": max(0, report.shipped - stored),
    }
    return {name: count for name, count in counts.items() if count}


def signal_lasting(
    signals: SignalStore, before: GatewayRecord | None, after: GatewayRecord, stored: int
) -> None:
    """Raise what has differed for a while, and end what agrees again."""
    gateway_id, now = after.report.id, after.last_seen_at
    counts = differing(after.report, stored)
    for name, since in after.differs.items():
        if now - since >= LASTING:
            signals.observe(_lasting(gateway_id, name, counts[name], since), now=now)
    if after.report.refused > (before.report.refused if before else 0):
        signals.observe(_refused(gateway_id, after.report.refused), now=now)
    for name, since in (before.differs if before else {}).items():
        if name not in after.differs:
            signals.over(_key(gateway_id, name, since), resolution="they agree again", now=now)


def _key(gateway_id: str, name: str, since: datetime) -> str:
    return f"counters_differ:{gateway_id}:{name}:{since.isoformat()}"


def _refused(gateway_id: str, count: int) -> Observation:
    return Observation(
        kind="records_refused",
        key=f"records_refused:{gateway_id}:{count}",
        severity="high",
        subject=f"gateway:{gateway_id}",
        summary=(
            f"Of gateway {gateway_id}, {count} records so far were refused for what is in them; "
            "they are in its rejected.jsonl, each with the reason."
        ),
        detail={"gateway_id": gateway_id, "refused": count},
    )


def _lasting(gateway_id: str, name: str, count: int, since: datetime) -> Observation:
    return Observation(
        kind="counters_differ",
        key=_key(gateway_id, name, since),
        severity="critical" if name == "gap" else "high",
        subject=f"gateway:{gateway_id}",
        summary=(
            f"Of gateway {gateway_id}, {abs(count)} {MEANINGS[name]}, "
            f"since {since:%Y-%m-%d %H:%M:%S} UTC."
        ),
        detail={
            "gateway_id": gateway_id,
            "difference": name,
            "count": count,
            "since": since.isoformat(),
        },
    )
