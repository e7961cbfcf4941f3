"""``/v1/webhooks``: endpoints of programs that are told of notices as Standard Webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import Query, Request
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
from kintsugi.model.notify import ROTATION_OVERLAP, AnyTarget, Route, Secrets, Try, Webhook
from kintsugi.notify.egress import check_url
from kintsugi.notify.signing import check_secret, make_secret

routes = Routes("webhooks")


class NewWebhook(BaseModel):
    """An endpoint to tell."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    url: Address
    routes: Routing = [RouteModel()]
    secret: Annotated[
        str | None,
        Field(max_length=200, description="whsec_ and Base64; without one it is made."),
    ] = None
    allow_private_network: Annotated[
        bool, Field(description="The address may lie inside the own network.")
    ] = False


class WebhookEdit(BaseModel):
    """What changes; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    url: Address | None = None
    routes: Routing | None = None
    allow_private_network: bool | None = None
    enabled: bool | None = None


class WebhookView(msgspec.Struct, frozen=True):
    """An endpoint and how it does.

    Attributes:
        secret: only in the answer that makes or replaces it; kept sealed, never shown again.
        previous_secret_until: until when the secret before this one signs as well.
    """

    id: str
    name: str
    url: str
    routes: tuple[Route, ...]
    allow_private_network: bool
    version: int
    created_at: datetime
    created_by: str
    previous_secret_until: datetime | None
    health: DeliveryHealth
    secret: str | None = None


@routes.add("GET", "/v1/webhooks", Scope.WEBHOOKS_READ, answer=Page[WebhookView])
def list_webhooks(control: Ctl) -> Response:
    """All endpoints, by name."""
    found = control.stores.notify.targets()
    return whole([_view(control, one) for one in found if isinstance(one, Webhook)])


@routes.add("POST", "/v1/webhooks", Scope.WEBHOOKS_WRITE, answer=One[WebhookView], status=201)
def add_webhook(control: Ctl, caller: Caller, request: Request, wanted: NewWebhook) -> Response:
    """Tell an endpoint from now on. The answer holds the secret, once."""
    now = control.clock()
    secret = check_secret(wanted.secret) if wanted.secret is not None else make_secret()
    webhook = Webhook(
        id=new_id(now),
        name=wanted.name,
        url=check_url(wanted.url),
        routes=routes_of(wanted.routes),
        allow_private_network=wanted.allow_private_network,
        created_at=now,
        created_by=actor_of(caller),
    )
    control.stores.notify.add_target(webhook, Secrets(secret))
    return _shown_once(request, _view(control, webhook), secret, status=201)


@routes.add("GET", "/v1/webhooks/{key}", Scope.WEBHOOKS_READ, answer=One[WebhookView])
def show_webhook(control: Ctl, key: TargetKey) -> Response:
    """One endpoint. Send its ETag as If-Match with a change to it."""
    return _shown(control, deliveries.find(control, key, Webhook))


@routes.add("POST", "/v1/webhooks/{key}/edit", Scope.WEBHOOKS_WRITE, answer=One[WebhookView])
def edit_webhook(
    control: Ctl, key: TargetKey, wanted: WebhookEdit, if_match: IfMatch = None
) -> Response:
    """Change it. Enabling one that was given up begins with a clean slate."""
    found = deliveries.find(control, key, Webhook)
    changes: dict[str, object] = wanted.model_dump(exclude_none=True, exclude={"routes"})
    if wanted.url is not None:
        check_url(wanted.url)
    if wanted.routes is not None:
        changes["routes"] = routes_of(wanted.routes)
    if wanted.enabled:
        changes |= {"disabled_reason": "", "failures": 0, "failing_since": None}

    def change(target: AnyTarget, secrets: Secrets) -> tuple[AnyTarget, Secrets]:
        return msgspec.structs.replace(target, **changes), secrets

    stored = control.stores.notify.change_target(
        found.id, change, expected_version=expected_version(if_match)
    )
    return _shown(control, stored)


@routes.add(
    "POST",
    "/v1/webhooks/{key}/rotate-secret",
    Scope.WEBHOOKS_WRITE,
    answer=One[WebhookView],
)
def rotate_webhook_secret(control: Ctl, request: Request, key: TargetKey) -> Response:
    """Replace the secret. The old one signs as well for a day, so that nothing is refused while
    the receiver changes over."""
    now = control.clock()
    made = make_secret()

    def change(target: AnyTarget, secrets: Secrets) -> tuple[AnyTarget, Secrets]:
        return (
            msgspec.structs.replace(target, secret_rotated_at=now),
            Secrets(made, secrets.current, now + ROTATION_OVERLAP),
        )

    found = deliveries.find(control, key, Webhook)
    stored = control.stores.notify.change_target(found.id, change)
    return _shown_once(request, _view(control, stored), made)


@routes.add("POST", "/v1/webhooks/{key}/test", Scope.WEBHOOKS_WRITE, answer=One[Try])
def test_webhook(control: Ctl, caller: Caller, key: TargetKey) -> Response:
    """Send a notice of type notify.test once, now, and say how that went."""
    return deliveries.tested(control, deliveries.find(control, key, Webhook), actor_of(caller))


@routes.add("POST", "/v1/webhooks/{key}/remove", Scope.WEBHOOKS_WRITE, answer=One[WebhookView])
def remove_webhook(control: Ctl, key: TargetKey) -> Response:
    """Tell it no more, and forget its secret and its deliveries."""
    found = deliveries.find(control, key, Webhook)
    view = _view(control, found)
    control.stores.notify.remove_target(found.id)
    return one(view)


@routes.add(
    "GET",
    "/v1/webhooks/{key}/deliveries",
    Scope.WEBHOOKS_READ,
    answer=Page[DeliveryView],
    parameters=True,
)
def list_webhook_deliveries(
    control: Ctl, key: TargetKey, query: Annotated[DeliveryQuery, Query()]
) -> Response:
    """Deliveries, newest first, each with its attempts; state=failed are those given up."""
    return deliveries.page_of(control, deliveries.find(control, key, Webhook), query)


@routes.add("POST", "/v1/webhooks/{key}/redeliver", Scope.WEBHOOKS_WRITE, answer=One[Redelivered])
def redeliver_to_webhook(control: Ctl, key: TargetKey, wanted: Redeliver) -> Response:
    """Send again what failed, or was never sent because the endpoint was disabled or new."""
    return deliveries.redeliver(control, deliveries.find(control, key, Webhook), wanted)


def _shown(control: Control, target: AnyTarget) -> Response:
    return one(_view(control, target), headers={"etag": etag(target.version)})


def _shown_once(request: Request, view: WebhookView, secret: str, *, status: int = 200) -> Response:
    """With the secret; whoever repeats the request gets the answer without it."""
    request.state.answer_to_keep = msgspec.json.encode(One(view))
    return one(msgspec.structs.replace(view, secret=secret), status=status)


def _view(control: Control, target: AnyTarget) -> WebhookView:
    if not isinstance(target, Webhook):
        raise InvalidInput(f'"{target.name}" is a channel')
    rotated = target.secret_rotated_at
    until = rotated + ROTATION_OVERLAP if rotated is not None else None
    return WebhookView(
        id=target.id,
        name=target.name,
        url=target.url,
        routes=target.routes,
        allow_private_network=target.allow_private_network,
        version=target.version,
        created_at=target.created_at,
        created_by=target.created_by,
        previous_secret_until=until if until is not None and until > control.clock() else None,
        health=deliveries.health_of(control, target),
    )
