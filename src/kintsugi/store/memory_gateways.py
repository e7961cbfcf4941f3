"""Gateways in memory; see ``gateways``."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from kintsugi.errors import NotFound
from kintsugi.model.gateways import GatewayRecord, GatewayReport
from kintsugi.model.notice_sources import (
    of_gateway,
    of_gateway_software,
)
from kintsugi.store.memory_changes import MemoryChanges
from kintsugi.store.memory_notices import Tell


class MemoryGateways:
    """What each gateway last said."""

    def __init__(self, changes: MemoryChanges, tell: Tell) -> None:
        self._changes = changes
        self._tell = tell
        self._records: dict[str, GatewayRecord] = {}

    def put(
        self, report: GatewayReport, *, differs: Collection[str] = (), now: datetime
    ) -> GatewayRecord:
        before = self._records.get(report.id)
        since = before.differs if before else {}
        record = GatewayRecord(
            report,
            before.registered_at if before else now,
            now,
            {name: since.get(name, now) for name in sorted(differs)},
        )
        self._records[report.id] = record
        self._changes.announce("gateways")
        ran = before.report if before else None
        told = (of_gateway(ran, report, now=now), of_gateway_software(ran, report, now=now))
        self._tell([one for one in told if one is not None])
        return record

    def get(self, gateway_id: str) -> GatewayRecord:
        try:
            return self._records[gateway_id]
        except KeyError:
            raise NotFound(f'no gateway "{gateway_id}" ever registered') from None

    def list(self) -> list[GatewayRecord]:
        return sorted(
            self._records.values(),
            key=lambda record: (record.last_seen_at, record.report.id),
            reverse=True,
        )
