"""``/v1/overrides``: what people decided in place of policies, what that proposes, and who carries
how much of it; and many escalations with one cause, decided one by one at once."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, part
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.escalations import EscalationView, Reason, incident_of, view_of
from kintsugi.api.event_query import PageQuery, TimeText
from kintsugi.api.permissions import Scope, allows
from kintsugi.api.relative_time import parse_time
from kintsugi.api.routing import Routes
from kintsugi.api.sight import reference_for
from kintsugi.errors import Forbidden, InvalidInput, NotFound, StateConflict
from kintsugi.incidents.commands import Act
from kintsugi.incidents.notes import noted
from kintsugi.model.incident import Actor, new_id
from kintsugi.model.overrides import (
    Classification,
    Judgement,
    Load,
    Outcome,
    Override,
    OverrideFilter,
    Proposes,
)
from kintsugi.model.oversight import OPEN_MAX, Escalation, is_own
from kintsugi.model.tokens import Token

routes = Routes("overrides")

Text = Annotated[str, Field(max_length=500)]
_PAGE = 200


class OverrideQuery(PageQuery):
    """Which overrides."""

    by: Annotated[str, Field(max_length=200, description="Name of the reviewer's token.")] = ""
    outcome: Outcome | Literal[""] = ""


class LoadQuery(BaseModel):
    """Since when."""

    model_config = ConfigDict(extra="forbid")

    since: TimeText = "7d"


class BulkQuery(BaseModel):
    """Whether to only look."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = False


class Cause(BaseModel):
    """What the escalations have in common; an empty field does not restrict."""

    model_config = ConfigDict(extra="forbid")

    policy_name: Text = ""
    reason_code: Text = ""
    config_version: Text = ""
    workflow: Text = ""
    gateway_id: Text = ""
    user_id: Text = ""

    def fits(self, escalation: Escalation) -> bool:
        """Whether an escalation has this cause."""
        report, who = escalation.report, escalation.report.identity
        has = {
            "policy_name": report.policy_name,
            "reason_code": report.reason_code,
            "config_version": report.config_version,
            "workflow": who.workflow,
            "gateway_id": report.gateway_id,
            "user_id": who.user_id,
        }
        return all(has[name] == value for name, value in self.model_dump().items() if value)


class BulkDecision(BaseModel):
    """One decision about all open escalations with one cause."""

    model_config = ConfigDict(extra="forbid")

    cause: Cause
    decision: Literal["approve", "reject"]
    reason: Reason
    classification: Classification = ""
    incident: Annotated[str, Field(max_length=64, description="Id or reference.")] = ""
    limit: Annotated[int, Field(ge=1, le=OPEN_MAX)] = OPEN_MAX


class BulkItem(msgspec.Struct, frozen=True):
    """One of them.

    Attributes:
        outcome: ``would_decide`` in a dry run; ``refused`` with the reason in ``why``.
    """

    escalation: EscalationView
    outcome: Literal["decided", "would_decide", "refused"]
    why: str = ""


class BulkView(msgspec.Struct, frozen=True):
    """What became of each.

    Attributes:
        bulk_id: on each of the overrides; empty in a dry run.
        decided: or, in a dry run, would be.
    """

    bulk_id: str
    dry_run: bool
    decided: int
    refused: int
    items: list[BulkItem]


class ProposalView(msgspec.Struct, frozen=True):
    """A regression case that a reviewer's word asks for, to be made from an event.

    Attributes:
        proposes: the verdict that must hold from now on.
    """

    event_id: str
    proposes: Proposes
    policy_name: str
    reason_code: str
    config_version: str
    workflow: str
    by: str
    at: datetime
    reason: str
    incident_id: str
    override_id: str


@routes.add(
    "GET",
    "/v1/overrides",
    Scope.ESCALATIONS_READ,
    answer=Page[Override],
    parameters=True,
)
def list_overrides(control: Ctl, query: Annotated[OverrideQuery, Query()]) -> Response:
    """Who decided what in place of a policy, why, and what they saw; newest first."""
    found, cursor = control.stores.overrides.page(
        OverrideFilter(query.by, query.outcome), limit=query.limit, cursor=query.cursor
    )
    shown = [
        msgspec.structs.replace(made, incident_id=reference_for(control.stores, made.incident_id))
        for made in found
    ]
    return part(shown, cursor)


