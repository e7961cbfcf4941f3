"""``/v1/channels``: chats, pagers and mailboxes of people who are told, through Apprise."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api import deliveries
from kintsugi.api.answers import One, Page, one, whole
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.deliveries import (
    Address,
    DeliveryHealth,
    DeliveryQuery,
    DeliveryView,
    Name,
    Redeliver,
    Redelivered,
    RouteModel,
    Routing,
    TargetKey,
    routes_of,
)
from kintsugi.api.edits import IfMatch, etag, expected_version
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.errors import InvalidInput
from kintsugi.model.incident import new_id
from kintsugi.model.notify import AnyTarget, Channel, QuietHours, Route, Secrets, Try
from kintsugi.model.signal import Severity
from kintsugi.notify import apprise
from kintsugi.notify.plan import check_quiet_hours

routes = Routes("channels")


class QuietHoursModel(BaseModel):
    """A time of the day in which people sleep."""

    model_config = ConfigDict(extra="forbid")

    start: Annotated[str, Field(max_length=5, description="22:00")]
    end: Annotated[str, Field(max_length=5, description="07:00; it may go over midnight.")]
    zone: Annotated[str, Field(max_length=64, description="IANA name: Europe/Berlin.")]
    below: Annotated[
        Severity, Field(description="Severities below this wait; critical never does.")
    ] = "critical"


Quiet = Annotated[list[QuietHoursModel], Field(max_length=10)]
MessagesMax = Annotated[
    int, Field(ge=1, le=600, description="In ten minutes; what is more comes as one message.")
]


class NewChannel(BaseModel):
    """Somebody to tell."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    url: Address
    routes: Routing = [RouteModel(severity_min="medium")]
    quiet_hours: Quiet = []
    messages_max: MessagesMax = 10
    allow_private_network: Annotated[
        bool, Field(description="The address may lie inside the own network.")
    ] = False


