"""``/v1/incidents/{id}/freezes``: evidence that is pinned before anybody touches anything, and the
checks that it is still what was recorded."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import Path
from pydantic import Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, whole
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.edits import DryRun
from kintsugi.api.event_query import TOTAL_CEILING, EventFilters
from kintsugi.api.incidents import Doing, IncidentKey
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.errors import NotFound
from kintsugi.incidents.commands import Act
from kintsugi.incidents.freezing import begun, missing_kinds
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.evidence import Evidence
from kintsugi.model.freeze import Freeze, FreezeVerification
from kintsugi.model.incident import Incident

routes = Routes("incidents")

FreezeId = Annotated[str, Path(max_length=64)]


class NewFreeze(Doing):
    """What to freeze; with nothing said, what is tied to the incident already."""

    filter: EventFilters = Field(default_factory=EventFilters)


class FreezeView(msgspec.Struct, frozen=True):
    """A freeze and how far it is.

    Attributes:
        status: ``queued``, ``freezing``, ``frozen``, ``verifying``, ``verified``, ``altered``
            (it does not verify) or ``failed``; ``dry_run`` where nothing was done.
        events: frozen so far; ``total`` is how many there will be, null while nobody knows.
        late: events of the window that were stored after it was frozen, counted up to a ceiling;
            freeze again to pin them.
        digest: of the manifest, as custody has it.
        missing: kinds of evidence that are missing, or there only in part.
    """

    id: str
    incident_id: str
    status: str
    where: EventFilter
    asked_at: datetime
    asked_by: str
    reason: str
    origin: str
    hold_id: str
    bound: int
    events: int
    progress: int
    total: int | None
    late: int
    digest: str
    frozen_at: datetime | None
    missing: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    verification: FreezeVerification | None
    error: str


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/freeze",
    Scope.INCIDENTS_RESPOND,
    answer=One[FreezeView],
    status=202,
    dry_run=One[FreezeView],
    parameters=True,
)
def freeze_incident_evidence(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    query: DryRun,
    wanted: NewFreeze | None = None,
) -> Response:
    """Pin the events of a window and filter, and hold them. It goes on in the background; events
    that are stored later are told of as late. The same again is the same freeze."""
    wanted = wanted or NewFreeze()
    bound = control.stores.events.last_position()
    act = wanted.act(control, caller)
    incident = control.stores.incidents.get(incident_id)
    where = wanted.filter.where(now=act.now)
    if query.dry_run:
        planned = begun(incident, where, bound, act).freeze
        total = control.stores.events.count(planned.where, ceiling=TOTAL_CEILING)
        planned = msgspec.structs.replace(planned, total=total, id="", hold_id="")
        return one(msgspec.structs.replace(freeze_view(control, planned), status="dry_run"))
    found = begin_freeze(control, incident, where, bound, act)
    return one(
        freeze_view(control, found),
        status=202,
        headers={"location": f"/v1/incidents/{incident.id}/freezes/{found.id}"},
    )


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/freezes",
    Scope.INCIDENTS_READ,
    answer=Page[FreezeView],
)
def list_incident_freezes(control: Ctl, incident_id: IncidentKey) -> Response:
    """Its freezes, newest first."""
    incident = control.stores.incidents.get(incident_id)
    return whole([freeze_view(control, found) for found in control.stores.freezes.of(incident.id)])


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/freezes/{freeze_id}",
    Scope.INCIDENTS_READ,
    answer=One[FreezeView],
)
def show_incident_freeze(control: Ctl, incident_id: IncidentKey, freeze_id: FreezeId) -> Response:
    """One freeze: what it pins, how far it is, and what is missing."""
    return one(freeze_view(control, _freeze_of(control, incident_id, freeze_id)))


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/freezes/{freeze_id}/verify",
    Scope.INCIDENTS_RESPOND,
    answer=One[FreezeView],
    status=202,
)
def verify_incident_freeze(
    control: Ctl, caller: Caller, incident_id: IncidentKey, freeze_id: FreezeId
) -> Response:
    """Read everything again: digests, and that each event's batch is in the log. It goes on in the
    background."""
    found = _freeze_of(control, incident_id, freeze_id)
    queued = control.stores.freezes.verify(found.id, by=actor_of(caller), now=control.clock())
    return one(freeze_view(control, queued), status=202)


def begin_freeze(
    control: Control,
    incident: Incident,
    where: EventFilter,
    bound: int,
    act: Act,
    *,
    origin: str = "",
) -> Freeze:
    """Queue a freeze, unless the very same was made before and nothing came since."""
    made = begun(incident, where, bound, act, origin=origin)
    for one_before in control.stores.freezes.of(incident.id):
        same = one_before.where == made.freeze.where and one_before.state != "failed"
        if same and not _late(control, one_before, ceiling=1):
            return one_before
    return control.stores.freezes.begin(
        made.freeze, hold=made.hold, custody=made.custody, told=made.told
    )


def freeze_view(control: Control, found: Freeze) -> FreezeView:
    """A freeze as the API shows it."""
    return FreezeView(
        id=found.id,
        incident_id=found.incident_id,
        status=_status(found),
        where=found.where,
        asked_at=found.asked_at,
        asked_by=found.asked_by,
        reason=found.reason,
        origin=found.origin,
        hold_id=found.hold_id,
        bound=found.bound,
        events=found.frozen,
        progress=found.progress,
        total=found.total,
        late=_late(control, found, ceiling=1_000),
        digest=found.digest,
        frozen_at=found.frozen_at,
        missing=tuple(missing_kinds(found.evidence)),
        evidence=found.evidence,
        verification=found.verification,
        error=found.error,
    )


def _late(control: Control, found: Freeze, *, ceiling: int) -> int:
    return len(control.stores.events.tail(after=found.bound, where=found.where, limit=ceiling))


def _status(found: Freeze) -> str:
    if found.state == "failed":
        return "failed"
    if found.state == "done":
        if found.verification is None:
            return "frozen"
        return "altered" if found.verification.problems else "verified"
    if found.state == "queued":
        return "queued"
    return "verifying" if found.task == "verify" else "freezing"


def _freeze_of(control: Control, incident_id: str, freeze_id: str) -> Freeze:
    incident = control.stores.incidents.get(incident_id)
    found = control.stores.freezes.get(freeze_id)
    if found.incident_id != incident.id:
        raise NotFound(f'{incident.reference} has no freeze "{freeze_id}"')
    return found
