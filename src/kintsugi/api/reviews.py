"""``/v1/incidents/{id}/review``: generated from the record, written on by people, published."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, whole
from kintsugi.api.control import Caller, Ctl
from kintsugi.api.edits import DryRun
from kintsugi.api.followups import all_of, kept
from kintsugi.api.incidents import Doing, IncidentKey
from kintsugi.api.permissions import Scope
from kintsugi.api.review_facts import current_review, stored_review
from kintsugi.api.routing import Routes
from kintsugi.errors import NotFound
from kintsugi.incidents import reviewing
from kintsugi.incidents.review_html import review_html
from kintsugi.incidents.review_pdf import review_pdf
from kintsugi.incidents.reviewing import (
    REVIEW_CHARS_MAX,
    ImportFinding,
    for_strangers,
    wording_of,
)
from kintsugi.incidents.wording import WordingFinding
from kintsugi.model.incident import Change, Incident
from kintsugi.model.review import Edition, ReviewAudience

routes = Routes("incidents")

# A review in one message: people's parts and thousands of entries.
_BODY_BYTES_MAX = 8 * 1024 * 1024
_TYPES = {"md": "text/markdown; charset=utf-8", "html": "text/html; charset=utf-8"}
_PDF = "application/pdf"
_MEDIA = ("text/markdown", "text/html", _PDF)

Format = Literal["md", "html", "pdf"]
EditionNumber = Annotated[int, Path(ge=1, lt=2**31)]
Term = Annotated[str, Field(min_length=1, max_length=300)]


class ReviewQuery(BaseModel):
    """In which form.

    Attributes:
        redacted: as strangers may read it.
    """

    model_config = ConfigDict(extra="forbid")

    format: Format = "md"
    redacted: bool = False


class EditionQuery(BaseModel):
    """In which form."""

    model_config = ConfigDict(extra="forbid")

    format: Format = "md"


class Edited(Doing):
    """A review that was exported as Markdown and edited."""

    text: Annotated[str, Field(min_length=1, max_length=REVIEW_CHARS_MAX)]


class NewEdition(Doing):
    """For whom; words that nobody outside may read, besides names, personal data and secrets."""

    audience: ReviewAudience = "internal"
    redact: Annotated[list[Term], Field(max_length=200, default_factory=list)]


class ReviewView(msgspec.Struct, frozen=True):
    """What came of an import, or of a check.

    Attributes:
        changed: the parts that were taken over.
        findings: edits that are not kept, because those lines are computed.
        wording: remarks; places are lines of the review as it is exported now.
    """

    incident: str
    changed: tuple[str, ...]
    findings: tuple[ImportFinding, ...]
    wording: tuple[WordingFinding, ...]


class EditionView(msgspec.Struct, frozen=True):
    """A review as it was published.

    Attributes:
        digest: of its text; it stands in the timeline, and so in the log.
        remarks: how many there were on its wording.
    """

    number: int
    audience: ReviewAudience
    published_at: datetime
    published_by: str
    digest: str
    remarks: int


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/review",
    Scope.INCIDENTS_READ,
    media_types=_MEDIA,
    parameters=True,
)
def show_incident_review(
    control: Ctl, incident_id: IncidentKey, query: Annotated[ReviewQuery, Query()]
) -> Response:
    """The review as it is generated now, with what people have written."""
    incident = control.stores.incidents.get(incident_id)
    text, names = current_review(control, incident)
    if query.redacted:
        text = for_strangers(text, names)
    return _rendered(text, incident, query.format)


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/review/wording",
    Scope.INCIDENTS_READ,
    answer=One[ReviewView],
)
def check_incident_review(control: Ctl, incident_id: IncidentKey) -> Response:
    """Remarks on its wording: what puts the blame on people, and what to write instead."""
    incident = control.stores.incidents.get(incident_id)
    remarks = wording_of(*current_review(control, incident))
    return one(ReviewView(incident.reference, (), (), tuple(remarks)))


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/review/import",
    Scope.INCIDENTS_RESPOND,
    answer=One[ReviewView],
    parameters=True,
    body_bytes_max=_BODY_BYTES_MAX,
)
def import_incident_review(
    control: Ctl, caller: Caller, incident_id: IncidentKey, query: DryRun, edited: Edited
) -> Response:
    """Take people's parts from an edited file. Generated lines are computed anew; what was edited
    in them is told, with its line. Where somebody else wrote meanwhile, nothing is taken."""
    act = edited.act(control, caller)
    incident = control.stores.incidents.get(incident_id)
    read: list[reviewing.Import] = []

    def decide(found: Incident) -> Change:
        review = stored_review(control, found)
        words = {} if review is None else review.parts
        text, _ = current_review(control, found)
        read[:] = [reviewing.read_import(found, edited.text, text, words)]
        return reviewing.written(found, review, read[0].words, act)

    decide(incident)
    # Where nothing of people's changed nothing is written; edits are told all the same.
    if read[0].words and not query.dry_run:
        kept(control, incident.id, decide)
    remarks = wording_of(*current_review(control, incident))
    view = ReviewView(
        incident.reference, tuple(sorted(read[0].words)), read[0].findings, tuple(remarks)
    )
    return one(view)


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/review/publish",
    Scope.INCIDENTS_RESPOND,
    answer=One[EditionView],
    parameters=True,
)
def publish_incident_review(
    control: Ctl, caller: Caller, incident_id: IncidentKey, query: DryRun, given: NewEdition
) -> Response:
    """Publish an edition, inside or redacted; it never changes. The commander's."""
    act = given.act(control, caller)

    def decide(found: Incident) -> Change:
        text, names = current_review(control, found)
        return reviewing.published(
            found,
            text,
            act,
            audience=given.audience,
            number=len(all_of(control, found, "edition")) + 1,
            names=names,
            terms=given.redact,
        )

    return one(_edition_view(kept(control, incident_id, decide, dry_run=query.dry_run)))


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/review/editions",
    Scope.INCIDENTS_READ,
    answer=Page[EditionView],
)
def list_incident_review_editions(control: Ctl, incident_id: IncidentKey) -> Response:
    """Every edition that was published, oldest first."""
    incident = control.stores.incidents.get(incident_id)
    return whole([_edition_view(each) for each in all_of(control, incident, "edition")])


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/review/editions/{number}",
    Scope.INCIDENTS_READ,
    media_types=_MEDIA,
    parameters=True,
)
def show_incident_review_edition(
    control: Ctl,
    incident_id: IncidentKey,
    number: EditionNumber,
    query: Annotated[EditionQuery, Query()],
) -> Response:
    """One edition, exactly as it was published."""
    incident = control.stores.incidents.get(incident_id)
    for each in all_of(control, incident, "edition"):
        if each.number == number:
            return _rendered(each.text, incident, query.format)
    raise NotFound(f"{incident.reference} has no edition {number} of its review")


def _rendered(text: str, incident: Incident, form: Format) -> Response:
    if form == "md":
        return Response(text, media_type=_TYPES["md"])
    page = review_html(text, title=f"{incident.reference}: {incident.title}")
    if form == "html":
        return Response(page, media_type=_TYPES["html"])
    name = f"{incident.reference}-review.pdf"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(review_pdf(page), media_type=_PDF, headers=headers)


def _edition_view(edition: Edition) -> EditionView:
    return EditionView(
        number=edition.number,
        audience=edition.audience,
        published_at=edition.created_at,
        published_by=edition.created_by,
        digest=edition.digest,
        remarks=edition.findings,
    )
