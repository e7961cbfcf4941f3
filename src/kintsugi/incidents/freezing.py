"""Evidence freezes: what one pins, what its timeline says, and what the evidence gate asks of all.

Pure; ``api/freeze_worker.py`` does the reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.incidents.commands import Act, entry, still_open
from kintsugi.model.containment import ContainmentScope
from kintsugi.model.custody import CustodyEntry, custody_entry
from kintsugi.model.event import DecisionEvent
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.evidence import Evidence, State
from kintsugi.model.freeze import Freeze
from kintsugi.model.holds import Hold
from kintsugi.model.incident import Actor, Entry, Incident, new_id

#: What a containment freezes of its scope.
SNAPSHOT_WINDOW: Final = timedelta(hours=1)
SYSTEM: Final = "system/freeze"

# What a scope may name and the narrow row of an event has; the rest of a scope does not narrow.
_FILTERED: Final = ("workflow", "agent", "session", "user", "team", "tenant", "model")
_SCOPE_VALUES_MAX: Final = 20
# Of the table of CONTRACT §6: what counts as missing.
_LACKING: Final = (State.PARTIAL, State.MISSING)


class Begun(msgspec.Struct, frozen=True):
    """A freeze that is to begin, with everything that is stored along with it."""

    freeze: Freeze
    hold: Hold
    custody: CustodyEntry
    told: Entry


def begun(
    incident: Incident, where: EventFilter, bound: int, act: Act, *, origin: str = ""
) -> Begun:
    """Freeze what passes a filter, up to a position of the store.

    Without a window or filter it is what is tied to the incident already.

    Args:
        origin: what asks for it, where no person does.

    Raises:
        Blocked: the incident has ended.
        InvalidInput: nothing is tied to it, and nothing else is said.
    """
    still_open(incident, f"freeze evidence of {incident.reference}")
    if where == EventFilter():
        if not incident.event_count:
            raise InvalidInput(
                "body.filter: nothing is tied to this incident yet: say what to freeze, by a "
                "window (since, until) or a filter (trace, workflow, user, ...)"
            )
        where = EventFilter(incident=incident.id)
    else:
        where = msgspec.structs.replace(where, until=where.until or act.now)
    freeze_id, hold_id = new_id(act.now), new_id(act.now)
    by = act.actor.reference
    freeze = Freeze(
        id=freeze_id,
        incident_id=incident.id,
        where=where,
        bound=bound,
        asked_at=act.now,
        asked_by=by,
        hold_id=hold_id,
        reason=act.reason,
        origin=origin,
    )
    hold = Hold(
        id=hold_id,
        name=f"{incident.reference} freeze {freeze_id[-12:]}",
        reason=act.reason or f"evidence of {incident.reference}",
        placed_by=by,
        placed_at=act.now,
        where=where,
        incident_id=incident.id,
    )
    told = entry(
        incident,
        "evidence",
        f"freezing evidence{' for a containment' if origin else ''}: {in_words(where)}",
        act,
        detail={"freeze": freeze_id, "hold": hold_id, "bound": bound, "origin": origin},
    )
    custody = custody_entry("hold", f"hold:{hold_id}", actor=by, now=act.now, reason=hold.reason)
    return Begun(freeze, hold, custody, told)


def scope_filter(scope: ContainmentScope, *, now: datetime) -> EventFilter:
    """The last hour of a containment's scope. What events cannot be told apart by (patterns, keys,
    regions, languages) does not narrow it: rather too much is kept than too little."""
    exact = {
        name: value
        for name in _FILTERED
        if (value := getattr(scope, name)) and "*" not in value and "?" not in value
    }
    return EventFilter(since=now - SNAPSHOT_WINDOW, until=now, **exact)


def told_frozen(incident: Incident, freeze: Freeze, *, now: datetime) -> Entry:
    """The entry that says what was frozen, and what is missing."""
    missing = missing_kinds(freeze.evidence)
    lacking = f"; missing or partial: {', '.join(missing)}" if missing else "; nothing is missing"
    return _told(
        incident,
        f"{freeze.frozen:,} decision event{'s' if freeze.frozen != 1 else ''} frozen{lacking}",
        freeze,
        {"events": freeze.frozen, "digest": freeze.digest, "missing": missing},
        now=now,
    )


def told_verified(incident: Incident, freeze: Freeze, *, now: datetime) -> Entry:
    """The entry that says what came of a check."""
    found = freeze.verification
    problems = found.problems if found else ()
    text = (
        f"frozen evidence verified: {freeze.frozen:,} events are as they were recorded"
        if not problems
        else f"frozen evidence does NOT verify: {problems[0]}"
    )
    return _told(
        incident, text, freeze, {"problems": list(problems), "digest": freeze.digest}, now=now
    )


def _told(
    incident: Incident, text: str, freeze: Freeze, detail: dict[str, object], *, now: datetime
) -> Entry:
    by = freeze.verify_by if freeze.task == "verify" else SYSTEM
    act = Act(Actor(by.partition("/")[0], by), now)
    return entry(incident, "evidence", text, act, detail={"freeze": freeze.id, **detail})


def missing_kinds(evidence: Iterable[Evidence]) -> list[str]:
    """Keys of the lines of the table that tell of something missing."""
    return [one.key for one in evidence if one.state in _LACKING]


def missing_evidence(freezes: Sequence[Freeze]) -> tuple[str, ...]:
    """What keeps the evidence gate shut: something is frozen, and all that is frozen verifies."""
    if not freezes:
        return ("no evidence is frozen",)
    missing = []
    pinned = [one.where for one in freezes if one.state != "failed"]
    for one in freezes:
        if one.state == "failed" and one.frozen_at is None:
            if one.where in pinned:
                continue  # it was done again
            missing.append(f"freeze {one.id} failed: {one.error}")
        elif one.frozen_at is None:
            missing.append(f"freeze {one.id} is under way: {one.progress:,} events so far")
        elif one.verification is None:
            missing.append(f"freeze {one.id} is not verified")
        elif one.verification.problems:
            missing.append(f"freeze {one.id} does not verify: {one.verification.problems[0]}")
    return tuple(missing)


class Names:
    """Counts what events name, for ``Incident.scope``."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}

    def add(self, event: DecisionEvent) -> None:
        """Count an event."""
        said = {
            "workflow": event.workflow,
            "agent": event.agent_id,
            "gateway": event.gateway_id,
            "configuration": event.config_version.rpartition("@")[0],
            "policy": event.policy_name,
            "model": event.model,
        }
        for name, value in said.items():
            if value:
                self._counts.setdefault(name, Counter())[value] += 1

    def scope(self) -> dict[str, tuple[str, ...]]:
        """The names that were said most."""
        return {
            name: tuple(value for value, _ in counts.most_common(_SCOPE_VALUES_MAX))
            for name, counts in sorted(self._counts.items())
        }


def in_words(where: EventFilter) -> str:
    """A filter for people: ``since=..., workflow=support``."""
    told = msgspec.to_builtins(where)
    return ", ".join(f"{name}={value}" for name, value in told.items() if value) or "everything"
