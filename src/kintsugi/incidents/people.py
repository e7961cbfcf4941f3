"""Who has which role, since when, and what was handed over."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.incidents.commands import Act, changed, entry, refuse, still_open
from kintsugi.model.blocker import Blocker
from kintsugi.model.incident import Change, Incident, Role, RoleTerm

# Of the others there is one at a time.
_MANY: Final[frozenset[Role]] = frozenset({"domain_expert"})


def assigned(
    incident: Incident, role: Role, person: str, act: Act, *, handover: str = ""
) -> Change:
    """Give a role to a person; whoever had it hands over.

    Anyone who responds may take a role that is free, or give one away that is theirs. Taking the
    command from somebody who holds it needs that person, or the permission to command.

    Raises:
        InvalidInput: no person is named.
        Blocked: with everything that stands in the way.
    """
    still_open(incident, f"assign a role in {incident.reference}")
    person = person.strip()
    if not person:
        raise InvalidInput("person: name whoever takes the role")
    holders = () if role in _MANY else incident.holders(role)
    found = []
    if person in incident.holders(role):
        found.append(Blocker("person", "holds_it", f"{person} is {role} already"))
    elif holders and not (act.actor.may_command or act.actor.name in holders):
        found.append(
            Blocker(
                f"roles.{role}",
                "held",
                f"{holders[0]} is {role}",
                "have the holder hand over, or use a token with incidents:command",
            )
        )
    refuse(f"assign {role}", found)
    at = act.happened_at
    terms = [
        _ended(term, at, handover) if term.role == role and term.person in holders else term
        for term in incident.roles
    ]
    terms.append(RoleTerm(role, person, at, act.actor.reference))
    words = f"{person} is {role}" + (f", after {holders[0]}" if holders else "")
    told = entry(
        incident,
        "role",
        words,
        act,
        detail={"role": role, "person": person, "before": list(holders), "handover": handover},
    )
    return changed(incident, [told], act, roles=tuple(terms))


def renounced(
    incident: Incident, role: Role, person: str, act: Act, *, handover: str = ""
) -> Change:
    """End a person's time in a role.

    Raises:
        Blocked: that person does not hold it, or somebody else's role is ended without command.
    """
    found = []
    if person not in incident.holders(role):
        found.append(Blocker("person", "not_held", f"{person} is not {role}"))
    if act.actor.name != person and not (
        act.actor.may_command or act.actor.name in incident.holders("commander")
    ):
        found.append(
            Blocker("actor", "not_in_command", "only they themselves or the commander do this")
        )
    refuse(f"end {role}", found)
    at = act.happened_at
    terms = tuple(
        _ended(term, at, handover) if (term.role, term.person) == (role, person) else term
        for term in incident.roles
    )
    told = entry(
        incident,
        "role",
        f"{person} is no longer {role}",
        act,
        detail={"role": role, "person": person, "handover": handover},
    )
    return changed(incident, [told], act, roles=terms)


def _ended(term: RoleTerm, at: datetime, handover: str) -> RoleTerm:
    if term.renounced_at is not None:
        return term
    # A term never ends before it began, whatever times people give.
    return msgspec.structs.replace(term, renounced_at=max(at, term.assumed_at), handover=handover)
