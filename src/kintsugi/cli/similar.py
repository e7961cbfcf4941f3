"""``kt incidents similar``: what was like this before, and why."""

from __future__ import annotations

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.incident_options import IncidentArgument
from kintsugi.cli.options import ApiUrlOption, JsonOption, StateOption
from kintsugi.cli.output import Output, table
from kintsugi.cli.parts import program


def similar(
    context: typer.Context,
    incident: IncidentArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show incidents that resemble it, and why. One that does not is not suggested again after
    `kt incidents link INC --to OTHER --kind not_similar`."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.get(f"/v1/incidents/{incident}/similar")
    columns = ("reference", "state", "score", "title", "why")
    rows = ([one[column] for column in columns] for one in found)
    Output(json=as_json).result(found, lambda: table(columns, rows, empty="none"))
