"""What people decide about exchanges: escalations that they resolve, quarantines that they end."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

from kintsugi.model.containment import Containment
from kintsugi.model.content import Identity
from kintsugi.model.decision import Phase
from kintsugi.model.event import DecisionEvent, Quarantine
from kintsugi.model.transform import QuarantineScope

EscalationStatus = Literal["pending", "claimed", "approved", "rejected", "expired"]
OPEN: Final[tuple[EscalationStatus, ...]] = ("pending", "claimed")


class EscalationReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a gateway tells of an escalation, at once where it holds the answer, else on the event.

    Attributes:
        id: of the exchange's event.
        action_digest: ``sha256:...`` of exactly what would be done and for whom.
        revision: of the plan that asked; an approval is good under no other.
        held_until: until when the gateway holds the answer; None where it does not.
    """

    id: str
    created_at: datetime
    expires_at: datetime
    action_digest: str
    revision: str
    phase: Phase
    policy_name: str
    reason_code: str
    gateway_id: str
    config_version: str
    model: str = ""
    identity: Identity = Identity()
    held_until: datetime | None = None


class Escalation(msgspec.Struct, frozen=True):
    """An escalation and what became of it.

    Attributes:
        status: as stored; one that is open after ``expires_at`` is shown as ``expired``.
        claimed_by, resolved_by: names of the tokens that did it.
        reason: the reviewer's words.
        used_at, used_by: when, and by which exchange (event id), an approval was used up.
    """

    report: EscalationReport
    status: EscalationStatus = "pending"
    claimed_by: str = ""
    claimed_at: datetime | None = None
    resolved_by: str = ""
    resolved_at: datetime | None = None
    reason: str = ""
    used_at: datetime | None = None
    used_by: str = ""

    @property
    def id(self) -> str:
        """The id of the exchange that raised it."""
        return self.report.id

    def at(self, now: datetime) -> EscalationStatus:
        """The status as it is now: nobody has to remember to end one."""
        if self.status in OPEN and now >= self.report.expires_at:
            return "expired"
        return self.status


class Resolution(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a reviewer decided, on its way to the gateways."""

    escalation_id: str
    action_digest: str
    revision: str
    expires_at: datetime
    approved: bool
    resolved_by: str = ""
    resolved_at: datetime | None = None


class QuarantineRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that was frozen, and whether it was released.

    Attributes:
        id: of the event whose decision froze it.
    """

    id: str
    scope: QuarantineScope
    subject: str
    created_at: datetime
    gateway_id: str
    policy_name: str
    reason_code: str
    config_version: str = ""
    released_at: datetime | None = None
    released_by: str = ""
    release_reason: str = ""


class OversightPush(msgspec.Struct, frozen=True):
    """All that gateways must know of people's decisions, whenever any of it changes.

    Attributes:
        resolutions: escalations that were resolved, are not used and have not expired.
        quarantines: those in force.
        released: ids of quarantines that ended of late, for a gateway that has one which was
            released before its record arrived.
        containments: those that were not released and have not expired, oldest first.
    """

    resolutions: tuple[Resolution, ...] = ()
    quarantines: tuple[QuarantineRecord, ...] = ()
    released: tuple[str, ...] = ()
    containments: tuple[Containment, ...] = ()


def is_own(identity: Identity, name: str) -> bool:
    """Whether a request was made under somebody's name: as user, agent or gateway key. Nobody
    decides about their own."""
    own = (identity.user_id, identity.agent_id, identity.key_name)
    return name.casefold() in {one.casefold() for one in own if one}


def escalation_of(event: DecisionEvent) -> EscalationReport | None:
    """The escalation that an event tells of; None when nobody was asked.

    An event of another writer may carry the verdict alone: it can be looked at and resolved, and
    there is nothing that an approval could let through.
    """
    if event.verdict.value != "escalate":
        return None
    raised = event.escalation
    return EscalationReport(
        id=event.id,
        created_at=event.timestamp,
        expires_at=raised.expires_at if raised is not None else _NEVER,
        action_digest=raised.action_digest if raised is not None else "",
        revision=event.revision,
        phase=raised.phase if raised is not None else Phase.INPUT,
        policy_name=event.policy_name,
        reason_code=event.reason_code,
        gateway_id=event.gateway_id,
        config_version=event.config_version,
        model=event.model,
        identity=Identity(
            user_id=event.user_id,
            team_id=event.team_id,
            session_id=event.session_id,
            agent_id=event.agent_id,
            workflow=event.workflow,
            key_name=event.key_name,
        ),
    )


def quarantine_of(event: DecisionEvent) -> QuarantineRecord | None:
    """The quarantine that an event began; None where it began none."""
    began: Quarantine | None = event.quarantine
    if began is None or began.id != event.id:
        return None
    return QuarantineRecord(
        id=event.id,
        scope=began.scope,
        subject=began.subject,
        created_at=event.timestamp,
        gateway_id=event.gateway_id,
        policy_name=event.policy_name,
        reason_code=event.reason_code,
        config_version=event.config_version,
    )


_NEVER: Final = datetime.fromisoformat("9999-01-01T00:00:00+00:00")
