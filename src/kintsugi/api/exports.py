"""``/v1/exports``: events as a file, written by a job that shows its progress."""

from __future__ import annotations

import base64
import hashlib
import os
import pathlib
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse, Response

from kintsugi.api.answers import One, Page, one, part
from kintsugi.api.auth import authorise
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of, record
from kintsugi.api.event_query import EventFilters, PageQuery
from kintsugi.api.export_formats import AUDIT_WRITERS, FORMATS, Format
from kintsugi.api.export_worker import file_name, object_of
from kintsugi.api.permissions import Scope
from kintsugi.api.problems import FieldError, Invalid
from kintsugi.api.routing import Routes
from kintsugi.api.sight import may_read, require_sight
from kintsugi.api.trajectory_job import FILTERS
from kintsugi.errors import Expired, InvalidInput, NotFound, StateConflict
from kintsugi.ledger.log_keys import load_keys
from kintsugi.ledger.package.check import check_package
from kintsugi.ledger.package.encryption import parse_recipient
from kintsugi.ledger.package.findings import PackageReport
from kintsugi.model.event import ExpiredNote
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.exports import ExportJob, JobState
from kintsugi.model.ids import uuid7
from kintsugi.model.trajectory import Failing, TrajectoryRules

routes = Routes("exports")

ExportType = Literal["events", "trajectories", "escalations", "incidents", "audit", "package"]
_AVAILABLE = ("events", "trajectories", "package", "audit")
_ARCHIVES: Mapping[str, Mapping[str, str]] = {
    "trajectories": {"zip": "application/zip"},
    "package": {"zip": "application/zip", "tar": "application/x-tar"},
}
_ENCRYPTED = "application/age-encryption"

ExportId = Annotated[str, Path(max_length=64)]


class TrajectoryOptions(BaseModel):
    """When a run is finished, and when it was no success."""

    model_config = ConfigDict(extra="forbid")

    idle_seconds: Annotated[
        float, Field(ge=1, le=604_800, description="It is over when nothing came for so long.")
    ] = 1800.0
    fail_on: Annotated[
        list[Failing],
        Field(max_length=4, description="Any of these makes it a failure; see the manual."),
    ] = ["outcome", "verdict", "tool"]


class NewExport(BaseModel):
    """What to write, and in which format: trajectories as zip, a package as zip or tar, everything
    else as the rest."""

    model_config = ConfigDict(extra="forbid")

    type: ExportType
    format: Annotated[
        Format | Literal["zip", "tar"] | None,
        Field(description="jsonl where none is named, and zip for trajectories and packages."),
    ] = None
    trajectories: Annotated[
        TrajectoryOptions | None, Field(description="Only for trajectories.")
    ] = None
    recipients: Annotated[
        list[Annotated[str, Field(max_length=2000)]],
        Field(
            default_factory=list,
            max_length=20,
            description="Encrypt a package to these: age1... or SSH public keys.",
        ),
    ]
    unredacted: Annotated[
        bool,
        Field(
            description="Show a package's content as it was recorded; needs payloads:reveal and "
            "a reason."
        ),
    ] = False
    filter: EventFilters = Field(default_factory=EventFilters)
    reason: Annotated[str, Field(max_length=2000, description="Why; kept in custody.")] = ""


class ExportView(msgspec.Struct, frozen=True):
    """An export.

    Attributes:
        progress: share of the events written, 0 to 1; None until they are counted.
        sha256: of the finished file, in hex; empty until done.
        withdrawn: id of the erasure that removed the finished file; empty when none did.
        expired: when the finished file went away at the end of its time, and under which policy.
        content: where to download the finished file; None until done.
    """

    id: str
    type: str
    format: str
    filter: EventFilter
    state: JobState
    progress: float | None
    total: int | None
    written: int
    bytes: int
    sha256: str
    error: str
    created_at: datetime
    created_by: str
    started_at: datetime | None
    finished_at: datetime | None
    withdrawn: str
    expired: ExpiredNote | None
    content: str | None


