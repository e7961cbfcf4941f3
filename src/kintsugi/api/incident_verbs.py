"""What people do to an incident: one verb, one route. Its relations and its timeline stand in
``incident_relations`` and ``incident_notes``."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated, Literal

from pydantic import Field
from starlette.responses import Response

from kintsugi.api.configurations import DryRun, IfMatch
from kintsugi.api.control import Caller, Ctl
from kintsugi.api.event_query import TimeText
from kintsugi.api.gate_facts import closed
from kintsugi.api.incident_changes import Name, changed, verb_of
from kintsugi.api.incidents import Doing, IncidentKey, Title, Words
from kintsugi.api.permissions import Scope
from kintsugi.api.relative_time import parse_time
from kintsugi.api.routing import Routes
from kintsugi.errors import InvalidInput
from kintsugi.incidents import judgement, people
from kintsugi.incidents.lifecycle import TRANSITIONS, Move, Transition, moved
from kintsugi.model.incident import (
    Answer,
    CaughtBy,
    CausePart,
    Change,
    Enforcement,
    Gate,
    Harm,
    Incident,
    Role,
    Triage,
    Verdicts,
)
from kintsugi.model.signal import Severity

routes = Routes("incidents")
_verb = partial(verb_of, routes)

_SCOPES = {
    "reporter": Scope.INCIDENTS_REPORT,
    "responder": Scope.INCIDENTS_RESPOND,
    "commander": Scope.INCIDENTS_RESPOND,
}


class Dismissal(Doing):
    """What it was instead of an incident; of a near miss, what caught it."""

    outcome: Literal["near_miss", "quality_issue", "not_an_incident"]
    caught_by: CaughtBy | None = None
    caught_how: Words = ""


class Answers(Doing):
    """The triage questions; what is left out keeps its answer."""

    systematic: Answer | None = None
    regulated_or_vulnerable: Answer | None = None
    scales_silently: Answer | None = None
    note: Words | None = None


class Factors(Doing):
    """Scores from 0 to 3; what is left out is unknown."""

    factors: dict[str, Annotated[int, Field(ge=0, le=3)]]


class WantedSeverity(Doing):
    """A severity in place of the computed one; null takes an override back."""

    severity: Severity | None


class Judgement(Doing):
    """Whether enforcement was right, and whether there was harm."""

    enforcement: Enforcement | None = None
    harm: Harm | None = None
    caught_by: CaughtBy | None = None
    caught_how: Words = ""


class Classification(Doing):
    """All its categories and labels from now on."""

    categories: Annotated[list[Name], Field(max_length=50, default_factory=list)]
    labels: Annotated[list[Name], Field(max_length=100, default_factory=list)]


class Description(Doing):
    """What to correct; what is left out stays."""

    title: Title | None = None
    summary: Words | None = None
    decision: Words | None = None
    first_occurred_at: TimeText = None
    detected_at: TimeText = None


class Assignment(Doing):
    """Who takes a role. Whoever had it hands over."""

    role: Role
    person: Name
    handover: Words = ""


class Explanation(Doing):
    """One of the five parts of the cause."""

    part: CausePart
    text: Annotated[str, Field(min_length=1, max_length=10_000)]
    confidence: Literal["known", "potential"]
    evidence: Annotated[list[Name], Field(max_length=100, default_factory=list)]
    hypotheses: Annotated[list[int], Field(max_length=100, default_factory=list)]


class Vouching(Doing):
    """A gate that a person vouches for, and where the proof lies."""

    gate: Gate
    reference: Name


class Waiving(Doing):
    """A gate to be relaxed for a time, and who answers for what is missing."""

    gate: Gate
    owner: Name
    expires_at: Annotated[str, Field(max_length=64, description="RFC 3339.")]


def _add_move(transition: Transition) -> None:
    def move(
        control: Ctl,
        caller: Caller,
        incident_id: IncidentKey,
        query: DryRun,
        doing: Doing | None = None,
        if_match: IfMatch = None,
    ) -> Response:
        act = (doing or Doing()).act(control, caller)

        def decide(found: tuple[Incident, ...]) -> tuple[Change, ...]:
            if transition.target == "closed":
                return (closed(control.stores, found[0], act),)
            return (moved(found[0], transition.verb, act),)

        return changed(control, [incident_id], decide, if_match, dry_run=query.dry_run)

    # The other way round than other names: POST /v1/incidents declares one too.
    move.__name__ = f"incident_{transition.verb}"
    move.__doc__ = f"Move it to {transition.target}, from {' or '.join(transition.sources)}."
    _verb(transition.verb, _SCOPES[transition.who])(move)


for _row in TRANSITIONS:
    if _row.verb not in ("dismiss", "triage"):
        _add_move(_row)


@_verb("triage")
def triage_incident(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    query: DryRun,
    answers: Answers | None = None,
    if_match: IfMatch = None,
) -> Response:
    """Take it up, where it is only reported, and answer the triage questions."""
    answers = answers or Answers()
    act = answers.act(control, caller)

    def decide(found: tuple[Incident, ...]) -> tuple[Change, ...]:
        incident, entries = found[0], []
        if incident.state == "reported":
            taken = moved(incident, "triage", act)
            incident, entries = taken.incident, [*taken.entries]
        said = Triage(
            answers.systematic or incident.triage.systematic,
            answers.regulated_or_vulnerable or incident.triage.regulated_or_vulnerable,
            answers.scales_silently or incident.triage.scales_silently,
            incident.triage.note if answers.note is None else answers.note,
        )
        if said == incident.triage and entries:
            return (Change(incident, tuple(entries)),)
        change = judgement.triaged(incident, said, act)
        return (Change(change.incident, (*entries, *change.entries)),)

    return changed(control, [incident_id], decide, if_match, dry_run=query.dry_run)


@_verb("dismiss")
def dismiss_incident(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    query: DryRun,
    dismissal: Dismissal,
    if_match: IfMatch = None,
) -> Response:
    """It is not an incident; say what it is, and why."""
    act = dismissal.act(control, caller)
    move = Move(dismissal.outcome, dismissal.caught_by, dismissal.caught_how)
    return changed(
        control,
        [incident_id],
        lambda found: (moved(found[0], "dismiss", act, move),),
        if_match,
        dry_run=query.dry_run,
    )


@_verb("assess")
def assess_incident(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    query: DryRun,
    factors: Factors,
    if_match: IfMatch = None,
) -> Response:
    """Score the factors; the severity follows from them, with its steps."""
    act = factors.act(control, caller)
    return changed(
        control,
        [incident_id],
        lambda found: (judgement.assessed(found[0], factors.factors, act),),
        if_match,
        dry_run=query.dry_run,
    )


@_verb("override-severity")
def override_incident_severity(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    query: DryRun,
    override: WantedSeverity,
    if_match: IfMatch = None,
) -> Response:
    """Put another severity in place of the computed one, with a reason."""
    act = override.act(control, caller)
    return changed(
        control,
        [incident_id],
        lambda found: (judgement.overridden(found[0], override.severity, act),),
        if_match,
        dry_run=query.dry_run,
    )


@_verb("judge")
def judge_incident(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    query: DryRun,
    given: Judgement,
    if_match: IfMatch = None,
) -> Response:
    """Give the two verdicts; they stand apart from the state."""
    act = given.act(control, caller)
    verdicts = Verdicts(given.enforcement, given.harm, given.caught_by, given.caught_how)
    return changed(
        control,
        [incident_id],
        lambda found: (judgement.judged(found[0], verdicts, act),),
        if_match,
        dry_run=query.dry_run,
    )


@_verb("classify")
def classify_incident(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    query: DryRun,
    given: Classification,
    if_match: IfMatch = None,
) -> Response:
    """Put it into categories and under labels of public taxonomies."""
    act = given.act(control, caller)
    return changed(
        control,
        [incident_id],
        lambda found: (judgement.classified(found[0], given.categories, given.labels, act),),
        if_match,
        dry_run=query.dry_run,
    )


@_verb("describe")
def describe_incident(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    query: DryRun,
    given: Description,
    if_match: IfMatch = None,
) -> Response:
    """Correct its title, summary, decision or times; the timeline keeps what stood before."""
    act = given.act(control, caller)
    fields = {
        name: getattr(given, name)
        for name in ("title", "summary", "decision")
        if getattr(given, name) is not None
    } | {
        name: parse_time(getattr(given, name), now=act.now)
        for name in ("first_occurred_at", "detected_at")
        if getattr(given, name)
    }
    return changed(
        control,
        [incident_id],
        lambda found: (judgement.described(found[0], fields, act),),
        if_match,
        dry_run=query.dry_run,
    )


@_verb("assign")
def assign_incident_role(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    query: DryRun,
    given: Assignment,
    if_match: IfMatch = None,
) -> Response:
    """Give a role to a person; whoever had it hands over."""
    act = given.act(control, caller)
    return changed(
        control,
        [incident_id],
        lambda found: (
            people.assigned(found[0], given.role, given.person, act, handover=given.handover),
        ),
        if_match,
        dry_run=query.dry_run,
    )


@_verb("renounce")
def renounce_incident_role(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    query: DryRun,
    given: Assignment,
    if_match: IfMatch = None,
) -> Response:
    """End a person's time in a role."""
    act = given.act(control, caller)
    return changed(
        control,
        [incident_id],
        lambda found: (
            people.renounced(found[0], given.role, given.person, act, handover=given.handover),
        ),
        if_match,
        dry_run=query.dry_run,
    )


