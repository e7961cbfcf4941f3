"""``/v1/quarantines``: what policies have frozen, and its release. Many stop; few may release."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import Meta, One, Page, one, reply
from kintsugi.api.control import Caller, Ctl
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.errors import InvalidInput
from kintsugi.model.oversight import QuarantineRecord

routes = Routes("quarantines")

QuarantineId = Annotated[str, Path(max_length=64)]


class QuarantineQuery(BaseModel):
    """Which quarantines; those in force unless asked otherwise."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["in_force", "released", "all"] = "in_force"
    limit: Annotated[int, Field(ge=1, le=1000)] = 1000
    cursor: Annotated[str | None, Field(max_length=500)] = None


class Release(BaseModel):
    """Why it may go on."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=2000)]


@routes.add(
    "GET",
    "/v1/quarantines",
    Scope.QUARANTINES_READ,
    answer=Page[QuarantineRecord],
    parameters=True,
)
def list_quarantines(control: Ctl, query: Annotated[QuarantineQuery, Query()]) -> Response:
    """What is frozen, newest first."""
    in_force = {"in_force": True, "released": False, "all": None}[query.status]
    oversight = control.stores.oversight
    found, cursor = oversight.quarantines(in_force=in_force, limit=query.limit, cursor=query.cursor)
    total = oversight.count_quarantines(in_force=in_force)
    return reply(Page(found, Meta(total=total, next_cursor=cursor)))


@routes.add(
    "GET",
    "/v1/quarantines/{quarantine_id}",
    Scope.QUARANTINES_READ,
    answer=One[QuarantineRecord],
)
def show_quarantine(control: Ctl, quarantine_id: QuarantineId) -> Response:
    """One quarantine."""
    return one(control.stores.oversight.quarantine(quarantine_id))


@routes.add(
    "POST",
    "/v1/quarantines/{quarantine_id}/release",
    Scope.QUARANTINES_RELEASE,
    answer=One[QuarantineRecord],
)
def release_quarantine(
    control: Ctl, caller: Caller, quarantine_id: QuarantineId, release: Release
) -> Response:
    """Let it go on, on every connected gateway within a second."""
    reason = release.reason.strip()
    if not reason:
        raise InvalidInput("body.reason: say why; it is kept with the release")
    released = control.stores.oversight.release(
        quarantine_id, by=caller.name, reason=reason, now=control.clock()
    )
    return one(released)
