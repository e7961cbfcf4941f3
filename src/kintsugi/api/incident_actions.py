"""``/v1/actions``: what was promised because of incidents, chased until it ends.

Without If-Match a change is made to the action as it is; with it, only to the version that the
caller has read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, part, whole
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.edits import DryRun, etag
from kintsugi.api.event_query import PageQuery
from kintsugi.api.followups import DecideOn, FollowupId, all_of, decided, followup, kept
from kintsugi.api.incident_changes import Edit, Editing
from kintsugi.api.incident_views import IncidentView
from kintsugi.api.incidents import Doing, IncidentKey, Title, Words
from kintsugi.api.permissions import Scope
from kintsugi.api.relative_time import due_in
from kintsugi.api.routing import Routes
from kintsugi.api.sight import seen_among
from kintsugi.incidents import actions
from kintsugi.model.action import ACTION_KINDS, Action, ActionKind, ActionState
from kintsugi.model.followup import INCIDENTS_MAX, FollowupFilter
from kintsugi.model.incident import Change, Incident

routes = Routes("actions")

Person = Annotated[str, Field(max_length=300)]
Due = Annotated[
    str,
    Field(max_length=64, description="RFC 3339, a day (its end, UTC), or +3d for so long from now"),
]
Key = Annotated[str, Field(min_length=1, max_length=64)]
Address = Annotated[str, Field(max_length=2000)]


class ActionsQuery(PageQuery):
    """Which actions; those that are open, unless asked otherwise."""

    state: ActionState | Literal["overdue", "all"] = "open"
    owner: Person = ""
    incident: Annotated[str, Field(max_length=64)] = ""


class Agreement(Doing):
    """What is to be done.

    Attributes:
        kind: what sort of action it is.
        due_at: the default of the incident's severity where it is left out.
    """

    title: Title
    kind: ActionKind
    detail: Words = ""
    owner: Person = ""
    due_at: Due = ""
    ticket: Address = ""


class ActionOf(Agreement):
    """What is to be done, and because of which incident."""

    incident: Key


class Owner(Doing):
    """Who has it from now on."""

    owner: Annotated[str, Field(min_length=1, max_length=300)]


class Date(Doing):
    """Until when, and why not earlier."""

    due_at: Annotated[Due, Field(min_length=1)]


class Done(Doing):
    """What shows that it is done: digests, ids, addresses."""

    evidence: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=2000)]],
        Field(max_length=100, default_factory=list),
    ]


class LinkTo(Doing):
    """More incidents that it belongs to, or its ticket in another tracker; empty takes it away."""

    incidents: Annotated[list[Key], Field(max_length=INCIDENTS_MAX, default_factory=list)]
    ticket: Address | None = None


class ActionView(msgspec.Struct, frozen=True):
    """One action.

    Attributes:
        incidents: references; the first is where it was agreed.
        overdue: it is open, and its date has passed.
        age_days: from when it was agreed to its end, or until now.
    """

    id: str
    version: int
    title: str
    kind: ActionKind
    state: ActionState
    owner: str
    due_at: datetime | None
    due_by_default: bool
    overdue: bool
    age_days: float
    incidents: tuple[str, ...]
    detail: str
    ticket: str
    evidence: tuple[str, ...]
    created_at: datetime
    created_by: str
    ended_at: datetime | None
    ended_by: str
    end_reason: str


class ActionVocabulary(msgspec.Struct, frozen=True):
    """The kinds of actions, and what each is for."""

    kinds: dict[str, str]


def views_of(control: Control, found: Sequence[Action]) -> list[ActionView]:
    """As the API and the console show them; each incident is looked up once."""
    wanted = dict.fromkeys(incident for action in found for incident in action.incidents)
    references = {one.id: one.reference for one in seen_among(control.stores, wanted)}
    now = control.clock()
    return [_view(action, references, now=now) for action in found]


def _view(action: Action, references: Mapping[str, str], *, now: datetime) -> ActionView:
    return ActionView(
        id=action.id,
        version=action.version,
        title=action.title,
        kind=action.aim,
        state=action.state,
        owner=action.owner,
        due_at=action.due_at,
        due_by_default=action.due_by_default,
        overdue=action.overdue(now),
        age_days=round(((action.ended_at or now) - action.created_at).total_seconds() / 86_400, 2),
        incidents=tuple(references[one] for one in action.incidents if one in references),
        detail=action.detail,
        ticket=action.ticket,
        evidence=action.evidence,
        created_at=action.created_at,
        created_by=action.created_by,
        ended_at=action.ended_at,
        ended_by=action.ended_by,
        end_reason=action.end_reason,
    )


@routes.add("GET", "/v1/actions", Scope.INCIDENTS_READ, answer=Page[ActionView], parameters=True)
def list_actions(control: Ctl, query: Annotated[ActionsQuery, Query()]) -> Response:
    """Actions, the soonest due first. ``meta.total`` counts what this page shows."""
    where = FollowupFilter(
        kind="action",
        incident=control.stores.incidents.get(query.incident).id if query.incident else "",
        party=query.owner,
        status="" if query.state == "all" else "open" if query.state == "overdue" else query.state,
        settled=False if query.state in ("open", "overdue") else None,
        due_before=control.clock() if query.state == "overdue" else None,
    )
    found, cursor = control.stores.followups.page(
        where, order="due", limit=max(query.limit, 1), cursor=query.cursor
    )
    return part(views_of(control, [one for one in found if isinstance(one, Action)]), cursor)


@routes.add("GET", "/v1/actions/vocabulary", Scope.INCIDENTS_READ, answer=One[ActionVocabulary])
def action_vocabulary() -> Response:
    """The kinds of actions."""
    return one(ActionVocabulary({str(kind): said for kind, said in ACTION_KINDS.items()}))


@routes.add("GET", "/v1/actions/{action_id}", Scope.INCIDENTS_READ, answer=One[ActionView])
def show_action(control: Ctl, action_id: FollowupId) -> Response:
    """One action. Send its ETag as If-Match with a change to it."""
    return _shown(control, followup(control, action_id, Action, "action"))


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/actions",
    Scope.INCIDENTS_READ,
    answer=Page[ActionView],
)
def list_incident_actions(control: Ctl, incident_id: IncidentKey) -> Response:
    """Every action of one incident, in the order in which they were agreed."""
    found = control.stores.incidents.get(incident_id)
    return whole([*views_of(control, all_of(control, found, "action"))])


@routes.add(
    "POST",
    "/v1/actions",
    Scope.INCIDENTS_RESPOND,
    answer=One[ActionView],
    dry_run=One[ActionView],
    status=201,
    parameters=True,
)
def agree_action(control: Ctl, caller: Caller, query: DryRun, agreement: ActionOf) -> Response:
    """Agree on something to be done because of an incident."""
    act = agreement.act(control, caller)
    due = due_in("due_at", agreement.due_at, now=act.now) if agreement.due_at else None
    new = actions.NewAction(
        agreement.title, agreement.kind, agreement.detail, agreement.owner, due, agreement.ticket
    )
    made = kept(
        control,
        agreement.incident,
        lambda incident: actions.agreed(incident, new, act),
        dry_run=query.dry_run,
    )
    return _shown(control, made, status=200 if query.dry_run else 201)


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/no-actions",
    Scope.INCIDENTS_RESPOND,
    answer=One[IncidentView],
    parameters=True,
)
def need_no_incident_actions(edit: Editing, incident_id: IncidentKey, doing: Doing) -> Response:
    """Decide that nothing has to be done because of it, and why; the commander's."""
    act = edit.act(doing)

    def decide(incident: Incident) -> Change:
        agreed = all_of(edit.control, incident, "action")
        open_ones = [one for one in agreed if one.state != "dropped"]
        return actions.none_needed(incident, act, actions=len(open_ones))

    return edit.changed(incident_id, decide)


