"""``/v1/gateways``: what each gateway really runs, and the push of what it should run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Literal

import msgspec
from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from kintsugi.api import sse
from kintsugi.api.answers import One, Page, one, whole
from kintsugi.api.control import Control, Ctl, RawBody
from kintsugi.api.hygiene import decode_json
from kintsugi.api.permissions import Scope
from kintsugi.api.problems import FieldError, Invalid
from kintsugi.api.reconciliation import (
    AWAY_AFTER,
    Reconciliation,
    differing,
    reconcile,
    signal_lasting,
)
from kintsugi.api.routing import Routes, bearer
from kintsugi.api.tail import follow_configuration
from kintsugi.errors import NotFound
from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.gateways import GatewayRecord, GatewayReport, WorkerReport
from kintsugi.model.journal import MissingLines
from kintsugi.model.stores import Stores

routes = Routes("gateways")

GatewayId = Annotated[str, Path(max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]

State = Literal["in force", "behind", "load failed", "away", "empty"]


class WorkerView(msgspec.Struct, frozen=True):
    """One worker process.

    Attributes:
        versions_behind: how far behind the newest version; None where the worker runs from a file
            that has no version number here.
    """

    worker_id: str
    pid: int
    config_version: str
    revision: str
    in_force_since: datetime
    versions_behind: int | None
    admitted: int
    decided: int
    in_flight: int
    error: str


class GatewayView(msgspec.Struct, frozen=True):
    """A gateway, as it reported and as it compares with what it should run.

    Attributes:
        state: one word for all of it. ``in force``: every worker runs the newest version.
        newest_version: of the configuration that it follows; None where there is none here.
        counters: whether every decision of it arrived.
        missing: lines of its journals that it saw acknowledged and that are not known here; said
            in answer to its report, so that it sends them again.
        behind_seconds: since the newest version exists, while a worker runs an older one.
    """

    id: str
    state: State
    connected: bool
    config_id: str
    newest_version: int | None
    behind_seconds: float | None
    load_error: str
    listen: str
    version: str
    registered_at: datetime
    started_at: datetime | None
    last_seen_at: datetime
    shipped: int
    waiting: int
    workers: tuple[WorkerView, ...]
    counters: Reconciliation
    missing: tuple[MissingLines, ...] = ()


class FollowQuery(BaseModel):
    """Which configuration."""

    model_config = ConfigDict(extra="forbid")

    config_id: Annotated[str, Field(min_length=1, max_length=200)]


@routes.add("GET", "/v1/gateways", Scope.GATEWAYS_READ, answer=Page[GatewayView])
def list_gateways(control: Ctl) -> Response:
    """All that ever registered, last seen first."""
    return whole(gateway_views(control.stores, now=control.clock()))


@routes.add("GET", "/v1/gateways/{gateway_id}", Scope.GATEWAYS_READ, answer=One[GatewayView])
def show_gateway(control: Ctl, gateway_id: GatewayId) -> Response:
    """One gateway and its workers."""
    return one(_shown(control, control.stores.gateways.get(gateway_id)))


@routes.add(
    "PUT",
    "/v1/gateways/{gateway_id}",
    Scope.GATEWAYS_WRITE,
    answer=One[GatewayView],
    takes=GatewayReport,
)
def put_gateway(control: Ctl, gateway_id: GatewayId, body: RawBody) -> Response:
    """Register a gateway, or take its newest report."""
    decode_json(body or b"null")
    try:
        report = msgspec.json.decode(body, type=GatewayReport)
    except msgspec.MsgspecError as error:
        raise Invalid([FieldError("body", str(error))]) from None
    if report.id != gateway_id:
        raise Invalid([FieldError("body.id", f'must be the id in the address, "{gateway_id}"')])
    _check_counters(report)
    view = _shown(control, _take_report(control, report))
    missing = control.stores.events.behind(report.journals)
    return one(msgspec.structs.replace(view, missing=missing))


def _take_report(control: Control, report: GatewayReport) -> GatewayRecord:
    """Keep a report, and say what has differed in it for a while."""
    stores = control.stores
    try:
        before = stores.gateways.get(report.id)
    except NotFound:
        before = None
    # After the gateway's own count: records that arrive in between must not look like a gap.
    stored = stores.events.stored_by_gateway().get(report.id, 0)
    differs = differing(report, stored)
    record = stores.gateways.put(report, differs=tuple(differs), now=control.clock())
    signal_lasting(stores.signals, before, record, stored)
    return record


@routes.add(
    "GET",
    "/v1/gateways/{gateway_id}/follow",
    Scope.GATEWAYS_WRITE,
    media_types=("text/event-stream",),
    parameters=True,
)
async def follow_gateway(
    control: Ctl,
    request: Request,
    gateway_id: GatewayId,  # noqa: ARG001  (in the address so that logs say who follows)
    query: Annotated[FollowQuery, Query()],
) -> StreamingResponse:
    """The newest version of a configuration, and every newer one as soon as it exists.

    Server-sent events ``configuration`` with ``{"id", "version", "revision", "content"}``.
    """
    allowed = partial(bearer, request, control)
    return sse.stream(follow_configuration(control, query.config_id, still_allowed=allowed))


def gateway_views(stores: Stores, *, now: datetime) -> list[GatewayView]:
    """Every gateway, last seen first."""
    newest = stores.configurations.list()
    records = stores.gateways.list()
    # After the gateways' own counts: records that arrive in between must not look like a gap.
    stored = stores.events.stored_by_gateway()
    return [view_of(record, newest, stored.get(record.report.id, 0), now=now) for record in records]


def view_of(
    record: GatewayRecord,
    configurations: Sequence[ConfigurationVersion],
    stored: int,
    *,
    now: datetime,
) -> GatewayView:
    """Compare what a gateway runs with what it should run."""
    report = record.report
    newest = next((found for found in configurations if found.id == report.config_id), None)
    workers = tuple(_worker_view(worker, newest) for worker in report.workers)
    connected = now - record.last_seen_at < AWAY_AFTER
    behind = any(worker.versions_behind for worker in workers)
    return GatewayView(
        id=report.id,
        state=_state(report, workers, connected=connected, behind=behind),
        connected=connected,
        config_id=report.config_id,
        newest_version=newest.version if newest else None,
        behind_seconds=(
            max(0.0, (now - newest.created_at).total_seconds()) if newest and behind else None
        ),
        load_error=report.load_error,
        listen=report.listen,
        version=report.version,
        registered_at=record.registered_at,
        started_at=report.started_at,
        last_seen_at=record.last_seen_at,
        shipped=report.shipped,
        waiting=report.waiting,
        workers=workers,
        counters=reconcile(record, stored, now=now),
    )


def _shown(control: Control, record: GatewayRecord) -> GatewayView:
    stores = control.stores
    stored = stores.events.stored_by_gateway().get(record.report.id, 0)
    return view_of(record, stores.configurations.list(), stored, now=control.clock())


def _state(
    report: GatewayReport, workers: Sequence[WorkerView], *, connected: bool, behind: bool
) -> State:
    if not connected:
        return "away"
    if report.load_error or any(worker.error for worker in workers):
        return "load failed"
    if not workers:
        return "empty"
    return "behind" if behind else "in force"


def _worker_view(worker: WorkerReport, newest: ConfigurationVersion | None) -> WorkerView:
    return WorkerView(
        worker_id=worker.worker_id,
        pid=worker.pid,
        config_version=worker.config_version,
        revision=worker.revision,
        in_force_since=worker.in_force_since,
        versions_behind=_versions_behind(worker, newest),
        admitted=worker.admitted,
        decided=worker.decided,
        in_flight=worker.in_flight,
        error=worker.error,
    )


def _versions_behind(worker: WorkerReport, newest: ConfigurationVersion | None) -> int | None:
    config_id, _, number = worker.config_version.rpartition("@")
    if newest is None:
        return None
    if worker.revision == newest.revision:
        return 0  # the same plan, whatever its number: a file and its import, for one
    if config_id != newest.id or not (number.isascii() and number.isdigit()):
        return None
    return max(0, newest.version - int(number))


def _check_counters(report: GatewayReport) -> None:
    """Refuse what no gateway can have counted, and what no database column holds."""
    counted = {
        name: getattr(report, name) for name in ("shipped", "waiting", "refused", "unjournaled")
    }
    for number, worker in enumerate(report.workers):
        for name in ("pid", "admitted", "decided", "in_flight"):
            counted[f"workers.{number}.{name}"] = getattr(worker, name)
    wrong = [
        FieldError(f"body.{name}", "must be between 0 and 2^63 - 1")
        for name, count in counted.items()
        if not 0 <= count < 2**63
    ]
    naive = [
        FieldError(f"body.workers.{number}.in_force_since", "has no time zone; add Z for UTC")
        for number, worker in enumerate(report.workers)
        if worker.in_force_since.tzinfo is None
    ]
    if report.started_at is not None and report.started_at.tzinfo is None:
        naive.append(FieldError("body.started_at", "has no time zone; add Z for UTC"))
    if wrong or naive:
        raise Invalid([*wrong, *naive])
