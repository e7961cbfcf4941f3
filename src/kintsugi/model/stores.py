"""What the control plane asks of its store: one protocol per concern, a few methods each.

Implemented twice, by ``store/memory.py`` for unit tests and by PostgreSQL; both pass the same
contract tests. Times are aware UTC and are passed in. Lists are newest first.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from kintsugi.model.affected import AffectedStore
from kintsugi.model.archive import ArchiveStore
from kintsugi.model.audit import AuditStore
from kintsugi.model.configurations import ConfigurationStore
from kintsugi.model.containment import ContainmentStore
from kintsugi.model.custody import CustodyStore
from kintsugi.model.erasure import ErasureStore
from kintsugi.model.events import EventStore
from kintsugi.model.exports import ExportStore
from kintsugi.model.followup import FollowupStore
from kintsugi.model.freeze import FreezeStore
from kintsugi.model.gateways import GatewayStore
from kintsugi.model.holds import HoldStore
from kintsugi.model.idempotency import IdempotencyStore
from kintsugi.model.incident import IncidentStore
from kintsugi.model.log import LogStore
from kintsugi.model.notice import NoticeStore
from kintsugi.model.notify import NotifyStore
from kintsugi.model.overrides import OverrideStore
from kintsugi.model.oversight import OversightStore
from kintsugi.model.packages import PackageStore
from kintsugi.model.proof import ProofStore
from kintsugi.model.query import QueryRunner
from kintsugi.model.reach import ReachStore
from kintsugi.model.regression import RegressionStore
from kintsugi.model.regression_ledger import RegressionLedger
from kintsugi.model.report import ReportStore
from kintsugi.model.report_doors import ReportDoorStore
from kintsugi.model.retention import RetentionStore
from kintsugi.model.signal import SignalStore
from kintsugi.model.span import SpanStore
from kintsugi.model.tokens import TokenStore
from kintsugi.model.user import SessionStore, UserStore
from kintsugi.model.vault import KeyStore
from kintsugi.model.workflow import WorkflowStore


class Changes(Protocol):
    """Tells this process what other processes committed (LISTEN/NOTIFY)."""

    def wait(self, *, timeout_seconds: float) -> frozenset[str]:
        """Block until something changed; the channels that did: ``events``, ``configurations``,
        ``gateways``, ``exports``, ``oversight``, ``signals``, ``vault``, ``incidents``,
        ``notices``; none after the timeout."""

    def close(self) -> None:
        """Stop listening; a blocked ``wait`` returns."""


class Stores(msgspec.Struct, frozen=True):
    """Everything the control plane keeps, wired in ``app.py``."""

    events: EventStore
    configurations: ConfigurationStore
    gateways: GatewayStore
    tokens: TokenStore
    users: UserStore
    sessions: SessionStore
    exports: ExportStore
    log: LogStore
    idempotency: IdempotencyStore
    oversight: OversightStore
    spans: SpanStore
    signals: SignalStore
    custody: CustodyStore
    audit: AuditStore
    vault: KeyStore
    erasures: ErasureStore
    packages: PackageStore
    containments: ContainmentStore
    holds: HoldStore
    retention: RetentionStore
    incidents: IncidentStore
    freezes: FreezeStore
    archives: ArchiveStore
    affected: AffectedStore
    reach: ReachStore
    notices: NoticeStore
    notify: NotifyStore
    overrides: OverrideStore
    followups: FollowupStore
    workflows: WorkflowStore
    reports: ReportStore
    report_doors: ReportDoorStore
    regressions: RegressionStore
    proofs: ProofStore
    ledger: RegressionLedger
    query: QueryRunner
    changes: Changes
