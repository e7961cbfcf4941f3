"""``/v1/incidents/{id}/blast-radius``: how far it reaches, and where else the same happened."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, one
from kintsugi.api.control import Ctl
from kintsugi.api.event_query import Text
from kintsugi.api.incidents import IncidentKey
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.incidents.blast import BlastRadius, blast_radius
from kintsugi.incidents.signature import Hits, Search, Signature, suggested
from kintsugi.model.event_filter import EventFilter

routes = Routes("incidents")

_LATE_MAX = 1_000
# Of the incident's own events, so many say what its signature is.
_SUGGESTED_FROM = 500


class SignatureBody(BaseModel):
    """What to look for; every field that is given has to match. With none, what most events of the
    incident have in common."""

    model_config = ConfigDict(extra="forbid")

    policy: Text = ""
    reason_code: Text = ""
    fingerprint: Annotated[str, Field(max_length=64)] = ""
    text: Text = ""
    tool: Text = ""
    target: Text = ""
    document: Text = ""


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/blast-radius",
    Scope.INCIDENTS_READ,
    answer=One[BlastRadius],
)
def show_blast_radius(control: Ctl, incident_id: IncidentKey) -> Response:
    """Users, teams, tenants, workflows, agents, models and records that its events name, since
    when, and whether each number is exact or a lower bound."""
    stores = control.stores
    incident = stores.incidents.get(incident_id)
    freezes = stores.freezes.of(incident.id)
    late = sum(
        len(stores.events.tail(after=one.bound, where=one.where, limit=_LATE_MAX))
        for one in freezes[:1]
    )
    return one(
        blast_radius(
            stores.reach.extent(incident.id),
            freezes,
            late,
            stores.affected.counts(incident.id),
            incident.first_occurred_at,
        )
    )


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/search",
    Scope.EVENTS_READ,  # it shows events of others
    answer=One[Hits],
)
def search_incident_signature(
    control: Ctl, incident_id: IncidentKey, wanted: SignatureBody | None = None
) -> Response:
    """Look for the same outside of the incident, since the first event that is stored."""
    stores = control.stores
    incident = stores.incidents.get(incident_id)
    asked = wanted.model_dump(exclude_defaults=True) if wanted else {}
    if asked:
        signature = msgspec.convert(asked, Signature)
    else:
        own = stores.events.scan(EventFilter(incident=incident.id), payload=False)
        signature = suggested(islice(own, _SUGGESTED_FROM))
    search = Search(signature)
    exact = search.look(stores.events.scan(signature.where(), payload=False))
    tied = stores.reach.tied_among(incident.id, search.ids)
    return one(search.hits(tied, exact=exact))