class ChannelEdit(BaseModel):
    """What changes; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    url: Address | None = None
    routes: Routing | None = None
    quiet_hours: Quiet | None = None
    messages_max: MessagesMax | None = None
    allow_private_network: bool | None = None
    enabled: bool | None = None


class ChannelView(msgspec.Struct, frozen=True):
    """A channel and how it does.

    Attributes:
        address: its URL as far as that may be shown; the rest is kept sealed.
    """

    id: str
    name: str
    service: str
    address: str
    routes: tuple[Route, ...]
    quiet_hours: tuple[QuietHours, ...]
    messages_max: int
    allow_private_network: bool
    version: int
    created_at: datetime
    created_by: str
    health: DeliveryHealth


@routes.add("GET", "/v1/channels", Scope.WEBHOOKS_READ, answer=Page[ChannelView])
def list_channels(control: Ctl) -> Response:
    """All channels, by name."""
    found = control.stores.notify.targets()
    return whole([_view(control, one) for one in found if isinstance(one, Channel)])


@routes.add("POST", "/v1/channels", Scope.WEBHOOKS_WRITE, answer=One[ChannelView], status=201)
def add_channel(control: Ctl, caller: Caller, wanted: NewChannel) -> Response:
    """Tell people from now on."""
    now = control.clock()
    quiet = _quiet_hours(wanted.quiet_hours)
    routed = routes_of(wanted.routes)
    looked = apprise.look(wanted.url)
    channel = Channel(
        id=new_id(now),
        name=wanted.name,
        service=looked.service,
        address=looked.address,
        routes=routed,
        quiet_hours=quiet,
        messages_max=wanted.messages_max,
        allow_private_network=wanted.allow_private_network,
        created_at=now,
        created_by=actor_of(caller),
    )
    control.stores.notify.add_target(channel, Secrets(wanted.url))
    return one(_view(control, channel), status=201)


@routes.add("GET", "/v1/channels/{key}", Scope.WEBHOOKS_READ, answer=One[ChannelView])
def show_channel(control: Ctl, key: TargetKey) -> Response:
    """One channel. Send its ETag as If-Match with a change to it."""
    return _shown(control, deliveries.find(control, key, Channel))


@routes.add("POST", "/v1/channels/{key}/edit", Scope.WEBHOOKS_WRITE, answer=One[ChannelView])
def edit_channel(
    control: Ctl, key: TargetKey, wanted: ChannelEdit, if_match: IfMatch = None
) -> Response:
    """Change it. Enabling one that was given up begins with a clean slate."""
    found = deliveries.find(control, key, Channel)
    given = {"routes", "quiet_hours", "url"}
    changes: dict[str, object] = wanted.model_dump(exclude_none=True, exclude=given)
    if wanted.routes is not None:
        changes["routes"] = routes_of(wanted.routes)
    if wanted.quiet_hours is not None:
        changes["quiet_hours"] = _quiet_hours(wanted.quiet_hours)
    if wanted.url is not None:
        looked = apprise.look(wanted.url)
        changes |= {"service": looked.service, "address": looked.address}
    if wanted.enabled:
        changes |= {"disabled_reason": "", "failures": 0, "failing_since": None}

    def change(target: AnyTarget, secrets: Secrets) -> tuple[AnyTarget, Secrets]:
        anew = Secrets(wanted.url) if wanted.url is not None else secrets
        return msgspec.structs.replace(target, **changes), anew

    stored = control.stores.notify.change_target(
        found.id, change, expected_version=expected_version(if_match)
    )
    return _shown(control, stored)


@routes.add("POST", "/v1/channels/{key}/test", Scope.WEBHOOKS_WRITE, answer=One[Try])
def test_channel(control: Ctl, caller: Caller, key: TargetKey) -> Response:
    """Send a notice of type notify.test once, now, and say how that went."""
    return deliveries.tested(control, deliveries.find(control, key, Channel), actor_of(caller))


@routes.add("POST", "/v1/channels/{key}/remove", Scope.WEBHOOKS_WRITE, answer=One[ChannelView])
def remove_channel(control: Ctl, key: TargetKey) -> Response:
    """Tell it no more, and forget its URL and its deliveries."""
    found = deliveries.find(control, key, Channel)
    view = _view(control, found)
    control.stores.notify.remove_target(found.id)
    return one(view)


@routes.add(
    "GET",
    "/v1/channels/{key}/deliveries",
    Scope.WEBHOOKS_READ,
    answer=Page[DeliveryView],
    parameters=True,
)
def list_channel_deliveries(
    control: Ctl, key: TargetKey, query: Annotated[DeliveryQuery, Query()]
) -> Response:
    """Deliveries, newest first, each with its attempts; state=failed are those given up."""
    return deliveries.page_of(control, deliveries.find(control, key, Channel), query)


@routes.add("POST", "/v1/channels/{key}/redeliver", Scope.WEBHOOKS_WRITE, answer=One[Redelivered])
def redeliver_to_channel(control: Ctl, key: TargetKey, wanted: Redeliver) -> Response:
    """Send again what failed, or was never sent because the channel was disabled or new."""
    return deliveries.redeliver(control, deliveries.find(control, key, Channel), wanted)


def _quiet_hours(wanted: list[QuietHoursModel]) -> tuple[QuietHours, ...]:
    found = tuple(QuietHours(one.start, one.end, one.zone, one.below) for one in wanted)
    for number, hours in enumerate(found):
        check_quiet_hours(hours, f"body.quiet_hours.{number}")
    return found


def _shown(control: Control, target: AnyTarget) -> Response:
    return one(_view(control, target), headers={"etag": etag(target.version)})


def _view(control: Control, target: AnyTarget) -> ChannelView:
    if not isinstance(target, Channel):
        raise InvalidInput(f'"{target.name}" is a webhook')
    return ChannelView(
        id=target.id,
        name=target.name,
        service=target.service,
        address=target.address,
        routes=target.routes,
        quiet_hours=target.quiet_hours,
        messages_max=target.messages_max,
        allow_private_network=target.allow_private_network,
        version=target.version,
        created_at=target.created_at,
        created_by=target.created_by,
        health=deliveries.health_of(control, target),
    )