def _verb(verb: str) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    return routes.add(
        "POST",
        f"/v1/actions/{{action_id}}/{verb}",
        Scope.INCIDENTS_RESPOND,
        answer=One[ActionView],
        parameters=True,
    )


@_verb("assign")
def assign_action(edit: Editing, action_id: FollowupId, given: Owner) -> Response:
    """Give it to somebody."""
    act = edit.act(given)
    return _decided(
        edit, action_id, lambda found, action: actions.assigned(found, action, given.owner, act)
    )


@_verb("reschedule")
def reschedule_action(edit: Editing, action_id: FollowupId, given: Date) -> Response:
    """Give it another date, and say why."""
    act = edit.act(given)
    due = due_in("due_at", given.due_at, now=act.now)
    return _decided(
        edit, action_id, lambda found, action: actions.rescheduled(found, action, due, act)
    )


@_verb("done")
def end_action(edit: Editing, action_id: FollowupId, given: Done) -> Response:
    """It is done; say what shows it."""
    act = edit.act(given)
    return _decided(
        edit,
        action_id,
        lambda found, action: actions.done(found, action, act, evidence=given.evidence),
    )


def _add_plain(verb: str, decide: Any, said: str) -> None:
    def do(edit: Editing, action_id: FollowupId, doing: Doing) -> Response:
        act = edit.act(doing)
        return _decided(edit, action_id, lambda found, action: decide(found, action, act))

    do.__name__ = f"{verb}_action"
    do.__doc__ = said
    _verb(verb)(do)


_add_plain("drop", actions.dropped, "It will not be done; say why.")
_add_plain("reopen", actions.reopened, "It is not over after all; say why.")


@_verb("link")
def link_action(edit: Editing, action_id: FollowupId, given: LinkTo) -> Response:
    """Tie it to more incidents, or to a ticket in another tracker."""
    act = edit.act(given)
    return _decided(
        edit,
        action_id,
        lambda found, action: actions.linked(found, action, act, ticket=given.ticket),
        also=given.incidents,
    )


def _decided(
    edit: Edit, action_id: str, decide: DecideOn[Action], *, also: Sequence[str] = ()
) -> Response:
    after = decided(
        edit.control,
        action_id,
        Action,
        "action",
        decide,
        edit.if_match,
        also=also,
        dry_run=edit.dry_run,
    )
    return _shown(edit.control, after)


def _shown(control: Control, action: Action, *, status: int = 200) -> Response:
    headers = {"etag": etag(action.version)}
    [shown] = views_of(control, [action])
    return one(shown, status=status, headers=headers)
