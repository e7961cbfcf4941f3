"""``/v1/deployments``: what was deployed elsewhere, as pipelines report it. Open incidents that it
concerns have it in their timelines, and it counts among the changes before an incident."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, part
from kintsugi.api.control import Caller, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.event_query import PageQuery, Text, TimeText
from kintsugi.api.permissions import Scope
from kintsugi.api.relative_time import parse_time
from kintsugi.api.routing import Routes
from kintsugi.errors import InvalidInput
from kintsugi.model.notice import Notice, notice

routes = Routes("deployments")

REPORTED = "deployment.reported"
What = Literal["application", "model", "prompt", "data_source", "tool", "gateway"]


class Deployment(BaseModel):
    """Something that was deployed: when, where that is not now."""

    model_config = ConfigDict(extra="forbid")

    what: What
    name: Annotated[str, Field(min_length=1, max_length=200)]
    version: Annotated[str, Field(min_length=1, max_length=200)]
    before: Text = ""
    workflow: Text = ""
    note: Annotated[str, Field(max_length=1_000)] = ""
    at: TimeText = None


class DeploymentView(msgspec.Struct, frozen=True):
    """A deployment as it was reported."""

    id: str
    at: datetime
    what: str
    name: str
    version: str
    before: str
    workflow: str
    note: str
    actor: str


@routes.add("POST", "/v1/deployments", Scope.SIGNALS_WRITE, answer=One[DeploymentView], status=201)
def report_deployment(control: Ctl, caller: Caller, given: Deployment) -> Response:
    """Report that something was deployed: an application, a model, a prompt, an index, a tool."""
    now = control.clock()
    at = parse_time(given.at, now=now) if given.at else now
    if at > now:
        raise InvalidInput("body.at: lies ahead; say when it was deployed")
    said = given.model_dump(exclude={"at"}, exclude_defaults=True)
    data: dict[str, Any] = {**said, "actor": actor_of(caller)}
    told = notice(REPORTED, f"{given.what}:{given.name}", data, now=at)
    control.stores.notices.add([told])
    return one(view_of(told), status=201)


@routes.add(
    "GET",
    "/v1/deployments",
    Scope.SIGNALS_READ,
    answer=Page[DeploymentView],
    parameters=True,
)
def list_deployments(control: Ctl, query: Annotated[PageQuery, Query()]) -> Response:
    """What was reported of late, newest first. ``meta.total`` counts what this page shows."""
    found, cursor = control.stores.notices.page(
        type_name=REPORTED, limit=max(query.limit, 1), cursor=query.cursor
    )
    views = [view_of(told) for told in found]
    return part(views, cursor)


def view_of(told: Notice) -> DeploymentView:
    """The deployment that a notice tells of."""
    data = told.data
    return DeploymentView(
        id=told.id,
        at=told.at,
        what=data["what"],
        name=data["name"],
        version=data["version"],
        before=data.get("before", ""),
        workflow=data.get("workflow", ""),
        note=data.get("note", ""),
        actor=data.get("actor", ""),
    )
