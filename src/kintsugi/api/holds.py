"""``/v1/holds``: evidence that may not go away. A hold stops erasures and deletions, and each
refusal names it."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import msgspec
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, whole
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.event_query import TOTAL_CEILING, EventFilters
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.api.sight import may_read, require_sight
from kintsugi.errors import InvalidInput, NotFound
from kintsugi.incidents.commands import refuse
from kintsugi.model.blocker import Blocker
from kintsugi.model.custody import custody_entry
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.holds import Hold
from kintsugi.model.ids import uuid7
from kintsugi.model.incident import ENDED

routes = Routes("holds")

HoldId = Annotated[str, Path(max_length=64)]


class NewHold(BaseModel):
    """A hold to place."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=100,
            pattern=r"^[^\x00-\x1f\x7f]+$",
            description="What people call it.",
        ),
    ]
    reason: Annotated[str, Field(min_length=1, max_length=2000)]
    filter: EventFilters = Field(default_factory=EventFilters)
    everything: Annotated[bool, Field(description="Needed where the filter restricts nothing.")] = (
        False
    )


class HoldQuery(BaseModel):
    """Which holds; those in force unless asked otherwise."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["in_force", "released", "all"] = "in_force"


class Release(BaseModel):
    """Why it ends."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=2000)]


class HoldView(msgspec.Struct, frozen=True):
    """A hold and how much it covers now.

    Attributes:
        events: counted up to a ceiling; at least so many where ``events_is_floor``.
    """

    hold: Hold
    events: int
    events_is_floor: bool


@routes.add("POST", "/v1/holds", Scope.HOLDS_WRITE, answer=One[Hold], status=201)
def place_hold(control: Ctl, caller: Caller, wanted: NewHold) -> Response:
    """Nothing that it covers is erased or deleted from now on, until it is released."""
    now = control.clock()
    where = wanted.filter.where(now=now)
    if where == EventFilter() and not wanted.everything:
        raise InvalidInput(
            "body.filter: this would hold everything: narrow it down, or say everything: true"
        )
    require_sight(control.stores, where)
    actor = actor_of(caller)
    hold = Hold(
        id=uuid7(int(now.timestamp() * 1000), os.urandom(10)),
        name=wanted.name.strip(),
        reason=wanted.reason.strip(),
        placed_by=actor,
        placed_at=now,
        where=where,
    )
    if not hold.name or not hold.reason:
        raise InvalidInput("body.name, body.reason: say what it is called, and why")
    entry = custody_entry("hold", f"hold:{hold.id}", actor=actor, now=now, reason=hold.reason)
    control.stores.holds.place(hold, entry)
    return one(hold, status=201)


@routes.add("GET", "/v1/holds", Scope.HOLDS_READ, answer=Page[Hold], parameters=True)
def list_holds(control: Ctl, query: Annotated[HoldQuery, Query()]) -> Response:
    """Newest first."""
    in_force = {"in_force": True, "released": False, "all": None}[query.status]
    found = control.stores.holds.list(in_force=in_force, limit=TOTAL_CEILING)
    return whole([hold for hold in found if may_read(control.stores, hold.where)])


@routes.add("GET", "/v1/holds/{hold_id}", Scope.HOLDS_READ, answer=One[HoldView])
def show_hold(control: Ctl, hold_id: HoldId) -> Response:
    """One hold, and how many events it covers now."""
    hold = _seen(control, hold_id)
    count = control.stores.events.count(hold.where, ceiling=TOTAL_CEILING + 1)
    return one(HoldView(hold, min(count, TOTAL_CEILING), count > TOTAL_CEILING))


@routes.add("POST", "/v1/holds/{hold_id}/release", Scope.HOLDS_RELEASE, answer=One[Hold])
def release_hold(control: Ctl, caller: Caller, hold_id: HoldId, release: Release) -> Response:
    """End it: what it covered goes away when its time comes."""
    reason = release.reason.strip()
    if not reason:
        raise InvalidInput("body.reason: say why; it is kept with the hold")
    _seen(control, hold_id)
    now, actor = control.clock(), actor_of(caller)
    _may_end(control, control.stores.holds.get(hold_id))
    entry = custody_entry("release", f"hold:{hold_id}", actor=actor, now=now, reason=reason)
    ended = control.stores.holds.release(hold_id, by=actor, reason=reason, now=now, custody=entry)
    return one(ended)


def _seen(control: Control, hold_id: str) -> Hold:
    """A hold, unless it is about an incident that the caller does not see."""
    hold = control.stores.holds.get(hold_id)
    if not may_read(control.stores, hold.where):
        raise NotFound(f'there is no hold "{hold_id}"')
    return hold


def _may_end(control: Control, hold: Hold) -> None:
    """Raise while the incident goes on whose evidence it keeps.

    Raises:
        Blocked: close the incident first.
    """
    if not hold.incident_id or hold.released_at is not None:
        return
    incident = control.stores.incidents.get(hold.incident_id)
    while incident.state == "merged":
        incident = control.stores.incidents.get(incident.merged_into)
    if incident.state in ENDED:
        return
    said = f"{incident.reference} is {incident.state}: its evidence stays held until it is over"
    refuse(
        f"release {hold.name}",
        [Blocker("incident", "open", said, f"close {incident.reference} first")],
    )
