"""Ties between incidents, and between incidents and decision events.

A merge is a link, never a copy: the merged incident keeps its timeline and its events, which are
found under the other one as well, and it can be taken back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from kintsugi.errors import Blocked, InvalidInput
from kintsugi.incidents.commands import (
    Act,
    changed,
    entry,
    in_command,
    refuse,
    still_open,
    wanted_reason,
)
from kintsugi.incidents.lifecycle import MERGEABLE
from kintsugi.incidents.severity import ORDER, UNASSESSED
from kintsugi.model.blocker import Blocker
from kintsugi.model.event import DecisionEvent
from kintsugi.model.incident import Change, Incident, IncidentLink, LinkKind, State

_NOT_DECLARED: Final[frozenset[State]] = frozenset({"reported", "triage", "not_an_incident"})
_OTHER_WAY: Final[dict[LinkKind, LinkKind]] = {
    "recurrence_of": "recurred_in",
    "recurred_in": "recurrence_of",
    "related": "related",
    "not_similar": "not_similar",
}


def merged(incident: Incident, into: Incident, act: Act) -> tuple[Change, Change]:
    """Make an incident a duplicate of another.

    Raises:
        Blocked: with everything that stands in the way.
    """
    found = [*wanted_reason(act), *in_command(into, act)]
    if incident.id == into.id:
        found.append(Blocker("into", "itself", "it cannot be merged into itself", "name another"))
    if incident.state not in MERGEABLE:
        found.append(
            Blocker("state", "state", f"{incident.reference} is {incident.state}", "reopen it")
        )
    if into.state == "merged":
        found.append(
            Blocker("into", "merged", f"{into.reference} is itself merged", "name its target")
        )
    found += _escapes(incident, into)
    refuse(f"merge {incident.reference} into {into.reference}", found)
    gone = entry(
        incident,
        "transition",
        f"merged into {into.reference}",
        act,
        detail={"from": incident.state, "to": "merged", "into": into.id, "verb": "merge"},
    )
    come = entry(
        into,
        "link",
        f"{incident.reference} merged into this: {incident.title}",
        act,
        detail={"merged": incident.id, "reference": incident.reference},
    )
    first = changed(
        incident,
        [gone],
        act,
        state="merged",
        merged_into=into.id,
        merged_from=incident.state,
        reached={**incident.reached, "merged": act.happened_at},
    )
    return first, changed(into, [come], act)


def _escapes(incident: Incident, into: Incident) -> Iterator[Blocker]:
    """What has to be there to close an incident is not got around by merging it."""
    if incident.state not in _NOT_DECLARED and into.state in ("closed", "not_an_incident"):
        told = f"{into.reference} is over: what was declared goes its own way"
        yield Blocker("into", "over", told, "link them, or reopen the other one first")
    severity, other = incident.severity, into.severity
    if severity is not None and ORDER.index(severity) > ORDER.index(other or UNASSESSED):
        told = f"{into.reference} is {other or 'not assessed'}, and {incident.reference} is "
        hint = "merge the other way, or raise the other one first"
        yield Blocker("into", "less_severe", f"{told}{severity}", hint)


def unmerged(incident: Incident, into: Incident, act: Act) -> tuple[Change, Change]:
    """Take a merge back; the incident stands again where it stood.

    Raises:
        Blocked: it is not merged, or no reason is given.
    """
    found = wanted_reason(act)
    if incident.merged_from is None or incident.state != "merged":
        found.append(Blocker("state", "state", f"{incident.reference} is not merged"))
        raise Blocked(f"cannot unmerge {incident.reference}: it is not merged", found)
    refuse(f"unmerge {incident.reference}", found)
    back = entry(
        incident,
        "transition",
        f"no longer merged into {into.reference}",
        act,
        detail={"from": "merged", "to": incident.merged_from, "verb": "unmerge"},
    )
    lost = entry(
        into,
        "link",
        f"{incident.reference} is no longer merged into this",
        act,
        detail={"unmerged": incident.id},
    )
    first = changed(
        incident,
        [back],
        act,
        state=incident.merged_from,
        merged_into="",
        merged_from=None,
    )
    return first, changed(into, [lost], act)


def linked(incident: Incident, other: Incident, kind: LinkKind, act: Act) -> tuple[Change, Change]:
    """Tie two incidents: a recurrence, just related, or not similar after all. Both tell of it.

    Raises:
        Blocked: to itself, or twice, or a recurrence of something that is not over.
        InvalidInput: a kind that only splitting makes.
    """
    if kind not in _OTHER_WAY:
        raise InvalidInput(f"kind: use one of {', '.join(_OTHER_WAY)}")
    found = []
    if incident.id == other.id:
        found.append(Blocker("to", "itself", "it cannot be linked to itself", "name another"))
    if any(one.incident_id == other.id and one.kind == kind for one in incident.links):
        found.append(Blocker("to", "linked", f"{other.reference} is linked already"))
    earlier = other if kind == "recurrence_of" else incident
    if kind in ("recurrence_of", "recurred_in") and earlier.state not in (
        "monitoring",
        "review",
        "closed",
    ):
        found.append(
            Blocker(
                "to",
                "not_over",
                f"{earlier.reference} is {earlier.state}: what is not over cannot recur",
                "merge them, or relapse it",
            )
        )
    refuse(f"link {incident.reference} to {other.reference}", found)
    return (
        _tie(incident, other, kind, act),
        _tie(other, incident, _OTHER_WAY[kind], act),
    )


def _tie(incident: Incident, other: Incident, kind: LinkKind, act: Act) -> Change:
    link = IncidentLink(kind, other.id, other.reference, act.actor.reference, act.now, act.reason)
    told = entry(
        incident,
        "link",
        f"{kind.replace('_', ' ')} {other.reference}: {other.title}",
        act,
        detail={"kind": kind, "incident": other.id, "reference": other.reference},
    )
    return changed(incident, [told], act, links=(*incident.links, link))


def with_events(incident: Incident, events: Sequence[str], act: Act) -> Change:
    """Tie decision events to an incident; one that is tied already stays so.

    Raises:
        InvalidInput: none is named.
        Blocked: the incident has ended.
    """
    still_open(incident, f"tie events to {incident.reference}")
    if not events:
        raise InvalidInput("event_ids: name at least one")
    told = entry(
        incident,
        "evidence",
        f"{len(events)} decision event{'s' if len(events) > 1 else ''} tied to it",
        act,
        detail={"events": list(events)},
    )
    return changed(incident, [told], act, add_events=events)


def without_events(incident: Incident, events: Sequence[str], act: Act) -> Change:
    """Untie decision events, with a reason; the events themselves stay as they are.

    Raises:
        Blocked: the incident has ended, or no reason is given.
        InvalidInput: none is named.
    """
    still_open(incident, f"untie events from {incident.reference}")
    if not events:
        raise InvalidInput("event_ids: name at least one")
    refuse(f"untie events from {incident.reference}", wanted_reason(act))
    told = entry(
        incident,
        "evidence",
        f"{len(events)} decision event{'s' if len(events) > 1 else ''} untied from it",
        act,
        detail={"untied": list(events)},
    )
    return changed(incident, [told], act, remove_events=events)


def promoted(incident: Incident, event: DecisionEvent, act: Act, *, text: str = "") -> Change:
    """Make a decision event an entry of the timeline, at the time when it happened."""
    still_open(incident, f"promote an event to {incident.reference}")
    said = text.strip() or _in_words(event)
    at_event = Act(act.actor, act.now, min(event.timestamp, act.now), act.reason)
    told = entry(
        incident,
        "event",
        said,
        at_event,
        detail={
            "event_id": event.id,
            "verdict": event.verdict.name.lower(),
            "reason_code": event.reason_code,
            "policy_name": event.policy_name,
            "config_version": event.config_version,
        },
    )
    return changed(incident, [told], act, add_events=[event.id])


def _in_words(event: DecisionEvent) -> str:
    policy = f" by {event.policy_name}" if event.policy_name else ""
    return f"decision {event.verdict.past}{policy}: {event.reason_code}"
