"""How the whole is doing: health, versions, and whether every decision arrived."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import datetime
from typing import Literal

import msgspec
from starlette.responses import Response

from kintsugi import __version__
from kintsugi.api.answers import One, one, reply
from kintsugi.api.control import Control, Ctl
from kintsugi.api.permissions import Access, Scope
from kintsugi.api.reconciliation import Reconciliation, reconcile
from kintsugi.api.relaxed import RelaxedView, relaxed_elsewhere, relaxed_now
from kintsugi.api.routing import Routes
from kintsugi.api.unproven import UNPROVEN
from kintsugi.errors import StoreUnavailable
from kintsugi.model.oversight import OPEN

routes = Routes("status")


class Health(msgspec.Struct, frozen=True):
    """That the process answers."""

    status: Literal["healthy"]
    uptime_seconds: float
    version: str


class Readiness(msgspec.Struct, frozen=True):
    """That the store answers too."""

    status: Literal["ready"]


class Status(msgspec.Struct, frozen=True):
    """The control plane at one moment.

    Attributes:
        events_last_position: position of the newest event.
        configurations: newest version number by configuration id.
        relaxed: settings that are weaker than they could be, in what gateways run and in the
            newest versions; what needs somebody first.
        unregistered_workflows: names that traffic used and nobody registered.
        unproven: configurations that decide somewhere and do not meet the regression cases that
            bind them, each in a sentence.
    """

    version: str
    time: datetime
    started_at: datetime
    uptime_seconds: float
    events_last_position: int
    configurations: dict[str, int]
    gateways: tuple[Reconciliation, ...]
    relaxed: tuple[RelaxedView, ...]
    unregistered_workflows: int
    unproven: tuple[str, ...] = ()


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
    with suppress(StoreUnavailable):  # while the database is away, what is counted stays as it was
        _count_relaxed(control)
        _count_escalations(control)
    return Response(
        control.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8"
    )


def _count_relaxed(control: Control) -> None:
    elsewhere = relaxed_elsewhere(control.stores, now=control.clock())
    states = Counter(one.state for one in elsewhere)
    for state in ("in_time", "overdue"):
        control.metrics.relaxed.labels(state).set(states[state])


def _count_escalations(control: Control) -> None:
    oversight, now = control.stores.oversight, control.clock()
    for status in OPEN:
        count = oversight.count_escalations(status, now=now)
        control.metrics.escalations.labels(status).set(count)


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
            relaxed=relaxed_now(control.stores, now=now),
            unregistered_workflows=control.stores.workflows.count_strangers(),
            unproven=tuple(
                found.summary
                for found in control.stores.signals.page("unresolved", kind=UNPROVEN, limit=20)[0]
            ),
        )
    )
