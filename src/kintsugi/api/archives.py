"""``/v1/archives``: months that moved out of the database, and the tasks that move, check and bring
them back. What reads of events show is the same before and after."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import Meta, One, Page, one, part, reply, whole
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.event_query import PageQuery
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.errors import Blocked, InvalidInput, StateConflict
from kintsugi.model.archive import (
    OLDER_THAN_MONTHS,
    Archive,
    ArchivedFile,
    ArchiveFinding,
    ArchiveState,
    ArchiveStore,
    ArchiveTask,
    MonthSize,
    is_old_enough,
    parse_month,
)
from kintsugi.model.blocker import Blocker
from kintsugi.model.ids import uuid7

routes = Routes("archives")

ArchiveId = Annotated[str, Path(max_length=64)]
Month = Annotated[str, Field(max_length=7, description="`2026-01`, in UTC.")]
Reason = Annotated[str, Field(max_length=2000, description="Why; custody keeps it.")]


class ArchiveQuery(PageQuery):
    """Which archives, and which page of them."""

    month: Month = ""


class NewArchive(BaseModel):
    """What to archive."""

    model_config = ConfigDict(extra="forbid")

    months: Annotated[
        list[Month], Field(max_length=240, description="Every month that is old enough, if none.")
    ] = Field(default_factory=list)
    older_than_months: Annotated[
        int, Field(ge=0, le=120, description="How many whole months must have gone by since.")
    ] = OLDER_THAN_MONTHS
    reason: Reason = ""
    dry_run: Annotated[bool, Field(description="Only say what would be archived.")] = False


class Why(BaseModel):
    """Why it is brought back."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = ""
    dry_run: Annotated[bool, Field(description="Only say what would come back.")] = False


class MonthView(msgspec.Struct, frozen=True):
    """A month with records in the database.

    Attributes:
        events: about how many have their records here.
        moving_bytes, staying_bytes: what archiving takes off the database's disk, and what stays.
        archived_events: how many of the month are archived already.
        old_enough: whether it ended as long ago as was asked.
    """

    month: str
    events: int
    moving_bytes: int
    staying_bytes: int
    archived_events: int
    old_enough: bool


class ArchiveView(msgspec.Struct, frozen=True):
    """An archive and its task.

    Attributes:
        in_force: whether reads depend on its files.
        progress: of the task, from 0 to 1; null until it is known.
        place: where it was written; reads go to the place that the control plane was started with.
        folder: where its files are, below ``place``.
        findings: of the last verification; empty where all was as written.
    """

    id: str
    month: str
    task: ArchiveTask
    state: ArchiveState
    in_force: bool
    progress: float | None
    worked: int
    total: int | None
    place: str
    folder: str
    events: int
    evaluations: int
    files: int
    bytes: int
    manifest_sha256: str
    created_at: datetime
    created_by: str
    reason: str
    archived_at: datetime | None
    verified_at: datetime | None
    restored_at: datetime | None
    findings: tuple[ArchiveFinding, ...]
    error: str


class ArchiveDetail(msgspec.Struct, frozen=True):
    """An archive and its files."""

    archive: ArchiveView
    files: list[ArchivedFile]


@routes.add("GET", "/v1/archives", Scope.ARCHIVES_READ, answer=Page[ArchiveView], parameters=True)
def list_archives(control: Ctl, query: Annotated[ArchiveQuery, Query()]) -> Response:
    """Archives, newest first. ``meta.total`` counts those of this page and tells, as
    ``total_is_floor``, whether there are more."""
    if query.limit == 0:
        return part([], None, first=False)
    store = control.stores.archives
    found, cursor = store.page(month=query.month, limit=query.limit, cursor=query.cursor)
    return part([view_of(one, store) for one in found], cursor, first=query.cursor is None)


@routes.add("GET", "/v1/archives/months", Scope.ARCHIVES_READ, answer=Page[MonthView])
def list_months(control: Ctl) -> Response:
    """The months that have records in the database, oldest first, and how large they are."""
    return whole(_months(control, older_than=OLDER_THAN_MONTHS))


@routes.add("GET", "/v1/archives/check", Scope.ARCHIVES_READ, answer=Page[ArchiveFinding])
def check_archives(control: Ctl) -> Response:
    """Whether every archive that reads depend on can be reached, has its manifest, and all its
    files with their sizes; empty where all is well. A verification reads the files as well."""
    return whole(control.stores.archives.look())


@routes.add(
    "POST",
    "/v1/archives",
    Scope.ARCHIVES_WRITE,
    answer=Page[ArchiveView],
    status=202,
    dry_run=Page[MonthView],
)
def archive_months(control: Ctl, caller: Caller, new: NewArchive) -> Response:
    """Move whole months to the archive; 409 names everything that stands in the way. With
    `dry_run`, 200 and what would be moved. A month whose archive failed goes on where it was."""
    if not control.stores.archives.place:
        raise StateConflict(
            "no archive is named: start the control plane with --archive-url or KT_ARCHIVE_URL"
        )
    months = _wanted(control, new)
    if new.dry_run:
        return whole(months)
    begun = [
        begin(
            control.stores.archives,
            one.month,
            now=control.clock(),
            by=caller.name,
            actor=actor_of(caller),
            reason=new.reason.strip(),
        )
        for one in months
    ]
    control.feed.announce(("archives",))
    views = [view_of(one, control.stores.archives) for one in begun]
    return reply(Page(views, Meta(total=len(views))), status=202)


