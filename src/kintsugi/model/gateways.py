"""What gateways and their workers say of themselves."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

import msgspec

from kintsugi.model.journal import JournalHead


class WorkerReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one gateway worker says of itself.

    Attributes:
        contained: ids of the containments that it judges by.
    """

    worker_id: str
    pid: int
    config_version: str
    revision: str
    in_force_since: datetime
    admitted: int = 0
    decided: int = 0
    in_flight: int = 0
    error: str = ""
    contained: tuple[str, ...] = ()


class GatewayReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a gateway says of itself: posted at registration, on change and every few seconds.

    Attributes:
        config_id: the configuration it follows.
        shipped, waiting: decision records acknowledged by the control plane, and not yet.
        unjournaled: decisions that its workers counted and that stand in no journal (yet, while
            the disk refuses).
        refused: records that the control plane refused for what is in them; kept at the gateway.
        journals: how far each of its journals was acknowledged.
        load_error: why the newest version is not in force; empty when it is.
    """

    id: str
    config_id: str
    listen: str
    version: str
    workers: tuple[WorkerReport, ...] = ()
    shipped: int = 0
    waiting: int = 0
    load_error: str = ""
    started_at: datetime | None = None
    unjournaled: int = 0
    refused: int = 0
    journals: tuple[JournalHead, ...] = ()


class GatewayRecord(msgspec.Struct, frozen=True):
    """A gateway as the control plane last heard of it.

    Attributes:
        differs: which of its counters do not agree, and since when.
    """

    report: GatewayReport
    registered_at: datetime
    last_seen_at: datetime
    differs: dict[str, datetime] = {}


class GatewayStore(Protocol):
    """The gateways that registered."""

    def put(
        self, report: GatewayReport, *, differs: Collection[str] = (), now: datetime
    ) -> GatewayRecord:
        """Register or refresh one.

        Args:
            differs: names of counters that do not agree now; each is kept with when that began.
        """

    def get(self, gateway_id: str) -> GatewayRecord:
        """One gateway.

        Raises:
            NotFound: it never registered.
        """

    def list(self) -> list[GatewayRecord]:
        """All, last seen first."""
