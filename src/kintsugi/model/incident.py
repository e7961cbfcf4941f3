"""Incidents: a declared case with its life, its people, its verdicts and what it rests on."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Literal, Protocol

import msgspec

from kintsugi.model.followup import Followup
from kintsugi.model.ids import uuid7
from kintsugi.model.obligation import Fact, Moment, Obligation
from kintsugi.model.regression_ledger import Binding
from kintsugi.model.signal import Severity

State = Literal[
    "reported",
    "triage",
    "declared",
    "contained",
    "investigating",
    "remediating",
    "monitoring",
    "review",
    "closed",
    "not_an_incident",
    "merged",
]
ENDED: Final[frozenset[State]] = frozenset({"closed", "not_an_incident", "merged"})

Outcome = Literal["incident", "near_miss", "quality_issue", "not_an_incident"]
Answer = Literal["yes", "no", "unknown"]
Enforcement = Literal["correct", "over_block", "missed", "not_applicable"]
Harm = Literal["none", "near_miss", "harm"]
CaughtBy = Literal["designed_control", "unplanned_human", "chance"]
Role = Literal["commander", "risk_owner", "domain_expert", "ai_lead", "communications"]
CausePart = Literal["trigger", "propagation", "mechanism", "missed_detection", "systemic_factors"]
LinkKind = Literal[
    "recurrence_of",
    "recurred_in",
    "split_from",
    "split_into",
    "related",
    "not_similar",  # suggested as similar, and rejected
]
Gate = Literal[
    "commander",
    "roles",
    "severity",
    "verdicts",
    "category",
    "evidence",
    "decision",
    "cause",
    "actions",
    "clocks",
    "review",
    "learning",
]
# What others than those who work on it see: all, only that it exists, or nothing.
Visibility = Literal["open", "reference", "hidden"]
EntryKind = Literal[
    "transition",
    "triage",
    "severity",
    "verdict",
    "category",
    "role",
    "link",
    "evidence",
    "hypothesis",
    "cause",
    "attestation",
    "waiver",
    "moment",
    "obligation",
    "fact",
    "access",
    "description",
    "action",
    "communication",
    "review",
    "playbook",
    "change",  # a configuration was published
    "deploy",  # a gateway took a version in, or somebody reported a deployment
    "containment",
    "alert",  # a signal or a quarantine
    "escalation",
    "regression",  # a case was proposed, decided about, replaced or erased
    "affected",  # records and people, and what became of them
    "report",
    "event",  # a decision event, promoted
    "note",  # a person's words
    "update",  # a person's words that meet the cadence
    "annotation",
    "pin",
    "unpin",
]
# What people wrote; all else the system wrote of what they did.
WRITTEN_BY_PEOPLE: Final[frozenset[EntryKind]] = frozenset({"note", "update", "annotation"})


class Actor(msgspec.Struct, frozen=True):
    """Who acts.

    Attributes:
        name: as people are named in roles.
        reference: ``NAME/ID`` of the token, as custody names it.
        may_command: holds the permission to command any incident.
    """

    name: str
    reference: str
    may_command: bool = False


def person_of(reference: str) -> str:
    """The name in ``NAME/ID``."""
    return reference.rpartition("/")[0] or reference


class RoleTerm(msgspec.Struct, frozen=True):
    """One person's time in one role.

    Attributes:
        handover: what the one who left had to say to the next.
    """

    role: Role
    person: str
    assumed_at: datetime
    assigned_by: str
    renounced_at: datetime | None = None
    handover: str = ""


class Triage(msgspec.Struct, frozen=True):
    """The three questions that tell an AI incident from a bug.

    Attributes:
        systematic: evidence of a systematic failure mode rather than a one-off?
        regulated_or_vulnerable: does it touch regulated workflows or vulnerable people?
        scales_silently: could it grow unseen if nobody acts?
    """

    systematic: Answer = "unknown"
    regulated_or_vulnerable: Answer = "unknown"
    scales_silently: Answer = "unknown"
    note: str = ""


class Assessment(msgspec.Struct, frozen=True):
    """Scored factors and what they come to.

    Attributes:
        factors: 0 to 3 by name; what is left out is unknown.
        steps: how the severity came about, for people.
    """

    factors: dict[str, int]
    severity: Severity
    steps: tuple[str, ...]
    by: str
    at: datetime


class SeverityOverride(msgspec.Struct, frozen=True):
    """A person's severity in place of the computed one."""

    severity: Severity
    reason: str
    by: str
    at: datetime


