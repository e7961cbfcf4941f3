"""Pages that take reports: one for colleagues, one behind a signed link for people outside, and one
that shows outsiders where their report stands and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, ClassVar

from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import RedirectResponse, Response

from kintsugi import __version__
from kintsugi.api.control import Caller, Control, Ctl, RawBody
from kintsugi.api.custody import actor_of
from kintsugi.api.incidents import actor_from
from kintsugi.api.permissions import Access, Scope, allows
from kintsugi.api.report_intake import ReportView, incident_of, receive, report_of, view_of
from kintsugi.api.report_keys import opened_link, report_of_status, status_text
from kintsugi.api.reports import NewReport, heard_of
from kintsugi.console.contexts import Shell
from kintsugi.console.forms import Form, parse_form, read_form
from kintsugi.console.frame import Con, Console, page_routes
from kintsugi.console.rendering import render
from kintsugi.console.sessions import require_same_origin
from kintsugi.errors import InvalidInput, NotFound
from kintsugi.incidents.heard import Heard
from kintsugi.incidents.intake import of_words
from kintsugi.incidents.taxonomies import CATEGORIES
from kintsugi.model.incident import Actor
from kintsugi.model.report import Arrival, KeptReport, ReportFilter
from kintsugi.model.report_doors import UsedLink
from kintsugi.model.tokens import Token

routes = page_routes()

# Ten thousand characters may take twelve bytes each, percent-encoded.
FORM_BYTES_MAX = 160_000
_TITLE_CHARS_MAX = 300
_TEXT_CHARS_MAX = 10_000
_CONTACT_CHARS_MAX = 200
_OWN_SHOWN = 20

LinkText = Annotated[str, Path(max_length=1000)]

_STATES: Mapping[str, str] = {
    "reported": "received",
    "triage": "being looked at",
    "closed": "closed",
    "not_an_incident": "closed",
}


class ReportPage(Shell, frozen=True, kw_only=True):
    """The form of colleagues, and what they sent before.

    Attributes:
        form_key: of this session.
        values: what was typed, by field.
        problem: why it was not taken; empty where it was, or nothing was sent yet.
        sent: the report that was just sent; None where none was.
        own: the newest ones of this person.
        categories: names with what they mean.
    """

    template: ClassVar[str] = "report.html"
    section: ClassVar[str] = "Report"

    form_key: str
    values: Mapping[str, str]
    problem: str
    sent: ReportView | None
    own: tuple[ReportView, ...]
    categories: Mapping[str, str]


class OutsideReportPage(Shell, frozen=True, kw_only=True):
    """The form behind a link.

    Attributes:
        audience: whom the link is for.
        expires_at: until when it works.
        values, problem: as in ``ReportPage``.
        categories: names with what they mean.
    """

    template: ClassVar[str] = "report_outside.html"

    audience: str
    expires_at: datetime
    values: Mapping[str, str]
    problem: str
    categories: Mapping[str, str]


class ReceiptPage(Shell, frozen=True, kw_only=True):
    """That a report came, for whoever sent it.

    Attributes:
        report_id, digest, leaf: what proves it.
        received_at: when it came.
        status_address: where its state is shown.
    """

    template: ClassVar[str] = "report_receipt.html"

    report_id: str
    digest: str
    leaf: int
    received_at: datetime
    status_address: str


class ReportStatusPage(Shell, frozen=True, kw_only=True):
    """Where a report stands.

    Attributes:
        report_id: which one.
        state: in words.
        received_at: when it came.
    """

    template: ClassVar[str] = "report_status.html"

    report_id: str
    state: str
    received_at: datetime


class SentQuery(BaseModel):
    """What was just sent."""

    model_config = ConfigDict(extra="forbid")

    sent: Annotated[str, Field(max_length=64)] = ""


@routes.add("GET", "/report", Scope.INCIDENTS_REPORT, parameters=True)
def report_page(
    control: Ctl,
    console: Con,
    caller: Caller,
    request: Request,
    query: Annotated[SentQuery, Query()],
) -> Response:
    """The form, and what this person sent before."""
    return _page(control, console, caller, request, {}, sent=query.sent)


@routes.add("POST", "/report", Scope.INCIDENTS_REPORT, raw_body=True, body_bytes_max=FORM_BYTES_MAX)
def send_report_form(
    control: Ctl, console: Con, caller: Caller, request: Request, body: RawBody
) -> Response:
    """Take a colleague's report."""
    form = read_form(console.sessions, request, body)
    try:
        heard = heard_of(control, _wanted(form))
    except (InvalidInput, ValidationError) as error:
        problem = _in_words(error)
        return _page(control, console, caller, request, form.values, problem=problem, status=422)
    report = report_of(heard, channel="internal", sender=actor_of(caller), now=control.clock())
    [kept] = receive(control, [Arrival(report)], actor_from(caller))
    return RedirectResponse(f"/report?sent={kept.report.id}", status_code=303)


@routes.add("GET", "/report/by-link/{link}", Access.PUBLIC)
def outside_report_page(control: Ctl, console: Con, link: LinkText) -> Response:
    """The form behind a signed link."""
    return _outside(control, console, opened_link(control, link), {})


