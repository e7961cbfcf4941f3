"""``/v1/retention``: how long evidence is kept, and the runs that remove what is older."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from typing import Annotated, Final

import msgspec
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, part
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.edits import IfMatch, etag, expected_version
from kintsugi.api.event_query import PageQuery
from kintsugi.api.permissions import Scope
from kintsugi.api.problems import FieldError, Invalid
from kintsugi.api.retention_worker import new_run
from kintsugi.api.routing import Routes
from kintsugi.errors import VersionConflict
from kintsugi.model.retention import (
    BY_NAME,
    CLASSES,
    REMOVABLE,
    SETTABLE,
    ClassName,
    ClassOutcome,
    Keeper,
    Relaxation,
    RetentionPolicy,
    RetentionRun,
    RetentionSettings,
    RunState,
    State,
    added_up,
    changed,
    objections,
)
from kintsugi.model.stores import Stores

routes = Routes("retention")

RunId = Annotated[str, Path(max_length=64)]
_LOOKED_AT_ONCE: Final = 1000
_LOOKED_AT_MAX: Final = 20_000


class RelaxedPeriod(BaseModel):
    """Who answers for a period below the floor."""

    model_config = ConfigDict(extra="forbid")

    owner: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Annotated[str, Field(min_length=1, max_length=2000)]
    expires: Annotated[date, Field(description="Its last day (UTC); then the floor holds again.")]


class Period(BaseModel):
    """How long one class is kept."""

    model_config = ConfigDict(extra="forbid")

    days: Annotated[int | None, Field(description="null keeps it for ever.")]
    relaxed: Annotated[
        RelaxedPeriod | None, Field(description="Needed below the floor of the class.")
    ] = None


class RetentionChange(BaseModel):
    """Periods to set, by class; the others stay as they are."""

    model_config = ConfigDict(extra="forbid")

    policies: Annotated[
        dict[str, Period], Field(min_length=1, max_length=20, description=", ".join(SETTABLE))
    ]
    reason: Annotated[str, Field(min_length=1, max_length=2000, description="Kept in custody.")]


class RetentionQuery(BaseModel):
    """Whether to only look."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = False


