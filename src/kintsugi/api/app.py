"""Builds the control plane's HTTP interface."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import BaseRoute

from kintsugi import __version__
from kintsugi.api import (
    affected,
    archives,
    audit,
    blast_radius,
    channels,
    communications,
    configurations,
    containments,
    custody,
    deployments,
    erasures,
    escalations,
    events,
    exports,
    freezes,
    gateways,
    holds,
    hygiene,
    incident_access,
    incident_actions,
    incident_notes,
    incident_relations,
    incident_verbs,
    incidents,
    investigation,
    keys,
    kpis,
    log,
    log_audit,
    notices,
    obligations,
    overrides,
    playbooks,
    problems,
    proofs,
    quarantines,
    reasons,
    regression_exports,
    regression_ledger,
    regression_relatives,
    regression_rulings,
    regression_verbs,
    regressions,
    replays,
    report_doors,
    reports,
    retention,
    reviews,
    signals,
    similar,
    sql,
    status,
    status_feeds,
    tokens,
    traces,
    users,
    webhooks,
    workflows,
)
from kintsugi.api.answers import reply
from kintsugi.api.auth import Authenticator
from kintsugi.api.control import Control
from kintsugi.api.erasure_places import (
    ExportedFiles,
    RegressionCases,
    ReportedSpans,
    ReportFiles,
)
from kintsugi.api.feed import ChangeFeed
from kintsugi.api.idempotency import Idempotency
from kintsugi.api.metrics import ApiMetrics, CountRequests
from kintsugi.api.permissions import Access
from kintsugi.api.routing import GuardedRoute, Routes
from kintsugi.api.workers import workers_of
from kintsugi.model.erasure import ErasurePlace
from kintsugi.model.event import DecisionEvent
from kintsugi.model.stores import Stores

RESOURCES: tuple[Routes, ...] = (
    events.routes,
    overrides.routes,
    escalations.routes,
    configurations.routes,
    gateways.routes,
    exports.routes,
    archives.routes,
    incidents.routes,
    incident_verbs.routes,
    incident_relations.routes,
    incident_notes.routes,
    incident_actions.routes,
    incident_access.routes,
    freezes.routes,
    status_feeds.routes,
    reviews.routes,
    playbooks.routes,
    kpis.routes,
    communications.routes,
    blast_radius.routes,
    affected.routes,
    investigation.routes,
    obligations.routes,
    workflows.routes,
    reports.routes,
    similar.routes,
    report_doors.routes,
    log.routes,
    log_audit.routes,
    traces.routes,
    keys.routes,
    erasures.routes,
    custody.routes,
    audit.routes,
    holds.routes,
    retention.routes,
    users.routes,
    tokens.routes,
    containments.routes,
    quarantines.routes,
    reasons.routes,
    replays.routes,
    proofs.routes,
    regression_ledger.routes,
    regression_rulings.routes,
    regression_verbs.routes,
    regression_relatives.routes,
    regression_exports.routes,  # before the one that takes any word for a case
    regressions.routes,  # after those with a word where it has an id
    signals.routes,
    deployments.routes,
    notices.routes,
    webhooks.routes,
    channels.routes,
    sql.routes,
    status.routes,
)


def utc_now() -> datetime:
    """The time now, aware UTC."""
    return datetime.now(UTC)


def build_api(
    stores: Stores,
    *,
    state_dir: Path,
    log_key_file: Path | None = None,
    clock: Callable[[], datetime] = utc_now,
    more_routes: Iterable[Routes] = (),
    more_places: Iterable[ErasurePlace] = (),
    render_problem: problems.Render | None = None,
    archive_after_months: int | None = None,
) -> FastAPI:
    """The control plane as an ASGI application.

    Its lifespan starts and ends the threads behind streams and exports. Whoever runs it calls
    :func:`end_streams` before waiting for open connections, since streams have no end of their
    own.

    Args:
        state_dir: exports are written below it.
        log_key_file: the keys of the log; ``log-key`` in the state folder when None. Control
            planes that share a database share this file.
        more_routes: of the console.
        more_places: where erasures have to reach, besides result files of exports.
        render_problem: how the console shows errors to people.
        archive_after_months: archive every month that ended so long ago; None: only when asked.
    """
    feed = ChangeFeed(stores.changes)
    metrics = ApiMetrics()
    control = Control(
        stores=stores,
        all_stores=stores,
        state_dir=state_dir,
        log_key_file=log_key_file or state_dir / "log-key",
        clock=clock,
        authenticator=Authenticator(stores, clock),
        feed=feed,
        idempotency=Idempotency(stores.idempotency, clock),
        metrics=metrics,
        started_at=clock(),
        places=(
            ExportedFiles(stores, state_dir, clock),
            ReportedSpans(stores),
            ReportFiles(stores),
            RegressionCases(stores, clock),
            *more_places,
        ),
    )
    workers = workers_of(control, archive_after_months=archive_after_months)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        feed.start()
        for one in workers:
            one.start()
        yield
        feed.close()
        for one in workers:
            await run_in_threadpool(one.close)

    app = FastAPI(
        title="Kintsugi control plane",
        version=__version__,
        description=(
            "Decisions, configurations, gateways and exports. Lists are newest first; errors are "
            "RFC 9457 problem details with a stable `code`."
        ),
        # Its pages load scripts from elsewhere; the document itself is below, behind our guard.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        middleware=[
            Middleware(CountRequests, metrics=metrics),
            Middleware(hygiene.Edge),
        ],
    )
    app.state.control = control
    problems.install(app, render_problem)
    for resource in (*RESOURCES, _document(app), *more_routes):
        resource.install(app)
    require_permissions(app.routes)
    return app


def end_streams(app: FastAPI) -> None:
    """End every open stream, so that the server can stop at once. Callable from any thread."""
    control = app.state.control
    assert isinstance(control, Control)  # noqa: S101
    control.feed.close()


def require_permissions(routes: Iterable[BaseRoute]) -> None:
    """Refuse to start with a route that nobody decided about.

    Raises:
        TypeError: a route is not behind a guard.
    """
    for route in routes:
        if not isinstance(route, GuardedRoute):
            raise TypeError(f"{route!r} declares no permission; add it through Routes")


def _document(app: FastAPI) -> Routes:
    routes = Routes("status")

    @routes.add("GET", "/openapi.json", Access.PUBLIC)
    def openapi() -> Response:
        """This document."""
        return reply(app.openapi())

    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return routes


def _openapi(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1: FastAPI's document of the requests, our own vocabulary for the answers."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        answers = [answer for resource in RESOURCES for answer in resource.answers]
        _, components = msgspec.json.schema_components(
            [problems.Problem, DecisionEvent, *answers],
            ref_template="#/components/schemas/{name}",
        )
        parts = document.setdefault("components", {})
        parts.setdefault("schemas", {}).update(components)
        parts["securitySchemes"] = {
            "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "kt_<id>_<secret>; see x-kt-permission for the scope.",
            }
        }
        app.openapi_schema = document
    return app.openapi_schema
