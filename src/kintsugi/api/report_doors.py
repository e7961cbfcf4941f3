"""``/v1/report-sources`` and ``/v1/report-links``: doors for machines, and for people outside."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, part, whole
from kintsugi.api.control import Caller, Control, Ctl, RawBody
from kintsugi.api.custody import actor_of
from kintsugi.api.edits import IfMatch, etag, expected_version
from kintsugi.api.event_query import PageQuery
from kintsugi.api.hygiene import decode_json
from kintsugi.api.incidents import actor_from
from kintsugi.api.permissions import Access, Scope
from kintsugi.api.report_intake import ReportView, file_of, receive, report_of, view_of
from kintsugi.api.report_keys import check_signature, link_text, new_secret, seal_secret
from kintsugi.api.reports import ReportPreview, preview_of
from kintsugi.api.routing import Routes
from kintsugi.errors import InvalidInput, NotFound, StateConflict, Unauthenticated
from kintsugi.incidents.alerts import of_alertmanager, of_pagerduty
from kintsugi.incidents.heard import Heard, unmapped
from kintsugi.incidents.mapping import mapped, read_mapping
from kintsugi.model.incident import Actor
from kintsugi.model.report import Arrival
from kintsugi.model.report_doors import Mapping, ReportLink, Signing, Source, SourceKind, UsedLink

routes = Routes("reports")

SourceName = Annotated[str, Path(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
LinkId = Annotated[str, Path(max_length=64)]
_SIGNINGS: dict[SourceKind, tuple[Signing, ...]] = {
    "alertmanager": ("", "sha256", "standard-webhooks"),
    "pagerduty": ("", "pagerduty"),
    "generic": ("", "sha256", "standard-webhooks"),
}


class SourceBody(BaseModel):
    """How a machine's messages become reports.

    Attributes:
        mapping: of the kind ``generic``; see the manual.
        fingerprint: labels of an Alertmanager alert that make two the same; all where none is
            named.
        signing: how deliveries without a token are signed.
        secret: for signing, as the sender knows it; left out, one is made and shown once.
    """

    model_config = ConfigDict(extra="forbid")

    kind: SourceKind
    mapping: dict[str, Any] | None = None
    fingerprint: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200)]],
        Field(max_length=50, default_factory=list),
    ]
    workflow_label: Annotated[str, Field(max_length=200)] = "workflow"
    signing: Signing = ""
    secret: Annotated[str | None, Field(min_length=16, max_length=500)] = None
    enabled: bool = True
    note: Annotated[str, Field(max_length=2000)] = ""


class PreviewBody(BaseModel):
    """A message to try; with the kind and mapping of a source that is not saved yet, or the name of
    one that is."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[str, Field(max_length=100)] = ""
    kind: SourceKind | None = None
    mapping: dict[str, Any] | None = None
    fingerprint: Annotated[list[str], Field(max_length=50, default_factory=list)]
    workflow_label: Annotated[str, Field(max_length=200)] = "workflow"
    payload: Any


class LinkBody(BaseModel):
    """A form for people outside.

    Attributes:
        per_hour: how many reports it takes in an hour, from everybody who has it.
    """

    model_config = ConfigDict(extra="forbid")

    audience: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
    expires_in_days: Annotated[int, Field(ge=1, le=366)] = 30
    per_hour: Annotated[int, Field(ge=1, le=1000)] = 20
    note: Annotated[str, Field(max_length=2000)] = ""


class SourceView(msgspec.Struct, frozen=True):
    """A source without its secret.

    Attributes:
        secret: once, where one was made; empty ever after.
        signed: whether deliveries are signed.
    """

    name: str
    kind: SourceKind
    version: int
    enabled: bool
    mapping: Mapping | None
    fingerprint: tuple[str, ...]
    workflow_label: str
    signing: Signing
    signed: bool
    note: str
    by: str
    secret: str = ""


class LinkView(msgspec.Struct, frozen=True):
    """A link without its secret.

    Attributes:
        path: once, where it was made: what follows the console's own address; empty ever after.
    """

    id: str
    audience: str
    state: Literal["open", "expired", "revoked"]
    used: int
    link: ReportLink
    path: str = ""


class Delivered(msgspec.Struct, frozen=True):
    """What became of a message.

    Attributes:
        unmapped: how many of the reports could not be read; they are kept, with the reason.
    """

    received: int
    unmapped: int
    reports: tuple[ReportView, ...]


