"""``/v1/kpis``: how well incidents are handled, as distributions with their n."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec
from fastapi import Query
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from kintsugi.api.answers import One, one
from kintsugi.api.control import Control, Ctl
from kintsugi.api.event_query import TimeText
from kintsugi.api.permissions import Scope
from kintsugi.api.relative_time import parse_time
from kintsugi.api.routing import Routes
from kintsugi.errors import InvalidInput
from kintsugi.incidents.kpis import DEFINITIONS, ENOUGH, By, KpiGroup, KpiRecord, kpis
from kintsugi.model.action import Action
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.followup import FollowupFilter
from kintsugi.model.incident import Incident, IncidentFilter
from kintsugi.model.oversight import Escalation

routes = Routes("kpis")

# What is looked at, at most, the newest first; the answer says where that cut something off.
_INCIDENTS_MAX: Final = 2000
_BY_WORKFLOW_MAX: Final = 300
_ACTIONS_MAX: Final = 10_000
_ESCALATIONS_MAX: Final = 10_000
_EVENTS_MAX: Final = 200
_PAGE: Final = 500
_DEFAULT: Final = timedelta(days=90)


class KpisQuery(BaseModel):
    """Incidents reported in which time, and grouped by what.

    Attributes:
        since: 90 days before ``until`` where it is left out.
        by: severity, category, workflow of the newest tied events, or month of the report.
    """

    model_config = ConfigDict(extra="forbid")

    since: TimeText = None
    until: TimeText = None
    by: By = "none"


class KpisView(msgspec.Struct, frozen=True):
    """The measures.

    Attributes:
        enough_from: below this n a measure has no numbers.
        cut: what was more than is looked at, so that the oldest are missing.
        groups: ``all`` first, then each group by its name. Times are in seconds.
        definitions: what each measure is.
    """

    since: datetime
    until: datetime
    by: By
    enough_from: int
    cut: tuple[str, ...]
    groups: tuple[KpiGroup, ...]
    definitions: dict[str, str]


@routes.add("GET", "/v1/kpis", Scope.INCIDENTS_READ, answer=One[KpisView], parameters=True)
def show_kpis(control: Ctl, query: Annotated[KpisQuery, Query()]) -> Response:
    """Times and shares over the incidents that the caller may see."""
    now = control.clock()
    until = parse_time(query.until, now=now) if query.until else now
    since = parse_time(query.since, now=now) if query.since else until - _DEFAULT
    if until <= since:
        raise InvalidInput("until: lies before since")
    cut: list[str] = []
    incidents = _incidents(control, since, until, query.by, cut)
    actions = _actions(control, since, cut)
    records = [
        KpiRecord(
            incident,
            tuple(actions[incident.id]),
            _workflows(control, incident) if query.by == "workflow" else (),
        )
        for incident in incidents
    ]
    groups = kpis(
        records, _escalations(control, since, until, cut), by=query.by, now=min(until, now)
    )
    return one(
        KpisView(
            since=since,
            until=until,
            by=query.by,
            enough_from=ENOUGH,
            cut=tuple(cut),
            groups=tuple(groups),
            definitions=dict(DEFINITIONS),
        )
    )


def _incidents(
    control: Control, since: datetime, until: datetime, by: By, cut: list[str]
) -> list[Incident]:
    most = _BY_WORKFLOW_MAX if by == "workflow" else _INCIDENTS_MAX
    found: list[Incident] = []
    cursor: str | None = None
    while True:
        shown, cursor = control.stores.incidents.page(IncidentFilter(), limit=_PAGE, cursor=cursor)
        for incident in shown:
            if incident.reported_at < since:
                return found
            if incident.reported_at <= until:
                if len(found) == most:
                    cut.append("incidents")
                    return found
                found.append(incident)
        if cursor is None:
            return found


def _actions(control: Control, since: datetime, cut: list[str]) -> dict[str, list[Action]]:
    """By incident. None is older than the report of its incident."""
    found: dict[str, list[Action]] = defaultdict(list)
    for seen, action in enumerate(_all_actions(control)):
        if action.created_at < since:
            break
        if seen == _ACTIONS_MAX:
            cut.append("actions")
            break
        for incident in action.incidents:
            found[incident].append(action)
    return found


def _all_actions(control: Control) -> Iterator[Action]:
    cursor: str | None = None
    while True:
        shown, cursor = control.stores.followups.page(
            FollowupFilter(kind="action"), order="newest", limit=_PAGE, cursor=cursor
        )
        yield from (one for one in shown if isinstance(one, Action))
        if cursor is None:
            return


def _escalations(
    control: Control, since: datetime, until: datetime, cut: list[str]
) -> list[Escalation]:
    found: list[Escalation] = []
    cursor: str | None = None
    seen = 0
    while True:
        shown, cursor = control.stores.oversight.escalations(
            "resolved", now=control.clock(), limit=_PAGE, cursor=cursor
        )
        for escalation in shown:
            if escalation.report.created_at < since:
                return found
            if seen == _ESCALATIONS_MAX:
                cut.append("escalations")
                return found
            seen += 1
            if escalation.resolved_at is not None and escalation.resolved_at <= until:
                found.append(escalation)
        if cursor is None:
            return found


def _workflows(control: Control, incident: Incident) -> tuple[str, ...]:
    if not incident.event_count:
        return ()
    where = EventFilter(incident=incident.reference)
    events = control.stores.events.page(where, limit=_EVENTS_MAX).events
    return tuple(sorted({event.workflow for event in events if event.workflow}))