@routes.add("GET", "/v1/archives/{archive_id}", Scope.ARCHIVES_READ, answer=One[ArchiveDetail])
def show_archive(control: Ctl, archive_id: ArchiveId) -> Response:
    """One archive with its files."""
    store = control.stores.archives
    found = store.get(archive_id)
    return one(ArchiveDetail(view_of(found, store), store.files(found.id)))


@routes.add(
    "POST",
    "/v1/archives/{archive_id}/verify",
    Scope.ARCHIVES_WRITE,
    answer=One[ArchiveView],
    status=202,
)
def verify_archive(control: Ctl, archive_id: ArchiveId) -> Response:
    """Read every file of it again, and compare them with their digests and with the log."""
    return _queued(control, archive_id, "verify")


@routes.add(
    "POST",
    "/v1/archives/{archive_id}/restore",
    Scope.ARCHIVES_WRITE,
    answer=One[ArchiveView],
    status=202,
    dry_run=One[ArchiveView],
)
def restore_archive(control: Ctl, archive_id: ArchiveId, why: Why) -> Response:
    """Bring it back into the database. The files stay where they are, and count no more."""
    if why.dry_run:
        found = control.stores.archives.get(archive_id)
        if not found.in_force:
            raise StateConflict(f"archive {found.id} is not in force; nothing would come back")
        return one(view_of(found, control.stores.archives))
    return _queued(control, archive_id, "restore")


@routes.add(
    "POST", "/v1/archives/{archive_id}/cancel", Scope.ARCHIVES_WRITE, answer=One[ArchiveView]
)
def cancel_archive(control: Ctl, archive_id: ArchiveId) -> Response:
    """Stop its task at the next step. What is in the database stays there."""
    stopped = control.stores.archives.cancel(archive_id, now=control.clock())
    return one(view_of(stopped, control.stores.archives))


def begin(
    store: ArchiveStore, month: str, *, now: datetime, by: str, actor: str, reason: str
) -> Archive:
    """Queue the archiving of a month, or go on with what was begun of it.

    Raises:
        StateConflict: it is being worked on.
    """
    newest, _ = store.page(month=month, limit=1)
    if newest and newest[0].archived_at is None and not newest[0].unfinished:
        return store.request_again(newest[0].id, "write", now=now)
    archive = Archive(
        id=uuid7(int(now.timestamp() * 1000), os.urandom(10)),
        month=month,
        created_at=now,
        created_by=by,
        actor=actor,
        reason=reason,
    )
    store.request(archive)
    return archive


def view_of(archive: Archive, store: ArchiveStore) -> ArchiveView:
    """The archive as callers see it."""
    progress = 1.0 if archive.state == "done" else None
    if progress is None and archive.total:
        progress = min(0.99, archive.worked / archive.total)
    return ArchiveView(
        id=archive.id,
        month=archive.month,
        task=archive.task,
        state=archive.state,
        in_force=archive.in_force,
        progress=progress,
        worked=archive.worked,
        total=archive.total,
        place=archive.place or store.place,
        folder=archive.folder,
        events=archive.events,
        evaluations=archive.evaluations,
        files=archive.files,
        bytes=archive.bytes,
        manifest_sha256=archive.manifest_sha256,
        created_at=archive.created_at,
        created_by=archive.created_by,
        reason=archive.reason,
        archived_at=archive.archived_at,
        verified_at=archive.verified_at,
        restored_at=archive.restored_at,
        findings=archive.findings,
        error=archive.error,
    )


def _queued(control: Control, archive_id: str, task: ArchiveTask) -> Response:
    found = control.stores.archives.request_again(archive_id, task, now=control.clock())
    control.feed.announce(("archives",))
    return one(view_of(found, control.stores.archives), status=202)


def _months(control: Control, *, older_than: int) -> list[MonthView]:
    store, now = control.stores.archives, control.clock()
    archived: dict[str, int] = {}
    for archive in store.in_force():
        archived[archive.month] = archived.get(archive.month, 0) + archive.events
    return [_month(size, archived, older_than=older_than, now=now) for size in store.months()]


def _month(
    size: MonthSize, archived: dict[str, int], *, older_than: int, now: datetime
) -> MonthView:
    return MonthView(
        size.month,
        size.events,
        size.moving_bytes,
        size.staying_bytes,
        archived.get(size.month, 0),
        is_old_enough(size.month, months=older_than, now=now),
    )


def _wanted(control: Control, new: NewArchive) -> list[MonthView]:
    there = {one.month: one for one in _months(control, older_than=new.older_than_months)}
    if not new.months:
        found = [one for one in there.values() if one.old_enough]
        if not found:
            raise StateConflict(
                "no month with records in the database ended "
                f"{new.older_than_months} or more whole months ago"
            )
        return found
    blockers = [
        Blocker(f"body.months[{place}]", "archive.month", told)
        for place, month in enumerate(new.months)
        if (told := _in_the_way(month, there.get(month), new.older_than_months))
    ]
    if blockers:
        raise Blocked("; ".join(one.message for one in blockers), blockers)
    return [there[month] for month in dict.fromkeys(new.months)]


def _in_the_way(month: str, found: MonthView | None, older_than: int) -> str:
    try:
        parse_month(month)
    except ValueError as error:
        raise InvalidInput(f"body.months: {error}") from None
    if found is None:
        return f"nothing of {month} is in the database to be archived"
    if not found.old_enough:
        return f"{month} did not end {older_than} whole months ago; older_than_months says how long"
    return ""