@routes.add("PUT", "/v1/report-sources/{name}", Scope.REPORTS_MANAGE, answer=One[SourceView])
def put_report_source(
    control: Ctl, caller: Caller, name: SourceName, wanted: SourceBody, if_match: IfMatch = None
) -> Response:
    """Make or change a source of alerts. Without a new secret, the one before stays."""
    if name == "preview":
        raise InvalidInput('name: "preview" is an address of this API; choose another')
    if wanted.signing not in _SIGNINGS[wanted.kind]:
        allowed = ", ".join(f'"{one}"' for one in _SIGNINGS[wanted.kind])
        raise InvalidInput(f"body.signing: {wanted.kind} is signed with one of {allowed}")
    source, secret = _source(control, name, wanted, actor_of(caller))
    kept = control.stores.report_doors.put_source(
        source, expected_version=expected_version(if_match)
    )
    return one(_source_view(kept, secret), headers={"etag": etag(kept.version)})


@routes.add("GET", "/v1/report-sources", Scope.REPORTS_MANAGE, answer=Page[SourceView])
def list_report_sources(control: Ctl) -> Response:
    """All, by name."""
    return whole([_source_view(found) for found in control.stores.report_doors.sources()])


@routes.add("GET", "/v1/report-sources/{name}", Scope.REPORTS_MANAGE, answer=One[SourceView])
def show_report_source(control: Ctl, name: SourceName) -> Response:
    """One source. Send its ETag as If-Match with a change to it."""
    found = control.stores.report_doors.source(name)
    return one(_source_view(found), headers={"etag": etag(found.version)})


@routes.add("POST", "/v1/report-sources/preview", Scope.REPORTS_MANAGE, answer=Page[ReportPreview])
def preview_report_source(control: Ctl, wanted: PreviewBody) -> Response:
    """What a message would come to: each report, its fingerprint, and the incident that it would
    open or join. Nothing is kept."""
    if wanted.source:
        source = control.stores.report_doors.source(wanted.source)
    else:
        if wanted.kind is None:
            raise InvalidInput("body.kind: name a kind, or the source that is meant")
        source = Source(
            "preview",
            wanted.kind,
            control.clock(),
            "",
            mapping=_mapping(wanted.kind, wanted.mapping),
            fingerprint=tuple(wanted.fingerprint),
            workflow_label=wanted.workflow_label,
        )
    return whole([preview_of(control, heard) for heard in _heard(source, wanted.payload)])


@routes.add(
    "POST",
    "/v1/report-sources/{name}/deliveries",
    Scope.INCIDENTS_REPORT,
    answer=One[Delivered],
    status=202,
    raw_body=True,
    extra={"requestBody": {"required": True, "content": {"application/json": {"schema": {}}}}},
)
def deliver_report(control: Ctl, caller: Caller, name: SourceName, body: RawBody) -> Response:
    """A message of a machine that has a token. What cannot be read is kept as unmapped, and the
    answer says so."""
    source = _enabled(control, name)
    return _delivered(control, source, body, sender=actor_of(caller), actor=actor_from(caller))


@routes.add(
    "POST",
    "/v1/report-sources/{name}/signed-deliveries",
    Access.PUBLIC,
    answer=One[Delivered],
    status=202,
    raw_body=True,
    extra={"requestBody": {"required": True, "content": {"application/json": {"schema": {}}}}},
)
def deliver_signed_report(
    control: Ctl, request: Request, name: SourceName, body: RawBody
) -> Response:
    """A message of a machine that signs what it sends."""
    try:
        source = _enabled(control, name)
    except (NotFound, StateConflict):
        # Whoever cannot sign learns nothing of which sources there are.
        raise Unauthenticated(
            f'This delivery does not carry the signature of source "{name}".'
        ) from None
    check_signature(control, source, request.headers, body)
    sender = f"source/{source.name}"
    return _delivered(control, source, body, sender=sender, actor=Actor("source", sender))


@routes.add("POST", "/v1/report-links", Scope.REPORTS_MANAGE, answer=One[LinkView], status=201)
def create_report_link(control: Ctl, caller: Caller, wanted: LinkBody) -> Response:
    """A signed link to a form that needs no account. Its address is shown once."""
    now = control.clock().replace(microsecond=0)
    link = ReportLink(
        id=secrets.token_hex(8),
        audience=wanted.audience,
        created_at=now,
        by=actor_of(caller),
        expires_at=now + timedelta(days=wanted.expires_in_days),
        per_hour=wanted.per_hour,
        note=wanted.note,
    )
    control.stores.report_doors.add_link(link)
    view = _link_view(control, UsedLink(link, 0), f"/report/by-link/{link_text(control, link)}")
    return one(view, status=201)


