"""Who may see an incident. Anybody who responds may close the door; opening it, for all or for one
person, is the commander's."""

from __future__ import annotations

from typing import Literal

from kintsugi.errors import InvalidInput
from kintsugi.incidents.commands import Act, changed, entry, in_command, refuse, wanted_reason
from kintsugi.model.blocker import Blocker
from kintsugi.model.incident import Change, Incident
from kintsugi.model.incident_access import STRICTNESS, seers_of, visibility_of


def restricted(incident: Incident, visibility: Literal["reference", "hidden"], act: Act) -> Change:
    """Let only those who work on it see it.

    Whoever does this keeps sight of it.

    Raises:
        Blocked: no reason is given, it is so already, or less strict than it was without command.
    """
    before = visibility_of(incident)
    found = wanted_reason(act)
    if incident.visibility == visibility:
        found.append(Blocker("visibility", "is_so", f"it is {visibility} already"))
    if STRICTNESS.index(visibility) < STRICTNESS.index(before):
        found += in_command(incident, act)
    refuse(f"restrict {incident.reference}", found)
    people = incident.people
    if act.actor.name not in seers_of(incident):
        people = (*people, act.actor.name)
    told = entry(
        incident,
        "access",
        "restricted to those who work on it"
        + ("; others do not learn that it exists" if visibility == "hidden" else ""),
        act,
        detail={"before": before, "after": visibility},
    )
    return changed(incident, [told], act, visibility=visibility, people=people)


def opened_up(incident: Incident, act: Act) -> Change:
    """Let everybody see it who may look at incidents, whatever its severity says.

    Raises:
        Blocked: with everything that stands in the way.
    """
    before = visibility_of(incident)
    found = [*wanted_reason(act), *in_command(incident, act)]
    if before == "open":
        found.append(Blocker("visibility", "is_so", "it is open already"))
    refuse(f"open up {incident.reference}", found)
    told = entry(incident, "access", "opened up", act, detail={"before": before, "after": "open"})
    return changed(incident, [told], act, visibility="open")


def granted(incident: Incident, person: str, act: Act) -> Change:
    """Let a person see it, with no role in it.

    Raises:
        InvalidInput: no person is named.
        Blocked: the person may see it already, or the actor does not command.
    """
    person = _named(person)
    found = in_command(incident, act)
    if person in seers_of(incident):
        found.append(Blocker("person", "may_see", f"{person} may see it already"))
    refuse(f"grant sight of {incident.reference}", found)
    told = entry(incident, "access", f"{person} may see it", act, detail={"person": person})
    return changed(incident, [told], act, people=(*incident.people, person))


def revoked(incident: Incident, person: str, act: Act) -> Change:
    """Take a grant back. A role is renounced, not revoked here.

    Raises:
        InvalidInput: no person is named.
        Blocked: nothing was granted to the person, or the actor does not command.
    """
    person = _named(person)
    found = in_command(incident, act)
    if person not in incident.people:
        found.append(
            Blocker(
                "person",
                "not_granted",
                f"sight was not granted to {person}",
                "whoever has a role sees it; end the role with renounce"
                if person in seers_of(incident)
                else "see the incident's people",
            )
        )
    refuse(f"revoke sight of {incident.reference}", found)
    people = tuple(one for one in incident.people if one != person)
    told = entry(
        incident, "access", f"{person} may no longer see it", act, detail={"person": person}
    )
    return changed(incident, [told], act, people=people)


def _named(person: str) -> str:
    if not person.strip():
        raise InvalidInput("person: name somebody")
    return person.strip()