@routes.add("POST", "/v1/exports", Scope.EXPORTS_WRITE, answer=One[ExportView], status=202)
def create_export(control: Ctl, caller: Caller, new: NewExport) -> Response:
    """Queue an export. Times such as ``1h`` count from now, so the window stands still."""
    if new.type not in _AVAILABLE:
        raise Invalid(
            [
                FieldError(
                    "body.type",
                    f'exports of "{new.type}" are not available yet',
                    help=f"available: {', '.join(_AVAILABLE)}",
                )
            ]
        )
    kind = new.format or ("zip" if new.type in _ARCHIVES else "jsonl")
    _refuse_what_does_not_fit(new, kind)
    if new.unredacted:
        authorise(caller, Scope.PAYLOADS_REVEAL)
    if new.type == "audit":
        authorise(caller, Scope.AUDIT_READ)
    now = control.clock()
    where = new.filter.where(now=now)
    require_sight(control.stores, where)
    job = ExportJob(
        id=uuid7(int(now.timestamp() * 1000), os.urandom(10)),
        type=new.type,
        format=kind,
        where=where,
        state="queued",
        created_at=now,
        created_by=caller.name,
        actor=actor_of(caller),
        reason=new.reason,
        trajectories=_rules(new),
        recipients=tuple(new.recipients),
        unredacted=new.unredacted,
    )
    if job.unredacted:  # before anything is read; the package lists the events
        record(control, caller, "reveal", object_of(job), reason=job.reason)
    control.stores.exports.add(job)
    control.feed.announce(("exports",))
    return one(view_of(job), status=202, headers={"location": f"/v1/exports/{job.id}"})


@routes.add("GET", "/v1/exports", Scope.EXPORTS_READ, answer=Page[ExportView], parameters=True)
def list_exports(control: Ctl, query: Annotated[PageQuery, Query()]) -> Response:
    """Exports, newest first. ``meta.total`` counts those of this page and tells, as
    ``total_is_floor``, whether there are more."""
    if query.limit == 0:
        return part([], None, first=False)
    jobs, cursor = control.stores.exports.page(limit=query.limit, cursor=query.cursor)
    seen = [view_of(job) for job in jobs if may_read(control.stores, job.where)]
    return part(seen, cursor, first=query.cursor is None)


@routes.add("GET", "/v1/exports/{export_id}", Scope.EXPORTS_READ, answer=One[ExportView])
def show_export(control: Ctl, export_id: ExportId) -> Response:
    """One export and how far it is."""
    return one(view_of(_seen(control, export_id)))


@routes.add(
    "GET",
    "/v1/exports/{export_id}/content",
    Scope.EXPORTS_READ,
    audited=True,
    media_types=(
        *(written.media_type.partition(";")[0] for written in FORMATS.values()),
        *sorted({kind for kinds in _ARCHIVES.values() for kind in kinds.values()}),
        _ENCRYPTED,
    ),
    extra={
        "parameters": [
            {
                "name": "Range",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "pattern": "^bytes=[0-9]{1,9}-$"},
            }
        ]
    },
)
def download_export(control: Ctl, caller: Caller, export_id: ExportId) -> Response:
    """The finished file; ranges may be asked for, so a broken download can go on. Each is a
    transfer, recorded in custody before the first byte leaves."""
    job, path = _finished(control, export_id)
    if job.unredacted:
        authorise(caller, Scope.PAYLOADS_REVEAL)
    if job.type == "audit":
        authorise(caller, Scope.AUDIT_READ)
    sealed = f"sha256:{job.sha256}"
    record(control, caller, "transfer", object_of(job), digest_before=sealed, digest_after=sealed)
    digest = base64.b64encode(bytes.fromhex(job.sha256)).decode()
    return FileResponse(
        path,
        media_type=_media_type(job),
        filename=f"kintsugi-{job.type}-{file_name(job)}",
        headers={"repr-digest": f"sha-256=:{digest}:"},
    )


@routes.add("POST", "/v1/exports/{export_id}/verify", Scope.EXPORTS_READ, answer=One[PackageReport])
def verify_export(control: Ctl, caller: Caller, export_id: ExportId) -> Response:
    """Check a finished package as `kt verify` does, against this log's keys. Recorded in custody,
    whatever the outcome."""
    job, path = _finished(control, export_id)
    if job.type != "package":
        raise InvalidInput(f"export {job.id} is no package")
    if job.recipients:
        raise StateConflict(
            f"package {job.id} is encrypted; check it where its recipients are, with kt verify"
        )
    keys = [key.verifier for key in load_keys(control.log_key_file)]
    report = check_package(path, trusted=keys)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    outcome = "holds" if report.holds else f"{len(report.findings)} findings"
    record(
        control,
        caller,
        "verify",
        object_of(job),
        reason=outcome,
        digest_before=f"sha256:{job.sha256}",
        digest_after=f"sha256:{found}",
    )
    return one(report)


