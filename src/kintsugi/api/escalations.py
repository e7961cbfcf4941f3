"""``/v1/escalations``: decisions that a policy handed to a person, and what people decided.

An approval is for exactly the action that was escalated, under the revision of the configuration
that asked; it is used once, expires, and is checked again when it is used.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, get_args

import msgspec
from fastapi import Path, Query, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from starlette.responses import Response

from kintsugi.api.answers import Meta, One, Page, one, reply
from kintsugi.api.control import Caller, Control, Ctl, RawBody
from kintsugi.api.escalation_content import content_of, reveal_held, seen_by, shown
from kintsugi.api.event_query import PageQuery
from kintsugi.api.hygiene import decode_json
from kintsugi.api.permissions import Scope
from kintsugi.api.problems import FieldError, Invalid
from kintsugi.api.routing import Routes
from kintsugi.api.sight import reference_for
from kintsugi.errors import InvalidInput
from kintsugi.model.decision import Phase
from kintsugi.model.ids import uuid7_time
from kintsugi.model.overrides import Classification, Judgement, Override
from kintsugi.model.oversight import (
    CLAIM_LASTS,
    Escalation,
    EscalationStatus,
    HeldEscalation,
)
from kintsugi.model.tokens import Token
from kintsugi.model.workflow import RiskTier

routes = Routes("escalations")

Status = Literal["pending", "claimed", "approved", "rejected", "expired", "open", "resolved"]

# CONTRACT §1. "open" stands for pending and claimed together, "resolved" for approved and rejected.
_SYNONYMS = {"queued": "pending", "denied": "rejected"}
_STATUS_SCHEMA: dict[str, Any] = {
    "type": "string",
    "enum": [*get_args(Status), *_SYNONYMS],
}

# Two directions of text, each as it is shown and as it was.
REPORT_BYTES_MAX = 8 * 1024 * 1024

EscalationId = Annotated[str, Path(max_length=64)]
Reason = Annotated[str, Field(min_length=1, max_length=2000)]


def _canonical(word: object) -> object:
    return _SYNONYMS.get(word, word) if isinstance(word, str) else word


class EscalationQuery(PageQuery):
    """Which escalations."""

    status: Annotated[
        Status | None, BeforeValidator(_canonical), WithJsonSchema(_STATUS_SCHEMA)
    ] = None


class Decided(BaseModel):
    """Why a reviewer decided so.

    Attributes:
        classification: whether the policy was right to ask; proposes a regression case.
        seen: ``shown_digest`` as the reviewer had it; kept as the proof of what was looked at.
    """

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    classification: Annotated[
        Classification,
        Field(description="false_positive proposes an allow case, confirmed a block case."),
    ] = ""
    incident: Annotated[str, Field(max_length=64, description="Id or reference.")] = ""
    seen: Annotated[str | None, Field(max_length=100)] = None


class Asked(BaseModel):
    """Why somebody wants to see what is masked."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


class Use(BaseModel):
    """What an approval is used for.

    Attributes:
        event_id: of the exchange that uses it.
    """

    model_config = ConfigDict(extra="forbid")

    action_digest: Annotated[str, Field(min_length=1, max_length=200)]
    revision: Annotated[str, Field(min_length=1, max_length=200)]
    event_id: Annotated[str, Field(min_length=1, max_length=64)]


class EscalationView(msgspec.Struct, frozen=True):
    """One decision that a policy handed to a person.

    Attributes:
        id, event_id: that of the decision event. Of an answer that is still held, the event
            follows when the waiting is over.
        held_until: until when the client waits for the answer; null where it does not.
        approvable: whether an approval would let something through: the action is known to the
            byte. What was stopped in the middle of a stream is not.
        used_by: the exchange (event id) that used the approval up.
        tier: how grave it is; ``due_at`` follows from it.
        overdue: nobody has decided, and it is due.
        claimed_until: when the claim ends by itself; null where nobody has claimed it.
    """

    id: str
    status: EscalationStatus
    created_at: datetime
    expires_at: datetime
    held_until: datetime | None
    event_id: str
    policy_name: str
    reason_code: str
    phase: Phase
    gateway_id: str
    user_id: str
    team_id: str
    tenant_id: str
    session_id: str
    agent_id: str
    workflow: str
    key_name: str
    model: str
    config_version: str
    revision: str
    action_digest: str
    approvable: bool
    claimed_by: str
    claimed_at: datetime | None
    resolved_by: str
    resolved_at: datetime | None
    reason: str
    used_at: datetime | None
    used_by: str
    tier: RiskTier
    due_at: datetime | None
    overdue: bool
    claimed_until: datetime | None
    classification: Classification
    incident_id: str


