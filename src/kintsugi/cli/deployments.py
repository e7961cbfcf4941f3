"""``kt deployments``: what was deployed elsewhere, for the timelines of incidents."""

from __future__ import annotations

from typing import Annotated

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.gateways import flat
from kintsugi.cli.incident_options import AtOption
from kintsugi.cli.options import ApiUrlOption, JsonOption, LimitOption, StateOption
from kintsugi.cli.output import Output, facts, table
from kintsugi.cli.parts import program

app = typer.Typer(help="Deployments, as pipelines report them.", no_args_is_help=True)

_COLUMNS = ("at", "what", "name", "version", "before", "workflow", "actor", "note")


@app.command("report")
def report(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(help="application, model, prompt, data_source, tool or gateway."),
    ],
    name: Annotated[str, typer.Argument(help="What was deployed.")],
    version: Annotated[str, typer.Argument(help="The version that runs now.")],
    before: Annotated[str, typer.Option(help="The version before.")] = "",
    workflow: Annotated[str, typer.Option(help="The workflow that it belongs to.")] = "",
    note: Annotated[str, typer.Option(help="What there is to say.")] = "",
    at: AtOption = None,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Report that something was deployed."""
    given = {
        "what": what,
        "name": name,
        "version": version,
        "before": before,
        "workflow": workflow,
        "note": note,
        "at": at,
    }
    body = {field: value for field, value in given.items() if value}
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.post("/v1/deployments", body)
    Output(json=as_json).result(found, lambda: facts(flat(found)))


@app.command("list")
def list_deployments(
    context: typer.Context,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show what was reported of late, newest first."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = list(client.all("/v1/deployments", None, limit=limit))
    rows = ([one[column] for column in _COLUMNS] for one in found)
    Output(json=as_json).result(found, lambda: table(_COLUMNS, rows, empty="none"))