@_verb("explain")
def explain_incident(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    query: DryRun,
    given: Explanation,
    if_match: IfMatch = None,
) -> Response:
    """Give one of the five parts of the cause."""
    act = given.act(control, caller)
    return changed(
        control,
        [incident_id],
        lambda found: (
            judgement.explained(
                found[0],
                given.part,
                given.text,
                given.confidence,
                act,
                evidence=given.evidence,
                hypotheses=given.hypotheses,
            ),
        ),
        if_match,
        dry_run=query.dry_run,
    )


@_verb("attest")
def attest_incident_gate(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    query: DryRun,
    given: Vouching,
    if_match: IfMatch = None,
) -> Response:
    """Vouch for a gate that nothing computes yet, naming where the proof lies."""
    act = given.act(control, caller)
    return changed(
        control,
        [incident_id],
        lambda found: (judgement.attested(found[0], given.gate, given.reference, act),),
        if_match,
        dry_run=query.dry_run,
    )


@_verb("waive")
def waive_incident_gate(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    query: DryRun,
    given: Waiving,
    if_match: IfMatch = None,
) -> Response:
    """Relax a gate for a time; it shows as relaxed until then."""
    act = given.act(control, caller)
    expires_at = _ahead("expires_at", given.expires_at, act.now)
    return changed(
        control,
        [incident_id],
        lambda found: (judgement.waived(found[0], given.gate, given.owner, expires_at, act),),
        if_match,
        dry_run=query.dry_run,
    )


def _ahead(name: str, text: str, now: datetime) -> datetime:
    """A time that may lie ahead."""
    try:
        return parse_time(text, now=now)
    except ValueError as error:
        raise InvalidInput(f"body.{name}: {error}") from None
