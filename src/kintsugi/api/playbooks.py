"""``/v1/playbooks``, and those that are attached to an incident."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Path
from pydantic import Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, whole
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.edits import DryRun
from kintsugi.api.followups import all_of, kept
from kintsugi.api.incidents import Doing, IncidentKey
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.errors import InvalidInput, NotFound
from kintsugi.incidents import playbooks
from kintsugi.model.incident import Change, Incident
from kintsugi.model.playbook import Phase, Playbook, PlaybookRun, StepState

routes = Routes("playbooks")

PlaybookId = Annotated[str, Path(max_length=64)]
StepId = Annotated[str, Path(max_length=64)]


class Attachment(Doing):
    """Which playbook: the id of one that is shipped, or a whole one of your own.

    Attributes:
        content: ``id``, ``version``, ``title``, ``applies_to`` and ``steps``.
    """

    playbook: Annotated[str, Field(max_length=64)] = ""
    content: dict[str, Any] | None = None


class StepOwner(Doing):
    """Who has the step from now on."""

    owner: Annotated[str, Field(min_length=1, max_length=300)]


class AttachedStep(msgspec.Struct, frozen=True):
    """A step in one incident.

    Attributes:
        owner: who took it, else who holds the role, else the role.
        command: what to type, with this incident's reference.
        retired: a later version has it no more.
    """

    id: str
    phase: Phase
    title: str
    state: StepState
    owner: str
    command: str
    done_when: str
    by: str
    at: datetime | None
    reason: str
    retired: bool


class AttachedPlaybook(msgspec.Struct, frozen=True):
    """A playbook attached to an incident.

    Attributes:
        newest_version: of the playbook as it is shipped; apply it again where that is higher. 0 of
            one of your own.
        open: how many steps nobody has ended.
    """

    playbook: str
    title: str
    version: int
    newest_version: int
    incident: str
    open: int
    steps: tuple[AttachedStep, ...]
    attached_at: datetime
    attached_by: str


def view_of(incident: Incident, run: PlaybookRun) -> AttachedPlaybook:
    """As the API and the console show it."""
    known = playbooks.shipped().get(run.playbook)
    return AttachedPlaybook(
        playbook=run.playbook,
        title=run.title,
        version=run.playbook_version,
        newest_version=0 if known is None else known.version,
        incident=incident.reference,
        open=sum(one.state == "open" for one in run.steps),
        steps=tuple(
            AttachedStep(
                id=each.step.id,
                phase=each.step.phase,
                title=each.step.title,
                state=each.state,
                owner=playbooks.owner_of(incident, each),
                command=playbooks.command_of(incident, each.step),
                done_when=each.step.done_when,
                by=each.by,
                at=each.at,
                reason=each.reason,
                retired=each.retired,
            )
            for each in run.steps
        ),
        attached_at=run.created_at,
        attached_by=run.created_by,
    )


@routes.add("GET", "/v1/playbooks", Scope.INCIDENTS_READ, answer=Page[Playbook])
def list_playbooks() -> Response:
    """The playbooks that are shipped."""
    return whole(list(playbooks.shipped().values()))


@routes.add("GET", "/v1/playbooks/{playbook_id}", Scope.INCIDENTS_READ, answer=One[Playbook])
def show_playbook(playbook_id: PlaybookId) -> Response:
    """One playbook; take it as the beginning of your own."""
    return one(playbooks.playbook_of(playbook_id))


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/playbooks",
    Scope.INCIDENTS_READ,
    answer=Page[AttachedPlaybook],
)
def list_incident_playbooks(control: Ctl, incident_id: IncidentKey) -> Response:
    """The playbooks attached to an incident, with how far each is done."""
    incident = control.stores.incidents.get(incident_id)
    return whole([view_of(incident, each) for each in all_of(control, incident, "playbook")])


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/playbooks",
    Scope.INCIDENTS_RESPOND,
    answer=One[AttachedPlaybook],
    parameters=True,
)
def attach_incident_playbook(
    control: Ctl, caller: Caller, incident_id: IncidentKey, query: DryRun, given: Attachment
) -> Response:
    """Attach a playbook, or apply a newer version of one: ticks stay."""
    act = given.act(control, caller)
    playbook = _wanted(given)

    def decide(incident: Incident) -> Change:
        return playbooks.attached(incident, playbook, _run(control, incident, playbook.id), act)

    return _kept(control, incident_id, decide, dry_run=query.dry_run)


def _add_step(verb: str, state: StepState, said: str) -> None:
    def do(
        control: Ctl,
        caller: Caller,
        incident_id: IncidentKey,
        playbook_id: PlaybookId,
        step_id: StepId,
        query: DryRun,
        doing: Doing | None = None,
    ) -> Response:
        act = (doing or Doing()).act(control, caller)

        def decide(incident: Incident) -> Change:
            run = _attached(control, incident, playbook_id)
            return playbooks.step_moved(incident, run, step_id, state, act)

        return _kept(control, incident_id, decide, dry_run=query.dry_run)

    do.__name__ = f"{verb}_incident_step"
    do.__doc__ = said
    _step_verb(verb)(do)


def _step_verb(verb: str) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    return routes.add(
        "POST",
        f"/v1/incidents/{{incident_id}}/playbooks/{{playbook_id}}/steps/{{step_id}}/{verb}",
        Scope.INCIDENTS_RESPOND,
        answer=One[AttachedPlaybook],
        parameters=True,
    )


_STEPS: tuple[tuple[Literal["done", "skip", "reopen"], StepState, str], ...] = (
    ("done", "done", "Tick a step; the reason says what came of it."),
    ("skip", "skipped", "Leave a step out, and say why."),
    ("reopen", "open", "A step is not over after all; say why."),
)
for _name, _state, _said in _STEPS:
    _add_step(_name, _state, _said)


@_step_verb("assign")
def assign_incident_step(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    playbook_id: PlaybookId,
    step_id: StepId,
    query: DryRun,
    given: StepOwner,
) -> Response:
    """Give a step to somebody."""
    act = given.act(control, caller)

    def decide(incident: Incident) -> Change:
        run = _attached(control, incident, playbook_id)
        return playbooks.step_assigned(incident, run, step_id, given.owner, act)

    return _kept(control, incident_id, decide, dry_run=query.dry_run)


def _wanted(given: Attachment) -> Playbook:
    if bool(given.playbook) == (given.content is not None):
        raise InvalidInput("playbook, content: name a playbook, or give one of your own")
    if given.content is None:
        return playbooks.playbook_of(given.playbook)
    try:
        own = msgspec.convert(given.content, Playbook)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"body.content: {error}") from None
    if own.id in playbooks.shipped():
        raise InvalidInput(f'body.content.id: "{own.id}" is one that is shipped; name yours apart')
    return playbooks.checked(own)


def _run(control: Control, incident: Incident, playbook_id: str) -> PlaybookRun | None:
    found = all_of(control, incident, "playbook")
    return next((each for each in found if each.playbook == playbook_id), None)


def _attached(control: Control, incident: Incident, playbook_id: str) -> PlaybookRun:
    run = _run(control, incident, playbook_id)
    if run is None:
        raise NotFound(f'"{playbook_id}" is not attached to {incident.reference}')
    return run


def _kept(
    control: Control,
    incident_id: str,
    decide: Callable[[Incident], Change],
    *,
    dry_run: bool,
) -> Response:
    run = kept(control, incident_id, decide, dry_run=dry_run)
    return one(view_of(control.stores.incidents.get(incident_id), run))
