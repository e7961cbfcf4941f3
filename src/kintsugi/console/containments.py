"""Pages on what people have contained: what is in force and where, and its release.

A containment is put in force with ``kt contain`` or over the API; ending one loosens control, so it
takes a reason and is asked twice.
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
from kintsugi.api.containments import ContainmentView, view_of
from kintsugi.api.control import Caller, Control, Ctl, RawBody
from kintsugi.api.custody import actor_of
from kintsugi.api.permissions import Scope, allows
from kintsugi.api.problems import HTTP_STATUS
from kintsugi.console.contexts import Shell
from kintsugi.console.forms import FORM_BYTES_MAX, read_form
from kintsugi.console.frame import Con, Console, page_routes
from kintsugi.console.oversight import Choice, Decision
from kintsugi.console.rendering import render
from kintsugi.errors import Forbidden, InvalidInput, StateConflict
from kintsugi.model.containment import Containment, ContainmentScope, ContainmentState, Lever
from kintsugi.model.tokens import Token

routes = page_routes()

_ROWS = 50
_REFUSALS = (Forbidden, InvalidInput, StateConflict)

Id = Annotated[str, Path(max_length=64)]
Which = Literal["in_force", "waiting", "ended", "all"]
_WHICH: Mapping[Which, str] = {
    "in_force": "In force",
    "waiting": "Waiting for approval",
    "ended": "Ended",
    "all": "All",
}


class Row(msgspec.Struct, frozen=True):
    """One containment in a list."""

    containment: Containment
    status: str
    lever: str
    scope: str


class ContainmentsPage(Shell, frozen=True, kw_only=True):
    """What is, or was, contained.

    Attributes:
        offered: the filters.
        rows: one page, newest first.
        older: address of the older page; empty on the last one.
    """

    template: ClassVar[str] = "containments.html"
    section: ClassVar[str] = "Containment"

    offered: tuple[Choice, ...]
    rows: tuple[Row, ...]
    older: str


class ContainmentPage(Shell, frozen=True, kw_only=True):
    """One containment, where it is in force, and its release.

    Attributes:
        view: as the API shows it.
        lever, scope: in words.
        decisions: address of the decisions in its scope; empty where no filter finds them.
        decision: how far the person is.
    """

    template: ClassVar[str] = "containment.html"
    section: ClassVar[str] = "Containment"

    view: ContainmentView
    lever: str
    scope: str
    decisions: str
    decision: Decision


class ContainmentsQuery(BaseModel):
    """Which list."""

    model_config = ConfigDict(extra="forbid")

    status: Which = "in_force"
    cursor: Annotated[str | None, Field(max_length=500)] = None


@routes.add("GET", "/containments", Scope.CONTAINMENTS_READ, parameters=True)
def containments_page(
    control: Ctl, console: Con, caller: Caller, query: Annotated[ContainmentsQuery, Query()]
) -> Response:
    """What is contained now, and what was."""
    now = control.clock()
    store = control.stores.containments
    found, older = store.page(state=_state(query.status), now=now, limit=_ROWS, cursor=query.cursor)
    page = ContainmentsPage(
        title="Containment",
        signed_in_as=caller.name,
        now=now,
        version=__version__,
        offered=tuple(
            Choice(
                label,
                f"/containments?status={which}",
                which == query.status,
                store.count(state=_state(which), now=now),
            )
            for which, label in _WHICH.items()
        ),
        rows=tuple(
            Row(
                one,
                _status(one, now),
                lever_in_words(one.lever),
                scope_in_words(one.scope),
            )
            for one in found
        ),
        older=f"/containments?{urlencode({'status': query.status, 'cursor': older})}"
        if older
        else "",
    )
    return render(console.templates, page)


@routes.add("GET", "/containments/{containment_id}", Scope.CONTAINMENTS_READ)
def containment_page(
    control: Ctl, console: Con, caller: Caller, request: Request, containment_id: Id
) -> Response:
    """One containment."""
    found = control.stores.containments.get(containment_id)
    return _page(control, console, caller, found, Decision(console.sessions.form_key(request)))


@routes.add(
    "POST",
    "/containments/{containment_id}",
    Scope.CONTAINMENTS_RELEASE,
    raw_body=True,
    body_bytes_max=FORM_BYTES_MAX,
)
def end_containment(
    control: Ctl,
    console: Con,
    caller: Caller,
    request: Request,
    containment_id: Id,
    body: RawBody,
) -> Response:
    """Release it: first to be asked again, then for good."""
    form = read_form(console.sessions, request, body)
    store = control.stores.containments
    found = store.get(containment_id)
    decision = Decision(form["form_key"], reason=form["reason"])
    now = control.clock()
    try:
        reason = form.reason()
        if found.state(now) == "ended":
            raise StateConflict("It has ended already.")
        if not form.confirmed:
            asked = msgspec.structs.replace(decision, step="release")
            return _page(control, console, caller, found, asked)
        store.release(found.id, by=actor_of(caller), reason=reason, now=now)
    except _REFUSALS as refusal:
        refused = msgspec.structs.replace(decision, problem=str(refusal))
        status = HTTP_STATUS[type(refusal)]
        return _page(control, console, caller, found, refused, status=status)
    return RedirectResponse(f"/containments/{found.id}", status_code=303)


def _page(
    control: Control,
    console: Console,
    caller: Token,
    found: Containment,
    decision: Decision,
    *,
    status: int = 200,
) -> Response:
    absent = ""
    if not allows(caller.scopes, Scope.CONTAINMENTS_RELEASE):
        absent = (
            "You may look and not release: that needs a token with the scope "
            f'"{Scope.CONTAINMENTS_RELEASE.value}".'
        )
    page = ContainmentPage(
        title=f"Containment {found.id}",
        signed_in_as=caller.name,
        now=control.clock(),
        version=__version__,
        view=view_of(control, found),
        lever=lever_in_words(found.lever),
        scope=scope_in_words(found.scope),
        decisions=f"/?{urlencode({'policy': f'containment/{found.id}'})}",
        decision=msgspec.structs.replace(decision, absent=absent),
    )
    return render(console.templates, page, status=status)


def _state(which: Which) -> ContainmentState | None:
    return None if which == "all" else which


def _status(one: Containment, now: datetime) -> str:
    state = one.state(now)
    if state == "ended":
        return "released" if one.released_at else "expired"
    return state.replace("_", " ")


def lever_in_words(lever: Lever) -> str:
    """``disable-tools: delete_*``; ``stop`` where nothing belongs to it."""
    match lever.name:
        case "disable-tools" | "only-tools":
            rest = ", ".join(lever.tools)
        case "block-sources":
            rest = ", ".join(lever.sources)
        case "add-filter":
            rest = ", ".join((*lever.terms, *lever.patterns))
        case "rate-limit":
            rest = f"{lever.requests} in {lever.window_seconds} s"
        case "cap-context":
            caps = {
                "characters of context": lever.max_context_chars,
                "tokens of answer": lever.max_output_tokens,
            }
            rest = ", ".join(f"{most} {what}" for what, most in caps.items() if most)
        case "swap-model":
            rest = lever.model
        case _:
            rest = ""
    return f"{lever.name}: {rest}" if rest else lever.name


def scope_in_words(scope: ContainmentScope) -> str:
    """``workflow triage, user ada``; ``everybody`` where nothing restricts it."""
    named = [
        f"{name} {value}" for name in scope.__struct_fields__ if (value := getattr(scope, name))
    ]
    return ", ".join(named) or "everybody"
