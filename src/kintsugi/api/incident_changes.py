"""How an incident is changed: decided and stored, or only decided.

Without If-Match a change is made to the incident as it is; with it, only to the version that the
caller has read. ``dry_run`` decides and stores nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field
from starlette.responses import Response

from kintsugi.api.answers import One, one
from kintsugi.api.configurations import etag, expected_version
from kintsugi.api.control import Control
from kintsugi.api.incident_views import IncidentView, view_of
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.errors import VersionConflict
from kintsugi.model.incident import Change, Incident

Name = Annotated[str, Field(min_length=1, max_length=300)]


def changed(
    control: Control,
    keys: list[str],
    decide: Callable[[tuple[Incident, ...]], tuple[Change, ...]],
    if_match: str | None,
    *,
    dry_run: bool,
    show: int = 0,
) -> Response:
    """Decide and store, or only decide; the answer is the incident in place ``show``."""
    now, expected = control.clock(), expected_version(if_match)
    incidents = control.stores.incidents
    if dry_run:
        before = tuple(incidents.get(key) for key in keys)
        if expected not in (None, before[0].version):
            raise VersionConflict
        after = tuple(change.incident for change in decide(before))
    else:
        after = incidents.change(keys, decide, now=now, expected_version=expected)
    shown = after[show]
    return one(view_of(shown, now=now), headers={"etag": etag(shown.version)})


def verb_of(
    routes: Routes, verb: str, scope: Scope = Scope.INCIDENTS_RESPOND, path: str = ""
) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Declare what is done to one incident.

    Args:
        path: below the incident, where it is not the verb alone.
    """
    return routes.add(
        "POST",
        f"/v1/incidents/{{incident_id}}/{path or verb}",
        scope,
        answer=One[IncidentView],
        parameters=True,
    )
