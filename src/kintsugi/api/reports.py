"""``/v1/reports``: what people and machines send in, and what becomes of it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import Meta, One, Page, one, reply, whole
from kintsugi.api.control import Caller, Control, Ctl, RawBody
from kintsugi.api.custody import actor_of
from kintsugi.api.edits import DryRun
from kintsugi.api.event_query import TOTAL_CEILING, PageQuery, TimeText
from kintsugi.api.incidents import IncidentKey, actor_from
from kintsugi.api.permissions import Scope, allows
from kintsugi.api.problems import FieldError, Invalid, did_you_mean
from kintsugi.api.relative_time import parse_time
from kintsugi.api.report_intake import ReportView, events_of, receive, report_of, view_of
from kintsugi.api.routing import Routes
from kintsugi.api.sight import reference_for
from kintsugi.errors import InvalidInput, NotFound
from kintsugi.incidents.commands import Act
from kintsugi.incidents.heard import Heard
from kintsugi.incidents.intake import of_words, settled, title_of
from kintsugi.incidents.mails import MAIL_BYTES_MAX, read_mail
from kintsugi.incidents.taxonomies import CATEGORIES
from kintsugi.model.custody import custody_entry
from kintsugi.model.incident import Incident
from kintsugi.model.report import (
    About,
    AboutKind,
    Arrival,
    Channel,
    Fingerprint,
    KeptReport,
    Recurrence,
    ReportFilter,
    ReportStatus,
    Taken,
)
from kintsugi.model.signal import Severity
from kintsugi.model.tokens import Token

routes = Routes("reports")

ReportId = Annotated[str, Path(max_length=64)]
Digest = Annotated[str, Path(pattern=r"^sha256:[0-9a-f]{64}$")]
Words = Annotated[str, Field(max_length=10_000)]
Word = Annotated[str, Field(max_length=200)]


class AboutBody(BaseModel):
    """A decision, a trace or a conversation."""

    model_config = ConfigDict(extra="forbid")

    kind: AboutKind
    id: Annotated[str, Field(min_length=1, max_length=200)]


class NewReport(BaseModel):
    """What somebody saw. A title, or any words, or a thing with a category are enough.

    Attributes:
        channel: through whom it came.
        about: what it is about; two reports about the same with the same category are one.
        labels: tags such as ``ticket``.
        at: when it happened.
    """

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(max_length=300)] = ""
    text: Words = ""
    channel: Literal["internal", "support", "sales"] = "internal"
    category: Word = ""
    severity: Severity | None = None
    workflow: Word = ""
    about: Annotated[list[AboutBody], Field(max_length=20, default_factory=list)]
    labels: Annotated[dict[Word, Word], Field(max_length=50, default_factory=dict)]
    at: TimeText = None


class Settlement(BaseModel):
    """What a report that nobody could read, or that was set aside, is after all.

    Attributes:
        incident: the one that gets it; left out, it opens one.
        title: of the incident that it opens.
    """

    model_config = ConfigDict(extra="forbid")

    incident: Annotated[str, Field(max_length=64)] = ""
    title: Annotated[str, Field(max_length=300)] = ""
    reason: Annotated[str, Field(min_length=1, max_length=2000)]


class Reason(BaseModel):
    """Why it is nothing."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=2000)]


class ReportsQuery(PageQuery):
    """Which reports."""

    status: ReportStatus | Literal[""] = ""
    channel: Channel | Literal[""] = ""
    incident: Annotated[str, Field(max_length=64)] = ""


class ReportPreview(msgspec.Struct, frozen=True):
    """What would become of a report.

    Attributes:
        fields: what makes the fingerprint.
        joins: reference of the incident that it would join; empty where it would open one, and
            where the caller may not see that incident.
        would: ``open``, ``join``, ``record`` or ``keep unmapped``.
        reports: how many of the same that incident has.
    """

    title: str
    fingerprint: str
    fields: tuple[tuple[str, str], ...]
    would: Literal["open", "join", "record", "keep unmapped"]
    joins: str
    reports: int
    why_unmapped: str = ""


