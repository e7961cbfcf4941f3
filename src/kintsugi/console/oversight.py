"""Pages on what waits for people: escalations to decide, quarantines to release.

Every decision takes two steps and a reason, without scripts: a form, and a page that says what
will happen and asks again. What may not be done says why instead of showing a control.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlencode

import msgspec
from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import RedirectResponse, Response

from kintsugi import __version__
from kintsugi.api.auth import authorise
from kintsugi.api.control import Caller, Control, Ctl, RawBody
from kintsugi.api.escalation_content import content_of, seen_by, shown
from kintsugi.api.escalations import EscalationView, view_of
from kintsugi.api.permissions import Scope, allows
from kintsugi.api.problems import HTTP_STATUS
from kintsugi.console.contexts import Shell
from kintsugi.console.forms import FORM_BYTES_MAX, Form, read_form
from kintsugi.console.frame import Con, Console, page_routes
from kintsugi.console.rendering import laid_out, render
from kintsugi.errors import Forbidden, InvalidInput, NotFound, StateConflict
from kintsugi.model.decision import Phase
from kintsugi.model.event import DecisionEvent, Payload
from kintsugi.model.overrides import Judgement
from kintsugi.model.oversight import OPEN, Escalation, QuarantineRecord, is_own
from kintsugi.model.tokens import Token
from kintsugi.policy.reasons import REASONS, Reason

routes = page_routes()

_ROWS = 50
_REFUSALS = (Forbidden, InvalidInput, StateConflict)

Id = Annotated[str, Path(max_length=64)]
Status = Literal["open", "approved", "rejected", "expired", "all"]
Frozen = Literal["in_force", "released", "all"]
Step = Literal["", "approve", "reject", "release"]

_STATUSES: Mapping[Status, str] = {
    "open": "Waiting",
    "approved": "Approved",
    "rejected": "Rejected",
    "expired": "Expired",
    "all": "All",
}
_FROZEN: Mapping[Frozen, str] = {"in_force": "In force", "released": "Released", "all": "All"}
_IN_FORCE: Mapping[Frozen, bool | None] = {"in_force": True, "released": False, "all": None}


class Choice(msgspec.Struct, frozen=True):
    """One of the filters over a list; a link.

    Attributes:
        count: how many match.
    """

    label: str
    address: str
    chosen: bool
    count: int


class OversightPage(Shell, frozen=True, kw_only=True):
    """What waits for people.

    Attributes:
        escalation_choices, quarantine_choices: the filters.
        escalations: one page, newest first.
        escalations_next: address of the older page; empty on the last one.
        quarantines: one page, newest first.
        quarantines_next: address of the older page; empty on the last one.
    """

    template: ClassVar[str] = "oversight.html"
    section: ClassVar[str] = "Oversight"

    escalation_choices: tuple[Choice, ...]
    escalations: tuple[EscalationView, ...]
    escalations_next: str
    quarantine_choices: tuple[Choice, ...]
    quarantines: tuple[QuarantineRecord, ...]
    quarantines_next: str


class Decision(msgspec.Struct, frozen=True):
    """Where a reviewer is on the way to a decision.

    Attributes:
        form_key: what the form must carry.
        step: which decision waits to be confirmed; empty before that.
        reason: as typed.
        absent: why there is no control; empty where there is.
        problem: why the last attempt came to nothing.
    """

    form_key: str
    step: Step = ""
    reason: str = ""
    absent: str = ""
    problem: str = ""


class EscalationPage(Shell, frozen=True, kw_only=True):
    """One escalation: what would be done, and the decision about it.

    Attributes:
        escalation: as the API shows it.
        about: what is known of its reason code; None where it is not registered here.
        action: what would happen after an approval, in words.
        event: the decision; None while it has not arrived because the answer is held.
        content: what is said, redacted; from its gateway while the answer is held.
        request, response: the same, laid out; empty where nothing is recorded.
        seen: digest of what this page shows; it goes with the decision.
        decision: how far the reviewer is.
    """

    template: ClassVar[str] = "escalation.html"
    section: ClassVar[str] = "Oversight"

    escalation: EscalationView
    about: Reason | None
    action: str
    event: DecisionEvent | None
    content: Payload
    request: str
    response: str
    seen: str
    decision: Decision


class QuarantinePage(Shell, frozen=True, kw_only=True):
    """One quarantine and its release.

    Attributes:
        quarantine: the record.
        about: what is known of its reason code; None where it is not registered here.
        decisions: address of the decisions of what is frozen; empty where no filter finds them.
        decision: how far the reviewer is.
    """

    template: ClassVar[str] = "quarantine.html"
    section: ClassVar[str] = "Oversight"

    quarantine: QuarantineRecord
    about: Reason | None
    decisions: str
    decision: Decision


class OversightQuery(BaseModel):
    """Which lists. Each has its own filter and its own page."""

    model_config = ConfigDict(extra="forbid")

    status: Status = "open"
    cursor: Annotated[str | None, Field(max_length=500)] = None
    quarantines: Frozen = "in_force"
    quarantines_cursor: Annotated[str | None, Field(max_length=500)] = None


@routes.add("GET", "/oversight", Scope.ESCALATIONS_READ, parameters=True)
def oversight_page(
    control: Ctl, console: Con, caller: Caller, query: Annotated[OversightQuery, Query()]
) -> Response:
    """What waits for a person, and what is frozen until one releases it."""
    authorise(caller, Scope.QUARANTINES_READ)
    now = control.clock()
    oversight = control.stores.oversight
    status = None if query.status == "all" else query.status
    waiting, older = oversight.escalations(status, now=now, limit=_ROWS, cursor=query.cursor)
    frozen, older_frozen = oversight.quarantines(
        in_force=_IN_FORCE[query.quarantines], limit=_ROWS, cursor=query.quarantines_cursor
    )
    page = OversightPage(
        title="Oversight",
        signed_in_as=caller.name,
        now=now,
        version=__version__,
        escalation_choices=tuple(
            Choice(
                label,
                _address(query, status=status, cursor=None),
                status == query.status,
                oversight.count_escalations(None if status == "all" else status, now=now),
            )
            for status, label in _STATUSES.items()
        ),
        escalations=tuple(view_of(one, now=now) for one in waiting),
        escalations_next=_address(query, cursor=older) if older else "",
        quarantine_choices=tuple(
            Choice(
                label,
                _address(query, quarantines=which, quarantines_cursor=None) + "#frozen",
                which == query.quarantines,
                oversight.count_quarantines(in_force=_IN_FORCE[which]),
            )
            for which, label in _FROZEN.items()
        ),
        quarantines=tuple(frozen),
        quarantines_next=(
            _address(query, quarantines_cursor=older_frozen) + "#frozen" if older_frozen else ""
        ),
    )
    return render(console.templates, page)


def _address(query: OversightQuery, **changes: str | None) -> str:
    """The page with other filters; what is as it is anyway is left out."""
    values = query.model_copy(update=changes).model_dump(exclude_defaults=True, exclude_none=True)
    return f"/oversight?{urlencode(values)}" if values else "/oversight"


# Escalations


@routes.add("GET", "/escalations/{escalation_id}", Scope.ESCALATIONS_READ)
def escalation_page(
    control: Ctl, console: Con, caller: Caller, request: Request, escalation_id: Id
) -> Response:
    """One escalation, with what would be done."""
    found = control.stores.oversight.escalation(escalation_id)
    decision = Decision(console.sessions.form_key(request))
    return _escalation(control, console, caller, found, decision)


@routes.add(
    "POST",
    "/escalations/{escalation_id}",
    Scope.ESCALATIONS_RESOLVE,
    raw_body=True,
    body_bytes_max=FORM_BYTES_MAX,
)
def decide_escalation(
    control: Ctl,
    console: Con,
    caller: Caller,
    request: Request,
    escalation_id: Id,
    body: RawBody,
) -> Response:
    """Claim it, or decide: first to be asked again, then for good."""
    form = read_form(console.sessions, request, body)
    oversight = control.stores.oversight
    found = oversight.escalation(escalation_id)
    step: Step = {"approve": "approve", "reject": "reject"}.get(form["decide"], "")  # type: ignore[assignment]
    decision = Decision(form["form_key"], reason=form["reason"])
    now = control.clock()
    try:
        if form["decide"] == "claim":
            oversight.claim(found.id, by=caller.name, now=now)
        elif not step:
            raise InvalidInput("Choose whether to approve or to reject.")
        elif form.confirmed:
            approved = step == "approve"
            seen = seen_by(control, caller, found, form["seen"])
            judgement = Judgement(approved, caller.name, form.reason(), seen=seen)
            oversight.resolve(found.id, judgement, now=now)
        else:
            form.reason()
            asked = msgspec.structs.replace(decision, step=step)
            return _escalation(control, console, caller, found, asked)
    except _REFUSALS as refusal:
        refused = msgspec.structs.replace(decision, problem=str(refusal))
        newest = oversight.escalation(found.id)
        return _escalation(
            control, console, caller, newest, refused, status=HTTP_STATUS[type(refusal)]
        )
    return RedirectResponse(f"/escalations/{found.id}", status_code=303)


def _escalation(
    control: Control,
    console: Console,
    caller: Token,
    found: Escalation,
    decision: Decision,
    *,
    status: int = 200,
) -> Response:
    now = control.clock()
    view = view_of(found, now=now)
    event = _event(control, caller, found.id)
    content = content_of(control, caller, found.id)
    absent = "" if view.status not in OPEN else _absent(found, caller)
    page = EscalationPage(
        title=f"Escalation {found.id}",
        signed_in_as=caller.name,
        now=now,
        version=__version__,
        escalation=view,
        about=REASONS.get(view.reason_code),
        action=action_in_words(view, event),
        event=event,
        content=content,
        request=laid_out(content.request),
        response=laid_out(content.response),
        seen=shown(found, content).digest,
        decision=msgspec.structs.replace(decision, absent=absent),
    )
    return render(console.templates, page, status=status)


def _event(control: Control, caller: Token, event_id: str) -> DecisionEvent | None:
    """The decision, once its record is here; None too for who may not read decisions."""
    if not allows(caller.scopes, Scope.EVENTS_READ):
        return None
    try:
        return control.stores.events.get(event_id)
    except NotFound:
        return None


def _absent(escalation: Escalation, caller: Token) -> str:
    """Why this person cannot decide; empty where they can."""
    if not allows(caller.scopes, Scope.ESCALATIONS_RESOLVE):
        return (
            "You may look and not decide: that needs a token with the scope "
            f'"{Scope.ESCALATIONS_RESOLVE.value}".'
        )
    if is_own(escalation.report.identity, caller.name):
        return (
            f'You are signed in as "{caller.name}", and this request was made under that name. '
            "Nobody decides about their own request; ask another reviewer."
        )
    if escalation.status == "claimed" and escalation.claimed_by != caller.name:
        return f'"{escalation.claimed_by}" has claimed this one; nobody else may decide it.'
    return ""


def action_in_words(view: EscalationView, event: DecisionEvent | None) -> str:
    """What happens when it is approved."""
    if not view.approvable:
        return (
            "Nothing: this was stopped before the whole of it was known, so there is no exact "
            "action that an approval could be for."
        )
    if view.phase is Phase.OUTPUT:
        what = "the answer below goes to the caller"
    elif view.phase is Phase.TOOL and event is not None and event.tool_name:
        what = f"the tool {event.tool_name} is called"
    elif view.phase is Phase.TOOL:
        what = "the tool calls that the model asks for go to the caller"
    elif event is not None and event.mcp_method:
        what = f"{event.mcp_method} goes to the MCP server"
    else:
        what = f"the request goes to {view.model or 'the model'}"
    when = "at once" if view.held_until is not None else "when the caller sends it again"
    return f"Exactly once, {when}, {what}."


# Quarantines


@routes.add("GET", "/quarantines/{quarantine_id}", Scope.QUARANTINES_READ)
def quarantine_page(
    control: Ctl, console: Con, caller: Caller, request: Request, quarantine_id: Id
) -> Response:
    """One quarantine."""
    found = control.stores.oversight.quarantine(quarantine_id)
    decision = Decision(console.sessions.form_key(request))
    return _quarantine(console, caller, found, decision, now=control.clock())


@routes.add(
    "POST",
    "/quarantines/{quarantine_id}",
    Scope.QUARANTINES_RELEASE,
    raw_body=True,
    body_bytes_max=FORM_BYTES_MAX,
)
def release_page(
    control: Ctl,
    console: Con,
    caller: Caller,
    request: Request,
    quarantine_id: Id,
    body: RawBody,
) -> Response:
    """Release it: first to be asked again, then for good."""
    form: Form = read_form(console.sessions, request, body)
    oversight = control.stores.oversight
    found = oversight.quarantine(quarantine_id)
    decision = Decision(form["form_key"], reason=form["reason"])
    now = control.clock()
    try:
        reason = form.reason()
        if found.released_at is not None:
            raise StateConflict(f'"{found.released_by}" has released it already.')
        if not form.confirmed:
            asked = msgspec.structs.replace(decision, step="release")
            return _quarantine(console, caller, found, asked, now=now)
        oversight.release(found.id, by=caller.name, reason=reason, now=now)
    except _REFUSALS as refusal:
        refused = msgspec.structs.replace(decision, problem=str(refusal))
        status = HTTP_STATUS[type(refusal)]
        return _quarantine(console, caller, found, refused, now=now, status=status)
    return RedirectResponse(f"/quarantines/{found.id}", status_code=303)


def _quarantine(
    console: Console,
    caller: Token,
    found: QuarantineRecord,
    decision: Decision,
    *,
    now: datetime,
    status: int = 200,
) -> Response:
    absent = ""
    if not allows(caller.scopes, Scope.QUARANTINES_RELEASE):
        absent = (
            "You may look and not release: that needs a token with the scope "
            f'"{Scope.QUARANTINES_RELEASE.value}".'
        )
    filters = {"session": "session", "agent": "agent", "user": "user"}
    name = filters.get(found.scope)
    page = QuarantinePage(
        title=f"Quarantine {found.id}",
        signed_in_as=caller.name,
        now=now,
        version=__version__,
        quarantine=found,
        about=REASONS.get(found.reason_code),
        decisions=f"/?{urlencode({name: found.subject})}" if name else "",
        decision=msgspec.structs.replace(decision, absent=absent),
    )
    return render(console.templates, page, status=status)
