"""``/v1/signals``: observations that somebody should look at."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import Meta, One, Page, one, reply
from kintsugi.api.control import Caller, Ctl
from kintsugi.api.event_query import PageQuery
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.errors import InvalidInput
from kintsugi.model.signal import Severity, Signal, SignalStatus

routes = Routes("signals")

SignalId = Annotated[str, Path(max_length=64)]


class SignalsQuery(PageQuery):
    """Which signals; those that are not resolved unless asked otherwise."""

    status: Literal["open", "acknowledged", "resolved", "unresolved", "all"] = "unresolved"
    kind: Annotated[str, Field(max_length=100)] = ""


class Note(BaseModel):
    """What whoever looks into it has to say; may be nothing."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[str, Field(max_length=2000)] = ""


class Resolution(BaseModel):
    """Why it is over."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=2000)]


class SignalView(msgspec.Struct, frozen=True):
    """One observation.

    Attributes:
        kind: what was seen; see the manual.
        subject: what it is about: ``gateway:ID``, ``log``.
        detail: the same as ``summary`` for programs.
        seen_at: when it was last seen.
        resolved_by: a person's name; empty when it was over by itself.
    """

    id: str
    at: datetime
    status: SignalStatus
    kind: str
    severity: Severity
    summary: str
    subject: str
    detail: dict[str, Any]
    seen_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str
    note: str
    resolved_at: datetime | None
    resolved_by: str
    resolution: str


@routes.add("GET", "/v1/signals", Scope.SIGNALS_READ, answer=Page[SignalView], parameters=True)
def list_signals(control: Ctl, query: Annotated[SignalsQuery, Query()]) -> Response:
    """Signals, newest first. ``meta.total`` counts all that are not resolved."""
    signals = control.stores.signals
    meta = Meta(total=signals.count_unresolved())
    if query.limit == 0:
        return reply(Page([], meta))
    status = None if query.status == "all" else query.status
    found, cursor = signals.page(status, kind=query.kind, limit=query.limit, cursor=query.cursor)
    views = [view_of(signal) for signal in found]
    return reply(Page(views, Meta(total=meta.total, next_cursor=cursor)))


@routes.add("GET", "/v1/signals/{signal_id}", Scope.SIGNALS_READ, answer=One[SignalView])
def show_signal(control: Ctl, signal_id: SignalId) -> Response:
    """One signal."""
    return one(view_of(control.stores.signals.get(signal_id)))


@routes.add(
    "POST", "/v1/signals/{signal_id}/acknowledge", Scope.SIGNALS_WRITE, answer=One[SignalView]
)
def acknowledge_signal(control: Ctl, caller: Caller, signal_id: SignalId, note: Note) -> Response:
    """Say that you look into it."""
    signal = control.stores.signals.acknowledge(
        signal_id, by=caller.name, note=note.note.strip(), now=control.clock()
    )
    return one(view_of(signal))


@routes.add("POST", "/v1/signals/{signal_id}/resolve", Scope.SIGNALS_WRITE, answer=One[SignalView])
def resolve_signal(
    control: Ctl, caller: Caller, signal_id: SignalId, resolution: Resolution
) -> Response:
    """Say that it is over, and why; the same thing is not raised again then."""
    reason = resolution.reason.strip()
    if not reason:
        raise InvalidInput("body.reason: say why; it is kept with the signal")
    signal = control.stores.signals.resolve(
        signal_id, by=caller.name, resolution=reason, now=control.clock()
    )
    return one(view_of(signal))


def view_of(signal: Signal) -> SignalView:
    """As the API and the console show it."""
    return SignalView(
        id=signal.id,
        at=signal.at,
        status=signal.status,
        kind=signal.kind,
        severity=signal.severity,
        summary=signal.summary,
        subject=signal.subject,
        detail=signal.detail,
        seen_at=signal.seen_at,
        acknowledged_at=signal.acknowledged_at,
        acknowledged_by=signal.acknowledged_by,
        note=signal.note,
        resolved_at=signal.resolved_at,
        resolved_by=signal.resolved_by,
        resolution=signal.resolution,
    )
