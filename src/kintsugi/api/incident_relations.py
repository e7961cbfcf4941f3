"""What an incident has to do with others, and with events: one verb, one route."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated, Literal

from pydantic import Field
from starlette.responses import Response

from kintsugi.api.control import Control
from kintsugi.api.event_query import EventFilters
from kintsugi.api.incident_changes import Editing, verb_of
from kintsugi.api.incidents import Doing, EventIds, IncidentKey, Title
from kintsugi.api.problems import FieldError, Invalid
from kintsugi.api.routing import Routes
from kintsugi.errors import InvalidInput
from kintsugi.incidents import opening, relations

routes = Routes("incidents")
_verb = partial(verb_of, routes)

_EVENTS_MAX = 10_000


class Into(Doing):
    """The incident that this one is a duplicate of."""

    into: Annotated[str, Field(min_length=1, max_length=64)]


class Tie(Doing):
    """Another incident, and what it is to this one."""

    to: Annotated[str, Field(min_length=1, max_length=64)]
    kind: Literal["recurrence_of", "recurred_in", "related", "not_similar"] = "related"


class Part(Doing):
    """The title of the new incident, and the events that move there."""

    title: Title
    event_ids: EventIds = Field(default_factory=list)


class Events(Doing):
    """Decision events, named or described by a filter; a filter takes 10,000 at most."""

    event_ids: EventIds = Field(default_factory=list)
    filter: EventFilters | None = None


class NamedEvents(Doing):
    """Decision events, named."""

    event_ids: EventIds


@_verb("merge")
def merge_incident(edit: Editing, incident_id: IncidentKey, given: Into) -> Response:
    """Make it a duplicate of another; a link, which can be taken back."""
    act = edit.act(given)
    return edit.all_changed(
        [incident_id, given.into], lambda found: relations.merged(found[0], found[1], act)
    )


@_verb("unmerge")
def unmerge_incident(edit: Editing, incident_id: IncidentKey, doing: Doing) -> Response:
    """Take a merge back."""
    act = edit.act(doing)
    found = edit.control.stores.incidents.get(incident_id)
    return edit.all_changed(
        [found.id, found.merged_into or found.id],
        lambda both: relations.unmerged(both[0], both[1], act),
    )


@_verb("link")
def link_incident(edit: Editing, incident_id: IncidentKey, given: Tie) -> Response:
    """Tie it to another: a recurrence of it, just related, or not similar, so that it is not
    suggested again. Both tell of it."""
    act = edit.act(given)
    return edit.all_changed(
        [incident_id, given.to], lambda found: relations.linked(found[0], found[1], given.kind, act)
    )


@_verb("split")
def split_incident(edit: Editing, incident_id: IncidentKey, given: Part) -> Response:
    """Make a part of it an incident of its own; the answer is the new one."""
    act = edit.act(given)
    return edit.all_changed(
        [incident_id],
        lambda found: opening.split(found[0], given.title, act, events=given.event_ids),
        show=1,
    )


@_verb("tie-events")
def tie_incident_events(edit: Editing, incident_id: IncidentKey, given: Events) -> Response:
    """Tie decision events to it. The events themselves never change."""
    act = edit.act(given)
    events = [*given.event_ids, *_events_of(edit.control, given.filter, act.now)]
    return edit.changed(incident_id, lambda found: relations.with_events(found, events, act))


@_verb("untie-events")
def untie_incident_events(edit: Editing, incident_id: IncidentKey, given: NamedEvents) -> Response:
    """Untie decision events, with a reason."""
    act = edit.act(given)
    return edit.changed(
        incident_id, lambda found: relations.without_events(found, given.event_ids, act)
    )


def _events_of(control: Control, filters: EventFilters | None, now: datetime) -> list[str]:
    if filters is None:
        return []
    where = filters.where(now=now)
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = control.stores.events.page(where, limit=1000, cursor=cursor)
        found += [event.id for event in page.events]
        if page.next_cursor is None:
            break
        if len(found) >= _EVENTS_MAX:
            raise Invalid(
                [FieldError("body.filter", f"lets more than {_EVENTS_MAX} events through; narrow")]
            )
        cursor = page.next_cursor
    if not found:
        raise InvalidInput("body.filter: no event passes it")
    return found