class Verdicts(msgspec.Struct, frozen=True):
    """Two judgements apart from status. Over-blocking is harm as well.

    Attributes:
        caught_by, caught_how: what kept a near miss from being harm.
    """

    enforcement: Enforcement | None = None
    harm: Harm | None = None
    caught_by: CaughtBy | None = None
    caught_how: str = ""


class Cause(msgspec.Struct, frozen=True):
    """One part of the five-part cause.

    Attributes:
        evidence: what shows it: ``event:ID``, ``trace:ID``, ``freeze:ID``, a digest, an address.
        hypotheses: numbers of the hypotheses that it rests on.
    """

    text: str
    confidence: Literal["known", "potential"]
    by: str
    at: datetime
    evidence: tuple[str, ...] = ()
    hypotheses: tuple[int, ...] = ()


class EvidenceLink(msgspec.Struct, frozen=True):
    """Something that speaks for a hypothesis, or against it."""

    reference: str
    stance: Literal["supports", "contradicts"]
    by: str
    at: datetime
    note: str = ""


class Hypothesis(msgspec.Struct, frozen=True):
    """What may have been the cause, until it is confirmed or rejected.

    Attributes:
        number: within the incident, from 1.
        reason: of who confirmed or rejected it.
    """

    number: int
    text: str
    by: str
    at: datetime
    state: Literal["open", "confirmed", "rejected"] = "open"
    links: tuple[EvidenceLink, ...] = ()
    settled_by: str = ""
    settled_at: datetime | None = None
    reason: str = ""


class IncidentLink(msgspec.Struct, frozen=True):
    """A tie to another incident, kept on both."""

    kind: LinkKind
    incident_id: str
    reference: str
    by: str
    at: datetime
    note: str = ""


class Attestation(msgspec.Struct, frozen=True):
    """A person vouches for a gate, naming where the proof lies.

    Attributes:
        reference: a digest, an id or an address.
    """

    gate: Gate
    reference: str
    by: str
    at: datetime
    note: str = ""


class Waiver(msgspec.Struct, frozen=True):
    """A gate that is relaxed, for a time.

    Attributes:
        owner: who answers for what is missing; never the approver.
    """

    gate: Gate
    owner: str
    reason: str
    expires_at: datetime
    approver: str
    at: datetime


