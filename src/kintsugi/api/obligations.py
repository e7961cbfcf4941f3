"""``/v1/obligations``: reports that a law may ask for, with their clocks and drafts. Reminders, not
legal advice."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, part, whole
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.edits import IfMatch, etag, expected_version
from kintsugi.api.event_query import PageQuery
from kintsugi.api.incident_changes import Editing
from kintsugi.api.incident_views import IncidentView
from kintsugi.api.incidents import Doing, IncidentKey
from kintsugi.api.permissions import Scope
from kintsugi.api.relative_time import time_in
from kintsugi.api.routing import Routes
from kintsugi.incidents import obligations
from kintsugi.incidents.drafts import DraftField, draft, draft_text
from kintsugi.incidents.rules import REMINDER, Catalogue, catalogue, fields, rule_of
from kintsugi.model.incident import Answer, Decide, Incident
from kintsugi.model.obligation import (
    Fact,
    MomentKind,
    Obligation,
    ObligationStatus,
    SetAside,
    Submission,
    Toll,
)

routes = Routes("obligations")

ObligationId = Annotated[str, Path(max_length=64)]
Word = Annotated[str, Field(max_length=100)]


class ObligationsQuery(PageQuery):
    """Which clocks; those with something still owed, unless asked otherwise."""

    status: Literal["owed", "ended", "all"] = "owed"


class Opening(Doing):
    """Answers that open clocks, and clocks to open by name.

    Attributes:
        triggers: yes, no or unknown by question; unknown opens, what is left out was not asked.
        roles: whether the organisation is a ``data_controller`` and so on; left out is unknown.
    """

    triggers: Annotated[dict[Word, Answer], Field(default_factory=dict)]
    roles: Annotated[dict[Word, Answer], Field(default_factory=dict)]
    rules: Annotated[list[Word], Field(max_length=100, default_factory=list)]


class MomentDecision(Doing):
    """When something happened in the sense of a law, and on what that rests.

    Attributes:
        moment_at: RFC 3339, or so long ago.
    """

    kind: MomentKind
    moment_at: Annotated[str, Field(min_length=1, max_length=64)]


class SaidFact(BaseModel):
    """What there is to say for one field."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["have", "not_applicable", "unknown"] = "have"
    value: Annotated[str, Field(max_length=20_000)] = ""


class SaidFacts(Doing):
    """What there is to say for fields of reports, by name."""

    facts: Annotated[dict[Word, SaidFact], Field(min_length=1)]


class Met(Doing):
    """A report that went out; ``at`` is when."""

    reference: Annotated[str, Field(min_length=1, max_length=2000)]
    incomplete: bool = False


class Tolling(Doing):
    """The order or statement on which a clock's time stands still."""

    evidence: Annotated[str, Field(min_length=1, max_length=2000)]


class ObligationView(msgspec.Struct, frozen=True):
    """One clock of one incident.

    Attributes:
        incident, title: whose it is.
        due_at: the strict reading; null while it waits or is tolled.
        relief_at: what a lenient reading might allow; never rely upon it.
        at_once: the text also says immediately, or without undue delay.
        missing: how many fields of the report nobody has filled.
        reminder: what this is, and is not.
    """

    id: str
    incident_id: str
    incident: str
    title: str
    rule: str
    regime: str
    article: str
    status: ObligationStatus
    start_at: datetime | None
    due_at: datetime | None
    relief_at: datetime | None
    amount: int
    unit: str
    at_once: bool
    round: int
    recipient: str
    who: str
    legal_status: str
    applies_from: date | None
    source: str
    retrieved_on: date
    note: str
    opened_at: datetime
    opened_by: str
    why: str
    tolls: tuple[Toll, ...]
    submissions: tuple[Submission, ...]
    set_aside: SetAside | None
    missing: int
    reminder: str


class DraftView(msgspec.Struct, frozen=True):
    """A report as far as it can be written now.

    Attributes:
        text: the same as Markdown.
    """

    obligation: ObligationView
    fields: tuple[DraftField, ...]
    text: str


