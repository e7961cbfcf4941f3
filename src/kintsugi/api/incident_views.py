"""Incidents as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from kintsugi.incidents.cadence import review_due, update_due
from kintsugi.incidents.gates import waived_now
from kintsugi.incidents.lifecycle import moves_from
from kintsugi.model.incident import (
    Assessment,
    Attestation,
    Cause,
    EntryKind,
    Hypothesis,
    Incident,
    IncidentLink,
    Outcome,
    RoleTerm,
    SeverityOverride,
    State,
    TimelineEntry,
    Triage,
    Verdicts,
    Visibility,
    Waiver,
)
from kintsugi.model.incident_access import visibility_of
from kintsugi.model.obligation import Fact, Moment
from kintsugi.model.signal import Severity


class IncidentView(msgspec.Struct, frozen=True):
    """One incident.

    Attributes:
        version: send it as If-Match with a change.
        commander: who commands it now; empty while nobody does.
        severity: the override where there is one, else the computed one; null while neither is.
        severest: the highest that it was ever given; null where nobody has given one.
        reached: when it last came into each state.
        moves: the verbs that lead on from here.
        update_due_at: when somebody should tell where things stand; null when it has ended.
        review_due_at: null until harm has stopped.
        relaxed: gates with a waiver in force.
        owed: clocks with something still owed.
        visibility: what others than those who work on it see; ``reference`` is that it exists.
        people: who may see it besides those with a role in it.
        event_count: decision events tied to it.
    """

    id: str
    reference: str
    version: int
    title: str
    state: State
    severity: Severity | None
    severest: Severity | None
    commander: str
    outcome: Outcome | None
    summary: str
    decision: str
    source: str
    reported_at: datetime
    reported_by: str
    updated_at: datetime
    first_occurred_at: datetime | None
    detected_at: datetime | None
    reached: dict[str, datetime]
    moves: tuple[str, ...]
    update_due_at: datetime | None
    review_due_at: datetime | None
    triage: Triage
    assessment: Assessment | None
    override: SeverityOverride | None
    verdicts: Verdicts
    categories: tuple[str, ...]
    labels: tuple[str, ...]
    roles: tuple[RoleTerm, ...]
    cause: dict[str, Cause]
    hypotheses: tuple[Hypothesis, ...]
    links: tuple[IncidentLink, ...]
    merged_into: str
    event_count: int
    attestations: tuple[Attestation, ...]
    waivers: tuple[Waiver, ...]
    relaxed: tuple[str, ...]
    moments: tuple[Moment, ...]
    facts: dict[str, Fact]
    owed: int
    visibility: Visibility
    people: tuple[str, ...]


class EntryView(msgspec.Struct, frozen=True):
    """One entry of a timeline; nobody changes it, what is said later stands beside it.

    Attributes:
        at: when it happened; ``recorded_at`` is when it was written down.
        by_system: the system wrote it of what somebody did.
    """

    id: str
    at: datetime
    recorded_at: datetime
    actor: str
    kind: EntryKind
    by_system: bool
    text: str
    reason: str
    detail: dict[str, Any]
    pinned: bool
    annotations: tuple[AnnotationView, ...]


class AnnotationView(msgspec.Struct, frozen=True):
    """What somebody said about an entry."""

    id: str
    at: datetime
    recorded_at: datetime
    actor: str
    text: str


def view_of(incident: Incident, *, now: datetime) -> IncidentView:
    """As the API and the console show it."""
    commanders = incident.holders("commander")
    return IncidentView(
        id=incident.id,
        reference=incident.reference if incident.number else "",
        version=incident.version,
        title=incident.title,
        state=incident.state,
        severity=incident.severity,
        severest=incident.severest or incident.severity,
        commander=commanders[0] if commanders else "",
        outcome=incident.outcome,
        summary=incident.summary,
        decision=incident.decision,
        source=incident.source,
        reported_at=incident.reported_at,
        reported_by=incident.reported_by,
        updated_at=incident.updated_at,
        first_occurred_at=incident.first_occurred_at,
        detected_at=incident.detected_at,
        reached=incident.reached,
        moves=moves_from(incident.state) or (("unmerge",) if incident.merged_into else ()),
        update_due_at=update_due(incident),
        review_due_at=review_due(incident),
        triage=incident.triage,
        assessment=incident.assessment,
        override=incident.override,
        verdicts=incident.verdicts,
        categories=incident.categories,
        labels=incident.labels,
        roles=incident.roles,
        cause=incident.cause,
        hypotheses=incident.hypotheses,
        links=incident.links,
        merged_into=incident.merged_into,
        event_count=incident.event_count,
        attestations=incident.attestations,
        waivers=incident.waivers,
        relaxed=tuple(one.gate for one in waived_now(incident, now=now)),
        moments=incident.moments,
        facts=incident.facts,
        owed=sum(not one.terminal(now) for one in incident.obligations),
        visibility=visibility_of(incident),
        people=incident.people,
    )


def entry_view(shown: TimelineEntry) -> EntryView:
    """As the API and the console show it."""
    entry = shown.entry
    return EntryView(
        id=entry.id,
        at=entry.at,
        recorded_at=entry.recorded_at,
        actor=entry.actor,
        kind=entry.kind,
        by_system=entry.by_system,
        text=entry.text,
        reason=entry.reason,
        detail=entry.detail,
        pinned=shown.pinned,
        annotations=tuple(
            AnnotationView(one.id, one.at, one.recorded_at, one.actor, one.text)
            for one in shown.annotations
        ),
    )
