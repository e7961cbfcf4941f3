"""Hypotheses: what may have been the cause, with what speaks for and against each. Pure."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.incidents.commands import Act, changed, entry, refuse, still_open, wanted_reason
from kintsugi.model.blocker import Blocker
from kintsugi.model.incident import Change, EvidenceLink, Hypothesis, Incident

Stance = Literal["supports", "contradicts"]
Settled = Literal["open", "confirmed", "rejected"]
_HYPOTHESES_MAX = 100
_LINKS_MAX = 200


def hypothesis_of(incident: Incident, number: int) -> Hypothesis:
    """One of them.

    Raises:
        InvalidInput: there is none with this number.
    """
    for one in incident.hypotheses:
        if one.number == number:
            return one
    known = ", ".join(f"H{one.number}" for one in incident.hypotheses) or "none yet"
    raise InvalidInput(f"hypothesis: there is no H{number}; there are: {known}")


def proposed(incident: Incident, text: str, act: Act) -> Change:
    """Put a hypothesis forward.

    Raises:
        Blocked: the incident has ended.
        InvalidInput: it says nothing, or there are too many.
    """
    still_open(incident, f"put a hypothesis forward for {incident.reference}")
    if not text.strip():
        raise InvalidInput("text: say what may have been the cause")
    if len(incident.hypotheses) >= _HYPOTHESES_MAX:
        raise InvalidInput(f"{_HYPOTHESES_MAX} hypotheses are enough; settle those")
    number = len(incident.hypotheses) + 1
    made = Hypothesis(number, text.strip(), act.actor.reference, act.now)
    return _told(incident, made, f"H{number}: {made.text}", act)


def linked(
    incident: Incident, number: int, reference: str, stance: Stance, act: Act, *, note: str = ""
) -> Change:
    """Say what speaks for a hypothesis, or against it.

    Raises:
        Blocked: the incident has ended.
        InvalidInput: there is no such hypothesis, or nothing is named.
    """
    still_open(incident, f"link evidence of {incident.reference}")
    found = hypothesis_of(incident, number)
    if not reference.strip():
        raise InvalidInput("reference: event:ID, trace:ID, freeze:ID, a digest or an address")
    if len(found.links) >= _LINKS_MAX:
        raise InvalidInput(f"H{number} has {_LINKS_MAX} links, which is enough to settle it")
    link = EvidenceLink(reference.strip(), stance, act.actor.reference, act.now, note.strip())
    after = msgspec.structs.replace(found, links=(*found.links, link))
    text = f"H{number} {'is supported' if stance == 'supports' else 'is contradicted'} by "
    return _told(incident, after, f"{text}{link.reference}", act, reference=link.reference)


def settled(incident: Incident, number: int, state: Settled, act: Act) -> Change:
    """Confirm or reject a hypothesis with a reason, or open it again.

    Raises:
        Blocked: with everything that is missing: a reason; of one that is confirmed, something
            that speaks for it; of one that is rejected, no cause that rests on it.
        InvalidInput: there is no such hypothesis.
    """
    still_open(incident, f"settle a hypothesis of {incident.reference}")
    found = hypothesis_of(incident, number)
    missing = wanted_reason(act)
    if state == "confirmed" and not any(one.stance == "supports" for one in found.links):
        missing.append(
            Blocker("links", "support", f"nothing is named that supports H{number}", "link it")
        )
    resting = [part for part, cause in incident.cause.items() if number in cause.hypotheses]
    if state == "rejected" and resting:
        said = f"the cause rests on it: {', '.join(resting)}"
        missing.append(Blocker("cause", "rests", said, "explain those parts otherwise first"))
    refuse(f"settle H{number}", missing)
    after = msgspec.structs.replace(
        found,
        state=state,
        settled_by="" if state == "open" else act.actor.reference,
        settled_at=None if state == "open" else act.now,
        reason=act.reason,
    )
    word = "open again" if state == "open" else state
    return _told(incident, after, f"H{number} {word}: {found.text}", act, before=found.state)


def _told(incident: Incident, after: Hypothesis, text: str, act: Act, **detail: Any) -> Change:
    kept = (*(one for one in incident.hypotheses if one.number != after.number), after)
    told = entry(incident, "hypothesis", text, act, detail={"number": after.number, **detail})
    ordered = tuple(sorted(kept, key=lambda one: one.number))
    return changed(incident, [told], act, hypotheses=ordered)
