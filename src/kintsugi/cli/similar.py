"""``kt incidents similar``: what was like this before, and why."""

from __future__ import annotations

from kintsugi.cli.incident_options import IncidentArgument
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import listing


@online
def similar(kt: Invocation, incident: IncidentArgument) -> None:
    """Show incidents that resemble it, and why. One that does not is not suggested again after
    `kt incidents link INC --to OTHER --kind not_similar`."""
    with kt.client() as client:
        found = client.get(f"/v1/incidents/{incident}/similar")
    columns = ("reference", "state", "score", "title", "why")
    kt.output.result(found, lambda: listing(columns, found))
