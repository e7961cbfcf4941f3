"""What people write to the timeline of an incident, and what they pin there."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import Field
from starlette.responses import Response

from kintsugi.api.control import Control
from kintsugi.api.incident_changes import Editing, verb_of
from kintsugi.api.incidents import Doing, EntryId, IncidentKey, Words
from kintsugi.api.routing import Routes
from kintsugi.incidents import notes, relations
from kintsugi.model.incident import Entry

routes = Routes("incidents")
_verb = partial(verb_of, routes)


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
    edit: Editing, incident_id: IncidentKey, note: TimelineNote
) -> Response:
    """Write something down, or promote a decision event to the timeline."""
    act = edit.act(note)
    if note.event_id:
        event = edit.control.stores.events.get(note.event_id)
        return edit.changed(
            incident_id, lambda found: relations.promoted(found, event, act, text=note.text)
        )
    return edit.changed(
        incident_id, lambda found: notes.noted(found, note.text, act, update=note.update)
    )


@_verb("annotate", path="timeline/{entry_id}/annotate")
def annotate_incident_entry(
    edit: Editing, incident_id: IncidentKey, entry_id: EntryId, given: Annotation
) -> Response:
    """Say something about an entry, which itself stays as it is."""
    act = edit.act(given)
    about = _entry(edit.control, incident_id, entry_id)
    return edit.changed(incident_id, lambda found: notes.annotated(found, about, given.text, act))


def _add_pin(verb: Literal["pin", "unpin"]) -> None:
    def mark(
        edit: Editing, incident_id: IncidentKey, entry_id: EntryId, doing: Doing | None = None
    ) -> Response:
        act = edit.act(doing)
        about = _entry(edit.control, incident_id, entry_id)
        return edit.changed(
            incident_id, lambda found: notes.pinned(found, about, act, pin=verb == "pin")
        )

    mark.__name__ = f"{verb}_incident_entry"
    mark.__doc__ = f"{verb.capitalize()} an entry."
    _verb(verb, path=f"timeline/{{entry_id}}/{verb}")(mark)


_add_pin("pin")
_add_pin("unpin")


def _entry(control: Control, incident_id: str, entry_id: str) -> Entry:
    incidents = control.stores.incidents
    return incidents.entry(incidents.get(incident_id).id, entry_id)