@routes.add(
    "POST",
    "/report/by-link/{link}",
    Access.PUBLIC,
    raw_body=True,
    body_bytes_max=FORM_BYTES_MAX,
)
def send_outside_report(
    control: Ctl, console: Con, request: Request, link: LinkText, body: RawBody
) -> Response:
    """Take the report of somebody outside; the signed address is what allows it."""
    require_same_origin(request)
    found = opened_link(control, link)
    form = parse_form(body)
    try:
        heard = _said(form)
    except InvalidInput as error:
        return _outside(control, console, found, form.values, problem=str(error), status=422)
    if not control.stores.report_doors.use_link(found.link.id, now=control.clock()):
        problem = (
            "This form has taken as many reports in this hour as it may. Nothing was sent. Keep "
            "this page and send it again in the next hour."
        )
        return _outside(control, console, found, form.values, problem=problem, status=429)
    sender = f"link:{found.link.id}"
    report = report_of(
        heard,
        channel="public",
        sender=sender,
        now=control.clock(),
        contact=form["contact"],
    )
    actor = Actor(f"link for {found.link.audience}", sender)
    [kept] = receive(control, [Arrival(report)], actor, trapped=bool(form["website"]))
    page = ReceiptPage(
        title="Received",
        signed_in_as="",
        now=control.clock(),
        version=__version__,
        report_id=kept.report.id,
        digest=kept.digest,
        leaf=kept.leaf,
        received_at=kept.report.at,
        status_address=f"/report/status/{status_text(control, kept.report.id)}",
    )
    return render(console.templates, page, status=201)


@routes.add("GET", "/report/status/{text}", Access.PUBLIC)
def report_status_page(control: Ctl, console: Con, text: LinkText) -> Response:
    """Where a report stands, for whoever has its address; nothing of what it says."""
    kept = control.stores.reports.get(report_of_status(control, text))
    page = ReportStatusPage(
        title="Your report",
        signed_in_as="",
        now=control.clock(),
        version=__version__,
        report_id=kept.report.id,
        state=_state(control, kept),
        received_at=kept.report.at,
    )
    return render(console.templates, page)


def _page(
    control: Control,
    console: Console,
    caller: Token,
    request: Request,
    values: Mapping[str, str],
    *,
    sent: str = "",
    problem: str = "",
    status: int = 200,
) -> Response:
    reads = allows(caller.scopes, Scope.INCIDENTS_READ)
    own, _ = control.stores.reports.page(ReportFilter(sender=actor_of(caller)), limit=_OWN_SHOWN)
    views = tuple(view_of(control, kept, reads_incidents=reads) for kept in own)
    page = ReportPage(
        title="Report",
        signed_in_as=caller.name,
        now=control.clock(),
        version=__version__,
        form_key=console.sessions.form_key(request),
        values=_all_values(values),
        problem=problem,
        sent=next((view for view in views if view.report.id == sent), None),
        own=views,
        categories=CATEGORIES,
    )
    return render(console.templates, page, status=status)


def _outside(
    control: Control,
    console: Console,
    found: UsedLink,
    values: Mapping[str, str],
    *,
    problem: str = "",
    status: int = 200,
) -> Response:
    page = OutsideReportPage(
        title="Report a problem with an AI system",
        signed_in_as="",
        now=control.clock(),
        version=__version__,
        audience=found.link.audience,
        expires_at=found.link.expires_at,
        values=_all_values(values),
        problem=problem,
        categories=CATEGORIES,
    )
    answer = render(console.templates, page, status=status)
    if status == 429:
        answer.headers["retry-after"] = "3600"
    return answer


def _all_values(values: Mapping[str, str]) -> dict[str, str]:
    names = ("title", "text", "category", "severity", "workflow", "event", "contact")
    return {name: values.get(name, "") for name in names}


def _wanted(form: Form) -> NewReport:
    """What a colleague typed, held to the same rules as what programs send."""
    return NewReport.model_validate(
        {
            **{name: form[name] for name in ("title", "text", "category", "workflow")},
            "severity": form["severity"] or None,
            "about": [{"kind": "event", "id": form["event"]}] if form["event"] else [],
        }
    )


def _said(form: Form) -> Heard:
    """What somebody outside typed.

    Raises:
        InvalidInput: it cannot be used; in words for a person.
    """
    if not form["title"]:
        raise InvalidInput("Say in a few words what happened.")
    for name, label, most in (
        ("title", "What happened", _TITLE_CHARS_MAX),
        ("text", "More about it", _TEXT_CHARS_MAX),
        ("contact", "How to reach you", _CONTACT_CHARS_MAX),
    ):
        if len(form[name]) > most:
            raise InvalidInput(f"“{label}” has {len(form[name]):,} characters; {most:,} are most.")
    category = form["category"] if form["category"] in CATEGORIES else ""
    return Heard(
        title=form["title"],
        text=form["text"],
        category=category,
        fingerprint=of_words(form["title"], category=category, text=form["text"]),
    )


def _in_words(error: InvalidInput | ValidationError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors()
        )
    return str(error).replace("body.about.0.id", "decision").replace("body.", "")


def _state(control: Control, kept: KeptReport) -> str:
    if kept.standing.status == "unmapped":
        return "received"
    if not kept.standing.incident_id:
        return "closed"
    try:
        state = incident_of(control, kept.standing.incident_id).state
    except NotFound:
        return "closed"
    return _STATES.get(state, "being worked on")
