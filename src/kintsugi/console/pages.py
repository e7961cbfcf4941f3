"""The console's routes: pages for people, under a session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from itertools import groupby
from typing import Annotated
from urllib.parse import urlencode

import msgspec
from fastapi import Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response, StreamingResponse

from kintsugi import __version__
from kintsugi.api import sse
from kintsugi.api.auth import authorise
from kintsugi.api.control import Caller, Control, Ctl, RawBody
from kintsugi.api.events import reveal
from kintsugi.api.permissions import Access, Scope, allows
from kintsugi.api.problems import Problem
from kintsugi.api.report_intake import incident_of
from kintsugi.api.signals import view_of as signal_view
from kintsugi.api.tail import turns
from kintsugi.api.traces import view_of_trace
from kintsugi.console.contexts import (
    ErrorPage,
    EventPage,
    PhaseEvaluations,
    SignalsPage,
    TracePage,
)
from kintsugi.console.dashboard import chart_data, dashboard, last_hour
from kintsugi.console.forms import FORM_BYTES_MAX, read_form
from kintsugi.console.frame import Con, Console, console_of, page_routes
from kintsugi.console.rendering import laid_out, render
from kintsugi.model.event import DecisionEvent
from kintsugi.model.tokens import Token
from kintsugi.policy.reasons import REASONS

# A page refreshes at most so often, however fast decisions come.
_REFRESH_SECONDS = 1.0

# Of each list on the pages for people.
_WAITING_MAX = 200
_RESOLVED_MAX = 50
_NO_PAGE = (
    "There is no page at this address. Incidents and proofs have none yet: "
    "`kt incidents show INC-1` and `kt proofs show PRF-1` show them on a terminal."
)
_API_ADDRESSES = ("/v1/", "/openapi.json", "/health", "/readyz", "/metrics")


routes = page_routes()


@routes.add("GET", "/", Scope.EVENTS_READ, parameters=True)
def first_page(control: Ctl, console: Con, caller: Caller, request: Request) -> Response:
    """Decisions per minute, gateways, and the latest decisions."""
    authorise(caller, Scope.GATEWAYS_READ)
    page = dashboard(control, caller, request.query_params, now=control.clock())
    return render(console.templates, page, status=422 if page.filter.errors else 200)


@routes.add("GET", "/events/{event_id}", Scope.EVENTS_READ)
def event_page(
    control: Ctl,
    console: Con,
    caller: Caller,
    request: Request,
    event_id: Annotated[str, Path(max_length=64)],
) -> Response:
    """One decision and why it was made."""
    return render(console.templates, event_shown(control, console, caller, request, event_id))


@routes.add(
    "POST",
    "/events/{event_id}/reveal",
    Scope.PAYLOADS_REVEAL,
    raw_body=True,
    body_bytes_max=FORM_BYTES_MAX,
)
def reveal_page(
    control: Ctl,
    console: Con,
    caller: Caller,
    request: Request,
    body: RawBody,
    event_id: Annotated[str, Path(max_length=64)],
) -> Response:
    """The same page with the payload as it was recorded, once, on record; never kept."""
    form = read_form(console.sessions, request, body)
    authorise(caller, Scope.EVENTS_READ)
    revealed = reveal(control, caller, event_id, reason=form.reason())
    page = event_shown(control, console, caller, request, event_id)
    page = msgspec.structs.replace(
        page,
        revealed=revealed.custody_id,
        request=laid_out(revealed.payload.request),
        response=laid_out(revealed.payload.response),
    )
    response = render(console.templates, page)
    response.headers["cache-control"] = "no-store"
    return response


def event_shown(
    control: Control, console: Console, caller: Token, request: Request, event_id: str
) -> EventPage:
    """What the page of an event shows."""
    event = control.stores.events.get(event_id)
    return EventPage(
        title=f"Decision {event.id}",
        signed_in_as=caller.name,
        now=control.clock(),
        version=__version__,
        event=event,
        reason=REASONS.get(event.reason_code),
        phases=_phases(event),
        request=laid_out(event.payload.request),
        response=laid_out(event.payload.response),
        may_reveal=allows(caller.scopes, Scope.PAYLOADS_REVEAL),
        revealed="",
        form_key=console.sessions.form_key(request),
        leaf=(
            control.stores.log.event(event.id).leaf
            if allows(caller.scopes, Scope.LOG_READ)
            else None
        ),
        may_capture=allows(caller.scopes, Scope.REGRESSIONS_WRITE),
        incident=_only_incident(control, event),
        problem="",
    )


def _only_incident(control: Control, event: DecisionEvent) -> str:
    tied = control.stores.incidents.incidents_of(event.id)
    own = {incident_of(control, one.id).reference for one in tied}
    return own.pop() if len(own) == 1 else ""


@routes.add("GET", "/traces/{trace_id}", Scope.EVENTS_READ)
def trace_page(
    control: Ctl, console: Con, caller: Caller, trace_id: Annotated[str, Path(max_length=64)]
) -> Response:
    """The whole chain of one trace, and which evidence of it is missing."""
    authorise(caller, Scope.TRACES_READ)
    view = view_of_trace(control, trace_id)
    page = TracePage(
        title=f"Trace {view.trace.trace_id}",
        signed_in_as=caller.name,
        now=control.clock(),
        version=__version__,
        trace=view.trace,
        nodes=view.nodes,
        completeness=view.completeness,
        truncated=view.truncated,
    )
    return render(console.templates, page)


@routes.add("GET", "/signals", Scope.SIGNALS_READ)
def signals_page(control: Ctl, console: Con, caller: Caller) -> Response:
    """Observations that somebody should look at."""
    signals = control.stores.signals
    unresolved, _ = signals.page("unresolved", limit=_WAITING_MAX)
    resolved, _ = signals.page("resolved", limit=_RESOLVED_MAX)
    page = SignalsPage(
        title="Signals",
        signed_in_as=caller.name,
        now=control.clock(),
        version=__version__,
        unresolved=tuple(map(signal_view, unresolved)),
        resolved=tuple(map(signal_view, resolved)),
    )
    return render(console.templates, page)


@routes.add("GET", "/live", Scope.EVENTS_READ, media_types=("text/event-stream",))
async def live(control: Ctl, console: Con, request: Request) -> StreamingResponse:
    """Tells an open page what is new: ``minutes`` for the chart, then ``overview`` and, when
    decisions came, ``decisions``."""
    return sse.stream(_live(control, console, request))


async def _live(control: Control, console: Console, request: Request) -> AsyncIterator[bytes]:
    def minutes() -> bytes:
        now = control.clock()
        return chart_data(last_hour(control, now=now), now=now)

    still_allowed = partial(console.sessions.identify, request, control, in_use=False)
    seen = -1
    with control.metrics.streams.labels("console").track_inprogress():
        async for turn in turns(control, ("events", "gateways", "signals"), still_allowed):
            # A heartbeat moves the chart on too: time passes without decisions.
            yield sse.frame("minutes", await run_in_threadpool(minutes))
            if turn is not None:
                yield sse.frame("overview", b"{}")
                generation = control.feed.generation(("events",))
                if generation != seen:
                    seen = generation
                    yield sse.frame("decisions", b"{}")
                await asyncio.sleep(_REFRESH_SECONDS)


@routes.add("GET", "/static/{version}/{name:path}", Access.PUBLIC)
def static_file(console: Con, version: str, name: str) -> Response:
    """A file of the console; its address changes with its content."""
    asset = console.assets.get(name)
    current = version == console.assets.version
    caching = "public, max-age=31536000, immutable" if current else "no-store"
    return Response(asset.content, media_type=asset.media_type, headers={"cache-control": caching})


def show_problem(request: Request, problem: Problem) -> Response | None:
    """An error as a page, for browsers outside the API; None for everyone else."""
    address = request.url.path
    wants_page = "text/html" in request.headers.get("accept", "")
    if not wants_page or address.startswith(_API_ADDRESSES):
        return None
    if problem.status == 401:
        wanted = f"{address}?{request.url.query}" if request.url.query else address
        query = urlencode({"next": wanted}) if wanted != "/" else ""
        return RedirectResponse(f"/sign-in?{query}" if query else "/sign-in", status_code=303)
    caller: Token | None = getattr(request.state, "caller", None)
    control: Control = request.app.state.control
    page = ErrorPage(
        title=problem.title,
        signed_in_as=caller.name if caller else "",
        now=control.clock(),
        version=__version__,
        status=problem.status,
        detail=_NO_PAGE if problem.code == "route.unknown" else problem.detail,
        code=problem.code,
        reference=problem.reference,
    )
    return render(console_of(request).templates, page, status=problem.status)


def _phases(event: DecisionEvent) -> tuple[PhaseEvaluations, ...]:
    return tuple(
        PhaseEvaluations(phase.value, tuple(evaluations))
        for phase, evaluations in groupby(event.evaluations, key=lambda found: found.phase)
    )
