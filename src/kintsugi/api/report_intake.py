"""From what came in to what is kept: the same way for every door."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from kintsugi.api.control import Control
from kintsugi.errors import Forbidden, NotFound
from kintsugi.incidents.commands import Act
from kintsugi.incidents.heard import Heard
from kintsugi.incidents.intake import taken
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.incident import Actor, Incident, new_id
from kintsugi.model.report import (
    About,
    Arrival,
    Channel,
    File,
    KeptReport,
    Recurrence,
    Report,
    ReportStatus,
    Taken,
    content_name,
)

# So many decisions of a trace or a conversation are tied to the incident.
_EVENTS_MAX: Final = 1000


class ReportView(msgspec.Struct, frozen=True):
    """A report and what became of it.

    Attributes:
        incident: reference of the one that has it; empty for none, and for whoever may not read
            incidents.
        incident_state: where that stands; empty for none, ``restricted`` where the caller may not
            know.
        settled_by: who decided; empty where its fingerprint did.
        digest: of the record; with ``leaf`` the receipt: ``GET /v1/log/leaves/LEAF/proof`` proves
            that it came.
    """

    report: Report
    status: ReportStatus
    reason: str
    incident: str
    incident_state: str
    settled_by: str
    digest: str
    leaf: int


def view_of(control: Control, kept: KeptReport, *, reads_incidents: bool) -> ReportView:
    """As the API shows it."""
    incident, state = None, ""
    if kept.standing.incident_id:
        try:
            incident = incident_of(control, kept.standing.incident_id)
            state = incident.state
        except (NotFound, Forbidden):  # restricted to others
            state = "restricted"
    return ReportView(
        kept.report,
        kept.standing.status,
        kept.standing.reason,
        incident.reference if incident is not None and reads_incidents else "",
        state,
        kept.standing.by if reads_incidents else "",
        kept.digest,
        kept.leaf,
    )


def incident_of(control: Control, incident_id: str) -> Incident:
    """The incident that has a report, or the one that it was merged into."""
    found = control.stores.incidents.get(incident_id)
    while found.merged_into:
        found = control.stores.incidents.get(found.merged_into)
    return found


def report_of(
    heard: Heard,
    *,
    channel: Channel,
    sender: str,
    now: datetime,
    contact: str = "",
    files: Sequence[File] = (),
) -> Report:
    """A report from what was heard."""
    return Report(
        id=new_id(now),
        at=now,
        channel=channel,
        sender=sender,
        contact=contact,
        files=tuple(files),
        **{name: getattr(heard, name) for name in heard.__struct_fields__},
    )


def file_of(content: bytes, name: str, media_type: str) -> File:
    """Bytes that came, as they are named and found."""
    return File(content_name(content), name, media_type, len(content))


def receive(
    control: Control,
    arrivals: Sequence[Arrival],
    actor: Actor,
    *,
    trapped: bool = False,
) -> list[KeptReport]:
    """Keep reports; each opens or joins an incident.

    Args:
        trapped: no person sent it: the form's hidden field was filled.

    Raises:
        InvalidInput: a decision that a person names is not stored.
    """
    now = control.clock()
    tied = {one.report.id: events_of(control, one.report) for one in arrivals}

    def take(report: Report, incident: Incident | None, before: Recurrence | None) -> Taken:
        if trapped:
            return Taken("set_aside", reason="the hidden field of the form was filled")
        act = Act(actor, now)
        return taken(report, act, incident, before, events=tied[report.id])

    return control.stores.reports.receive(arrivals, take, now=now)


def events_of(control: Control, report: Report) -> list[str]:
    """The stored decisions that a report is about."""
    found: dict[str, None] = {}
    for about in report.about:
        found |= dict.fromkeys(_FIND[about.kind](control, about))
    return list(found)


def _event(control: Control, about: About) -> list[str]:
    try:
        return [control.stores.events.get(about.id).id]
    except NotFound:
        return []


def _events(control: Control, where: EventFilter) -> list[str]:
    page = control.stores.events.page(where, limit=_EVENTS_MAX)
    return [event.id for event in page.events]


_FIND: Final[dict[str, Callable[[Control, About], list[str]]]] = {
    "event": _event,
    "trace": lambda control, about: _events(control, EventFilter(trace=about.id)),
    "session": lambda control, about: _events(control, EventFilter(session=about.id)),
}
