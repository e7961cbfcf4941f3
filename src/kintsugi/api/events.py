"""``/v1/events``: decisions in, decisions out."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import Header, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from kintsugi.api import sse
from kintsugi.api.answers import EventsMeta, EventsPage, One, Page, one, reply, whole
from kintsugi.api.control import Caller, Control, Ctl, RawBody
from kintsugi.api.custody import actor_of
from kintsugi.api.event_query import (
    TOTAL_CEILING,
    EventFilters,
    EventQuery,
    TimeText,
)
from kintsugi.api.ingest import BATCH_BYTES_MAX, decode_batch, store_batch
from kintsugi.api.permissions import Scope
from kintsugi.api.relative_time import parse_time
from kintsugi.api.routing import Routes, bearer
from kintsugi.api.tail import follow_events
from kintsugi.errors import InvalidInput
from kintsugi.model.custody import custody_entry
from kintsugi.model.event import DecisionEvent, Payload
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.events import Ingested, MinuteCount
from kintsugi.model.stores import Stores
from kintsugi.model.tokens import Token

routes = Routes("events")

_EVENT = {"$ref": "#/components/schemas/DecisionEvent"}
_BATCH_BODY = {
    "required": True,
    "content": {
        "application/x-ndjson": {
            "schema": {
                "type": "string",
                "description": (
                    "One event per line; none is stored when one is wrong. A gateway's first line "
                    "tells which lines of its journals follow."
                ),
            }
        },
        "application/json": {
            "schema": {
                "anyOf": [
                    _EVENT,
                    {"type": "array", "items": _EVENT},
                    {
                        "type": "object",
                        "properties": {"events": {"type": "array", "items": _EVENT}},
                        "required": ["events"],
                        "additionalProperties": False,
                    },
                ]
            }
        },
    },
}


@routes.add(
    "POST",
    "/v1/events",
    Scope.EVENTS_WRITE,
    answer=One[Ingested],
    raw_body=True,
    body_bytes_max=BATCH_BYTES_MAX,
    extra={"requestBody": _BATCH_BODY},
)
def store_events(control: Ctl, request: Request, body: RawBody) -> Response:
    """Store one event or a batch, all or nothing; sending again is harmless."""
    batch = decode_batch(body, request.headers.get("content-type", ""))
    stored = store_batch(control.stores.events, batch)
    control.metrics.events_stored.inc(stored.stored)
    control.metrics.events_duplicate.inc(stored.duplicates)
    return one(stored)


@routes.add(
    "GET", "/v1/events", Scope.EVENTS_READ, answer=EventsPage[DecisionEvent], parameters=True
)
def list_events(control: Ctl, query: Annotated[EventQuery, Query()]) -> Response:
    """Decisions that match, newest first, without payload."""
    where = query.where(now=control.clock())
    return reply(page_of_events(control.stores, where, limit=query.limit, cursor=query.cursor))


def page_of_events(
    stores: Stores, where: EventFilter, *, limit: int, cursor: str | None
) -> EventsPage[DecisionEvent]:
    """One page and how many match in all; the console shows the same."""
    counted = stores.events.count(where, ceiling=TOTAL_CEILING + 1)
    total, more = min(counted, TOTAL_CEILING), counted > TOTAL_CEILING
    if limit == 0:
        return EventsPage([], EventsMeta(total, more))
    page = stores.events.page(where, limit=limit, cursor=cursor)
    meta = EventsMeta(total, more, page.next_cursor, page.from_archive, page.not_searched)
    return EventsPage(list(page.events), meta)


class MinutesQuery(BaseModel):
    """Which minutes; at most a week of them."""

    model_config = ConfigDict(extra="forbid")

    since: TimeText = Field(default="1h")
    until: TimeText = None


@routes.add(
    "GET", "/v1/events/minutes", Scope.EVENTS_READ, answer=Page[MinuteCount], parameters=True
)
def events_per_minute(control: Ctl, query: Annotated[MinutesQuery, Query()]) -> Response:
    """Decisions per minute and verdict, oldest first; minutes without any are left out."""
    now = control.clock()
    since = parse_time(query.since or "1h", now=now)
    until = parse_time(query.until, now=now) if query.until else now
    if until - since > timedelta(days=7):
        raise InvalidInput("query.since: more than seven days of minutes")
    return whole(control.stores.events.per_minute(since=since, until=until))


_LAST_EVENT_ID: Any = Header(
    alias="Last-Event-ID",
    description="The position (id) of the last event that was seen; the stream goes on after it.",
    max_length=20,
)


@routes.add(
    "GET",
    "/v1/events/tail",
    Scope.EVENTS_READ,
    media_types=("text/event-stream",),
    parameters=True,
)
async def tail_events(
    control: Ctl,
    request: Request,
    query: Annotated[EventFilters, Query()],
    last_event_id: Annotated[str | None, _LAST_EVENT_ID] = None,
) -> StreamingResponse:
    """New decisions as they are stored, as server-sent events ``decision``.

    Starts after ``Last-Event-ID``; with ``since`` at the first one since then; otherwise now.
    """
    where = query.where(now=control.clock())
    return sse.stream(
        follow_events(
            control,
            where,
            after=_position(last_event_id),
            still_allowed=partial(bearer, request, control),
        )
    )


def _position(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) < 2**63):
        raise InvalidInput(f'header Last-Event-ID: "{text}" is not a position of this stream')
    return int(text)


@routes.add("GET", "/v1/events/{event_id}", Scope.EVENTS_READ, answer=One[DecisionEvent])
def show_event(control: Ctl, event_id: Annotated[str, Path(max_length=64)]) -> Response:
    """One decision with every evaluation and its payload, redacted whatever was recorded."""
    return one(control.stores.events.get(event_id))


class Reveal(BaseModel):
    """Why somebody has to see it."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=2000)]


class RevealedView(msgspec.Struct, frozen=True):
    """Content as it was recorded.

    Attributes:
        custody_id: the entry that says who was shown it, when and why.
    """

    event_id: str
    payload: Payload
    custody_id: str
    revealed_at: datetime
    revealed_by: str


@routes.add("POST", "/v1/events/{event_id}/reveal", Scope.PAYLOADS_REVEAL, answer=One[RevealedView])
def reveal_event(
    control: Ctl,
    caller: Caller,
    request: Request,
    event_id: Annotated[str, Path(max_length=64)],
    asked: Reveal,
) -> Response:
    """The payload as it was recorded, without redaction where the gateway kept everything. Custody
    says who was shown it and why, or nobody is."""
    revealed = reveal(control, caller, event_id, reason=asked.reason)
    # What is kept for a repeated request must not be the content.
    told = msgspec.structs.replace(revealed, payload=Payload())
    request.state.answer_to_keep = msgspec.json.encode(One(told))
    return one(revealed)


def reveal(control: Control, caller: Token, event_id: str, *, reason: str) -> RevealedView:
    """Show what was recorded, on record; the console does the same.

    Raises:
        InvalidInput: no reason is given.
    """
    if not reason.strip():
        raise InvalidInput("body.reason: say why; it is kept with the entry of custody")
    event = control.stores.events.get(event_id)
    entry = custody_entry(
        "reveal",
        f"event:{event.id}",
        actor=actor_of(caller),
        now=control.clock(),
        reason=reason.strip(),
        digest_before=event.payload_digest,
        digest_after=event.payload_digest,
    )
    payload = control.stores.events.reveal(event.id, entry)
    return RevealedView(event.id, payload, entry.id, entry.at, caller.name)


__all__ = ["page_of_events", "reveal", "routes"]
