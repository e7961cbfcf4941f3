"""``/v1/incidents/{id}/similar``: what was like this before, and why."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from kintsugi.api.answers import Page, whole
from kintsugi.api.control import Ctl
from kintsugi.api.incidents import IncidentKey
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.api.sight import seen_among
from kintsugi.incidents.similar import SUGGESTIONS_MAX, resembling
from kintsugi.model.incident import State
from kintsugi.model.incident_terms import terms_of

routes = Routes("incidents")

# More than are shown: some may be merged, or not for the caller to see.
_LOOKED_AT = 20


class Suggestion(msgspec.Struct, frozen=True):
    """An incident that resembles another.

    Attributes:
        why: what they share, the rarest first.
    """

    reference: str
    title: str
    state: State
    score: float
    why: tuple[str, ...]


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/similar",
    Scope.INCIDENTS_READ,
    answer=Page[Suggestion],
)
def list_similar_incidents(control: Ctl, incident_id: IncidentKey) -> Response:
    """The five that resemble it most, by words, categories and labels. Tie one with ``link``; of
    kind ``not_similar`` it is not suggested again."""
    incidents = control.stores.incidents
    found = incidents.get(incident_id)
    sharing = incidents.sharing(terms_of(found), besides=found.id)
    near = {one.incident_id: one for one in resembling(found, sharing)[:_LOOKED_AT]}
    suggestions = [
        Suggestion(
            other.reference,
            other.title,
            other.state,
            near[other.id].score,
            near[other.id].shared,
        )
        for other in seen_among(control.stores, near)
        if not other.merged_into
    ]
    return whole(suggestions[:SUGGESTIONS_MAX])
