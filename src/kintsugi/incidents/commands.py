"""How every command on an incident is built: what was decided becomes a change with its entries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from kintsugi.errors import Blocked, InvalidInput
from kintsugi.model.blocker import Blocker
from kintsugi.model.followup import Followup
from kintsugi.model.incident import Actor, Change, Entry, EntryKind, Incident, new_id

# Clocks of two machines differ a little; what somebody says happens "now" is not refused for it.
_AHEAD = timedelta(minutes=5)


class Act(msgspec.Struct, frozen=True):
    """Who does something, and when.

    Attributes:
        now: when it is recorded.
        at: when it happened, where that is not now.
        reason: in the actor's words.
    """

    actor: Actor
    now: datetime
    at: datetime | None = None
    reason: str = ""

    @property
    def happened_at(self) -> datetime:
        """The event time.

        Raises:
            InvalidInput: it lies ahead.
        """
        at = self.at or self.now
        if at > self.now + _AHEAD:
            raise InvalidInput("at: lies ahead; say when it happened")
        return at


def entry(
    incident: Incident,
    kind: EntryKind,
    text: str,
    act: Act,
    *,
    about: str = "",
    detail: dict[str, Any] | None = None,
) -> Entry:
    """A new entry of an incident's timeline."""
    return Entry(
        id=new_id(act.now),
        incident_id=incident.id,
        at=act.happened_at,
        recorded_at=act.now,
        actor=act.actor.reference,
        kind=kind,
        text=text,
        reason=act.reason,
        about=about,
        detail=detail or {},
    )


def changed(
    incident: Incident,
    entries: Sequence[Entry],
    act: Act,
    *,
    add_events: Sequence[str] = (),
    remove_events: Sequence[str] = (),
    keep: Sequence[Followup] = (),
    **fields: Any,
) -> Change:
    """The incident with some fields replaced, and the entries that tell of it."""
    after = msgspec.structs.replace(incident, updated_at=act.now, **fields)
    return Change(after, tuple(entries), tuple(add_events), tuple(remove_events), tuple(keep))


def refuse(what: str, blockers: Sequence[Blocker]) -> None:
    """Raise when anything stands in the way.

    Raises:
        Blocked: with all of it.
    """
    if blockers:
        count = f"{len(blockers)} things stand" if len(blockers) > 1 else "one thing stands"
        first = blockers[0].message
        more = "" if len(blockers) == 1 else " (and more, see errors)"
        raise Blocked(f"cannot {what}: {count} in the way: {first}{more}", blockers)


def in_command(incident: Incident, act: Act) -> list[Blocker]:
    """What keeps the actor from commanding this incident."""
    if act.actor.may_command or act.actor.name in incident.holders("commander"):
        return []
    holders = ", ".join(incident.holders("commander")) or "nobody yet"
    return [
        Blocker(
            "actor",
            "not_in_command",
            f"only the incident commander does this ({holders})",
            "have the commander do it, be assigned as commander, or use a token with "
            "incidents:command",
        )
    ]


def still_open(incident: Incident, what: str) -> None:
    """Raise when it has ended.

    Raises:
        Blocked: reopen it first.
    """
    if incident.state in ("closed", "not_an_incident", "merged"):
        verb = "unmerge" if incident.state == "merged" else "reopen"
        refuse(
            what,
            [Blocker("state", "ended", f"{incident.reference} is {incident.state}", f"{verb} it")],
        )


def wanted_reason(act: Act) -> list[Blocker]:
    """What is missing where a reason is asked for."""
    if act.reason.strip():
        return []
    return [Blocker("reason", "reason", "a reason is needed", "say why; it is kept")]
