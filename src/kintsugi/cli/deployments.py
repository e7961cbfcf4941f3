"""``kt deployments``: what was deployed elsewhere, for the timelines of incidents."""

from __future__ import annotations

from typing import Annotated

import typer

from kintsugi.cli.gateways import flat
from kintsugi.cli.incident_options import AtOption
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import facts, listing

app = typer.Typer(help="Deployments, as pipelines report them.", no_args_is_help=True)

_COLUMNS = ("at", "what", "name", "version", "before", "workflow", "actor", "note")


@app.command("report")
@online
def report(
    kt: Invocation,
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
    with kt.client() as client:
        found = client.post("/v1/deployments", body)
    kt.output.result(found, lambda: facts(flat(found)))


@app.command("list")
@online
def list_deployments(kt: Invocation, limit: LimitOption = 50) -> None:
    """Show what was reported of late, newest first."""
    with kt.client() as client:
        found = list(client.all("/v1/deployments", None, limit=limit))
    kt.output.result(found, lambda: listing(_COLUMNS, found))