class EscalationDetail(EscalationView, frozen=True, kw_only=True):
    """One escalation with what is said, redacted.

    Attributes:
        held: what is said is known from its gateway; the event follows.
        request, response: empty where nothing was recorded, or for who may not read events.
        shown_digest: of what is shown here; send it as ``seen`` with a decision.
        overrides: how it was decided, newest first.
    """

    held: bool
    request: str
    response: str
    masked: int
    truncated: bool
    unreadable: str
    shown_digest: str
    overrides: list[Override]


class RevealedHeld(msgspec.Struct, frozen=True):
    """What is held, without redaction."""

    request: str
    response: str
    truncated: bool


@routes.add(
    "GET",
    "/v1/escalations",
    Scope.ESCALATIONS_READ,
    answer=Page[EscalationView],
    parameters=True,
)
def list_escalations(control: Ctl, query: Annotated[EscalationQuery, Query()]) -> Response:
    """Escalations, newest first. ``limit=0`` gives only ``meta.total``."""
    now = control.clock()
    oversight = control.stores.oversight
    total = oversight.count_escalations(query.status, now=now)
    if query.limit == 0:
        return reply(Page([], Meta(total=total)))
    found, cursor = oversight.escalations(
        query.status, now=now, limit=query.limit, cursor=query.cursor
    )
    views = [for_caller(control, view_of(escalation, now=now)) for escalation in found]
    return reply(Page(views, Meta(total=total, next_cursor=cursor)))


@routes.add(
    "POST",
    "/v1/escalations",
    Scope.GATEWAYS_WRITE,
    answer=One[EscalationView],
    takes=HeldEscalation,
    status=201,
    body_bytes_max=REPORT_BYTES_MAX,
)
def report_escalation(control: Ctl, body: RawBody) -> Response:
    """A gateway holds an answer for a reviewer; again is no error."""
    decode_json(body or b"null")
    try:
        held = msgspec.json.decode(body, type=HeldEscalation)
        report = held.report()
        uuid7_time(report.id)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Invalid([FieldError("body", str(error))]) from None
    for moment in (report.created_at, report.expires_at, report.held_until):
        if moment is not None and moment.tzinfo is None:
            raise Invalid([FieldError("body", "a time has no zone; write 2026-01-01T00:00:00Z")])
    raised = control.stores.oversight.raise_escalation(report, held.payload)
    return one(view_of(raised, now=control.clock()), status=201)


@routes.add(
    "GET", "/v1/escalations/{escalation_id}", Scope.ESCALATIONS_READ, answer=One[EscalationDetail]
)
def show_escalation(control: Ctl, caller: Caller, escalation_id: EscalationId) -> Response:
    """One escalation with what is said, redacted, also while the answer is held."""
    found = control.stores.oversight.escalation(escalation_id)
    return one(detail_of(control, caller, found))


@routes.add(
    "POST",
    "/v1/escalations/{escalation_id}/reveal",
    Scope.PAYLOADS_REVEAL,
    answer=One[RevealedHeld],
)
def reveal_escalation(
    control: Ctl, caller: Caller, request: Request, escalation_id: EscalationId, asked: Asked
) -> Response:
    """See what is held without redaction; that is kept in custody, with the reason."""
    found = control.stores.oversight.escalation(escalation_id)
    reason = _said(asked.reason)
    payload = reveal_held(control, caller, found.id, reason=reason)
    # Whoever repeats the request must give a reason again.
    request.state.answer_to_keep = msgspec.json.encode(One(RevealedHeld("", "", True)))
    return one(RevealedHeld(payload.request, payload.response, payload.truncated))


@routes.add(
    "POST",
    "/v1/escalations/{escalation_id}/claim",
    Scope.ESCALATIONS_RESOLVE,
    answer=One[EscalationView],
)
def claim_escalation(control: Ctl, caller: Caller, escalation_id: EscalationId) -> Response:
    """Say that you look into it; nobody else may decide then."""
    claimed = control.stores.oversight.claim(escalation_id, by=caller.name, now=control.clock())
    return _shown(control, claimed)


@routes.add(
    "POST",
    "/v1/escalations/{escalation_id}/approve",
    Scope.ESCALATIONS_RESOLVE,
    answer=One[EscalationView],
)
def approve_escalation(
    control: Ctl, caller: Caller, escalation_id: EscalationId, decided: Decided
) -> Response:
    """Let exactly this action through, once."""
    return _resolve(control, caller, escalation_id, decided, approved=True)


