"""``kt custody``: who did what with evidence."""

from __future__ import annotations

from typing import Annotated

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.options import ApiUrlOption, JsonOption, LimitOption, StateOption
from kintsugi.cli.output import Output, table
from kintsugi.cli.parts import program

app = typer.Typer(help="Who did what with evidence.", no_args_is_help=True)

_COLUMNS = ("at", "actor", "action", "object", "reason", "digest_before", "digest_after")


@app.command("list")
def list_custody(
    context: typer.Context,
    about: Annotated[
        str, typer.Option("--object", help="What was acted upon: event:ID, export:ID, package:ID.")
    ] = "",
    actor: Annotated[str, typer.Option(help="Who, as the list shows it.")] = "",
    action: Annotated[
        str,
        typer.Option(
            help="freeze, hold, release, reveal, export, transfer, verify, erase, archive or "
            "delete."
        ),
    ] = "",
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show what was done with evidence, newest first."""
    given = {"object": about, "actor": actor, "action": action}
    parameters = {name: value for name, value in given.items() if value}
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = list(client.all("/v1/custody", parameters, limit=limit))
    rows = ([entry.get(column) for column in _COLUMNS] for entry in found)
    Output(json=as_json).result(found, lambda: table(_COLUMNS, rows, empty="none"))
