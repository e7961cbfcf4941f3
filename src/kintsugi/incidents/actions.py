"""Actions: agreed, owned, dated, chased, ended. Pure.

A change of an action is told in the timeline of each incident that it belongs to, in whatever state
that incident is: what was promised is owed after the case is closed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.incidents.commands import Act, changed, entry, in_command, refuse, wanted_reason
from kintsugi.incidents.severity import duties_of
from kintsugi.model.action import ACTION_KINDS, Action, ActionKind
from kintsugi.model.blocker import Blocker
from kintsugi.model.followup import INCIDENTS_MAX
from kintsugi.model.incident import Change, Incident, new_id

_EVIDENCE_MAX: Final = 100
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")

Found = Sequence[Incident]


class NewAction(msgspec.Struct, frozen=True):
    """An action to agree on.

    Attributes:
        due_at: None for the default of the incident's severity.
    """

    title: str
    aim: ActionKind
    detail: str = ""
    owner: str = ""
    due_at: datetime | None = None
    ticket: str = ""


def agreed(incident: Incident, new: NewAction, act: Act) -> Change:
    """A new action of an incident; it takes back that none is needed."""
    if new.aim not in ACTION_KINDS:
        raise InvalidInput(f'aim: there is no "{new.aim}"; known: {", ".join(ACTION_KINDS)}')
    title = new.title.strip()
    if not title:
        raise InvalidInput("title: say what is to be done")
    due = new.due_at or act.now + timedelta(days=duties_of(incident.severity).action_days)
    _check_ahead(due, act)
    action = Action(
        id=new_id(act.now),
        incidents=(incident.id,),
        title=title,
        aim=new.aim,
        created_at=act.now,
        created_by=act.actor.reference,
        detail=new.detail,
        owner=new.owner.strip(),
        due_at=due,
        due_by_default=new.due_at is None,
        ticket=checked_ticket(new.ticket),
    )
    told = entry(incident, "action", f"agreed: {title}", act, detail=_told(action))
    return changed(incident, [told], act, keep=[action], no_actions="")


def none_needed(incident: Incident, act: Act, *, actions: int) -> Change:
    """Decide that nothing has to be done, and why; the commander's.

    Args:
        actions: how many it has that were not dropped.
    """
    blockers = [*in_command(incident, act), *wanted_reason(act)]
    if actions:
        blockers.append(
            Blocker("actions", "actions", f"it has {actions}", "drop each with a reason first")
        )
    refuse(f"decide that {incident.reference} needs no actions", blockers)
    told = entry(incident, "action", "no action is needed", act)
    return changed(incident, [told], act, no_actions=act.reason)


def assigned(found: Found, action: Action, owner: str, act: Act) -> tuple[Change, ...]:
    """Somebody has it from now on."""
    if not owner.strip():
        raise InvalidInput("owner: name the person who has it from now on")
    after = _open(action, "assign", owner=owner.strip())
    before = f", before: {action.owner}" if action.owner else ""
    return _all(found, after, f"{after.owner} has it{before}", act, before={"owner": action.owner})


def rescheduled(found: Found, action: Action, due_at: datetime, act: Act) -> tuple[Change, ...]:
    """Another date, with a reason."""
    refuse("reschedule it", wanted_reason(act))
    _check_ahead(due_at, act)
    after = _open(action, "reschedule", due_at=due_at, due_by_default=False)
    return _all(found, after, f"due {due_at:%Y-%m-%d}", act, before={"due_at": action.due_at})


def done(
    found: Found, action: Action, act: Act, *, evidence: Sequence[str] = ()
) -> tuple[Change, ...]:
    """It is done; what shows it is kept."""
    shown = tuple(dict.fromkeys([*action.evidence, *filter(None, map(str.strip, evidence))]))
    if len(shown) > _EVIDENCE_MAX:
        raise InvalidInput(f"evidence: {_EVIDENCE_MAX} pieces at most")
    if not shown and not act.reason.strip():
        refuse(
            "end it",
            [Blocker("evidence", "evidence", "nothing shows that it is done", "say what does")],
        )
    after = _open(
        action,
        "end",
        state="done",
        evidence=shown,
        ended_at=act.happened_at,
        ended_by=act.actor.reference,
        end_reason=act.reason,
    )
    return _all(found, after, "done", act)


def dropped(found: Found, action: Action, act: Act) -> tuple[Change, ...]:
    """It will not be done, and why."""
    refuse("drop it", wanted_reason(act))
    after = _open(
        action,
        "drop",
        state="dropped",
        ended_at=act.happened_at,
        ended_by=act.actor.reference,
        end_reason=act.reason,
    )
    return _all(found, after, "dropped", act)


def reopened(found: Found, action: Action, act: Act) -> tuple[Change, ...]:
    """It is not over after all."""
    blockers = wanted_reason(act)
    if action.state == "open":
        blockers.append(Blocker("action", "open", "it is open", "nothing has to be done"))
    refuse("reopen it", blockers)
    after = msgspec.structs.replace(action, state="open", ended_at=None, ended_by="", end_reason="")
    return _all(found, after, "open again", act)


def linked(
    found: Found, action: Action, act: Act, *, ticket: str | None = None
) -> tuple[Change, ...]:
    """Tie it to more incidents, or to a ticket in another tracker.

    Args:
        found: every incident that it belongs to from now on.
        ticket: None leaves it; empty takes it away.
    """
    incidents = tuple(dict.fromkeys(one.id for one in found))
    if len(incidents) > INCIDENTS_MAX:
        raise InvalidInput(f"incidents: {INCIDENTS_MAX} at most")
    address = action.ticket if ticket is None else checked_ticket(ticket)
    after = msgspec.structs.replace(action, incidents=incidents, ticket=address)
    said = []
    if incidents != action.incidents:
        said.append("belongs to " + ", ".join(one.reference for one in found))
    if address != action.ticket:
        said.append(f"ticket {address}" if address else "no ticket any more")
    if not said:
        raise InvalidInput("incidents, ticket: it is tied to that already")
    return _all(found, after, "; ".join(said), act)


def checked_ticket(address: str) -> str:
    """The address of a ticket.

    Raises:
        InvalidInput: it is no address that a browser may be sent to: https or http, a host, no
            password in it.
    """
    address = address.strip()
    if not address:
        return ""
    try:
        parts = urlsplit(address)
        host, user = parts.hostname or "", parts.username or parts.password
        _ = parts.port
    except ValueError:
        host, user, parts = "", None, urlsplit("")
    if (
        parts.scheme not in ("https", "http")
        or not _HOST.fullmatch(f"[{host}]" if ":" in host else host)
        or user is not None
        or any(character.isspace() or not character.isprintable() for character in address)
    ):
        raise InvalidInput(
            "ticket: give the address of one in another tracker, such as "
            "https://tracker.example/T-42, without a password in it"
        )
    return address


def gaps(actions: Sequence[Action], *, none_needed_because: str) -> list[str]:
    """What keeps the gate of actions closed: each is to be owned and dated, and there is one, or
    somebody has said why not."""
    kept = [one for one in actions if one.state != "dropped"]
    if not kept:
        return [] if none_needed_because else ["no action is agreed, nor is it said why none is"]
    missing = []
    for one in kept:
        if one.state == "open" and not one.owner:
            missing.append(f'nobody owns the action "{one.title}"')
        if one.state == "open" and one.due_at is None:
            missing.append(f'the action "{one.title}" has no date')
    return missing


def _open(action: Action, what: str, **fields: Any) -> Action:
    if action.state != "open":
        refuse(
            f"{what} it",
            [Blocker("action", "ended", f"it is {action.state}", "reopen it, or agree on another")],
        )
    return msgspec.structs.replace(action, **fields)


def _all(
    found: Found, action: Action, text: str, act: Act, *, before: dict[str, Any] | None = None
) -> tuple[Change, ...]:
    """The change of every incident that the action belongs to; the first one keeps the action."""
    detail = _told(action) | ({"before": before} if before else {})
    changes = []
    for number, incident in enumerate(found):
        told = entry(incident, "action", f"{action.title}: {text}", act, detail=detail)
        changes.append(changed(incident, [told], act, keep=[] if number else [action]))
    return tuple(changes)


def _told(action: Action) -> dict[str, Any]:
    return {
        "action": action.id,
        "aim": action.aim,
        "state": action.state,
        "owner": action.owner,
        "due_at": action.due_at,
        "ticket": action.ticket,
    }


def _check_ahead(due_at: datetime, act: Act) -> None:
    if due_at <= act.now:
        raise InvalidInput("due_at: lies behind; give a date that can be met")
