"""Communications: drafted, approved by those who may, sent by a person, published. Pure.

An approval is of exactly one text. When the incident changes so that the text changes, it lapses:
what goes out is what people have read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.incidents.commands import Act, changed, entry, refuse, wanted_reason
from kintsugi.incidents.redaction import names_in, redacted
from kintsugi.incidents.templates import (
    Filled,
    Template,
    check_fields,
    digest_of,
    filled,
    template_of,
    templates,
)
from kintsugi.model.blocker import Blocker
from kintsugi.model.communication import Approval, Communication, Publication, Sending
from kintsugi.model.incident import ENDED, Actor, Change, Incident, new_id, person_of

_PUBLIC = "public"


class Writing(msgspec.Struct, frozen=True):
    """What an author gives; None leaves what there is.

    Attributes:
        said: by field; None says that it is not known yet.
        body: in place of the template's text; empty goes back to the template.
        next_update_at: what this audience is promised.
    """

    said: Mapping[str, str | None] = {}
    body: str | None = None
    next_update_at: datetime | None = None


def drafted(incident: Incident, audience: str, writing: Writing, act: Act) -> Change:
    """A new draft; the next message is promised by the template's cadence."""
    _check(writing, act)
    template = template_of(audience)
    made = Communication(
        id=new_id(act.now),
        incidents=(incident.id,),
        audience=audience,
        created_at=act.now,
        created_by=act.actor.reference,
        written_by=act.actor.reference,
        said=dict(writing.said),
        body=writing.body or None,
        next_update_at=writing.next_update_at or next_update(incident, template, act.now),
    )
    return _kept(incident, made, f"drafted for {template.title.lower()}", act)


def next_update(incident: Incident, template: Template, now: datetime) -> datetime | None:
    """When an audience should hear more, counted from now; None where nothing is promised, also
    because the incident has ended."""
    if incident.state in ENDED:
        return None
    minutes = template.update_minutes.get(incident.severity or "high")
    return None if minutes is None else now + timedelta(minutes=minutes)


def edited(incident: Incident, communication: Communication, writing: Writing, act: Act) -> Change:
    """Change a draft; whoever does so is its author from now on."""
    _check(writing, act)
    refuse("edit it", _not_a_draft(communication))
    after = msgspec.structs.replace(
        communication,
        written_by=act.actor.reference,
        said={**communication.said, **writing.said},
        body=communication.body if writing.body is None else writing.body or None,
        next_update_at=writing.next_update_at or communication.next_update_at,
    )
    return _kept(incident, after, "edited", act)


def approved(incident: Incident, communication: Communication, act: Act) -> Change:
    """Stand behind exactly this text."""
    message = filled(incident, communication)
    template = template_of(communication.audience)
    blockers = [*_not_a_draft(communication), *_missing(message)]
    role = _approving_role(incident, template, act.actor)
    if not template.approvals:
        blockers.append(Blocker("approvals", "approvals", "this audience needs none", "send it"))
    elif role is None:
        blockers.append(
            Blocker(
                "actor",
                "not_an_approver",
                f"only the {' or '.join(template.approvers)} of {incident.reference} may approve "
                f"what goes to {template.title.lower()}",
                "have one of them do it, or use a token with incidents:command",
            )
        )
    if person_of(communication.written_by) == act.actor.name:
        blockers.append(
            Blocker("actor", "own", "you wrote it", "somebody else has to stand behind it")
        )
    if any(person_of(one.by) == act.actor.name for one in standing(communication, message)):
        blockers.append(Blocker("actor", "approved", "you have approved this text already"))
    refuse("approve it", blockers)
    given = Approval(act.actor.reference, role or "", act.now, message.digest)
    after = msgspec.structs.replace(
        communication, approvals=(*standing(communication, message), given)
    )
    count = f"{len(after.approvals)} of {template.approvals}"
    return _kept(incident, after, f"approved ({count})", act, digest=message.digest)


def standing(communication: Communication, message: Filled) -> tuple[Approval, ...]:
    """The approvals of exactly this text."""
    return tuple(one for one in communication.approvals if one.digest == message.digest)


def sent(
    incident: Incident,
    communication: Communication,
    act: Act,
    *,
    to: str,
    channel: str,
    reference: str = "",
    waiting: Sequence[Communication] = (),
) -> Change:
    """It went out: a person has sent it, and says how. It never changes from then on.

    Args:
        waiting: earlier messages to this audience whose promise this one makes good.
    """
    message = filled(incident, communication)
    template = template_of(communication.audience)
    blockers = [*_not_a_draft(communication), *_missing(message)]
    lacking = template.approvals - len(standing(communication, message))
    if lacking > 0:
        lapsed = len(communication.approvals) - len(standing(communication, message))
        blockers.append(
            Blocker(
                "approvals",
                "approvals",
                f"{lacking} more people have to stand behind this text"
                + (f"; {lapsed} approved another one" if lapsed else ""),
                f"have the {' or '.join(template.approvers)} approve it",
            )
        )
    if communication.next_update_at is not None and communication.next_update_at <= act.now:
        blockers.append(
            Blocker(
                "next_update_at",
                "next_update_at",
                "the next update that it promises lies behind",
                "promise a later one (edit it); what was approved has to be approved again",
            )
        )
    refuse("send it", blockers)
    if not to.strip() or not channel.strip():
        raise InvalidInput("to, channel: say who got it, and how")
    happened = Sending(
        act.happened_at, act.actor.reference, to.strip(), channel.strip(), reference.strip()
    )
    after = msgspec.structs.replace(
        communication,
        state="sent",
        subject=message.subject,
        text=message.text,
        digest=message.digest,
        sent=happened,
    )
    kept = [after, *(msgspec.structs.replace(one, superseded=True) for one in waiting)]
    fields: dict[str, Any] = {"last_update_at": act.now} if communication.audience == "team" else {}
    told = _told(
        incident,
        after,
        f"sent to {template.title.lower()} ({happened.to}, {happened.channel}): {message.subject}",
        act,
        {"digest": message.digest, "next_update_at": after.next_update_at},
    )
    return changed(incident, [told], act, keep=kept, **fields)


