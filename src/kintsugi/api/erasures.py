"""``/v1/erasures``: the erasure of what one subject said and was answered, and its proof."""

from __future__ import annotations

import os
import secrets
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, part
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.event_query import PageQuery
from kintsugi.api.log import leaf_proof_of
from kintsugi.api.permissions import Scope
from kintsugi.api.problems import FieldError, Invalid
from kintsugi.api.routing import Routes
from kintsugi.api.vault_worker import held_by
from kintsugi.errors import NotFound, StateConflict
from kintsugi.ledger.proof import LeafProof
from kintsugi.model.erasure import ErasureJob, ErasureState, PlaceReached, Receipt
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.holds import narrowed
from kintsugi.model.ids import uuid7
from kintsugi.model.report import report_of_subject
from kintsugi.model.vault import Subject

routes = Routes("erasures")

ErasureId = Annotated[str, Path(max_length=64)]
_CEILING = 100_000


class NewErasure(BaseModel):
    """Whose content, and why."""

    model_config = ConfigDict(extra="forbid")

    subject: Annotated[
        str,
        Field(
            min_length=1,
            max_length=4000,
            description="a user's id; `session:ID` or `event:ID` where no user was named",
        ),
    ]
    reason: Annotated[str, Field(max_length=2000)] = ""
    dry_run: Annotated[bool, Field(description="Only say what would be erased.")] = False


class PlaceCount(msgspec.Struct, frozen=True):
    """How many things an erasure would remove in one place."""

    name: str
    things: int


class ErasurePreview(msgspec.Struct, frozen=True):
    """What an erasure would do.

    Attributes:
        events: that hold content; at least so many where ``events_is_floor``.
        holds: names of the legal holds in the way; with one, nothing would be erased.
    """

    subject: str
    events: int
    events_is_floor: bool
    places: tuple[PlaceCount, ...]
    holds: tuple[str, ...]
    dry_run: bool = True


class ErasureView(msgspec.Struct, frozen=True):
    """An erasure and how far it is.

    Attributes:
        progress: share of the events gone through, 0 to 1; None before the keys are destroyed.
        destroyed_at: from then on nothing of it can be read.
        keys: how many data keys were destroyed.
        places: what was reached besides the events.
        receipt: once it is done; keep it, it proves the erasure with the log's leaf.
    """

    id: str
    subject: str
    reason: str
    requested_by: str
    state: ErasureState
    progress: float | None
    events: int
    texts: int
    keys: int
    places: tuple[PlaceReached, ...]
    error: str
    created_at: datetime
    destroyed_at: datetime | None
    finished_at: datetime | None
    reapplied_at: datetime | None
    leaf: int | None
    receipt: Receipt | None


class Check(msgspec.Struct, frozen=True):
    """One thing that must hold after an erasure; None where it could not be checked."""

    name: str
    holds: bool | None
    detail: str


class Verification(msgspec.Struct, frozen=True):
    """Whether an erasure happened, and that nothing came back.

    Attributes:
        proof: that the log holds the leaf; check it on your side, with the receipt's digest.
    """

    id: str
    holds: bool
    checks: tuple[Check, ...]
    receipt: Receipt
    receipt_digest: str
    proof: LeafProof


@routes.add(
    "POST",
    "/v1/erasures",
    Scope.ERASURES_WRITE,
    answer=One[ErasureView],
    status=202,
    dry_run=One[ErasurePreview],
)
def erase(control: Ctl, caller: Caller, new: NewErasure) -> Response:
    """Queue an erasure; 409 names the legal holds in the way. With `dry_run`, 200 and what it
    would erase."""
    subject = _subject(control, new.subject)
    holding = tuple(control.holding(subject))
    if new.dry_run:
        events = control.stores.erasures.matter(subject, ceiling=_CEILING + 1)
        places = tuple(PlaceCount(place.name, place.holds(subject)) for place in control.places)
        preview = ErasurePreview(
            str(subject), min(events, _CEILING), events > _CEILING, places, holding
        )
        return one(preview)
    if holding:
        raise StateConflict(f"nothing was erased: {held_by(holding)}")
    now = control.clock()
    job = ErasureJob(
        id=uuid7(int(now.timestamp() * 1000), os.urandom(10)),
        subject=str(subject),
        reason=new.reason.strip(),
        requested_by=actor_of(caller),
        state="queued",
        created_at=now,
        salt=secrets.token_hex(16),
    )
    control.stores.erasures.request(job)
    control.feed.announce(("vault",))
    return one(view_of(job), status=202, headers={"location": f"/v1/erasures/{job.id}"})