class CatalogueView(msgspec.Struct, frozen=True):
    """Every rule, question and field."""

    reminder: str
    catalogue: Catalogue
    fields: dict[str, str]


def view_of(incident: Incident, clock: Obligation, *, now: datetime) -> ObligationView:
    """As the API and the console show it."""
    rule = rule_of(clock.rule)
    return ObligationView(
        id=clock.id,
        incident_id=incident.id,
        incident=incident.reference,
        title=incident.title,
        rule=clock.rule,
        regime=clock.regime,
        article=clock.article,
        status=clock.status(now),
        start_at=clock.start_at,
        due_at=clock.due_at,
        relief_at=clock.relief_at,
        amount=clock.amount,
        unit=clock.unit,
        at_once=rule.at_once,
        round=clock.round,
        recipient=clock.recipient,
        who=rule.who,
        legal_status=rule.legal_status,
        applies_from=rule.applies_from,
        source=rule.source,
        retrieved_on=catalogue().retrieved_on,
        note=rule.note,
        opened_at=clock.opened_at,
        opened_by=clock.opened_by,
        why=clock.why,
        tolls=clock.tolls,
        submissions=clock.submissions,
        set_aside=clock.set_aside,
        missing=sum(field.status == "missing" for field in draft(incident, clock)),
        reminder=REMINDER,
    )


@routes.add(
    "GET",
    "/v1/obligations",
    Scope.INCIDENTS_READ,
    answer=Page[ObligationView],
    parameters=True,
)
def list_obligations(control: Ctl, query: Annotated[ObligationsQuery, Query()]) -> Response:
    """Clocks, the soonest due first. ``meta.total`` counts what this page shows."""
    incidents, now = control.stores.incidents, control.clock()
    terminal = {"owed": False, "ended": True, "all": None}[query.status]
    found, cursor = incidents.obligations(
        terminal=terminal, limit=max(query.limit, 1), cursor=query.cursor
    )
    return part([view_of(owed.incident, owed.obligation, now=now) for owed in found], cursor)


@routes.add("GET", "/v1/obligations/rules", Scope.INCIDENTS_READ, answer=One[CatalogueView])
def list_obligation_rules() -> Response:
    """Every rule with its source, every question and every field of reports."""
    return one(CatalogueView(REMINDER, catalogue(), dict(fields())))


@routes.add(
    "GET", "/v1/obligations/{obligation_id}", Scope.INCIDENTS_READ, answer=One[ObligationView]
)
def show_obligation(control: Ctl, obligation_id: ObligationId) -> Response:
    """One clock."""
    incident, clock = _found(control, obligation_id)
    headers = {"etag": etag(incident.version)}
    return one(view_of(incident, clock, now=control.clock()), headers=headers)


@routes.add(
    "GET",
    "/v1/obligations/{obligation_id}/draft",
    Scope.INCIDENTS_READ,
    answer=One[DraftView],
)
def show_obligation_draft(control: Ctl, obligation_id: ObligationId) -> Response:
    """The report as far as it can be written now: had, missing, unknown, not applicable."""
    incident, clock = _found(control, obligation_id)
    view = view_of(incident, clock, now=control.clock())
    return one(DraftView(view, draft(incident, clock), draft_text(incident, clock)))


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/obligations",
    Scope.INCIDENTS_READ,
    answer=Page[ObligationView],
)
def list_incident_obligations(control: Ctl, incident_id: IncidentKey) -> Response:
    """Every clock of one incident, in the order of opening."""
    found = control.stores.incidents.get(incident_id)
    return whole([view_of(found, each, now=control.clock()) for each in found.obligations])


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/obligations",
    Scope.INCIDENTS_RESPOND,
    answer=One[IncidentView],
    parameters=True,
)
def open_incident_obligations(
    edit: Editing, incident_id: IncidentKey, opening: Opening
) -> Response:
    """Open the clocks that the answers ask for. One that is open already stays."""
    act = edit.act(opening)
    return edit.changed(
        incident_id,
        lambda found: obligations.opened(
            found,
            act,
            triggers=opening.triggers,
            roles=opening.roles,
            rules=opening.rules,
        ),
    )


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/moments",
    Scope.INCIDENTS_RESPOND,
    answer=One[IncidentView],
    parameters=True,
)
def decide_incident_moment(
    edit: Editing, incident_id: IncidentKey, decision: MomentDecision
) -> Response:
    """Decide when the organisation became aware, and the like; clocks start from it."""
    act = edit.act(decision)
    moment_at = time_in("moment_at", decision.moment_at, now=act.now)
    return edit.changed(
        incident_id, lambda found: obligations.moment_decided(found, decision.kind, moment_at, act)
    )


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/facts",
    Scope.INCIDENTS_RESPOND,
    answer=One[IncidentView],
    parameters=True,
)
def say_incident_facts(edit: Editing, incident_id: IncidentKey, said: SaidFacts) -> Response:
    """Say something for fields of reports."""
    act = edit.act(said)
    facts = {
        name: Fact(fact.status, act.actor.reference, act.now, fact.value)
        for name, fact in said.facts.items()
    }
    return edit.changed(incident_id, lambda found: obligations.facts_said(found, facts, act))


