"""What people decide about exchanges: escalations that they resolve, quarantines that they end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

import msgspec

from kintsugi.model.containment import Containment
from kintsugi.model.content import Identity
from kintsugi.model.custody import CustodyEntry
from kintsugi.model.decision import Phase
from kintsugi.model.event import NO_PAYLOAD, DecisionEvent, Payload, Quarantine
from kintsugi.model.overrides import Classification, Judgement, Override, Seen
from kintsugi.model.signal import Observation
from kintsugi.model.transform import QuarantineScope
from kintsugi.model.workflow import RiskTier

EscalationStatus = Literal["pending", "claimed", "approved", "rejected", "expired"]
OPEN: Final[tuple[EscalationStatus, ...]] = ("pending", "claimed")

# Whoever claims one and goes home must not keep others from it.
CLAIM_LASTS: Final = timedelta(minutes=30)
# How soon somebody should have decided, by the tier of the workflow that asks.
ANSWER_WITHIN: Final[dict[RiskTier, timedelta]] = {
    "critical": timedelta(minutes=15),
    "high": timedelta(hours=1),
    "medium": timedelta(hours=8),
    "low": timedelta(hours=24),
}
# A queue that can be flooded is no control: beyond so many open ones of one requester, or in all,
# nobody is asked, and what was asked for stays refused.
OPEN_OF_ONE_MAX: Final = 100
OPEN_MAX: Final = 1000
BACKLOG_WARNING: Final = 20
BACKLOG_CRITICAL: Final = 50


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


class HeldEscalation(EscalationReport, frozen=True, omit_defaults=True):
    """An escalation whose answer waits, as its gateway tells it.

    Attributes:
        payload: what is held, as the event will hold it; sealed apart until the event is here.
    """

    payload: Payload = Payload()

    def report(self) -> EscalationReport:
        """It without the content."""
        names = EscalationReport.__struct_fields__
        return EscalationReport(**{name: getattr(self, name) for name in names})


class Escalation(msgspec.Struct, frozen=True):
    """An escalation and what became of it.

    Attributes:
        status: as stored; one that is open after ``expires_at`` is shown as ``expired``.
        claimed_by, resolved_by: names of the tokens that did it.
        reason: the reviewer's words.
        used_at, used_by: when, and by which exchange (event id), an approval was used up.
        tier: of the workflow that asked, or as ``default_tier`` says.
        due_at: when somebody should have decided; None for those from before there was one.
        classification, incident_id: as the reviewer said.
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
    tier: RiskTier = "medium"
    due_at: datetime | None = None
    classification: Classification = ""
    incident_id: str = ""

    @property
    def id(self) -> str:
        """The id of the exchange that raised it."""
        return self.report.id

    def at(self, now: datetime) -> EscalationStatus:
        """The status as it is now: nobody has to remember to end one."""
        if self.status in OPEN and now >= self.report.expires_at:
            return "expired"
        if self.status == "claimed" and not self.is_claimed(now):
            return "pending"
        return self.status

    def is_claimed(self, now: datetime) -> bool:
        """Whether somebody looks into it, and not too long ago."""
        return (
            self.status == "claimed"
            and self.claimed_at is not None
            and now < self.claimed_at + CLAIM_LASTS
        )

    def overdue(self, now: datetime) -> bool:
        """Whether somebody should have decided by now."""
        return self.at(now) in OPEN and self.due_at is not None and now >= self.due_at


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


def asker_of(report: EscalationReport) -> str:
    """Who fills the queue where they ask often: the user, agent or key, else the gateway."""
    who = report.identity
    named = who.user_id or who.agent_id or who.key_name or report.gateway_id
    return f"{report.policy_name} {named}"[:200]


def not_asked(of_one: int, in_all: int) -> str:
    """Why nobody is asked, where so many wait already; empty where somebody is."""
    if of_one >= OPEN_OF_ONE_MAX:
        return f"nobody was asked: {OPEN_OF_ONE_MAX} of this requester wait already"
    if in_all >= OPEN_MAX:
        return f"nobody was asked: {OPEN_MAX} escalations wait already"
    return ""


def flooded(report: EscalationReport, why: str) -> Observation:
    """The queue is being flooded; one signal for each requester and day."""
    asker = asker_of(report)
    return Observation(
        kind="escalations_flooded",
        key=f"escalations_flooded:{asker}:{report.created_at:%Y-%m-%d}",
        severity="high",
        subject=f"policy:{report.policy_name}",
        summary=f"{why} ({asker})",
        detail={"asker": asker, "reason_code": report.reason_code},
    )


