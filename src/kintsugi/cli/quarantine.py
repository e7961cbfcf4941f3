"""``kt quarantine``: what policies have frozen, and its release."""

from __future__ import annotations

from typing import Annotated

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.gateways import flat
from kintsugi.cli.options import ApiUrlOption, JsonOption, StateOption
from kintsugi.cli.output import Output, facts, table
from kintsugi.cli.parts import program

app = typer.Typer(help="What policies have frozen.", no_args_is_help=True)

_COLUMNS = ("id", "scope", "subject", "created_at", "policy_name", "reason_code", "released_at")


@app.command("list")
def list_quarantines(
    context: typer.Context,
    status: Annotated[str, typer.Option(help="in_force, released or all.")] = "in_force",
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show quarantines, newest first."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.get("/v1/quarantines", {"status": status})
    rows = ([one.get(column) for column in _COLUMNS] for one in found)
    Output(json=as_json).result(found, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("release")
def release(
    context: typer.Context,
    quarantine_id: Annotated[str, typer.Argument(help="As `kt quarantine list` shows it.")],
    reason: Annotated[
        str, typer.Option("--reason", help="Why; kept with the release.", show_default=False)
    ],
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Let it go on, on every connected gateway within a second."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        released = client.post(f"/v1/quarantines/{quarantine_id}/release", {"reason": reason})
    Output(json=as_json).result(released, lambda: facts(flat(released)))
