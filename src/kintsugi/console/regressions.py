"""Pages on regression cases: made of a decision with one key, their expectation edited in place,
and a person's word on each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlencode

import msgspec
from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import RedirectResponse, Response

from kintsugi import __version__
from kintsugi.api import regression_rulings as rulings
from kintsugi.api import regression_verbs as verbs
from kintsugi.api.control import Caller, Control, Ctl, RawBody
from kintsugi.api.permissions import Scope, allows
from kintsugi.api.problems import HTTP_STATUS
from kintsugi.api.regression_views import RegressionView, views_of
from kintsugi.api.regressions import (
    Expect,
    NewRegression,
    RegressionsQuery,
    add,
    page_of_regressions,
)
from kintsugi.api.report_intake import incident_of
from kintsugi.console.contexts import Shell
from kintsugi.console.forms import FORM_BYTES_MAX, Form, read_form
from kintsugi.console.frame import Con, Console, page_routes
from kintsugi.console.pages import event_shown
from kintsugi.console.rendering import render
from kintsugi.errors import (
    Blocked,
    Forbidden,
    InvalidInput,
    NotFound,
    StateConflict,
    VersionConflict,
)
from kintsugi.model.proof import RESULTS, ProofFilter
from kintsugi.model.regression import CaseState
from kintsugi.model.tokens import Token
from kintsugi.model.verdict import Verdict

routes = page_routes()

_ROWS = 50
_REFUSALS = (Forbidden, InvalidInput, StateConflict, VersionConflict)
_STATES: Mapping[CaseState | Literal["all"], str] = {
    "all": "All",
    "proposed": "Proposed",
    "approved": "Approved",
    "rejected": "Rejected",
    "replaced": "Replaced",
    "erased": "Erased",
}

_WORDS = ("reason_code", "policy")
_TEXTS = ("response_contains", "response_excludes", "request_excludes")
_EXPECTED = {
    "reason_code": "Reason code",
    "policy": "Policy that decides it",
    "response_contains": "The answer holds",
    "response_excludes": "The answer lacks",
    "request_excludes": "What goes on to the model lacks",
}
_CHARS_MAX = dict.fromkeys(("verdict", *_WORDS), 200) | dict.fromkeys(_TEXTS, 10_000)

Key = Annotated[str, Path(max_length=64)]
Verb = Literal["edit", "approve", "reject"]


class StateChoice(BaseModel):
    """Which list."""

    model_config = ConfigDict(extra="forbid")

    state: CaseState | Literal["all"] = "all"
    incident: Annotated[str, Field(max_length=64)] = ""
    cursor: Annotated[str | None, Field(max_length=500)] = None


class RegressionsPage(Shell, frozen=True, kw_only=True):
    """What incidents have left behind.

    Attributes:
        rows: one page of cases, newest first.
        states: of the filter, each with its word and address; the chosen one has none.
        older: address of the older page; empty on the last one.
    """

    template: ClassVar[str] = "regressions.html"
    section: ClassVar[str] = "Regressions"

    states: tuple[tuple[str, str], ...]
    rows: tuple[RegressionView, ...]
    older: str


class ShownProof(msgspec.Struct, frozen=True):
    """What the newest proof of its incident says of a case, and the versions that it ran on."""

    id: str
    told: str
    red: str
    green: str


class RegressionPage(Shell, frozen=True, kw_only=True):
    """One case.

    Attributes:
        case: as the API shows it.
        form_key: what a form must carry.
        verdicts: that can be expected.
        verdict: what is expected now, or what was typed.
        expected: the other expectations as fields of a form, with their names and values.
        stands: what would come of approving it as it is: nothing, or everything in the way. None
            where nobody decides about it here, and where ``problem`` says why it was refused.
        proof: the newest of its incident; None where there is none, or the case is not in it.
        may_edit, may_decide: whether this caller may, in this state.
        problem: why the last attempt was refused, a line for each thing; empty otherwise.
    """

    template: ClassVar[str] = "regression.html"
    section: ClassVar[str] = "Regressions"

    case: RegressionView
    verdicts: tuple[str, ...]
    verdict: str
    expected: tuple[tuple[str, str, str], ...]
    stands: tuple[str, ...] | None
    proof: ShownProof | None
    may_edit: bool
    may_decide: bool
    problem: tuple[str, ...]
    form_key: str


@routes.add("GET", "/regressions", Scope.REGRESSIONS_READ, parameters=True)
def regressions_page(
    control: Ctl, console: Con, caller: Caller, query: Annotated[StateChoice, Query()]
) -> Response:
    """What incidents have left behind."""
    found = page_of_regressions(
        control,
        RegressionsQuery(
            state="" if query.state == "all" else query.state,
            incident=query.incident,
            limit=_ROWS,
            cursor=query.cursor,
        ),
    )
    older = found.meta.next_cursor
    page = RegressionsPage(
        title="Regression cases",
        signed_in_as=caller.name,
        now=control.clock(),
        version=__version__,
        states=tuple(
            (word, "" if state == query.state else f"/regressions?state={state}")
            for state, word in _STATES.items()
        ),
        rows=tuple(found.data),
        older=f"/regressions?{urlencode({'state': query.state, 'cursor': older})}" if older else "",
    )
    return render(console.templates, page)


@routes.add("GET", "/regressions/{regression_id}", Scope.REGRESSIONS_READ)
def regression_page(
    control: Ctl, console: Con, caller: Caller, request: Request, regression_id: Key
) -> Response:
    """One case."""
    return _page(control, console, caller, regression_id, console.sessions.form_key(request))


@routes.add(
    "POST",
    "/events/{event_id}/regression",
    Scope.REGRESSIONS_WRITE,
    raw_body=True,
    body_bytes_max=FORM_BYTES_MAX,
)
def make_regression(
    control: Ctl, console: Con, caller: Caller, request: Request, event_id: Key, body: RawBody
) -> Response:
    """Make a case of a decision, and show it."""
    form = read_form(console.sessions, request, body)
    wanted = NewRegression.model_validate({"from": event_id, "incident": form["incident"][:64]})
    try:
        [made, *_] = add(control, caller, wanted).cases
    except (InvalidInput, NotFound, StateConflict) as refusal:
        if not allows(caller.scopes, Scope.EVENTS_READ):
            raise
        page = msgspec.structs.replace(
            event_shown(control, console, caller, request, event_id),
            problem=str(refusal),
            incident=form["incident"][:64],
        )
        return render(console.templates, page, status=HTTP_STATUS[type(refusal)])
    return RedirectResponse(f"/regressions/{made.regression.id}", status_code=303)


def _add_verb(verb: Verb, scope: Scope, act: Callable[[Control, Token, str, Form], object]) -> None:
    def decide(
        control: Ctl,
        console: Con,
        caller: Caller,
        request: Request,
        regression_id: Key,
        body: RawBody,
    ) -> Response:
        form = read_form(console.sessions, request, body)
        try:
            act(control, caller, regression_id, form)
        except _REFUSALS as refusal:
            said = (
                tuple(one.message for one in refusal.blockers)
                if isinstance(refusal, Blocked)
                else (str(refusal),)
            )
            return _page(
                control,
                console,
                caller,
                regression_id,
                form["form_key"],
                typed=form,
                problem=said,
                status=HTTP_STATUS[type(refusal)],
            )
        return RedirectResponse(f"/regressions/{regression_id}", status_code=303)

    decide.__name__ = f"{verb}_on_page"
    routes.add(
        "POST",
        f"/regressions/{{regression_id}}/{verb}",
        scope,
        raw_body=True,
        body_bytes_max=FORM_BYTES_MAX,
    )(decide)


def _edit(control: Control, caller: Token, regression_id: str, form: Form) -> object:
    before = control.stores.regressions.get(regression_id).case.expected
    changed = {
        name: said
        for name in ("verdict", *_EXPECTED)
        # Browsers send lines in their own way; what was not touched stays to the letter.
        if name in form.values
        and (said := _plain(form[name])[: _CHARS_MAX[name]]) != _plain(getattr(before, name) or "")
    }
    wanted = verbs.EditedRegression(
        expected=Expect.model_validate(changed), reason=form["reason"][:2000]
    )
    return verbs.edit(control, caller, regression_id, wanted, _tag(form))


def _approve(control: Control, caller: Token, regression_id: str, form: Form) -> object:
    ruling = rulings.Ruling(reason=form["reason"][:2000])
    return rulings.approve(control, caller, regression_id, ruling, _tag(form))


def _reject(control: Control, caller: Token, regression_id: str, form: Form) -> object:
    ruling = rulings.Ruling(reason=form.reason())
    return rulings.reject(control, caller, regression_id, ruling, _tag(form))


_add_verb("edit", Scope.REGRESSIONS_WRITE, _edit)
_add_verb("approve", Scope.REGRESSIONS_APPROVE, _approve)
_add_verb("reject", Scope.REGRESSIONS_APPROVE, _reject)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _stands(control: Control, caller: Token, regression_id: str) -> tuple[str, ...]:
    """What is in the way of approving a case, run as it is now."""
    try:
        rulings.approve(control, caller, regression_id, rulings.Ruling(), dry_run=True)
    except Blocked as refusal:
        return tuple(f"{one.message}; {one.help}" for one in refusal.blockers)
    except _REFUSALS as refusal:
        return (str(refusal),)
    return ()


def _tag(form: Form) -> str:
    """The version that the person looks at: nobody decides about what they have not seen."""
    return f'"{form["version"]}"'


def _page(
    control: Control,
    console: Console,
    caller: Token,
    regression_id: str,
    form_key: str,
    *,
    typed: Form | None = None,
    problem: tuple[str, ...] = (),
    status: int = 200,
) -> Response:
    [case] = views_of(control, [control.stores.regressions.get(regression_id)])
    expected = (case.case or {}).get("expected", {})
    said = typed.values if typed else {}
    may_decide = allows(caller.scopes, Scope.REGRESSIONS_APPROVE) and case.state == "proposed"
    page = RegressionPage(
        title=f"Regression case {case.id}",
        signed_in_as=caller.name,
        now=control.clock(),
        version=__version__,
        case=case,
        verdicts=tuple(verdict.value for verdict in Verdict),
        verdict=(typed["verdict"] if typed else "") or expected.get("verdict") or "",
        expected=tuple(
            (name, label, said.get(name, expected.get(name) or ""))
            for name, label in _EXPECTED.items()
            # Texts may hold what is not shown, and would be saved as they are shown.
            if not case.masked or name in _WORDS
        ),
        stands=_stands(control, caller, case.id) if may_decide and not problem else None,
        proof=_newest_proof(control, case),
        may_edit=allows(caller.scopes, Scope.REGRESSIONS_WRITE)
        and case.state in ("proposed", "approved"),
        may_decide=may_decide,
        problem=problem,
        form_key=form_key,
    )
    return render(console.templates, page, status=status)


def _newest_proof(control: Control, case: RegressionView) -> ShownProof | None:
    if not case.incident:  # lost with another database
        return None
    own = incident_of(control, case.incident_id).id
    proofs, _ = control.stores.proofs.page(ProofFilter(incidents=(own,)), limit=1)
    for proof in proofs:
        for one in proof.cases:
            if one.regression_id == case.id:
                return ShownProof(proof.id, RESULTS[one.result], one.red, one.green)
    return None
