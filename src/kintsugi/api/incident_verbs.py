"""What people do to an incident: one verb, one route. Its relations and its timeline stand in
``incident_relations`` and ``incident_notes``."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import Field
from starlette.responses import Response

from kintsugi.api.event_query import TimeText
from kintsugi.api.gate_facts import closed
from kintsugi.api.incident_changes import Editing, Name, verb_of
from kintsugi.api.incidents import Doing, IncidentKey, Title, Words
from kintsugi.api.permissions import Scope
from kintsugi.api.relative_time import parse_time, time_in
from kintsugi.api.routing import Routes
from kintsugi.incidents import judgement, people
from kintsugi.incidents.lifecycle import TRANSITIONS, Move, Transition, moved
from kintsugi.model.incident import (
    Answer,
    CaughtBy,
    CausePart,
    Change,
    Enforcement,
    Entry,
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
    def move(edit: Editing, incident_id: IncidentKey, doing: Doing | None = None) -> Response:
        act = edit.act(doing)

        def decide(found: Incident) -> Change:
            if transition.target == "closed":
                return closed(edit.control.stores, found, act)
            return moved(found, transition.verb, act)

        return edit.changed(incident_id, decide)

    # The other way round than other names: POST /v1/incidents declares one too.
    move.__name__ = f"incident_{transition.verb}"
    move.__doc__ = f"Move it to {transition.target}, from {' or '.join(transition.sources)}."
    _verb(transition.verb, _SCOPES[transition.who])(move)


for _row in TRANSITIONS:
    if _row.verb not in ("dismiss", "triage"):
        _add_move(_row)


@_verb("triage")
def triage_incident(
    edit: Editing, incident_id: IncidentKey, answers: Answers | None = None
) -> Response:
    """Take it up, where it is only reported, and answer the triage questions."""
    answers = answers or Answers()
    act = edit.act(answers)

    def decide(incident: Incident) -> Change:
        entries: tuple[Entry, ...] = ()
        if incident.state == "reported":
            taken = moved(incident, "triage", act)
            incident, entries = taken.incident, taken.entries
        said = Triage(
            answers.systematic or incident.triage.systematic,
            answers.regulated_or_vulnerable or incident.triage.regulated_or_vulnerable,
            answers.scales_silently or incident.triage.scales_silently,
            incident.triage.note if answers.note is None else answers.note,
        )
        if said == incident.triage and entries:
            return Change(incident, entries)
        change = judgement.triaged(incident, said, act)
        return Change(change.incident, (*entries, *change.entries))

    return edit.changed(incident_id, decide)


@_verb("dismiss")
def dismiss_incident(edit: Editing, incident_id: IncidentKey, dismissal: Dismissal) -> Response:
    """It is not an incident; say what it is, and why."""
    act = edit.act(dismissal)
    move = Move(dismissal.outcome, dismissal.caught_by, dismissal.caught_how)
    return edit.changed(incident_id, lambda found: moved(found, "dismiss", act, move))


@_verb("assess")
def assess_incident(edit: Editing, incident_id: IncidentKey, factors: Factors) -> Response:
    """Score the factors; the severity follows from them, with its steps."""
    act = edit.act(factors)
    return edit.changed(incident_id, lambda found: judgement.assessed(found, factors.factors, act))


@_verb("override-severity")
def override_incident_severity(
    edit: Editing, incident_id: IncidentKey, override: WantedSeverity
) -> Response:
    """Put another severity in place of the computed one, with a reason."""
    act = edit.act(override)
    return edit.changed(
        incident_id, lambda found: judgement.overridden(found, override.severity, act)
    )


@_verb("judge")
def judge_incident(edit: Editing, incident_id: IncidentKey, given: Judgement) -> Response:
    """Give the two verdicts; they stand apart from the state."""
    act = edit.act(given)
    verdicts = Verdicts(given.enforcement, given.harm, given.caught_by, given.caught_how)
    return edit.changed(incident_id, lambda found: judgement.judged(found, verdicts, act))


@_verb("classify")
def classify_incident(edit: Editing, incident_id: IncidentKey, given: Classification) -> Response:
    """Put it into categories and under labels of public taxonomies."""
    act = edit.act(given)
    return edit.changed(
        incident_id, lambda found: judgement.classified(found, given.categories, given.labels, act)
    )


@_verb("describe")
def describe_incident(edit: Editing, incident_id: IncidentKey, given: Description) -> Response:
    """Correct its title, summary, decision or times; the timeline keeps what stood before."""
    act = edit.act(given)
    fields = {
        name: getattr(given, name)
        for name in ("title", "summary", "decision")
        if getattr(given, name) is not None
    } | {
        name: parse_time(getattr(given, name), now=act.now)
        for name in ("first_occurred_at", "detected_at")
        if getattr(given, name)
    }
    return edit.changed(incident_id, lambda found: judgement.described(found, fields, act))


@_verb("assign")
def assign_incident_role(edit: Editing, incident_id: IncidentKey, given: Assignment) -> Response:
    """Give a role to a person; whoever had it hands over."""
    act = edit.act(given)
    return edit.changed(
        incident_id,
        lambda found: people.assigned(
            found, given.role, given.person, act, handover=given.handover
        ),
    )


@_verb("renounce")
def renounce_incident_role(edit: Editing, incident_id: IncidentKey, given: Assignment) -> Response:
    """End a person's time in a role."""
    act = edit.act(given)
    return edit.changed(
        incident_id,
        lambda found: people.renounced(
            found, given.role, given.person, act, handover=given.handover
        ),
    )


@_verb("explain")
def explain_incident(edit: Editing, incident_id: IncidentKey, given: Explanation) -> Response:
    """Give one of the five parts of the cause."""
    act = edit.act(given)
    return edit.changed(
        incident_id,
        lambda found: judgement.explained(
            found,
            given.part,
            given.text,
            given.confidence,
            act,
            evidence=given.evidence,
            hypotheses=given.hypotheses,
        ),
    )


@_verb("attest")
def attest_incident_gate(edit: Editing, incident_id: IncidentKey, given: Vouching) -> Response:
    """Vouch for a gate that nothing computes yet, naming where the proof lies."""
    act = edit.act(given)
    return edit.changed(
        incident_id, lambda found: judgement.attested(found, given.gate, given.reference, act)
    )


@_verb("waive")
def waive_incident_gate(edit: Editing, incident_id: IncidentKey, given: Waiving) -> Response:
    """Relax a gate for a time; it shows as relaxed until then."""
    act = edit.act(given)
    expires_at = time_in("expires_at", given.expires_at, now=act.now)
    return edit.changed(
        incident_id, lambda found: judgement.waived(found, given.gate, given.owner, expires_at, act)
    )