def withdrawn(incident: Incident, communication: Communication, act: Act) -> Change:
    """Give up a draft. What was sent stays sent: send a correction."""
    refuse("withdraw it", [*_not_a_draft(communication), *wanted_reason(act)])
    after = msgspec.structs.replace(communication, state="withdrawn", end_reason=act.reason)
    return _kept(incident, after, "withdrawn", act)


def published(
    incident: Incident,
    communication: Communication,
    act: Act,
    *,
    terms: Sequence[str] = (),
) -> Change:
    """Show a message to the public in the public feed, redacted.

    Args:
        terms: further words that nobody outside may read.
    """
    blockers = _may_publish(incident, communication, act)
    if communication.state != "sent":
        blockers.append(Blocker("state", "state", f"it is a {communication.state}", "send it"))
    if communication.audience != _PUBLIC:
        blockers.append(
            Blocker(
                "audience",
                "audience",
                f"it was written for {communication.audience}",
                "write one for the public",
            )
        )
    refuse("publish it", blockers)
    names = names_in(incident)
    title = redacted(communication.subject, names, terms=terms)
    text = redacted(communication.text, names, terms=terms)
    publication = Publication(act.now, act.actor.reference, title, text, digest_of(title, text))
    after = msgspec.structs.replace(communication, publication=publication)
    return _kept(incident, after, f"published: {title}", act, digest=publication.digest)


def unpublished(incident: Incident, communication: Communication, act: Act) -> Change:
    """Take it out of the public feed. Readers may have kept it."""
    blockers = [*_may_publish(incident, communication, act), *wanted_reason(act)]
    if communication.publication is None:
        blockers.append(Blocker("publication", "publication", "it is not published"))
    refuse("take it back", blockers)
    after = msgspec.structs.replace(communication, publication=None)
    return _kept(incident, after, "taken out of the public feed", act)


def over(incident: Incident, communication: Communication, act: Act) -> Change:
    """Nobody waits for more: the incident has ended."""
    after = msgspec.structs.replace(communication, superseded=True)
    title = template_of(communication.audience).title.lower()
    return _kept(incident, after, f"nothing more is promised to {title}", act)


def _may_publish(incident: Incident, communication: Communication, act: Act) -> list[Blocker]:
    template = template_of(_PUBLIC)
    if _approving_role(incident, template, act.actor) is not None:
        return []
    return [
        Blocker(
            "actor",
            "not_an_approver",
            f"only the {' or '.join(template.approvers)} of {incident.reference} decides what the "
            f"public reads of {communication.id}",
            "have one of them do it, or use a token with incidents:command",
        )
    ]


def _approving_role(incident: Incident, template: Template, actor: Actor) -> str | None:
    for role in template.approvers:
        if actor.name in incident.holders(role):
            return role
    return "command" if actor.may_command else None


def _missing(message: Filled) -> list[Blocker]:
    return [
        Blocker(
            f"fields.{one.name}",
            "missing",
            f"nobody has said: {one.title}",
            "say it, or that it is not known yet",
        )
        for one in message.missing
    ]


def _not_a_draft(communication: Communication) -> list[Blocker]:
    if communication.state == "draft":
        return []
    return [Blocker("state", "state", f"it was {communication.state}", "write another one")]


def _check(writing: Writing, act: Act) -> None:
    for name in writing.said:
        if name not in templates().fields:
            known = ", ".join(templates().fields)
            raise InvalidInput(f'fields: there is no "{name}"; known: {known}')
    check_fields(writing.body or "")
    if writing.next_update_at is not None and writing.next_update_at <= act.now:
        raise InvalidInput("next_update_at: lies behind; promise a time that can be kept")


def _kept(
    incident: Incident,
    communication: Communication,
    text: str,
    act: Act,
    *,
    digest: str = "",
) -> Change:
    detail = {"digest": digest} if digest else {}
    told = _told(incident, communication, text, act, detail)
    return changed(incident, [told], act, keep=[communication])


def _told(
    incident: Incident,
    communication: Communication,
    text: str,
    act: Act,
    detail: dict[str, Any],
) -> Any:
    about = {"communication": communication.id, "audience": communication.audience}
    return entry(incident, "communication", text, act, detail={**about, **detail})
