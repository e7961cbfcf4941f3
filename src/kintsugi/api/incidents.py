"""``/v1/incidents``: declare, list, show, and read the timeline. The verbs stand in
``incident_verbs``, ``incident_relations`` and ``incident_notes``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import Meta, One, Page, one, part, reply, whole
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.edits import etag
from kintsugi.api.event_query import TOTAL_CEILING, PageQuery, TimeText
from kintsugi.api.gate_facts import gate_facts
from kintsugi.api.incident_views import EntryView, IncidentView, entry_view, view_of
from kintsugi.api.permissions import Scope, allows
from kintsugi.api.relative_time import parse_time
from kintsugi.api.routing import Routes
from kintsugi.incidents.commands import Act
from kintsugi.incidents.gates import CAUSE_PARTS, GateStatus, gates_of
from kintsugi.incidents.lifecycle import TRANSITIONS
from kintsugi.incidents.opening import opened
from kintsugi.incidents.severity import DUTIES, LEVELS, SeverityDuties
from kintsugi.incidents.taxonomies import CATEGORIES, Taxonomy, taxonomies
from kintsugi.model.incident import Actor, Entry, IncidentFilter, State
from kintsugi.model.signal import Severity
from kintsugi.model.tokens import Token

routes = Routes("incidents")

IncidentKey = Annotated[
    str, Path(max_length=64, description="Its id, or its reference such as INC-000042.")
]
EntryId = Annotated[str, Path(max_length=64)]
Words = Annotated[str, Field(max_length=10_000)]
Title = Annotated[str, Field(min_length=1, max_length=300)]
EventIds = Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=10_000)]


class Doing(BaseModel):
    """Why, and when it happened where that is not now."""

    model_config = ConfigDict(extra="forbid")

    reason: Words = ""
    at: TimeText = None

    def act(self, control: Control, caller: Token) -> Act:
        """Who does it, and when."""
        now = control.clock()
        at = parse_time(self.at, now=now) if self.at else None
        return Act(actor_from(caller), now, at, self.reason.strip())


class Declaration(Doing):
    """What happened. A title is enough; all else can come later.

    Attributes:
        state: ``reported`` where somebody else shall judge whether it is an incident.
        event_ids: decision events that belong to it.
    """

    title: Title
    state: Literal["declared", "reported"] = "declared"
    summary: Words = ""
    source: Annotated[str, Field(max_length=300)] = ""
    detected_at: TimeText = None
    first_occurred_at: TimeText = None
    event_ids: EventIds = Field(default_factory=list)


class IncidentsQuery(PageQuery):
    """Which incidents; those that have not ended, unless asked otherwise."""

    state: State | Literal["open", "all"] = "open"
    severity: Severity | Literal["unset", ""] = ""
    event: Annotated[str, Field(max_length=64, description="Those that it is tied to.")] = ""


class TimelineQuery(PageQuery):
    """How to read a timeline.

    Attributes:
        order: by when things happened, or by when they were written down.
    """

    order: Literal["at", "recorded_at"] = "at"
    pinned: bool = False


class TransitionView(msgspec.Struct, frozen=True):
    """A row of the table of moves."""

    verb: str
    sources: tuple[str, ...]
    target: str
    who: str


class Vocabulary(msgspec.Struct, frozen=True):
    """Every word that incidents know.

    Attributes:
        factors: what each score from 0 to 3 means.
        duties: what each severity asks for.
    """

    transitions: tuple[TransitionView, ...]
    factors: dict[str, tuple[str, ...]]
    duties: dict[str, SeverityDuties]
    categories: dict[str, str]
    cause: tuple[str, ...]
    taxonomies: tuple[Taxonomy, ...]


def actor_from(caller: Token) -> Actor:
    """The caller as incidents know people."""
    commands = allows(caller.scopes, Scope.INCIDENTS_COMMAND)
    return Actor(caller.name, actor_of(caller), commands)


@routes.add("POST", "/v1/incidents", Scope.INCIDENTS_REPORT, answer=One[IncidentView], status=201)
def declare_incident(control: Ctl, caller: Caller, declaration: Declaration) -> Response:
    """Declare an incident, or report one for others to judge."""
    act = declaration.act(control, caller)
    change = opened(
        declaration.title,
        act,
        state=declaration.state,
        summary=declaration.summary,
        source=declaration.source,
        detected_at=_moment(declaration.detected_at, act.now),
        first_occurred_at=_moment(declaration.first_occurred_at, act.now),
        events=declaration.event_ids,
    )
    [made] = control.stores.incidents.change([], lambda _: (change,), now=act.now)
    return one(view_of(made, now=act.now), status=201, headers={"etag": etag(made.version)})


@routes.add(
    "GET", "/v1/incidents", Scope.INCIDENTS_READ, answer=Page[IncidentView], parameters=True
)
def list_incidents(control: Ctl, query: Annotated[IncidentsQuery, Query()]) -> Response:
    """Incidents, newest first."""
    incidents, now = control.stores.incidents, control.clock()
    if query.event:
        return whole([view_of(found, now=now) for found in incidents.incidents_of(query.event)])
    where = IncidentFilter("" if query.state == "all" else query.state, query.severity)
    total = incidents.count(where, ceiling=TOTAL_CEILING)
    if query.limit == 0:
        return reply(Page([], Meta(total, total_is_floor=total >= TOTAL_CEILING)))
    found, cursor = incidents.page(where, limit=query.limit, cursor=query.cursor)
    meta = Meta(total, total_is_floor=total >= TOTAL_CEILING, next_cursor=cursor)
    return reply(Page([view_of(each, now=now) for each in found], meta))


@routes.add("GET", "/v1/incidents/vocabulary", Scope.INCIDENTS_READ, answer=One[Vocabulary])
def incident_vocabulary() -> Response:
    """Moves, factors, duties, categories and the labels of public taxonomies."""
    return one(
        Vocabulary(
            transitions=tuple(
                TransitionView(row.verb, row.sources, row.target, row.who) for row in TRANSITIONS
            ),
            factors=dict(LEVELS),
            duties={str(severity): duties for severity, duties in DUTIES.items()},
            categories=dict(CATEGORIES),
            cause=CAUSE_PARTS,
            taxonomies=tuple(taxonomies().values()),
        )
    )


@routes.add("GET", "/v1/incidents/{incident_id}", Scope.INCIDENTS_READ, answer=One[IncidentView])
def show_incident(control: Ctl, incident_id: IncidentKey) -> Response:
    """One incident. Send its ETag as If-Match with a change to it."""
    found = control.stores.incidents.get(incident_id)
    return one(view_of(found, now=control.clock()), headers={"etag": etag(found.version)})


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/gates",
    Scope.INCIDENTS_READ,
    answer=Page[GateStatus],
)
def list_incident_gates(control: Ctl, incident_id: IncidentKey) -> Response:
    """What has to be there to close it, and what of it is missing or relaxed."""
    found = control.stores.incidents.get(incident_id)
    facts = gate_facts(control.stores, found)
    return whole(list(gates_of(found, facts, now=control.clock())))


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/timeline",
    Scope.INCIDENTS_READ,
    answer=Page[EntryView],
    parameters=True,
)
def show_incident_timeline(
    control: Ctl, incident_id: IncidentKey, query: Annotated[TimelineQuery, Query()]
) -> Response:
    """What happened, newest first. ``meta.total`` counts what this page shows."""
    found = control.stores.incidents.get(incident_id)
    shown, cursor = control.stores.incidents.timeline(
        found.id,
        order=query.order,
        pinned_only=query.pinned,
        limit=max(query.limit, 1),
        cursor=query.cursor,
    )
    return part([entry_view(each) for each in shown], cursor)


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/timeline/{entry_id}",
    Scope.INCIDENTS_READ,
    answer=One[Entry],
)
def show_incident_entry(control: Ctl, incident_id: IncidentKey, entry_id: EntryId) -> Response:
    """One entry, as it was written."""
    incidents = control.stores.incidents
    return one(incidents.entry(incidents.get(incident_id).id, entry_id))


def _moment(text: str | None, now: datetime) -> datetime | None:
    return parse_time(text, now=now) if text else None
