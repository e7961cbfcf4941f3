"""The investigation of an incident: hypotheses, what changed before it began, and what its controls
did."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from fastapi import Path
from pydantic import Field
from starlette.responses import Response

from kintsugi.api.answers import One, one
from kintsugi.api.control import Ctl
from kintsugi.api.deployments import REPORTED, view_of
from kintsugi.api.incident_changes import Editing
from kintsugi.api.incident_views import IncidentView
from kintsugi.api.incidents import Doing, IncidentKey, Words
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.incidents import hypotheses
from kintsugi.incidents.controls import Controls, controls_of
from kintsugi.incidents.correlation import (
    LOOK_BACK,
    OTHERS_MAX,
    Candidate,
    Ranked,
    from_parts,
    from_traffic,
    ranked,
)
from kintsugi.model.incident import Incident
from kintsugi.model.stores import Stores

routes = Routes("incidents")

_SHOWN_MAX: Final = 50
_VERSIONS_MAX: Final = 200
_CONTAINMENTS_MAX: Final = 200
_DEPLOYMENTS_MAX: Final = 200

Number = Annotated[int, Path(ge=1, le=1000)]


class Proposal(Doing):
    """What may have been the cause."""

    text: Annotated[str, Field(min_length=1, max_length=2_000)]


class Linking(Doing):
    """Something that speaks for a hypothesis, or against it: ``event:ID``, ``trace:ID``,
    ``freeze:ID``, ``entry:ID``, a digest or an address."""

    reference: Annotated[str, Field(min_length=1, max_length=500)]
    stance: Literal["supports", "contradicts"]
    note: Words = ""


class SettlingBody(Doing):
    """Confirmed or rejected, with the reason; or open again."""

    state: Literal["open", "confirmed", "rejected"]


class Changes(msgspec.Struct, frozen=True):
    """What changed before the onset.

    Attributes:
        onset: the first occurrence as a person recorded it, else the first event of the incident,
            else its detection; ``onset_by`` says which.
        compared_with: other events that traffic was compared with, at most ``OTHERS_MAX``.
        changes: the likeliest first.
    """

    onset: datetime
    onset_by: str
    since: datetime
    compared_with: int
    changes: tuple[Ranked, ...]


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/hypotheses",
    Scope.INCIDENTS_RESPOND,
    answer=One[IncidentView],
    parameters=True,
)
def propose_hypothesis(edit: Editing, incident_id: IncidentKey, given: Proposal) -> Response:
    """Put a hypothesis forward."""
    act = edit.act(given)
    return edit.changed(incident_id, lambda found: hypotheses.proposed(found, given.text, act))


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/hypotheses/{number}/link",
    Scope.INCIDENTS_RESPOND,
    answer=One[IncidentView],
    parameters=True,
)
def link_hypothesis(
    edit: Editing, incident_id: IncidentKey, number: Number, given: Linking
) -> Response:
    """Say what speaks for a hypothesis, or against it. An event, a freeze or an entry that is named
    has to be there."""
    act = edit.act(given)
    _require(edit.control.stores, incident_id, given.reference)
    return edit.changed(
        incident_id,
        lambda found: hypotheses.linked(
            found, number, given.reference, given.stance, act, note=given.note
        ),
    )


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/hypotheses/{number}/settle",
    Scope.INCIDENTS_RESPOND,
    answer=One[IncidentView],
    parameters=True,
)
def settle_hypothesis(
    edit: Editing, incident_id: IncidentKey, number: Number, given: SettlingBody
) -> Response:
    """Confirm or reject a hypothesis, or open it again."""
    act = edit.act(given)
    return edit.changed(
        incident_id, lambda found: hypotheses.settled(found, number, given.state, act)
    )


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/changes",
    Scope.INCIDENTS_READ,
    answer=One[Changes],
)
def show_incident_changes(control: Ctl, incident_id: IncidentKey) -> Response:
    """What changed in the day before it began, the likeliest first, each with the reason."""
    stores = control.stores
    incident = stores.incidents.get(incident_id)
    extent = stores.reach.extent(incident.id)
    onset, onset_by = _onset(incident, extent.first_at)
    since = onset - LOOK_BACK
    until = max(onset, extent.last_at or onset)
    traffic = stores.reach.traffic(
        incident.id, since=since, until=until, onset=onset, others_max=OTHERS_MAX
    )
    workflows = [one.name for one in extent.of("workflow").named]
    candidates = [
        *_published(stores, since),
        *_contained(stores, since),
        *_deployed(stores, since),
        *_upgraded(stores, since),
        *_parts(stores, workflows, since),
        *from_traffic(traffic, since=since),
    ]
    found = ranked(candidates, traffic, onset)
    others = sum(one.others for one in traffic if one.dimension == "gateway")
    return one(Changes(onset, onset_by, since, others, tuple(found[:_SHOWN_MAX])))


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/controls",
    Scope.INCIDENTS_READ,
    answer=One[Controls],
)
def show_incident_controls(control: Ctl, incident_id: IncidentKey) -> Response:
    """Which policies caught its events, which let them pass, which failed or did not run."""
    incident = control.stores.incidents.get(incident_id)
    judged = control.stores.reach.judged(incident.id)
    return one(controls_of(judged, control.stores.reach.extent(incident.id)))


def _require(stores: Stores, incident_id: str, reference: str) -> None:
    """Look up what a reference names, where it names something of ours.

    Raises:
        NotFound: it is not there.
    """
    kind, _, name = reference.partition(":")
    if kind == "event":
        stores.events.get(name)
    elif kind == "freeze":
        stores.freezes.get(name)
    elif kind == "entry":
        stores.incidents.entry(stores.incidents.get(incident_id).id, name)


def _onset(incident: Incident, first_event_at: datetime | None) -> tuple[datetime, str]:
    if incident.first_occurred_at is not None:
        return incident.first_occurred_at, "first occurrence"
    if first_event_at is not None:
        return first_event_at, "first event"
    return incident.detected_at or incident.reported_at, "detection"


def _published(stores: Stores, since: datetime) -> Iterator[Candidate]:
    for newest in stores.configurations.list():
        if newest.created_at < since:
            continue
        for version in stores.configurations.versions(newest.id)[:_VERSIONS_MAX]:
            if version.created_at >= since:
                name = f"{version.id}@{version.version}"
                told_by = f"configuration {name}" + (f": {version.note}" if version.note else "")
                yield Candidate(
                    "configuration", name, version.created_at, told_by, version.author, name
                )


def _contained(stores: Stores, since: datetime) -> Iterator[Candidate]:
    # Also those that ended: the end is a change as well.
    found, _ = stores.containments.page(
        state=None, now=datetime.max.replace(tzinfo=since.tzinfo), limit=_CONTAINMENTS_MAX
    )
    for one_contained in found:
        name = f"{one_contained.lever.name} {one_contained.id}"
        told_by = f"containment: {one_contained.reason}"
        if one_contained.created_at >= since:
            by = one_contained.created_by
            yield Candidate("containment", name, one_contained.created_at, told_by, by)
        ended = one_contained.released_at
        if ended is not None and ended >= since:
            by = one_contained.released_by
            yield Candidate("containment", f"{name} released", ended, told_by, by)


def _deployed(stores: Stores, since: datetime) -> Iterator[Candidate]:
    found, _ = stores.notices.page(type_name=REPORTED, limit=_DEPLOYMENTS_MAX)
    for told in map(view_of, found):
        if told.at >= since:
            name = f"{told.what} {told.name} {told.version}"
            told_by = f"reported deployment{f': {told.note}' if told.note else ''}"
            value = told.name if told.what == "model" else ""
            yield Candidate("deploy", name, told.at, told_by, told.actor, value)


def _upgraded(stores: Stores, since: datetime) -> Iterator[Candidate]:
    """Gateways that came to run another version of the program."""
    found, _ = stores.notices.page(type_name="gateway.upgraded", limit=_DEPLOYMENTS_MAX)
    for told in found:
        if told.at >= since:
            gateway, version = told.data["gateway_id"], told.data["version"]
            told_by = f"gateway's report; before: {told.data['before']}"
            yield Candidate(
                "gateway", f"{gateway} kintsugi {version}", told.at, told_by, "", gateway
            )


def _parts(stores: Stores, workflows: list[str], since: datetime) -> Iterator[Candidate]:
    """Models, prompts, tools and data sources by when the incident's workflows first used them."""
    for workflow in workflows:
        seen = stores.workflows.seen(workflow)
        if seen is not None:
            yield from from_parts(workflow, seen.parts, since=since)
