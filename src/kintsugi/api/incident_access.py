"""Who may see an incident: restrict it, open it up, let single people see it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

from pydantic import Field
from starlette.responses import Response

from kintsugi.api.incident_changes import Editing, Name, verb_of
from kintsugi.api.incidents import Doing, IncidentKey
from kintsugi.api.routing import Routes
from kintsugi.incidents import access
from kintsugi.model.incident import Change

routes = Routes("incidents")
_verb = partial(verb_of, routes)


class Restriction(Doing):
    """What others than those who work on it see: that it exists, or nothing."""

    visibility: Literal["reference", "hidden"] = "reference"


class Person(Doing):
    """Somebody by name, as in roles."""

    person: Annotated[Name, Field(description="As people are named in roles.")]


@_verb("restrict")
def restrict_incident(edit: Editing, incident_id: IncidentKey, wanted: Restriction) -> Response:
    """Let only those who work on it see it. Whoever restricts it keeps sight of it."""
    act = edit.act(wanted)
    return edit.changed(incident_id, lambda found: access.restricted(found, wanted.visibility, act))


@_verb("open-up")
def open_up_incident(edit: Editing, incident_id: IncidentKey, doing: Doing) -> Response:
    """Let everybody see it who may look at incidents."""
    act = edit.act(doing)
    return edit.changed(incident_id, lambda found: access.opened_up(found, act))


def _add_for_person(verb: str, decide: Callable[..., Change], what: str) -> None:
    def for_person(edit: Editing, incident_id: IncidentKey, given: Person) -> Response:
        act = edit.act(given)
        return edit.changed(incident_id, lambda found: decide(found, given.person, act))

    for_person.__name__ = f"{verb}_incident_sight"
    for_person.__doc__ = what
    _verb(verb)(for_person)


_add_for_person("grant", access.granted, "Let a person see it who has no role in it.")
_add_for_person("revoke", access.revoked, "Take a grant back.")
