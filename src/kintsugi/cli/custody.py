"""``kt custody``: who did what with evidence."""

from __future__ import annotations

from typing import Annotated

import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import listing

app = typer.Typer(help="Who did what with evidence.", no_args_is_help=True)

_COLUMNS = ("at", "actor", "action", "object", "reason", "digest_before", "digest_after")


@app.command("list")
@online
def list_custody(
    kt: Invocation,
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
) -> None:
    """Show what was done with evidence, newest first."""
    given = {"object": about, "actor": actor, "action": action}
    parameters = {name: value for name, value in given.items() if value}
    with kt.client() as client:
        found = list(client.all("/v1/custody", parameters, limit=limit))
    kt.output.result(found, lambda: listing(_COLUMNS, found))
