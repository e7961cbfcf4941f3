"""``kt notices``: what was told, and every type of it."""

from __future__ import annotations

from typing import Annotated

import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import JsonOption, LimitOption
from kintsugi.cli.output import Output, listing
from kintsugi.model.notice_types import NOTICE_TYPES

app = typer.Typer(help="What was told, and every type of it.", no_args_is_help=True)

_COLUMNS = ("at", "severity", "type", "subject", "id")


@app.command("list")
@online
def list_notices(
    kt: Invocation,
    type_name: Annotated[str, typer.Option("--type", help="Only this type.")] = "",
    limit: LimitOption = 50,
) -> None:
    """Show what was told of the last thirty days, newest first."""
    with kt.client() as client:
        found = list(client.all("/v1/notices", {"type": type_name}, limit=limit))
    kt.output.result(found, lambda: listing(_COLUMNS, found))


@app.command("types")
def types(as_json: JsonOption = False) -> None:
    """Show every type of notice; needs no server."""
    found = [
        {"type": name, "text": one.text, "severity": one.severity, "fields": one.fields}
        for name, one in NOTICE_TYPES.items()
    ]
    columns = ("type", "severity", "text")
    Output(json=as_json).result(found, lambda: listing(columns, found))
