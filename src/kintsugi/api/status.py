"""How the whole is doing: health, versions, and whether every decision arrived."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec
from starlette.responses import Response

from kintsugi import __version__
from kintsugi.api.answers import One, one, reply
from kintsugi.api.control import Ctl
from kintsugi.api.gateways import AWAY_AFTER
from kintsugi.api.permissions import Access, Scope
from kintsugi.api.routing import Routes
from kintsugi.model.stores import GatewayRecord

routes = Routes("status")


class Health(msgspec.Struct, frozen=True):
    """That the process answers."""

    status: Literal["healthy"]
    uptime_seconds: float
    version: str


class Readiness(msgspec.Struct, frozen=True):
    """That the store answers too."""

    status: Literal["ready"]


class Reconciliation(msgspec.Struct, frozen=True):
    """Where a gateway's decisions are. What was counted on one side must be found on the next:
    admitted = decided + in flight; decided = shipped + waiting; shipped = stored.

    Attributes:
        admitted, decided, in_flight, shipped, waiting: as the gateway counted them.
        stored: decision events in this store.
        gap: records that the gateway saw acknowledged and that are not stored. 0 is right;
            anything else means lost evidence.
    """

    gateway_id: str
    connected: bool
    last_seen_at: datetime
    admitted: int
    decided: int
    in_flight: int
    shipped: int
    waiting: int
    stored: int
    gap: int


class Status(msgspec.Struct, frozen=True):
    """The control plane at one moment.

    Attributes:
        events_last_position: position of the newest event.
        configurations: newest version number by configuration id.
    """

    version: str
    time: datetime
    started_at: datetime
    uptime_seconds: float
    events_last_position: int
    configurations: dict[str, int]
    gateways: tuple[Reconciliation, ...]


@routes.add("GET", "/health", Access.PUBLIC, answer=Health)
def health(control: Ctl) -> Response:
    """Whether the process answers at all."""
    uptime = (control.clock() - control.started_at).total_seconds()
    return reply(Health("healthy", round(uptime, 3), __version__))


@routes.add("GET", "/readyz", Access.PUBLIC, answer=Readiness)
def ready(control: Ctl) -> Response:
    """Whether requests can be served; 503 while the store cannot be reached."""
    control.stores.events.last_position()
    return reply(Readiness("ready"))


@routes.add("GET", "/metrics", Access.PUBLIC, media_types=("text/plain",))
def metrics(control: Ctl) -> Response:
    """The control plane's own measurements, for Prometheus."""
    return Response(
        control.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8"
    )


@routes.add("GET", "/v1/status", Scope.STATUS_READ, answer=One[Status])
def status(control: Ctl) -> Response:
    """Versions, and the reconciliation of every gateway."""
    now = control.clock()
    records = control.stores.gateways.list()
    # After the gateways' own counts: records that arrive in between must not look like a gap.
    stored = control.stores.events.stored_by_gateway()
    return one(
        Status(
            version=__version__,
            time=now,
            started_at=control.started_at,
            uptime_seconds=(now - control.started_at).total_seconds(),
            events_last_position=control.stores.events.last_position(),
            configurations={
                found.id: found.version for found in control.stores.configurations.list()
            },
            gateways=tuple(
                reconcile(record, stored.get(record.report.id, 0), now=now) for record in records
            ),
        )
    )


def reconcile(record: GatewayRecord, stored: int, *, now: datetime) -> Reconciliation:
    """Set a gateway's own counts beside what is stored of it."""
    report = record.report
    return Reconciliation(
        gateway_id=report.id,
        connected=now - record.last_seen_at < AWAY_AFTER,
        last_seen_at=record.last_seen_at,
        admitted=sum(worker.admitted for worker in report.workers),
        decided=sum(worker.decided for worker in report.workers),
        in_flight=sum(worker.in_flight for worker in report.workers),
        shipped=report.shipped,
        waiting=report.waiting,
        stored=stored,
        # More stored than shipped is no gap: an acknowledgement that was lost on its way.
        gap=max(0, report.shipped - stored),
    )