@routes.add("GET", "/v1/erasures", Scope.ERASURES_READ, answer=Page[ErasureView], parameters=True)
def list_erasures(control: Ctl, query: Annotated[PageQuery, Query()]) -> Response:
    """Erasures, newest first. ``meta.total`` counts those of this page and tells, as
    ``total_is_floor``, whether there are more."""
    if query.limit == 0:
        return part([], None, first=False)
    jobs, cursor = control.stores.erasures.erasures(limit=query.limit, cursor=query.cursor)
    return part([view_of(job) for job in jobs], cursor, first=query.cursor is None)


@routes.add("GET", "/v1/erasures/{erasure_id}", Scope.ERASURES_READ, answer=One[ErasureView])
def show_erasure(control: Ctl, erasure_id: ErasureId) -> Response:
    """One erasure and how far it is."""
    return one(view_of(control.stores.erasures.erasure(erasure_id)))


@routes.add(
    "POST",
    "/v1/erasures/{erasure_id}/retry",
    Scope.ERASURES_WRITE,
    answer=One[ErasureView],
    status=202,
)
def retry_erasure(control: Ctl, erasure_id: ErasureId) -> Response:
    """Go on with one that failed; what it did already stays done."""
    job = control.stores.erasures.retry(erasure_id, now=control.clock())
    control.feed.announce(("vault",))
    return one(view_of(job), status=202)


@routes.add(
    "GET",
    "/v1/erasures/{erasure_id}/verification",
    Scope.ERASURES_READ,
    answer=One[Verification],
)
def verify_erasure(control: Ctl, erasure_id: ErasureId) -> Response:
    """Look again whether anything of it can be found, and prove its leaf of the log."""
    job = control.stores.erasures.erasure(erasure_id)
    if job.state != "done" or job.leaf is None or job.finished_at is None:
        raise StateConflict(f"erasure {job.id} is {job.state}; there is nothing to verify yet")
    receipt = Receipt.of(job, finished_at=job.finished_at)
    proof = leaf_proof_of(control, job.leaf)
    checks = (_in_the_log(receipt, proof), *_nothing_left(control, job))
    return one(
        Verification(
            job.id,
            all(check.holds for check in checks),
            checks,
            receipt,
            receipt.digest,
            proof,
        )
    )


def view_of(job: ErasureJob) -> ErasureView:
    """The job as callers see it."""
    receipt = None
    if job.state == "done" and job.finished_at is not None:
        receipt = Receipt.of(job, finished_at=job.finished_at)
    return ErasureView(
        id=job.id,
        subject=job.subject,
        reason=job.reason,
        requested_by=job.requested_by,
        state=job.state,
        progress=_progress(job),
        events=job.erased,
        texts=job.texts,
        keys=len(job.keys),
        places=job.places,
        error=job.error,
        created_at=job.created_at,
        destroyed_at=job.destroyed_at,
        finished_at=job.finished_at,
        reapplied_at=job.reapplied_at,
        leaf=job.leaf,
        receipt=receipt,
    )


def _progress(job: ErasureJob) -> float | None:
    if job.state == "done":
        return 1.0
    if job.destroyed_at is None:
        return None
    return min(0.99, job.erased / job.total) if job.total else 0.99


def _subject(control: Control, text: str) -> Subject:
    try:
        subject = Subject.parse(text)
    except ValueError as error:
        raise Invalid([FieldError("body.subject", str(error))]) from None
    if subject.kind == "event":
        event = control.stores.events.get(subject.id)
        owner = Subject.of(event)
        if owner != Subject("event", event.id):
            raise Invalid(
                [
                    FieldError(
                        "body.subject",
                        "this exchange's content is sealed under the key of its "
                        f"{owner.kind}, and goes with everything of that {owner.kind}",
                        help=f'erase "{owner}"',
                    )
                ]
            )
        return owner
    where = narrowed(EventFilter(), subject)
    found = where is not None and control.stores.events.count(where, ceiling=1)
    if not found and not control.stores.reports.files_of(report_of_subject(subject)):
        raise NotFound(f'there is no event of "{subject}"')
    return subject


def _in_the_log(receipt: Receipt, proof: LeafProof) -> Check:
    told = msgspec.json.decode(proof.data)
    same = told.get("id") == receipt.id and told.get("receipt_digest") == receipt.digest
    detail = f"leaf {proof.position} holds the receipt's digest"
    return Check("log", same, detail if same else f"leaf {proof.position} tells of something else")


def _nothing_left(control: Control, job: ErasureJob) -> list[Check]:
    left = control.stores.erasures.left(job)
    subject = Subject.parse(job.subject)
    found = {"data keys": left.keys, "contents": left.contents, "full text": left.texts}
    checks = [
        Check(name, count == 0, f"{count:,} left" if count else "none left")
        for name, count in found.items()
    ]
    for place in control.places:
        count = place.left(subject, erasure_id=job.id)
        checks.append(Check(place.name, count == 0, f"{count:,} left" if count else "none left"))
    return checks
