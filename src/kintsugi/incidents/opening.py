"""How an incident begins: reported by anybody, declared with nothing but a title, or split off."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from kintsugi.errors import InvalidInput
from kintsugi.incidents.commands import Act, changed, entry, still_open, wanted_reason
from kintsugi.incidents.commands import refuse as refuse_all
from kintsugi.model.incident import Change, Incident, IncidentLink, new_id
from kintsugi.model.incident_access import seers_of, visibility_of


def opened(
    title: str,
    act: Act,
    *,
    state: Literal["reported", "declared"],
    summary: str = "",
    source: str = "",
    detected_at: datetime | None = None,
    first_occurred_at: datetime | None = None,
    events: Sequence[str] = (),
) -> Change:
    """A new incident.

    Raises:
        InvalidInput: it has no title.
    """
    if not title.strip():
        raise InvalidInput("title: say in a few words what happened")
    made = Incident(
        id=new_id(act.now),
        title=title.strip(),
        state=state,
        reported_at=act.now,
        reported_by=act.actor.reference,
        updated_at=act.now,
        summary=summary,
        source=source,
        detected_at=detected_at or act.happened_at,
        first_occurred_at=first_occurred_at,
        reached={state: act.happened_at},
        outcome="incident" if state == "declared" else None,
    )
    told = entry(made, "transition", state, act, detail={"to": state, "events": list(events)})
    return Change(made, (told,), add_events=tuple(events))


def split(
    incident: Incident, title: str, act: Act, *, events: Sequence[str]
) -> tuple[Change, Change]:
    """Make a part of an incident an incident of its own; its events move there.

    Returns:
        The change of the first one, and the new one.

    Raises:
        Blocked: it has ended, or no reason is given.
    """
    still_open(incident, f"split {incident.reference}")
    refuse_all(f"split {incident.reference}", wanted_reason(act))
    made = opened(title, act, state="declared", source=f"split:{incident.id}", events=events)
    back = IncidentLink("split_from", incident.id, incident.reference, act.actor.reference, act.now)
    # The new one has no number before it is stored; its id is enough to find it.
    on = IncidentLink("split_into", made.incident.id, "", act.actor.reference, act.now)
    told = entry(
        incident,
        "link",
        f"split: {title.strip()}",
        act,
        detail={"into": made.incident.id, "events": list(events)},
    )
    first = changed(incident, [told], act, remove_events=events, links=(*incident.links, on))
    # A part of what is restricted is as restricted, and the same people see it.
    visibility = visibility_of(incident)
    second = changed(
        made.incident,
        made.entries,
        act,
        add_events=events,
        links=(back,),
        visibility=None if visibility == "open" else visibility,
        people=() if visibility == "open" else seers_of(incident),
    )
    return first, second
