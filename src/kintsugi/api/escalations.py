"""``/v1/escalations``: decisions that a policy handed to a person.

Nobody can claim or resolve one yet, so every escalated decision is pending, and is counted
straight from the decision events: a backlog is never hidden.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Query
from pydantic import BeforeValidator, WithJsonSchema
from starlette.responses import Response

from kintsugi.api.answers import Meta, Page, reply
from kintsugi.api.control import Ctl
from kintsugi.api.event_query import PageQuery
from kintsugi.api.events import page_of_events
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.model.event import DecisionEvent
from kintsugi.model.stores import EventFilter
from kintsugi.model.verdict import Verdict

routes = Routes("escalations")

Status = Literal["pending", "claimed", "approved", "rejected", "expired", "resolved"]

# CONTRACT §1. "resolved" stands for approved and rejected together.
_SYNONYMS = {"queued": "pending", "denied": "rejected"}
_STATUS_SCHEMA: dict[str, Any] = {
    "type": "string",
    "enum": ["pending", "claimed", "approved", "rejected", "expired", "resolved", *_SYNONYMS],
}


def _canonical(word: object) -> object:
    return _SYNONYMS.get(word, word) if isinstance(word, str) else word


class EscalationQuery(PageQuery):
    """Which escalations."""

    status: Annotated[
        Status | None, BeforeValidator(_canonical), WithJsonSchema(_STATUS_SCHEMA)
    ] = None


class Escalation(msgspec.Struct, frozen=True):
    """One decision that waits for a person.

    Attributes:
        id: that of the decision event.
    """

    id: str
    status: Literal["pending"]
    created_at: datetime
    event_id: str
    policy_name: str
    reason_code: str
    gateway_id: str
    user_id: str
    config_version: str


@routes.add(
    "GET",
    "/v1/escalations",
    Scope.ESCALATIONS_READ,
    answer=Page[Escalation],
    parameters=True,
)
def list_escalations(control: Ctl, query: Annotated[EscalationQuery, Query()]) -> Response:
    """Escalated decisions, newest first. ``limit=0`` gives only ``meta.total``."""
    if query.status not in {None, "pending"}:
        return reply(Page([], Meta(total=0)))  # none has left "pending" yet
    where = EventFilter(verdict=Verdict.ESCALATE)
    page = page_of_events(control.stores, where, limit=query.limit, cursor=query.cursor)
    return reply(Page([_pending(event) for event in page.data], page.meta))


def _pending(event: DecisionEvent) -> Escalation:
    return Escalation(
        id=event.id,
        status="pending",
        created_at=event.timestamp,
        event_id=event.id,
        policy_name=event.policy_name,
        reason_code=event.reason_code,
        gateway_id=event.gateway_id,
        user_id=event.user_id,
        config_version=event.config_version,
    )