def _seen(control: Control, export_id: str) -> ExportJob:
    """A job, unless it is about an incident that the caller does not see."""
    job = control.stores.exports.get(export_id)
    if not may_read(control.stores, job.where):
        raise NotFound(f'there is no export "{export_id}"')
    return job


def _finished(control: Control, export_id: str) -> tuple[ExportJob, pathlib.Path]:
    """A finished job and its file.

    Raises:
        Expired: its file went away at the end of its time.
        NotFound: it is not finished, or its file is gone.
    """
    job = _seen(control, export_id)
    path = control.state_dir / job.path
    if job.expired is not None:
        raise Expired(
            f"the file of export {job.id} {job.expired}; its digest was sha256:{job.sha256}"
        )
    if job.state != "done":
        raise NotFound(f"export {job.id} is {job.state}; there is no file yet")
    if job.withdrawn:
        raise NotFound(
            f"the file of export {job.id} was removed by erasure {job.withdrawn}; export again for "
            "what is left"
        )
    if not path.is_file():
        raise NotFound(f"the file of export {job.id} is not on this server any more")
    return job, path


def view_of(job: ExportJob) -> ExportView:
    """The job as callers see it: no paths of this machine."""
    return ExportView(
        id=job.id,
        type=job.type,
        format=job.format,
        filter=job.where,
        state=job.state,
        progress=_progress(job),
        total=job.total,
        written=job.written,
        bytes=job.bytes,
        sha256=job.sha256,
        error=job.error,
        created_at=job.created_at,
        created_by=job.created_by,
        started_at=job.started_at,
        finished_at=job.finished_at,
        withdrawn=job.withdrawn,
        expired=job.expired,
        content=(
            f"/v1/exports/{job.id}/content" if job.state == "done" and not job.withdrawn else None
        ),
    )


def _progress(job: ExportJob) -> float | None:
    if job.state in ("done", "expired"):
        return 1.0
    if job.total is None:
        return None
    # Events may arrive while the job runs; only "done" is all of it.
    return min(0.99, job.written / job.total) if job.total else 0.99


def _media_type(job: ExportJob) -> str:
    if job.recipients:
        return _ENCRYPTED
    if job.type in _ARCHIVES:
        return _ARCHIVES[job.type][job.format]
    return next(written.media_type for name, written in FORMATS.items() if name == job.format)


def _rules(new: NewExport) -> TrajectoryRules | None:
    if new.type != "trajectories":
        return None
    options = new.trajectories or TrajectoryOptions()
    return TrajectoryRules(options.idle_seconds, tuple(options.fail_on))


def _refuse_what_does_not_fit(new: NewExport, kind: str) -> None:
    found: list[FieldError] = []
    fits: Collection[str] = _ARCHIVES.get(new.type, FORMATS)
    if new.type == "audit":
        fits = AUDIT_WRITERS
        found += [
            FieldError(f"body.filter.{name}", "the audit log is filtered by time only")
            for name in new.filter.model_fields_set - {"since", "until", "start_time", "end_time"}
        ]
    if kind not in fits:
        found.append(
            FieldError("body.format", f'"{kind}" is no format of this type', help=", ".join(fits))
        )
    if new.trajectories is not None and new.type != "trajectories":
        found.append(FieldError("body.trajectories", "only exports of trajectories take this"))
    if new.type == "trajectories":
        allowed = {*FILTERS, "since", "until", "start_time", "end_time"}
        found += [
            FieldError(
                f"body.filter.{name}",
                "would cut runs to pieces",
                help=f"filters that hold for a whole run: {', '.join(FILTERS)}",
            )
            for name in new.filter.model_fields_set - allowed
        ]
    if new.recipients and new.type != "package":
        found.append(FieldError("body.recipients", "only packages are encrypted"))
    if new.unredacted and new.type != "package":
        found.append(FieldError("body.unredacted", "only packages are made unredacted"))
    if new.unredacted and not new.reason.strip():
        found.append(FieldError("body.reason", "say why; it is kept in custody and the package"))
    for number, text in enumerate(new.recipients):
        try:
            parse_recipient(text)
        except InvalidInput as error:
            found.append(FieldError(f"body.recipients.{number}", str(error)))
    if found:
        raise Invalid(found)
