"""Who may see an incident: restrict it, open it up, let single people see it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

from pydantic import Field
from starlette.responses import Response

from kintsugi.api.configurations import DryRun, IfMatch
from kintsugi.api.control import Caller, Ctl
from kintsugi.api.incident_changes import Name, changed, verb_of
from kintsugi.api.incidents import Doing, IncidentKey
from kintsugi.api.routing import Routes
from kintsugi.incidents import access
from kintsugi.model.incident import Change, Incident

routes = Routes("incidents")
_verb = partial(verb_of, routes)


class Restriction(Doing):
    """What others than those who work on it see: that it exists, or nothing."""

    visibility: Literal["reference", "hidden"] = "reference"


class Person(Doing):
    """Somebody by name, as in roles."""

    person: Annotated[Name, Field(description="As people are named in roles.")]


@_verb("restrict")
def restrict_incident(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    query: DryRun,
    wanted: Restriction,
    if_match: IfMatch = None,
) -> Response:
    """Let only those who work on it see it. Whoever restricts it keeps sight of it."""
    act = wanted.act(control, caller)
    return changed(
        control,
        [incident_id],
        lambda found: (access.restricted(found[0], wanted.visibility, act),),
        if_match,
        dry_run=query.dry_run,
    )


@_verb("open-up")
def open_up_incident(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    query: DryRun,
    doing: Doing,
    if_match: IfMatch = None,
) -> Response:
    """Let everybody see it who may look at incidents."""
    act = doing.act(control, caller)
    return changed(
        control,
        [incident_id],
        lambda found: (access.opened_up(found[0], act),),
        if_match,
        dry_run=query.dry_run,
    )


def _add_for_person(verb: str, decide: Callable[..., Change], what: str) -> None:
    def for_person(
        control: Ctl,
        caller: Caller,
        incident_id: IncidentKey,
        query: DryRun,
        given: Person,
        if_match: IfMatch = None,
    ) -> Response:
        act = given.act(control, caller)

        def change(found: tuple[Incident, ...]) -> tuple[Change, ...]:
            return (decide(found[0], given.person, act),)

        return changed(control, [incident_id], change, if_match, dry_run=query.dry_run)

    for_person.__name__ = f"{verb}_incident_sight"
    for_person.__doc__ = what
    _verb(verb)(for_person)


_add_for_person("grant", access.granted, "Let a person see it who has no role in it.")
_add_for_person("revoke", access.revoked, "Take a grant back.")