class Incident(msgspec.Struct, frozen=True, omit_defaults=True):
    """A case.

    Attributes:
        id: UUIDv7; people use ``reference`` (INC-000042).
        number: given by the store, from 1.
        version: counts changes, from 1; 0 until it is stored.
        reached: when it last came into each state, by event time.
        updated_at: of the newest change.
        last_update_at: when somebody last told where things stand.
        scope: what its frozen events name most: workflows, agents, gateways, configurations,
            policies and models. Empty while nothing is frozen.
        outcome: what triage made of it; None while it is open.
        no_actions: why nothing has to be done, where somebody has decided so.
        severest: the highest severity that it was ever given, computed or by a person.
        visibility: as a person decided; None as severity and categories say
            (``model/incident_access.py``).
        people: who may see it without a role in it, where it is restricted.
    """

    id: str
    title: str
    state: State
    reported_at: datetime
    reported_by: str
    updated_at: datetime
    number: int = 0
    version: int = 0
    summary: str = ""
    source: str = ""
    first_occurred_at: datetime | None = None
    detected_at: datetime | None = None
    reached: dict[str, datetime] = {}
    last_update_at: datetime | None = None
    outcome: Outcome | None = None
    triage: Triage = Triage()
    assessment: Assessment | None = None
    override: SeverityOverride | None = None
    verdicts: Verdicts = Verdicts()
    categories: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    roles: tuple[RoleTerm, ...] = ()
    cause: dict[str, Cause] = {}
    links: tuple[IncidentLink, ...] = ()
    merged_into: str = ""
    merged_from: State | None = None
    event_count: int = 0
    decision: str = ""
    no_actions: str = ""
    attestations: tuple[Attestation, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    moments: tuple[Moment, ...] = ()
    facts: dict[str, Fact] = {}
    obligations: tuple[Obligation, ...] = ()
    visibility: Visibility | None = None
    people: tuple[str, ...] = ()
    scope: dict[str, tuple[str, ...]] = {}
    hypotheses: tuple[Hypothesis, ...] = ()
    severest: Severity | None = None

    @property
    def reference(self) -> str:
        """How people name it."""
        return f"INC-{self.number:06d}"

    @property
    def severity(self) -> Severity | None:
        """The one that counts: an override before the computed one."""
        if self.override is not None:
            return self.override.severity
        return self.assessment.severity if self.assessment is not None else None

    def holders(self, role: Role) -> tuple[str, ...]:
        """Who has a role now."""
        return tuple(
            term.person for term in self.roles if term.role == role and term.renounced_at is None
        )

    def moment(self, kind: str) -> Moment | None:
        """The newest decision about a moment."""
        return next((one for one in reversed(self.moments) if one.kind == kind), None)


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of a timeline. Nobody changes one: a correction is an annotation.

    Attributes:
        at: when it happened; ``recorded_at`` is when it was written down.
        actor: ``NAME/ID``.
        about: the entry that an annotation or pin belongs to.
        source: what the system told by itself, once for each incident: ``signal.raised:ID``.
        detail: the same for programs, old and new values among it.
    """

    id: str
    incident_id: str
    at: datetime
    recorded_at: datetime
    actor: str
    kind: EntryKind
    text: str
    reason: str = ""
    about: str = ""
    detail: dict[str, Any] = {}
    source: str = ""

    @property
    def by_system(self) -> bool:
        """Whether the system wrote it of what somebody did."""
        return self.kind not in WRITTEN_BY_PEOPLE


class Change(msgspec.Struct, frozen=True):
    """What a decision comes to; stored whole or not at all.

    Attributes:
        incident: as it is afterwards, still with the version (and number) it had before.
        add_events, remove_events: ids of decision events that it is tied to from now on, or no
            longer.
        keep: actions and the like, as they are afterwards, still with the version that they had
            before; 0 for a new one.
        bind: the regression cases that bind from now on.
    """

    incident: Incident
    entries: tuple[Entry, ...]
    add_events: tuple[str, ...] = ()
    remove_events: tuple[str, ...] = ()
    keep: tuple[Followup, ...] = ()
    bind: Binding = Binding(())


class IncidentFilter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which incidents; an empty field does not restrict.

    Attributes:
        state: one of ``State``, or ``open`` for all that have not ended.
        viewer: without those that are hidden from this person.
        waived: only those of which a gate was waived, ever.
    """

    state: State | Literal["open", ""] = ""
    severity: Severity | Literal["unset", ""] = ""
    viewer: str = ""
    waived: bool = False


class TimelineEntry(msgspec.Struct, frozen=True):
    """An entry with what was later said about it, oldest first."""

    entry: Entry
    pinned: bool
    annotations: tuple[Entry, ...]


class OwedObligation(msgspec.Struct, frozen=True):
    """An obligation and whose it is."""

    incident: Incident
    obligation: Obligation


TimelineOrder = Literal["at", "recorded_at"]
Decide = Callable[[tuple[Incident, ...]], tuple[Change, ...]]


class IncidentStore(Protocol):
    """Incidents, their timelines, and the events that they are tied to."""

    def change(
        self,
        keys: Sequence[str],
        decide: Decide,
        *,
        now: datetime,
        expected_version: int | None = None,
    ) -> tuple[Incident, ...]:
        """Let ``decide`` see the incidents and store what it decides, in one transaction.

        Nobody else changes them meanwhile. Each change adds one to the version, writes its entries
        and its leaf in the log; one whose incident has version 0 is new and gets a number.

        Args:
            keys: ids or references; none where something new begins.
            expected_version: of the first.

        Returns:
            The incidents of the changes, as stored, in their order.

        Raises:
            NotFound: there is no such incident.
            VersionConflict: the first one is at another version, or what is to be kept is.
            InvalidInput: an event to be tied is not stored.
        """

    def get(self, key: str) -> Incident:
        """One incident by id or reference.

        Raises:
            NotFound: there is none.
        """

    def page(
        self, where: IncidentFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Incident], str | None]:
        """Newest first, and the cursor of the next page."""

    def count(self, where: IncidentFilter, *, ceiling: int) -> int:
        """How many match, counted up to ``ceiling``."""

    def timeline(
        self,
        incident_id: str,
        *,
        order: TimelineOrder,
        pinned_only: bool,
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[TimelineEntry], str | None]:
        """Newest first by one of the two clocks, and the cursor of the next page."""

    def entry(self, incident_id: str, entry_id: str) -> Entry:
        """One entry.

        Raises:
            NotFound: this incident has none with this id.
        """

    def incidents_of(self, event_id: str) -> list[Incident]:
        """The incidents that an event is tied to, newest first."""

    def obligations(
        self,
        *,
        terminal: bool | None,
        limit: int,
        cursor: str | None = None,
        viewer: str | None = None,
    ) -> tuple[list[OwedObligation], str | None]:
        """Soonest due first, those without a date last; and the cursor of the next page.

        Args:
            terminal: only those with nothing more owed, or only the others; None for all.
            viewer: without those of incidents that are restricted, unless this person may see them.
        """

    def family(self, incident_id: str) -> list[str]:
        """The ids of an incident and of all that were merged into it, its own first."""

    def sharing(self, terms: Sequence[str], *, besides: str) -> list[tuple[str, str]]:
        """Pairs of a term and the id of an incident that has it, of each term those of the newest
        incidents (``model/incident_terms.py``), without one incident."""

    def restricted(self, ids: Sequence[str], *, viewer: str) -> frozenset[str]:
        """Those of these ids whose incident this person may not see; ids of anything else are
        left out."""

    def obligation(self, obligation_id: str) -> OwedObligation:
        """One obligation.

        Raises:
            NotFound: there is none with this id.
        """


class _Ids:
    """UUIDv7 whose order is that of their making, also within a millisecond (RFC 9562 §6.2, the
    first method): a pin and what takes it back must not change places."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unix_ms = 0
        self._made = 0

    def next(self, now: datetime) -> str:
        unix_ms = int(now.timestamp() * 1000)
        with self._lock:
            self._made = (self._made + 1) % _PER_MS if unix_ms == self._unix_ms else 0
            self._unix_ms = unix_ms
            counter = self._made
        return uuid7(unix_ms, (counter << 4).to_bytes(2, "big") + os.urandom(8))


_PER_MS: Final = 1 << 12
_ids: Final = _Ids()


def new_id(now: datetime) -> str:
    """A fresh UUIDv7, larger than those made before it in this process at the same time."""
    return _ids.next(now)


def record_of(value: Incident | Entry | Obligation) -> bytes:
    """As it is stored and digested: canonical JSON."""
    return msgspec.json.encode(value, order="deterministic")


def digest_of(record: bytes) -> str:
    """What the log tells of a record."""
    return f"sha256:{sha256(record).hexdigest()}"
