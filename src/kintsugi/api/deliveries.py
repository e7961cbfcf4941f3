"""What webhooks and channels have in common: routes of notices, and deliveries to look at and to
send again."""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Literal, TypeVar

import msgspec
from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import one, part
from kintsugi.api.control import Control
from kintsugi.api.event_query import PageQuery
from kintsugi.api.relative_time import parse_time
from kintsugi.errors import InvalidInput, NotFound
from kintsugi.model.notice import notice
from kintsugi.model.notice_types import NOTICE_TYPES
from kintsugi.model.notify import (
    TEST_TYPE,
    AnyTarget,
    Delivery,
    DeliveryState,
    Route,
    Try,
)
from kintsugi.model.signal import Severity
from kintsugi.notify.deliver import attempt

TargetKey = Annotated[str, Path(max_length=100, description="Its id or its name.")]
Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="What people call it.",
    ),
]
Address = Annotated[str, Field(min_length=1, max_length=2000)]
_COUNT_CEILING = 10_000
T = TypeVar("T", bound=AnyTarget)


class RouteModel(BaseModel):
    """Which notices."""

    model_config = ConfigDict(extra="forbid")

    types: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=100)]],
        Field(
            min_length=1,
            max_length=50,
            description="Types of notices; * stands for any characters.",
        ),
    ] = ["*"]
    severity_min: Severity = "low"


Routing = Annotated[
    list[RouteModel],
    Field(min_length=1, max_length=20, description="A notice that any of them takes is sent."),
]


class DeliveryQuery(PageQuery):
    """Which deliveries; ``failed`` ones were given up."""

    state: DeliveryState | None = None


class Redeliver(BaseModel):
    """What to send again: one delivery, or what failed or was never sent since a time."""

    model_config = ConfigDict(extra="forbid")

    delivery_id: Annotated[str | None, Field(max_length=64)] = None
    since: Annotated[str | None, Field(max_length=64, description="24h, or a time.")] = None


class Redelivered(msgspec.Struct, frozen=True):
    """How many deliveries begin anew."""

    deliveries: int


class DeliveryView(msgspec.Struct, frozen=True):
    """A notice on its way.

    Attributes:
        due_at: of the next attempt; null when it is over.
        held: why it waits though nothing failed; empty where it does not.
        tries: the newest, oldest first.
    """

    id: str
    state: DeliveryState
    notice_id: str
    type: str
    subject: str
    severity: Severity
    at: datetime
    attempts: int
    due_at: datetime | None
    held: str
    finished_at: datetime | None
    tries: tuple[Try, ...]


class DeliveryHealth(msgspec.Struct, frozen=True):
    """How deliveries to a target go.

    Attributes:
        waiting, failed: counted up to 10,000.
    """

    status: Literal["ok", "failing", "disabled"]
    reason: str
    succeeded_at: datetime | None
    failing_since: datetime | None
    waiting: int
    failed: int


def routes_of(wanted: list[RouteModel]) -> tuple[Route, ...]:
    """As they are kept.

    Raises:
        InvalidInput: a pattern fits no type that there is.
    """
    for number, route in enumerate(wanted):
        for pattern in route.types:
            if not any(fnmatchcase(name, pattern) for name in NOTICE_TYPES):
                raise InvalidInput(
                    f'body.routes.{number}.types: "{pattern}" fits no type of notice; '
                    "see kt notices types"
                )
    return tuple(Route(tuple(route.types), route.severity_min) for route in wanted)


def find(control: Control, key: str, kind: type[T]) -> T:
    """A target of this kind.

    Raises:
        NotFound: there is none.
    """
    found = control.stores.notify.target(key)
    if not isinstance(found, kind):
        raise NotFound(f'there is no {kind.__name__.lower()} "{key}"')
    return found


def health_of(control: Control, target: AnyTarget) -> DeliveryHealth:
    """How it does."""
    counts: list[int] = [
        control.stores.notify.count(target.id, state, ceiling=_COUNT_CEILING)
        for state in ("waiting", "failed")
    ]
    status: Literal["ok", "failing", "disabled"] = "failing" if target.failures else "ok"
    return DeliveryHealth(
        status if target.enabled else "disabled",
        target.disabled_reason,
        target.succeeded_at,
        target.failing_since,
        *counts,
    )


def page_of(control: Control, target: AnyTarget, query: DeliveryQuery) -> Response:
    """Deliveries, newest first."""
    found, cursor = control.stores.notify.deliveries(
        target.id, query.state, limit=query.limit, cursor=query.cursor
    )
    views = [view_of(one) for one in found]
    return part(views, cursor)


def redeliver(control: Control, target: AnyTarget, wanted: Redeliver) -> Response:
    """Begin again.

    Raises:
        InvalidInput: neither or both are named.
    """
    if (wanted.delivery_id is None) == (wanted.since is None):
        raise InvalidInput("body: name delivery_id, or since, and not both")
    now = control.clock()
    since = parse_time(wanted.since, now=now) if wanted.since is not None else None
    count = control.stores.notify.redeliver(
        target.id, delivery_id=wanted.delivery_id or "", since=since, now=now
    )
    return one(Redelivered(count))


def tested(control: Control, target: AnyTarget, by: str) -> Response:
    """Send a notice of type ``notify.test`` now and once, and say how that went."""
    now = control.clock()
    sent = notice(TEST_TYPE, f"target:{target.name}", {"actor": by}, now=now)
    secrets = control.stores.notify.secrets(target.id)
    return one(attempt(target, secrets, sent, now=now))


def view_of(delivery: Delivery) -> DeliveryView:
    """As the API shows it."""
    told = delivery.notice
    waits = delivery.state == "waiting"
    return DeliveryView(
        id=delivery.id,
        state=delivery.state,
        notice_id=told.id,
        type=told.type,
        subject=told.subject,
        severity=told.severity,
        at=told.at,
        attempts=delivery.attempts,
        due_at=delivery.due_at if waits else None,
        held=delivery.held,
        finished_at=delivery.finished_at,
        tries=delivery.tries,
    )