@routes.add(
    "GET",
    "/v1/overrides/proposals",
    Scope.ESCALATIONS_READ,
    answer=Page[ProposalView],
    parameters=True,
)
def list_proposals(control: Ctl, query: Annotated[PageQuery, Query()]) -> Response:
    """Regression cases that decisions ask for: a false positive an allow case, a confirmed one a
    block case."""
    found, cursor = control.stores.overrides.page(
        OverrideFilter(proposing=True), limit=query.limit, cursor=query.cursor
    )
    views = [
        ProposalView(
            event_id=made.escalation_id,
            proposes=made.proposes,
            policy_name=made.policy_name,
            reason_code=made.reason_code,
            config_version=made.config_version,
            workflow=made.workflow,
            by=made.by,
            at=made.at,
            reason=made.reason,
            incident_id=reference_for(control.stores, made.incident_id),
            override_id=made.id,
        )
        for made in found
        if made.proposes is not None
    ]
    return part(views, cursor)


@routes.add("GET", "/v1/overrides/load", Scope.ESCALATIONS_READ, answer=One[Load], parameters=True)
def show_load(control: Ctl, query: Annotated[LoadQuery, Query()]) -> Response:
    """How much each reviewer decided, and how often each policy was overridden."""
    since = parse_time(query.since or "7d", now=control.clock())
    return one(control.stores.overrides.load(since=since))


@routes.add(
    "POST",
    "/v1/escalations/resolve",
    Scope.ESCALATIONS_RESOLVE,
    answer=One[BulkView],
    parameters=True,
)
def resolve_escalations(
    control: Ctl, caller: Caller, wanted: BulkDecision, query: Annotated[BulkQuery, Query()]
) -> Response:
    """Decide about all open escalations with one cause: each by itself, each with its own record.
    A dry run lists them."""
    if not any(wanted.cause.model_dump().values()):
        raise InvalidInput("body.cause: name what they have in common, such as reason_code")
    if not wanted.reason.strip():
        raise InvalidInput("body.reason: say why; it is kept with each decision")
    now = control.clock()
    judgement = Judgement(
        approved=wanted.decision == "approve",
        by=caller.name,
        reason=wanted.reason.strip(),
        classification=wanted.classification,
        incident_id=incident_of(control, wanted.incident),
        bulk_id="" if query.dry_run else new_id(now),
    )
    found = [one for one in _open(control, now) if wanted.cause.fits(one)][: wanted.limit]
    items = [_decide(control, one, judgement, now=now, dry_run=query.dry_run) for one in found]
    refused = sum(item.outcome == "refused" for item in items)
    decided = len(items) - refused
    if decided and judgement.incident_id and not query.dry_run:
        _note(control, caller, judgement, decided, now=now)
    return one(BulkView(judgement.bulk_id, query.dry_run, decided, refused, items))


def _open(control: Control, now: datetime) -> list[Escalation]:
    """All that wait, the oldest first; there are never more than ``OPEN_MAX``, give or take a
    few that were raised at the same time."""
    found: list[Escalation] = []
    cursor = None
    while len(found) < OPEN_MAX + _PAGE:
        page, cursor = control.stores.oversight.escalations(
            "open", now=now, limit=_PAGE, cursor=cursor
        )
        found += page
        if cursor is None:
            break
    return found[::-1]


def _decide(
    control: Control, found: Escalation, judgement: Judgement, *, now: datetime, dry_run: bool
) -> BulkItem:
    if dry_run:
        why = ""
        if is_own(found.report.identity, judgement.by):
            why = "Nobody may decide about their own request."
        elif found.is_claimed(now) and found.claimed_by != judgement.by:
            why = f'"{found.claimed_by}" has claimed it'
        return BulkItem(view_of(found, now=now), "refused" if why else "would_decide", why)
    try:
        after = control.stores.oversight.resolve(found.id, judgement, now=now)
    except (StateConflict, Forbidden, NotFound) as error:
        return BulkItem(view_of(found, now=now), "refused", str(error))
    return BulkItem(view_of(after, now=now), "decided")


def _note(
    control: Control, caller: Token, judgement: Judgement, decided: int, *, now: datetime
) -> None:
    what = "approved" if judgement.approved else "rejected"
    text = f"{decided} escalations {what} together ({judgement.bulk_id}): {judgement.reason}"
    actor = Actor(caller.name, actor_of(caller), allows(caller.scopes, Scope.INCIDENTS_COMMAND))
    control.stores.incidents.change(
        [judgement.incident_id],
        lambda before: (noted(before[0], text, Act(actor, now)),),
        now=now,
    )