def default_tier(report: EscalationReport) -> RiskTier:
    """How grave it is where its workflow is not in the inventory: what acts on the world is graver
    than what is only said."""
    return "high" if report.phase is Phase.TOOL else "medium"


def due_of(report: EscalationReport, tier: RiskTier) -> datetime:
    """When somebody should have decided: as the tier says, and before it is too late anyway."""
    ends = [report.created_at + ANSWER_WITHIN[tier], report.expires_at]
    return min([*ends, report.held_until] if report.held_until is not None else ends)


def override_of(
    escalation: Escalation, *, override_id: str, now: datetime, bulk_id: str = "", seen: Seen
) -> Override:
    """The record of how an escalation was decided, from the escalation as it is afterwards."""
    report = escalation.report
    outcome = escalation.status
    if outcome not in ("approved", "rejected", "expired"):
        raise ValueError(f"an escalation that is {outcome} was not decided")
    return Override(
        id=override_id,
        escalation_id=report.id,
        at=now,
        by=escalation.resolved_by,
        outcome=outcome,
        reason=escalation.reason,
        policy_name=_printable(report.policy_name),
        reason_code=_printable(report.reason_code),
        config_version=_printable(report.config_version),
        workflow=_printable(report.identity.workflow),
        tier=escalation.tier,
        waited_seconds=max((now - report.created_at).total_seconds(), 0.0),
        late=escalation.due_at is not None and now > escalation.due_at,
        classification=escalation.classification,
        incident_id=escalation.incident_id,
        bulk_id=bulk_id,
        seen=seen,
    )


def _printable(text: str) -> str:
    """Half a surrogate pair, which only the event's record can hold, as a question mark."""
    return text.encode("utf-8", "replace").decode()


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
            tenant_id=event.tenant_id,
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


class OversightStore(Protocol):
    """Escalations and quarantines. Those that decision events tell of are kept with the events."""

    def raise_escalation(
        self, report: EscalationReport, payload: Payload = NO_PAYLOAD
    ) -> Escalation:
        """Keep one that a gateway tells of before its event; again is no error.

        Args:
            payload: what is held; kept sealed, until its event is stored or for a week.
        """

    def held_payload(self, escalation_id: str, entry: CustodyEntry | None = None) -> Payload | None:
        """What is held, redacted; as it was where it is revealed, which the entry keeps. None where
        nothing is kept (any more)."""

    def escalation(self, escalation_id: str) -> Escalation:
        """One escalation.

        Raises:
            NotFound: there is none with this id.
        """

    def escalations(
        self, status: str | None, *, now: datetime, limit: int, cursor: str | None = None
    ) -> tuple[list[Escalation], str | None]:
        """Newest first, and the cursor of the next page.

        Args:
            status: as ``Escalation.at`` gives it, or ``open`` (pending or claimed) or
                ``resolved`` (approved or rejected); None for all.
        """

    def count_escalations(self, status: str | None, *, now: datetime) -> int:
        """How many have this status now."""

    def claim(self, escalation_id: str, *, by: str, now: datetime) -> Escalation:
        """See ``store.oversight_moves.claim``; ``resolve`` and ``use`` likewise."""

    def resolve(self, escalation_id: str, said: Judgement, *, now: datetime) -> Escalation:
        """Approve or reject one; the override and its leaf are stored with it."""

    def expire(self, *, now: datetime, limit: int) -> int:
        """End at most ``limit`` of those that nobody decided in time, each with its override; how
        many those were."""

    def use(
        self, escalation_id: str, *, action_digest: str, revision: str, by: str, now: datetime
    ) -> Escalation:
        """Use an approval up, once, for the exchange ``by``."""

    def usable(self, *, now: datetime, limit: int) -> list[Escalation]:
        """Those that are resolved, not used and not expired; the newest ones."""

    def quarantines(
        self, *, in_force: bool | None, limit: int, cursor: str | None = None
    ) -> tuple[list[QuarantineRecord], str | None]:
        """Newest first, and the cursor of the next page; ``in_force`` None for all."""

    def count_quarantines(self, *, in_force: bool | None) -> int:
        """How many there are; None for all."""

    def quarantine(self, quarantine_id: str) -> QuarantineRecord:
        """One quarantine.

        Raises:
            NotFound: there is none with this id.
        """

    def release(
        self, quarantine_id: str, *, by: str, reason: str, now: datetime
    ) -> QuarantineRecord:
        """End one; again is no error, and the first time counts.

        Raises:
            NotFound: there is none with this id.
        """

    def released_since(self, moment: datetime) -> list[str]:
        """Ids of those that were released since then."""
