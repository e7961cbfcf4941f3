"""``/v1/containments``: what people put in force to stop harm at once, what it would hit, where it
is in force, and its end. Many stop; few may release; what loosens control takes two."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, part
from kintsugi.api.containment_incident import DeclaredIncident, may_declare, put_with_incident
from kintsugi.api.containment_snapshot import Snapshot, take_snapshot
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.event_query import LIMIT_MAX
from kintsugi.api.incidents import actor_from
from kintsugi.api.loosened import broken_by
from kintsugi.api.permissions import Scope
from kintsugi.api.pins import Pinned, check_room, pinned_by
from kintsugi.api.reconciliation import AWAY_AFTER
from kintsugi.api.routing import Routes
from kintsugi.api.sight import reference_for
from kintsugi.errors import InvalidInput, StateConflict
from kintsugi.model.config import Config, Gateway, Pack
from kintsugi.model.containment import (
    CONTAINMENT,
    Containment,
    ContainmentScope,
    Lever,
    LeverName,
)
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.ids import uuid7
from kintsugi.model.tokens import Token
from kintsugi.policy.containment import check_containment

routes = Routes("containments")

ContainmentId = Annotated[str, Path(max_length=64)]
Word = Annotated[str, Field(max_length=300)]
Words = Annotated[list[Annotated[str, Field(min_length=1, max_length=1000)]], Field(max_length=200)]

SECONDS_MAX = 30 * 24 * 3600
# What lets more through is for the hour in which the cause is mended.
LOOSENED_SECONDS_MAX = 4 * 3600
_DURING = ("declared", "contained", "investigating", "remediating", "monitoring")
_PREVIEW = timedelta(hours=1)
_COUNT_MAX = 10_000
# What a scope may name and the narrow row of an event has: these can be counted.
_COUNTED = ("workflow", "agent", "session", "user", "team", "tenant", "model")
# Enough of a configuration to compile a lever with.
_ANY = Config(
    pack=Pack(name="any", version="1.0.0", id="any"),
    gateway=Gateway(),
    targets=(),
    chain=(),
    suites=(),
    source="",
    file="containment",
    positions={},
)


class LeverBody(BaseModel):
    """What is done; each name uses the fields that it is named with in the manual."""

    model_config = ConfigDict(extra="forbid")

    name: LeverName
    tools: Words = []
    sources: Words = []
    terms: Words = []
    patterns: Words = []
    requests: Annotated[int, Field(ge=0, le=10**9)] = 0
    window_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60
    max_context_chars: Annotated[int, Field(ge=0, le=10**9)] = 0
    max_output_tokens: Annotated[int, Field(ge=0, le=10**9)] = 0
    model: Word = ""
    hold_seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0
    policies: Words = []
    config_version: Word = ""
    prompt: Word = ""
    prompt_version: Word = ""


class ScopeBody(BaseModel):
    """Whose exchanges; with nothing set, everybody's."""

    model_config = ConfigDict(extra="forbid")

    workflow: Word = ""
    agent: Word = ""
    session: Word = ""
    user: Word = ""
    team: Word = ""
    tenant: Word = ""
    key: Word = ""
    model: Word = ""
    region: Word = ""
    language: Annotated[str, Field(max_length=3)] = ""


class NewContainment(BaseModel):
    """A containment to put in force."""

    model_config = ConfigDict(extra="forbid")

    lever: LeverBody
    scope: ScopeBody = ScopeBody()
    reason: Annotated[str, Field(min_length=1, max_length=2000)]
    owner: Annotated[str, Field(max_length=200, description="The token's name if left out.")] = ""
    expires_in_seconds: Annotated[int, Field(ge=1, le=SECONDS_MAX)] = 3600
    incident_id: Annotated[str, Field(max_length=64)] = ""
    declare: Annotated[
        str | None,
        Field(max_length=300, description="Declare an incident of this title with it."),
    ] = None


class ApplyQuery(BaseModel):
    """Whether to only say what it would hit."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = False


class ContainmentQuery(BaseModel):
    """Which containments; those in force unless asked otherwise."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["in_force", "waiting", "ended", "all"] = "in_force"
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = 50
    cursor: Annotated[str | None, Field(max_length=512)] = None