@routes.add(
    "POST",
    "/v1/reports",
    Scope.INCIDENTS_REPORT,
    answer=One[ReportView],
    dry_run=One[ReportPreview],
    status=201,
    parameters=True,
)
def send_report(control: Ctl, caller: Caller, wanted: NewReport, query: DryRun) -> Response:
    """Report something, or tag a decision, a trace or a conversation. What is the same as an open
    report joins its incident; all else opens one, in the state ``reported``."""
    heard = heard_of(control, wanted)
    if query.dry_run:
        return one(preview_of(control, heard))
    now = control.clock()
    report = report_of(heard, channel=wanted.channel, sender=actor_of(caller), now=now)
    [kept] = receive(control, [Arrival(report)], actor_from(caller))
    return one(_view(control, caller, kept), status=201)


@routes.add(
    "POST",
    "/v1/reports/email",
    Scope.INCIDENTS_REPORT,
    answer=One[ReportView],
    dry_run=One[ReportPreview],
    status=201,
    parameters=True,
    raw_body=True,
    body_bytes_max=MAIL_BYTES_MAX,
    extra={
        "requestBody": {
            "required": True,
            "content": {"message/rfc822": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def send_report_by_email(control: Ctl, caller: Caller, body: RawBody, query: DryRun) -> Response:
    """A message as it is in a file (RFC 5322). Its attachments are kept by digest; nothing in it is
    opened or run. The same message again joins."""
    if not body.strip():
        raise InvalidInput("body: send one message, as it is in its file")
    mail = read_mail(body)
    if query.dry_run:
        return one(preview_of(control, mail.heard))
    report = report_of(
        mail.heard,
        channel="email",
        sender=actor_of(caller),
        now=control.clock(),
        contact=mail.contact,
        files=mail.files,
    )
    [kept] = receive(control, [Arrival(report, mail.contents)], actor_from(caller))
    return one(_view(control, caller, kept), status=201)


@routes.add("GET", "/v1/reports", Scope.REPORTS_READ, answer=Page[ReportView], parameters=True)
def list_reports(control: Ctl, caller: Caller, query: Annotated[ReportsQuery, Query()]) -> Response:
    """Reports, newest first: all for whoever may read incidents, one's own for others."""
    incident_id = ""
    if query.incident:
        incident_id = control.stores.incidents.get(query.incident).id
    sender = "" if _reads_all(caller) else actor_of(caller)
    where = ReportFilter(query.status, query.channel, incident_id, sender)
    total = control.stores.reports.count(where, ceiling=TOTAL_CEILING)
    floor = total >= TOTAL_CEILING
    if query.limit == 0:
        return reply(Page([], Meta(total, total_is_floor=floor)))
    found, cursor = control.stores.reports.page(where, limit=query.limit, cursor=query.cursor)
    views = [_view(control, caller, kept) for kept in found]
    return reply(Page(views, Meta(total, total_is_floor=floor, next_cursor=cursor)))


@routes.add("GET", "/v1/reports/{report_id}", Scope.REPORTS_READ, answer=One[ReportView])
def show_report(control: Ctl, caller: Caller, report_id: ReportId) -> Response:
    """One report, its receipt, and what became of it."""
    return one(_view(control, caller, _own(control, caller, report_id)))


@routes.add(
    "GET",
    "/v1/reports/{report_id}/files/{digest}",
    Scope.PAYLOADS_REVEAL,
    media_types=("application/octet-stream",),
)
def reveal_report_file(
    control: Ctl, caller: Caller, report_id: ReportId, digest: Digest
) -> Response:
    """The bytes of a file that came with a report, as they came. Leaves an entry in custody."""
    kept = control.stores.reports.get(report_id)
    entry = custody_entry(
        "reveal",
        f"report:{kept.report.id}",
        actor=actor_of(caller),
        now=control.clock(),
        reason=f"file {digest}",
    )
    content = control.stores.reports.file(kept.report.id, digest, entry)
    # Never as what its sender says it is: a browser would show it.
    headers = {"content-disposition": "attachment"}
    return Response(content, media_type="application/octet-stream", headers=headers)


@routes.add(
    "POST",
    "/v1/reports/{report_id}/settle",
    Scope.INCIDENTS_RESPOND,
    answer=One[ReportView],
)
def settle_report(
    control: Ctl, caller: Caller, report_id: ReportId, wanted: Settlement
) -> Response:
    """Give a report that no incident has to one, or let it open one."""
    act = Act(actor_from(caller), control.clock(), reason=wanted.reason.strip())
    if wanted.incident:
        control.stores.incidents.get(wanted.incident)  # it must be there for the caller to see

    def decide(kept: KeptReport, incident: Incident | None) -> Taken:
        events = events_of(control, kept.report)
        return settled(kept, act, incident, title=wanted.title.strip(), events=events)

    kept = control.stores.reports.settle(
        report_id, wanted.incident, decide, by=act.actor.reference, now=act.now
    )
    return one(_view(control, caller, kept))


@routes.add(
    "POST",
    "/v1/reports/{report_id}/set-aside",
    Scope.INCIDENTS_RESPOND,
    answer=One[ReportView],
)
def set_report_aside(control: Ctl, caller: Caller, report_id: ReportId, wanted: Reason) -> Response:
    """Say of a report that no incident has that it is nothing, and why. It stays."""
    act = Act(actor_from(caller), control.clock(), reason=wanted.reason.strip())
    kept = control.stores.reports.settle(
        report_id,
        "",
        lambda kept, _: settled(kept, act, None, set_aside=True),
        by=act.actor.reference,
        now=act.now,
    )
    return one(_view(control, caller, kept))


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/reports",
    Scope.INCIDENTS_READ,
    answer=Page[Recurrence],
)
def list_incident_reports(control: Ctl, incident_id: IncidentKey) -> Response:
    """How often what came to an incident, by fingerprint."""
    found = control.stores.incidents.get(incident_id)
    return whole(control.stores.reports.recurrences(found.id))


def preview_of(control: Control, heard: Heard) -> ReportPreview:
    """What would become of something that was heard."""
    made: Fingerprint = heard.fingerprint
    joins = control.stores.reports.joins(made.digest)
    before = joins[1] if joins is not None else None
    would: Literal["open", "join", "record", "keep unmapped"] = "open"
    if heard.why_unmapped:
        would = "keep unmapped"
    elif joins is not None:
        would = "join"
    elif heard.state == "resolved":
        would = "record"
    shown = would == "join" and joins is not None and reference_for(control.stores, joins[0].id)
    return ReportPreview(
        title=heard.title,
        fingerprint=made.digest,
        fields=made.fields,
        would=would,
        joins=joins[0].reference if shown and joins is not None else "",
        reports=before.reports if before is not None and would == "join" else 0,
        why_unmapped=heard.why_unmapped,
    )


def heard_of(control: Control, wanted: NewReport) -> Heard:
    """What somebody says.

    Raises:
        InvalidInput: naming the field that cannot be used.
    """
    title = wanted.title.strip() or title_of(wanted.text)
    category = wanted.category.strip()
    if category and category not in CATEGORIES:
        hint = did_you_mean(category, list(CATEGORIES))
        raise Invalid([FieldError("body.category", "is no category", "input.unknown", hint)])
    about = tuple(dict.fromkeys(About(each.kind, each.id) for each in wanted.about))
    for place, each in enumerate(about):
        if each.kind == "event":
            _require_event(control, each.id, f"body.about.{place}.id")
    if not title and about and category:
        title = f"{category.replace('_', ' ')}: {about[0].kind} {about[0].id}"
    if not title:
        raise InvalidInput("body.title: say in a few words what you saw")
    now = control.clock()
    return Heard(
        title=title,
        fingerprint=of_words(
            title, category=category, workflow=wanted.workflow, about=about, text=wanted.text
        ),
        text=wanted.text.strip(),
        happened_at=parse_time(wanted.at, now=now) if wanted.at else None,
        category=category,
        severity=wanted.severity,
        workflow=wanted.workflow,
        labels=dict(wanted.labels),
        about=about,
    )


def _require_event(control: Control, event_id: str, where: str) -> None:
    try:
        control.stores.events.get(event_id)
    except NotFound as error:
        raise Invalid([FieldError(where, str(error), "input.unknown")]) from None


def _reads_all(caller: Token) -> bool:
    return allows(caller.scopes, Scope.INCIDENTS_READ)


def _own(control: Control, caller: Token, report_id: str) -> KeptReport:
    kept = control.stores.reports.get(report_id)
    if not _reads_all(caller) and kept.report.sender != actor_of(caller):
        raise NotFound(f'there is no report "{report_id}"')
    return kept


def _view(control: Control, caller: Token, kept: KeptReport) -> ReportView:
    return view_of(control, kept, reads_incidents=_reads_all(caller))
