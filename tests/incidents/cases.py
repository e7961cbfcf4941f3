"""Incidents and people for the tests of the pure core."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from kintsugi.incidents.commands import Act
from kintsugi.incidents.gates import CAUSE_PARTS, GateFacts
from kintsugi.incidents.severity import DUTIES
from kintsugi.model.incident import (
    Actor,
    Attestation,
    Cause,
    Incident,
    RoleTerm,
    SeverityOverride,
    State,
    Verdicts,
    Waiver,
)
from kintsugi.model.signal import Severity

FROZEN = GateFacts(evidence=())
"""What the server tells of an incident whose evidence is frozen and verified."""

NOON = datetime(2026, 4, 23, 12, 0, tzinfo=UTC)
ANA = Actor("ana", "ana/1")
BO = Actor("bo", "bo/2")
CHIEF = Actor("chief", "chief/3", may_command=True)


def act(actor: Actor = CHIEF, *, reason: str = "because", hours: float = 1, **more: Any) -> Act:
    """Something that somebody does, some hours after noon."""
    return Act(actor, NOON + timedelta(hours=hours), reason=reason, **more)


def incident(state: State = "declared", **changes: Any) -> Incident:
    """An incident that is stored."""
    made = Incident(
        id="019db9a0-0000-7000-8000-000000000001",
        title="Refund policy invented",
        state=state,
        reported_at=NOON,
        reported_by="ana/1",
        updated_at=NOON,
        number=42,
        version=3,
        reached={state: NOON},
    )
    return msgspec.structs.replace(made, **changes)


def complete(severity: Severity, state: State = "review") -> Incident:
    """An incident that nothing keeps from being closed."""
    return incident(
        state,
        override=SeverityOverride(severity, "as it is", "ana/1", NOON),
        roles=tuple(RoleTerm(role, "ana", NOON, "ana/1") for role in DUTIES[severity].roles),
        verdicts=Verdicts("missed", "harm"),
        categories=("correctness",),
        decision="pay the refunds",
        cause={
            part: Cause("as found", "known", "ana/1", NOON, ("event:1",)) for part in CAUSE_PARTS
        },
        event_count=3,
        attestations=tuple(
            Attestation(gate, "sha256:00", "ana/1", NOON) for gate in ("actions", "review")
        ),
        waivers=(
            Waiver("learning", "bo", "no proofs yet", NOON + timedelta(days=30), "chief/3", NOON),
        ),
    )
