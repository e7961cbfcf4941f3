"""``/v1/communications``: what is told about incidents, to whom, and who stands behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, part
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.edits import DryRun, etag
from kintsugi.api.event_query import PageQuery
from kintsugi.api.followups import FollowupId, decided, followup, kept
from kintsugi.api.incident_changes import Edit, Editing
from kintsugi.api.incidents import Doing
from kintsugi.api.permissions import Scope
from kintsugi.api.relative_time import due_in
from kintsugi.api.routing import Routes
from kintsugi.incidents import communications
from kintsugi.incidents.communications import Writing, standing
from kintsugi.incidents.drafts import DraftField
from kintsugi.incidents.templates import Templates, filled, template_of, templates
from kintsugi.model.communication import (
    Approval,
    Communication,
    CommunicationState,
    Publication,
    Sending,
)
from kintsugi.model.followup import FollowupFilter
from kintsugi.model.incident import Change, Incident

routes = Routes("communications")

# Of one audience, so many messages are looked at for promises that the next one makes good.
_WAITING_MAX = 50

FieldName = Annotated[str, Field(max_length=100)]
Key = Annotated[str, Field(min_length=1, max_length=64)]
Line = Annotated[str, Field(min_length=1, max_length=300)]


class CommunicationsQuery(PageQuery):
    """Which messages."""

    incident: Annotated[str, Field(max_length=64)] = ""
    audience: FieldName = ""
    state: CommunicationState | Literal["published", ""] = ""


class Draft(Doing):
    """What an author gives.

    Attributes:
        fields: what there is to say, by name; null says that it is not known yet.
        body: in place of the template's text, with its fields in braces; empty takes it back.
        next_update_at: when this audience was promised more; by the template's cadence at first.
    """

    fields: Annotated[
        dict[FieldName, Annotated[str, Field(max_length=20_000)] | None],
        Field(default_factory=dict),
    ]
    body: Annotated[str, Field(max_length=50_000)] | None = None
    next_update_at: Annotated[
        str, Field(max_length=64, description="RFC 3339, a day, or +2h for so long from now")
    ] = ""


class NewDraft(Draft):
    """A message to write: because of which incident, and to whom."""

    incident: Key
    audience: FieldName


class Sent(Doing):
    """That a person has sent it; ``at`` is when.

    Attributes:
        to: who got it: a list, an authority, a page.
        channel: mail, chat, call, portal, page.
        reference: of the message where it was sent.
    """

    to: Line
    channel: Line
    reference: Annotated[str, Field(max_length=2000)] = ""


class Publishing(Doing):
    """Further words that nobody outside may read, besides names, personal data and secrets."""

    redact: Annotated[list[Line], Field(max_length=200, default_factory=list)]


class CommunicationView(msgspec.Struct, frozen=True):
    """One message.

    Attributes:
        subject, text: as they were sent, or as they would be sent now.
        fields: of a draft: had, missing, unknown or not applicable, and from whom.
        approvals: of exactly this text; ``lapsed`` counts those of another one.
        approvals_needed: of so many people, besides who wrote it.
        overdue: it promised more, the time has passed, and nothing came.
    """

    id: str
    version: int
    incident: str
    audience: str
    outside: bool
    state: CommunicationState
    subject: str
    text: str
    digest: str
    fields: tuple[DraftField, ...]
    approvals: tuple[Approval, ...]
    approvals_needed: int
    lapsed: int
    written_by: str
    created_at: datetime
    created_by: str
    sent: Sending | None
    next_update_at: datetime | None
    overdue: bool
    publication: Publication | None
    end_reason: str


def view_of(control: Control, communication: Communication) -> CommunicationView:
    """As the API and the console show it."""
    incident = control.stores.incidents.get(communication.incidents[0])
    message = filled(incident, communication)
    template = template_of(communication.audience)
    valid = standing(communication, message)
    due = communication.due_at
    return CommunicationView(
        id=communication.id,
        version=communication.version,
        incident=incident.reference,
        audience=communication.audience,
        outside=template.outside,
        state=communication.state,
        subject=message.subject,
        text=message.text,
        digest=message.digest,
        fields=message.fields,
        approvals=valid,
        approvals_needed=template.approvals,
        lapsed=len(communication.approvals) - len(valid),
        written_by=communication.written_by,
        created_at=communication.created_at,
        created_by=communication.created_by,
        sent=communication.sent,
        next_update_at=communication.next_update_at,
        overdue=not communication.settled and due is not None and due < control.clock(),
        publication=communication.publication,
        end_reason=communication.end_reason,
    )


@routes.add("GET", "/v1/communications/templates", Scope.INCIDENTS_READ, answer=One[Templates])
def list_communication_templates() -> Response:
    """Audiences with their texts, fields, cadence and approvals."""
    return one(templates())


@routes.add(
    "GET",
    "/v1/communications",
    Scope.INCIDENTS_READ,
    answer=Page[CommunicationView],
    parameters=True,
)
def list_communications(control: Ctl, query: Annotated[CommunicationsQuery, Query()]) -> Response:
    """Messages, newest first. ``meta.total`` counts what this page shows."""
    where = FollowupFilter(
        kind="communication",
        incident=control.stores.incidents.get(query.incident).id if query.incident else "",
        party=query.audience,
        status=query.state,
    )
    found, cursor = control.stores.followups.page(
        where, order="newest", limit=max(query.limit, 1), cursor=query.cursor
    )
    return part(
        [view_of(control, each) for each in found if isinstance(each, Communication)], cursor
    )


@routes.add(
    "GET",
    "/v1/communications/{communication_id}",
    Scope.INCIDENTS_READ,
    answer=One[CommunicationView],
)
def show_communication(control: Ctl, communication_id: FollowupId) -> Response:
    """One message, a draft with its fields filled in as far as that goes now."""
    return _shown(control, followup(control, communication_id, Communication, "communication"))


@routes.add(
    "POST",
    "/v1/communications",
    Scope.INCIDENTS_RESPOND,
    answer=One[CommunicationView],
    dry_run=One[CommunicationView],
    status=201,
    parameters=True,
)
def draft_communication(control: Ctl, caller: Caller, query: DryRun, draft: NewDraft) -> Response:
    """Write to an audience, from its template."""
    act = draft.act(control, caller)
    writing = _writing(draft, act.now)
    made = kept(
        control,
        draft.incident,
        lambda incident: communications.drafted(incident, draft.audience, writing, act),
        dry_run=query.dry_run,
    )
    return _shown(control, made, status=200 if query.dry_run else 201)


def _verb(verb: str) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    return routes.add(
        "POST",
        f"/v1/communications/{{communication_id}}/{verb}",
        Scope.INCIDENTS_RESPOND,
        answer=One[CommunicationView],
        parameters=True,
    )


@_verb("edit")
def edit_communication(edit: Editing, communication_id: FollowupId, draft: Draft) -> Response:
    """Change a draft. Approvals of the text before lapse."""
    act = edit.act(draft)
    writing = _writing(draft, act.now)
    return _decided(
        edit,
        communication_id,
        lambda incident, found: communications.edited(incident, found, writing, act),
    )


@_verb("send")
def send_communication(edit: Editing, communication_id: FollowupId, given: Sent) -> Response:
    """Record that it went out. Kintsugi sends nothing to anybody outside by itself."""
    act = edit.act(given)

    def decide(incident: Incident, found: Communication) -> Change:
        return communications.sent(
            incident,
            found,
            act,
            to=given.to,
            channel=given.channel,
            reference=given.reference,
            waiting=waiting(edit.control, incident, found.audience),
        )

    return _decided(edit, communication_id, decide)


@_verb("publish")
def publish_communication(
    edit: Editing, communication_id: FollowupId, given: Publishing
) -> Response:
    """Show it to everybody in the public feed, redacted; a dry run shows how it would read."""
    act = edit.act(given)
    return _decided(
        edit,
        communication_id,
        lambda incident, found: communications.published(incident, found, act, terms=given.redact),
    )


def _add_plain(verb: str, decide: Any, said: str) -> None:
    def do(edit: Editing, communication_id: FollowupId, doing: Doing | None = None) -> Response:
        act = edit.act(doing)
        return _decided(
            edit, communication_id, lambda incident, found: decide(incident, found, act)
        )

    do.__name__ = f"{verb}_communication"
    do.__doc__ = said
    _verb(verb)(do)


_add_plain("approve", communications.approved, "Stand behind exactly this text.")
_add_plain("withdraw", communications.withdrawn, "Give up a draft, and say why.")
_add_plain("unpublish", communications.unpublished, "Take it out of the public feed; say why.")


def waiting(control: Control, incident: Incident, audience: str) -> list[Communication]:
    """Messages whose promise to an audience nothing has made good yet."""
    where = FollowupFilter(
        kind="communication", incident=incident.id, party=audience, settled=False
    )
    found, _ = control.stores.followups.page(where, order="due", limit=_WAITING_MAX)
    return [each for each in found if isinstance(each, Communication)]


def _writing(draft: Draft, now: datetime) -> Writing:
    promised = draft.next_update_at
    due = due_in("next_update_at", promised, now=now) if promised else None
    return Writing(draft.fields, draft.body, due)


def _decided(
    edit: Edit, communication_id: str, decide: Callable[[Incident, Communication], Change]
) -> Response:
    def on(found: Sequence[Incident], communication: Communication) -> tuple[Change, ...]:
        return (decide(found[0], communication),)

    after = decided(
        edit.control,
        communication_id,
        Communication,
        "communication",
        on,
        edit.if_match,
        dry_run=edit.dry_run,
    )
    return _shown(edit.control, after)


def _shown(control: Control, communication: Communication, *, status: int = 200) -> Response:
    headers = {"etag": etag(communication.version)}
    return one(view_of(control, communication), status=status, headers=headers)