class NewRun(BaseModel):
    """A run out of turn."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(max_length=2000, description="Kept in custody.")] = ""


class PolicyView(msgspec.Struct, frozen=True):
    """How long one class is kept.

    Attributes:
        what: what goes away, and what counts as its age.
        days: as it was decided; null is for ever.
        days_in_force: what counts today: the floor, where a relaxation has ended.
        floor_days: less has to be relaxed; null where the period is not to be set.
        relaxed_state: ``in_time`` or ``overdue``; null where it is not below the floor.
    """

    name: ClassName
    what: str
    days: int | None
    days_in_force: int | None
    floor_days: int | None
    settable: bool
    relaxed: Relaxation | None
    relaxed_state: State | None


class RetentionView(msgspec.Struct, frozen=True):
    """How long everything is kept.

    Attributes:
        version: counts decisions; 0 before the first.
        dry_run: whether nothing was changed.
    """

    version: int
    policies: tuple[PolicyView, ...]
    changed_at: datetime | None
    changed_by: str
    reason: str
    dry_run: bool = False


class RunView(msgspec.Struct, frozen=True):
    """A run, and what it did with each class so far.

    Attributes:
        progress: share of the classes that are through, 0 to 1; null before it began.
        removed, kept: things of all classes.
    """

    id: str
    state: RunState
    requested_by: str
    reason: str
    version: int
    progress: float | None
    removed: int
    kept: int
    classes: tuple[ClassOutcome, ...]
    error: str
    leaf: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class ClassPreview(msgspec.Struct, frozen=True):
    """What a run would do with one class now.

    Attributes:
        is_floor: whether there is more that was not looked at.
    """

    name: ClassName
    days: int | None
    before: datetime | None
    removed: int
    kept: int
    kept_by: tuple[Keeper, ...]
    is_floor: bool


class RetentionPreview(msgspec.Struct, frozen=True):
    """What a run would do now."""

    version: int
    classes: tuple[ClassPreview, ...]
    dry_run: bool = True


@routes.add("GET", "/v1/retention", Scope.RETENTION_READ, answer=One[RetentionView])
def show_retention(control: Ctl) -> Response:
    """Every class and its period. Send the ETag as If-Match with a change."""
    settings = control.stores.retention.settings()
    view = _view(settings, today=_today(control))
    return one(view, headers={"etag": etag(settings.version)})


@routes.add(
    "PUT", "/v1/retention", Scope.RETENTION_WRITE, answer=One[RetentionView], parameters=True
)
def change_retention(
    control: Ctl,
    caller: Caller,
    change: RetentionChange,
    query: Annotated[RetentionQuery, Query()],
    if_match: IfMatch = None,
) -> Response:
    """Set the periods of some classes. Less than the floor needs owner, reason and last day."""
    now, today = control.clock(), _today(control)
    before = control.stores.retention.settings()
    expected = expected_version(if_match)
    if expected not in (None, before.version):
        raise VersionConflict(f"retention is at version {before.version}, not {expected}")
    policies = _policies(change)
    after = changed(before, policies, by=actor_of(caller), reason=change.reason.strip(), now=now)
    if found := [
        FieldError(f"body.policies.{name}", said) for name, said in objections(after, today=today)
    ]:
        raise Invalid(found)
    if not query.dry_run:
        control.stores.retention.change(after, expected_version=before.version)
    view = msgspec.structs.replace(_view(after, today=today), dry_run=query.dry_run)
    return one(view, headers={"etag": etag(after.version)})


@routes.add(
    "POST",
    "/v1/retention/runs",
    Scope.RETENTION_RUN,
    answer=One[RunView],
    status=202,
    dry_run=One[RetentionPreview],
    parameters=True,
)
def run_retention(
    control: Ctl, caller: Caller, new: NewRun, query: Annotated[RetentionQuery, Query()]
) -> Response:
    """Queue a run now, besides the daily one. With `dry_run`, 200 and what it would do."""
    if query.dry_run:
        return one(preview(control.stores, now=control.clock()))
    run = new_run(actor_of(caller), new.reason.strip(), now=control.clock())
    control.stores.retention.request(run)
    control.feed.announce(("retention",))
    headers = {"location": f"/v1/retention/runs/{run.id}"}
    return one(view_of(run), status=202, headers=headers)


@routes.add(
    "GET", "/v1/retention/runs", Scope.RETENTION_READ, answer=Page[RunView], parameters=True
)
def list_retention_runs(control: Ctl, query: Annotated[PageQuery, Query()]) -> Response:
    """Runs, newest first. ``meta.total`` counts those of this page and tells, as
    ``total_is_floor``, whether there are more."""
    if query.limit == 0:
        return part([], None, first=False)
    runs, cursor = control.stores.retention.runs(limit=query.limit, cursor=query.cursor)
    return part([view_of(run) for run in runs], cursor, first=query.cursor is None)


@routes.add("GET", "/v1/retention/runs/{run_id}", Scope.RETENTION_READ, answer=One[RunView])
def show_retention_run(control: Ctl, run_id: RunId) -> Response:
    """One run: what it removed of each class, and who kept how many."""
    return one(view_of(control.stores.retention.run(run_id)))


def preview(stores: Stores, *, now: datetime) -> RetentionPreview:
    """What a run would do now, looked at up to a bound."""
    settings = stores.retention.settings()
    classes = tuple(_previewed(stores, settings, name, now=now) for name in REMOVABLE)
    return RetentionPreview(settings.version, classes)


def view_of(run: RetentionRun) -> RunView:
    """The run as callers see it."""
    through = Counter(one.outcome in ("done", "failed") for one in run.classes)
    return RunView(
        id=run.id,
        state=run.state,
        requested_by=run.requested_by,
        reason=run.reason,
        version=run.version,
        progress=round(through[True] / len(run.classes), 2) if run.classes else None,
        removed=run.removed,
        kept=sum(one.kept for one in run.classes),
        classes=run.classes,
        error=run.error,
        leaf=run.leaf,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
    )


def _previewed(
    stores: Stores, settings: RetentionSettings, name: ClassName, *, now: datetime
) -> ClassPreview:
    before = settings.before(name, now)
    days = settings.in_force(name, now.astimezone(UTC).date())
    removed = kept = looked_at = 0
    kept_by: tuple[Keeper, ...] = ()
    cursor, more = "", before is not None
    while more and looked_at < _LOOKED_AT_MAX and before is not None:
        step = stores.retention.look(name, before=before, after=cursor, limit=_LOOKED_AT_ONCE)
        removed += step.removed
        kept += step.kept
        kept_by = added_up((*kept_by, *step.kept_by))
        looked_at += _LOOKED_AT_ONCE
        cursor, more = step.cursor, bool(step.cursor)
    return ClassPreview(name, days, before, removed, kept, kept_by, more)


def _policies(change: RetentionChange) -> list[RetentionPolicy]:
    found: list[RetentionPolicy] = []
    wrong: list[FieldError] = []
    for name, period in change.policies.items():
        known = BY_NAME.get(name)
        where = f"body.policies.{name}"
        if known is None:
            wrong.append(FieldError(where, "is no class of evidence", help=", ".join(SETTABLE)))
        elif known.floor_days is None:
            kept = "for ever" if known.days is None else f"for {known.days} day"
            wrong.append(FieldError(where, f"cannot be set: {known.what} are kept {kept}"))
        else:
            told = period.relaxed
            relaxed = Relaxation(told.owner, told.reason, told.expires) if told else None
            found.append(RetentionPolicy(known.name, period.days, relaxed))
    if wrong:
        raise Invalid(wrong)
    return found


def _view(settings: RetentionSettings, *, today: date) -> RetentionView:
    return RetentionView(
        version=settings.version,
        policies=tuple(
            PolicyView(
                name=one.name,
                what=one.what,
                days=(policy := settings.of(one.name)).days,
                days_in_force=settings.in_force(one.name, today),
                floor_days=one.floor_days,
                settable=one.floor_days is not None,
                relaxed=policy.relaxed,
                relaxed_state=policy.state(today),
            )
            for one in CLASSES
        ),
        changed_at=settings.changed_at,
        changed_by=settings.changed_by,
        reason=settings.reason,
    )


def _today(control: Control) -> date:
    return control.clock().astimezone(UTC).date()
