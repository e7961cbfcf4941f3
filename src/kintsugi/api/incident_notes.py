"""What people write to the timeline of an incident, and what they pin there."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from fastapi import Path
from pydantic import Field
from starlette.responses import Response

from kintsugi.api.configurations import DryRun, IfMatch
from kintsugi.api.control import Caller, Ctl
from kintsugi.api.incident_changes import changed, verb_of
from kintsugi.api.incidents import Doing, IncidentKey, Words
from kintsugi.api.routing import Routes
from kintsugi.incidents import notes, relations

routes = Routes("incidents")
_verb = partial(verb_of, routes)

EntryId = Annotated[str, Path(max_length=64)]


class TimelineNote(Doing):
    """Something to write down: words, or a decision event to promote, or both.

    Attributes:
        update: it tells where things stand, and meets the cadence of updates.
    """

    text: Words = ""
    event_id: Annotated[str, Field(max_length=64)] = ""
    update: bool = False


class Annotation(Doing):
    """What there is to say about an entry."""

    text: Annotated[str, Field(min_length=1, max_length=10_000)]


@_verb("timeline")
def write_incident_timeline(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    query: DryRun,
    note: TimelineNote,
    if_match: IfMatch = None,
) -> Response:
    """Write something down, or promote a decision event to the timeline."""
    act = note.act(control, caller)
    if note.event_id:
        event = control.stores.events.get(note.event_id)
        return changed(
            control,
            [incident_id],
            lambda found: (relations.promoted(found[0], event, act, text=note.text),),
            if_match,
            dry_run=query.dry_run,
        )
    return changed(
        control,
        [incident_id],
        lambda found: (notes.noted(found[0], note.text, act, update=note.update),),
        if_match,
        dry_run=query.dry_run,
    )


@_verb("annotate", path="timeline/{entry_id}/annotate")
def annotate_incident_entry(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    entry_id: EntryId,
    query: DryRun,
    given: Annotation,
    if_match: IfMatch = None,
) -> Response:
    """Say something about an entry, which itself stays as it is."""
    act = given.act(control, caller)
    about = control.stores.incidents.entry(control.stores.incidents.get(incident_id).id, entry_id)
    return changed(
        control,
        [incident_id],
        lambda found: (notes.annotated(found[0], about, given.text, act),),
        if_match,
        dry_run=query.dry_run,
    )


def _add_pin(verb: Literal["pin", "unpin"]) -> None:
    def mark(
        control: Ctl,
        caller: Caller,
        incident_id: IncidentKey,
        entry_id: EntryId,
        query: DryRun,
        doing: Doing | None = None,
        if_match: IfMatch = None,
    ) -> Response:
        act = (doing or Doing()).act(control, caller)
        incidents = control.stores.incidents
        about = incidents.entry(incidents.get(incident_id).id, entry_id)
        return changed(
            control,
            [incident_id],
            lambda found: (notes.pinned(found[0], about, act, pin=verb == "pin"),),
            if_match,
            dry_run=query.dry_run,
        )

    mark.__name__ = f"{verb}_incident_entry"
    mark.__doc__ = f"{verb.capitalize()} an entry."
    _verb(verb, path=f"timeline/{{entry_id}}/{verb}")(mark)


_add_pin("pin")
_add_pin("unpin")