@routes.add(
    "POST",
    "/v1/obligations/{obligation_id}/meet",
    Scope.INCIDENTS_RESPOND,
    answer=One[ObligationView],
)
def meet_obligation(
    control: Ctl, caller: Caller, obligation_id: ObligationId, met: Met, if_match: IfMatch = None
) -> Response:
    """The report went out."""
    act = met.act(control, caller)
    return _changed(
        control,
        obligation_id,
        lambda found: (
            obligations.submitted(
                found[0],
                obligation_id,
                act,
                reference=met.reference,
                incomplete=met.incomplete,
            ),
        ),
        if_match,
    )


@routes.add(
    "POST",
    "/v1/obligations/{obligation_id}/toll",
    Scope.INCIDENTS_RESPOND,
    answer=One[ObligationView],
)
def toll_obligation(
    control: Ctl,
    caller: Caller,
    obligation_id: ObligationId,
    tolling: Tolling,
    if_match: IfMatch = None,
) -> Response:
    """Stop its time, on the strength of an order or a statement."""
    act = tolling.act(control, caller)
    return _changed(
        control,
        obligation_id,
        lambda found: (
            obligations.tolled(found[0], obligation_id, act, evidence=tolling.evidence),
        ),
        if_match,
    )


def _add_plain(verb: str, decide: Any, said: str) -> None:
    def do(
        control: Ctl,
        caller: Caller,
        obligation_id: ObligationId,
        doing: Doing | None = None,
        if_match: IfMatch = None,
    ) -> Response:
        act = (doing or Doing()).act(control, caller)
        return _changed(
            control,
            obligation_id,
            lambda found: (decide(found[0], obligation_id, act),),
            if_match,
        )

    do.__name__ = f"{verb.replace('-', '_')}_obligation"
    do.__doc__ = said
    routes.add(
        "POST",
        f"/v1/obligations/{{obligation_id}}/{verb}",
        Scope.INCIDENTS_RESPOND,
        answer=One[ObligationView],
    )(do)


_add_plain("resume", obligations.resumed, "Let its time run again.")
_add_plain("set-aside", obligations.set_aside, "Decide that it does not apply, and why.")
_add_plain("reinstate", obligations.reinstated, "Take back that it was set aside, and say why.")


def _found(control: Control, obligation_id: str) -> tuple[Incident, Obligation]:
    owed = control.stores.incidents.obligation(obligation_id)
    return owed.incident, owed.obligation


def _changed(
    control: Control, obligation_id: str, decide: Decide, if_match: str | None
) -> Response:
    now, expected = control.clock(), expected_version(if_match)
    incident, _ = _found(control, obligation_id)
    [after] = control.stores.incidents.change(
        [incident.id], decide, now=now, expected_version=expected
    )
    clock = next(each for each in after.obligations if each.id == obligation_id.lower())
    return one(view_of(after, clock, now=now), headers={"etag": etag(after.version)})