@routes.add("GET", "/v1/report-links", Scope.REPORTS_MANAGE, answer=Page[LinkView], parameters=True)
def list_report_links(control: Ctl, query: Annotated[PageQuery, Query()]) -> Response:
    """Newest first. ``meta.total`` counts what this page shows."""
    found, cursor = control.stores.report_doors.links(
        limit=max(query.limit, 1), cursor=query.cursor
    )
    views = [_link_view(control, each) for each in found]
    return part(views, cursor)


@routes.add("POST", "/v1/report-links/{link_id}/revoke", Scope.REPORTS_MANAGE, answer=One[LinkView])
def revoke_report_link(control: Ctl, caller: Caller, link_id: LinkId) -> Response:
    """End a link at once. What came through it stays."""
    ended = control.stores.report_doors.revoke_link(
        link_id, by=actor_of(caller), now=control.clock()
    )
    return one(_link_view(control, ended))


def _delivered(
    control: Control, source: Source, body: bytes, *, sender: str, actor: Actor
) -> Response:
    try:
        document = decode_json(body)
        heard = _heard(source, document)
    except InvalidInput as error:
        heard = [unmapped(body.hex(), str(error), source=source.name)]
    raw = file_of(body, "delivery.json", "application/json")
    now = control.clock()
    arrivals = [
        Arrival(
            report_of(each, channel=source.kind, sender=sender, now=now, files=(raw,)),
            {raw.digest: body},
        )
        for each in heard
    ]
    kept = receive(control, arrivals, actor) if arrivals else []
    views = tuple(view_of(control, each, reads_incidents=True) for each in kept)
    lost = sum(view.status == "unmapped" for view in views)
    return one(Delivered(len(views), lost, views), status=202)


def _heard(source: Source, document: Any) -> list[Heard]:
    match source.kind:
        case "alertmanager":
            return of_alertmanager(
                document,
                source=source.name,
                fingerprint_labels=source.fingerprint,
                workflow_label=source.workflow_label,
            )
        case "pagerduty":
            return of_pagerduty(document, source=source.name, workflow_label=source.workflow_label)
        case "generic":
            if source.mapping is None:
                return [unmapped(document, "the source has no mapping", source=source.name)]
            return mapped(document, source.mapping, source=source.name)


def _source(control: Control, name: str, wanted: SourceBody, actor: str) -> tuple[Source, str]:
    """The source, and the secret where one was made."""
    made, sealed = "", ""
    if wanted.signing:
        try:
            sealed = control.stores.report_doors.source(name).sealed_secret
        except NotFound:
            sealed = ""
        if wanted.secret is not None or not sealed:
            made = wanted.secret or new_secret(wanted.signing)
            sealed = seal_secret(control, name, made)
    source = Source(
        name=name,
        kind=wanted.kind,
        at=control.clock(),
        by=actor,
        enabled=wanted.enabled,
        mapping=_mapping(wanted.kind, wanted.mapping),
        fingerprint=tuple(wanted.fingerprint),
        workflow_label=wanted.workflow_label,
        signing=wanted.signing,
        sealed_secret=sealed,
        note=wanted.note,
    )
    return source, "" if wanted.secret is not None else made


def _mapping(kind: SourceKind, document: dict[str, Any] | None) -> Mapping | None:
    if kind != "generic":
        if document is not None:
            raise InvalidInput(f"body.mapping: {kind} has a shape of its own; leave it out")
        return None
    if document is None:
        raise InvalidInput("body.mapping: a generic source needs one; at least mapping.title")
    return read_mapping(document)


def _enabled(control: Control, name: str) -> Source:
    source = control.stores.report_doors.source(name)
    if not source.enabled:
        raise StateConflict(f'source "{name}" is switched off')
    return source


def _source_view(source: Source, secret: str = "") -> SourceView:
    return SourceView(
        name=source.name,
        kind=source.kind,
        version=source.version,
        enabled=source.enabled,
        mapping=source.mapping,
        fingerprint=source.fingerprint,
        workflow_label=source.workflow_label,
        signing=source.signing,
        signed=bool(source.sealed_secret),
        note=source.note,
        by=source.by,
        secret=secret,
    )


def _link_view(control: Control, found: UsedLink, path: str = "") -> LinkView:
    link = found.link
    state: Literal["open", "expired", "revoked"] = "open"
    if link.revoked_at is not None:
        state = "revoked"
    elif control.clock() >= link.expires_at:
        state = "expired"
    return LinkView(link.id, link.audience, state, found.used, link, path)