class Release(BaseModel):
    """Why it ends."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=2000)]


class Preview(msgspec.Struct, frozen=True):
    """What was in scope of late.

    Attributes:
        exchanges: counted up to a ceiling; ``at_least`` where it was reached.
        not_counted: fields of the scope that recorded events cannot be counted by (names with
            ``*``, keys, regions, languages): the true number is at most ``exchanges``.
    """

    since: datetime
    exchanges: int
    at_least: bool
    not_counted: tuple[str, ...]


class WhereInForce(msgspec.Struct, frozen=True):
    """What one gateway says.

    Attributes:
        connected: it reported of late. One that is away takes it in when it comes back.
    """

    gateway_id: str
    connected: bool
    workers: int
    contained_workers: int


class Traffic(msgspec.Struct, frozen=True):
    """What recorded traffic says of one since it is in force.

    Attributes:
        in_scope: exchanges that may be in its scope, counted as in ``Preview``.
        decided: of all exchanges, those whose verdict it set. Some may have been stopped by
            something stricter, or came before a gateway had it.
    """

    since: datetime
    in_scope: int
    decided: int
    at_least: bool
    not_counted: tuple[str, ...]


class ContainmentView(msgspec.Struct, frozen=True):
    """A containment, and where it acts.

    Attributes:
        status: ``waiting`` for a second person, ``in_force``, ``expired`` or ``released``;
            ``dry_run`` where nothing was done.
        everywhere: every worker of every connected gateway judges by it.
        preview: only where it is made.
        pinned: only where it is made: what a lever that pins something pins.
        traffic: only where one is shown that is or was in force.
        declared: only where an incident was to be declared with it.
        snapshot: only where it is put in force: the freeze of what its scope did in the last hour.
    """

    containment: Containment
    status: Literal["waiting", "in_force", "expired", "released", "dry_run"]
    everywhere: bool
    gateways: tuple[WhereInForce, ...]
    preview: Preview | None = None
    snapshot: Snapshot | None = None
    traffic: Traffic | None = None
    pinned: Pinned | None = None
    declared: DeclaredIncident | None = None


@routes.add(
    "POST",
    "/v1/containments",
    Scope.CONTAINMENTS_APPLY,
    answer=One[ContainmentView],
    status=201,
    dry_run=One[ContainmentView],
    parameters=True,
)
def apply_containment(
    control: Ctl, caller: Caller, wanted: NewContainment, query: Annotated[ApplyQuery, Query()]
) -> Response:
    """Put it in force on every connected gateway, within a second; one that loosens control waits
    for the approval of a second person."""
    now = control.clock()
    if wanted.declare is not None and wanted.incident_id:
        raise InvalidInput("body.declare: it belongs to an incident already; leave one of them out")
    lever = msgspec.convert(wanted.lever.model_dump(exclude_defaults=True), Lever)
    scope = msgspec.convert(wanted.scope.model_dump(exclude_defaults=True), ContainmentScope)
    full, pinned, config = pinned_by(control.stores, lever, scope)
    check_containment(full, scope, config or _ANY, pinned.name if config and pinned else "")
    check_room(control.stores, lever, now=now)
    if full.loosens:
        _check_loosened(control, caller, wanted)
    containment = Containment(
        id=uuid7(int(now.timestamp() * 1000), os.urandom(10)),
        lever=msgspec.structs.replace(full, content=""),
        scope=scope,
        reason=_said(wanted.reason),
        owner=wanted.owner.strip() or caller.name,
        created_by=actor_of(caller),
        created_at=now,
        expires_at=now + timedelta(seconds=wanted.expires_in_seconds),
        incident_id=wanted.incident_id,
    )
    if full.loosens:
        broken = broken_by(control.all_stores, containment)
        containment = msgspec.structs.replace(containment, breaks=broken)
    preview = _preview(control, scope, now)
    if query.dry_run:
        told = DeclaredIncident("not_attempted", why="dry run") if wanted.declare else None
        return one(
            ContainmentView(
                containment, "dry_run", False, (), preview, pinned=pinned, declared=told
            )
        )
    bound = control.stores.events.last_position()
    declared = None
    if wanted.declare is None:
        control.stores.containments.put(containment)
    else:
        containment, declared = put_with_incident(control, caller, containment, wanted.declare)
    snapshot = take_snapshot(control, containment, actor_from(caller), bound)
    shown = view_of(control, containment, preview)
    return one(
        msgspec.structs.replace(shown, snapshot=snapshot, pinned=pinned, declared=declared),
        status=201,
    )


@routes.add(
    "GET",
    "/v1/containments",
    Scope.CONTAINMENTS_READ,
    answer=Page[Containment],
    parameters=True,
)
def list_containments(control: Ctl, query: Annotated[ContainmentQuery, Query()]) -> Response:
    """Newest first."""
    found, cursor = control.stores.containments.page(
        state=None if query.status == "all" else query.status,
        now=control.clock(),
        limit=query.limit,
        cursor=query.cursor,
    )
    shown = [_shown(control, one) for one in found]
    return part(shown, cursor)


@routes.add(
    "GET",
    "/v1/containments/{containment_id}",
    Scope.CONTAINMENTS_READ,
    answer=One[ContainmentView],
)
def show_containment(control: Ctl, containment_id: ContainmentId) -> Response:
    """One, where it is in force, and what traffic says of it."""
    found = control.stores.containments.get(containment_id)
    shown = view_of(control, found)
    return one(msgspec.structs.replace(shown, traffic=_traffic(control, found)))


@routes.add(
    "POST",
    "/v1/containments/{containment_id}/approve",
    Scope.CONTAINMENTS_APPROVE,
    answer=One[ContainmentView],
)
def approve_containment(control: Ctl, caller: Caller, containment_id: ContainmentId) -> Response:
    """Put in force what another person asked for; its time runs from now on."""
    approved = control.stores.containments.approve(
        containment_id, by=actor_of(caller), now=control.clock()
    )
    return one(view_of(control, approved))


@routes.add(
    "POST",
    "/v1/containments/{containment_id}/release",
    Scope.CONTAINMENTS_RELEASE,
    answer=One[ContainmentView],
)
def release_containment(
    control: Ctl, caller: Caller, containment_id: ContainmentId, release: Release
) -> Response:
    """End it, on every connected gateway within a second; or withdraw what waits."""
    ended = control.stores.containments.release(
        containment_id, by=actor_of(caller), reason=_said(release.reason), now=control.clock()
    )
    return one(view_of(control, ended))


def _check_loosened(control: Control, caller: Token, wanted: NewContainment) -> None:
    """Control is loosened for a short time, and only while an incident is being worked on."""
    declares = wanted.declare is not None and may_declare(caller)
    if not wanted.incident_id and not declares:
        raise InvalidInput(
            "body.incident_id: control is loosened only during a declared incident; declare one "
            "and name it"
        )
    if wanted.expires_in_seconds > LOOSENED_SECONDS_MAX:
        raise InvalidInput(
            f"body.expires_in_seconds: control is loosened for at most {LOOSENED_SECONDS_MAX} "
            "seconds at a time; ask again where that is not enough"
        )
    if declares:
        return
    incident = control.stores.incidents.get(wanted.incident_id)
    if incident.state not in _DURING:
        raise StateConflict(
            f"{incident.reference} is {incident.state}; control is loosened only while an "
            "incident is declared and not yet closed"
        )


def _said(reason: str) -> str:
    if not reason.strip():
        raise InvalidInput("body.reason: say why; it is kept with the containment")
    return reason.strip()


def view_of(
    control: Control, containment: Containment, preview: Preview | None = None
) -> ContainmentView:
    """A containment as it is now, and what every gateway says of it."""
    now = control.clock()
    state = containment.state(now)
    status: Literal["waiting", "in_force", "expired", "released"]
    if state == "ended":
        status = "expired" if containment.released_at is None else "released"
    else:
        status = state
    gateways = tuple(
        WhereInForce(
            record.report.id,
            now - record.last_seen_at <= AWAY_AFTER,
            len(record.report.workers),
            sum(containment.id in worker.contained for worker in record.report.workers),
        )
        for record in control.stores.gateways.list()
    )
    connected = [one for one in gateways if one.connected]
    everywhere = bool(connected) and all(
        one.workers and one.contained_workers == one.workers for one in connected
    )
    return ContainmentView(_shown(control, containment), status, everywhere, gateways, preview)


def _shown(control: Control, containment: Containment) -> Containment:
    """It stops traffic, so all may see it; not which restricted incident it belongs to."""
    if not containment.incident_id:
        return containment
    incident = reference_for(control.stores, containment.incident_id)
    return msgspec.structs.replace(containment, incident_id=incident)


def _preview(control: Control, scope: ContainmentScope, now: datetime) -> Preview:
    since = now - _PREVIEW
    where, left_out = filter_of(scope, since=since, until=now)
    found = control.stores.events.count(where, ceiling=_COUNT_MAX)
    return Preview(since, found, found >= _COUNT_MAX, left_out)


def _traffic(control: Control, containment: Containment) -> Traffic | None:
    if containment.waits:
        return None
    since = containment.approved_at or containment.created_at
    until = min(containment.over_at, control.clock())
    where, left_out = filter_of(containment.scope, since=since, until=until)
    own = EventFilter(since=since, until=until, policy=f"{CONTAINMENT}{containment.id}")
    if containment.lever.name == "pin-policy":
        # It judges nothing itself: what it does is that another version decides.
        own = msgspec.structs.replace(where, config_version=containment.lever.config_version)
    in_scope, decided = (
        control.stores.events.count(one, ceiling=_COUNT_MAX) for one in (where, own)
    )
    at_least = max(in_scope, decided) >= _COUNT_MAX
    return Traffic(since, in_scope, decided, at_least, left_out)


def filter_of(
    scope: ContainmentScope, *, since: datetime, until: datetime
) -> tuple[EventFilter, tuple[str, ...]]:
    """Which events may be in a scope, and the fields of it that events cannot be found by."""
    named = {name: value for name in scope.__struct_fields__ if (value := getattr(scope, name))}
    exact = {
        name: value
        for name, value in named.items()
        if name in _COUNTED and "*" not in value and "?" not in value
    }
    where = msgspec.structs.replace(EventFilter(since=since, until=until), **exact)
    return where, tuple(name for name in named if name not in exact)