@routes.add(
    "POST",
    "/v1/escalations/{escalation_id}/reject",
    Scope.ESCALATIONS_RESOLVE,
    answer=One[EscalationView],
)
def reject_escalation(
    control: Ctl, caller: Caller, escalation_id: EscalationId, decided: Decided
) -> Response:
    """Do not let it through."""
    return _resolve(control, caller, escalation_id, decided, approved=False)


@routes.add(
    "POST",
    "/v1/escalations/{escalation_id}/use",
    Scope.GATEWAYS_WRITE,
    answer=One[EscalationView],
)
def use_approval(control: Ctl, escalation_id: EscalationId, use: Use) -> Response:
    """A gateway lets the approved action through now; 409 when the approval is not good for it."""
    used = control.stores.oversight.use(
        escalation_id,
        action_digest=use.action_digest,
        revision=use.revision,
        by=use.event_id,
        now=control.clock(),
    )
    return _shown(control, used)


def view_of(escalation: Escalation, *, now: datetime) -> EscalationView:
    """As the API and the console show it."""
    report = escalation.report
    who = report.identity
    return EscalationView(
        id=report.id,
        status=escalation.at(now),
        created_at=report.created_at,
        expires_at=report.expires_at,
        held_until=report.held_until,
        event_id=report.id,
        policy_name=report.policy_name,
        reason_code=report.reason_code,
        phase=report.phase,
        gateway_id=report.gateway_id,
        user_id=who.user_id,
        team_id=who.team_id,
        tenant_id=who.tenant_id,
        session_id=who.session_id,
        agent_id=who.agent_id,
        workflow=who.workflow,
        key_name=who.key_name,
        model=report.model,
        config_version=report.config_version,
        revision=report.revision,
        action_digest=report.action_digest,
        approvable=bool(report.action_digest),
        claimed_by=escalation.claimed_by,
        claimed_at=escalation.claimed_at,
        resolved_by=escalation.resolved_by,
        resolved_at=escalation.resolved_at,
        reason=escalation.reason,
        used_at=escalation.used_at,
        used_by=escalation.used_by,
        tier=escalation.tier,
        due_at=escalation.due_at,
        overdue=escalation.overdue(now),
        claimed_until=(
            escalation.claimed_at + CLAIM_LASTS
            if escalation.claimed_at is not None and escalation.is_claimed(now)
            else None
        ),
        classification=escalation.classification,
        incident_id=escalation.incident_id,
    )


def detail_of(control: Control, caller: Token, escalation: Escalation) -> EscalationDetail:
    """With what is said, as this caller may see it."""
    content = content_of(control, caller, escalation.id)
    view = for_caller(control, view_of(escalation, now=control.clock()))
    held = control.stores.oversight.held_payload(escalation.id) is not None
    return EscalationDetail(
        **{name: getattr(view, name) for name in view.__struct_fields__},
        held=held,
        request=content.request,
        response=content.response,
        masked=content.masked,
        truncated=content.truncated,
        unreadable=content.unreadable,
        shown_digest=shown(escalation, content).digest,
        overrides=[
            msgspec.structs.replace(
                made, incident_id=reference_for(control.stores, made.incident_id)
            )
            for made in control.stores.overrides.of(escalation.id)
        ],
    )


def for_caller(control: Control, view: EscalationView) -> EscalationView:
    """Without the incident that it belongs to, where that is restricted."""
    return msgspec.structs.replace(
        view, incident_id=reference_for(control.stores, view.incident_id)
    )


def incident_of(control: Control, key: str) -> str:
    """The id of the incident that a decision belongs to; empty for none.

    Raises:
        NotFound: there is none.
    """
    return control.stores.incidents.get(key).id if key else ""


def _resolve(
    control: Control, caller: Token, escalation_id: str, decided: Decided, *, approved: bool
) -> Response:
    oversight = control.stores.oversight
    judgement = Judgement(
        approved=approved,
        by=caller.name,
        reason=_said(decided.reason),
        classification=decided.classification,
        incident_id=incident_of(control, decided.incident),
        seen=seen_by(control, caller, oversight.escalation(escalation_id), decided.seen),
    )
    return _shown(control, oversight.resolve(escalation_id, judgement, now=control.clock()))


def _said(reason: str) -> str:
    if not reason.strip():
        raise InvalidInput("body.reason: say why; it is kept with the decision")
    return reason.strip()


def _shown(control: Control, escalation: Escalation) -> Response:
    return one(for_caller(control, view_of(escalation, now=control.clock())))
