"""``kt server run``: the control plane."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kintsugi.cli.options import StateOption, WithParentOption
from kintsugi.cli.parts import Address, ServerStart, program

app = typer.Typer(help="Run the control plane.", no_args_is_help=True)


@app.callback()
def server() -> None:
    """Run the control plane."""


@app.command("run")
def run(
    context: typer.Context,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where the API and the console are.")
    ] = "127.0.0.1:41001",
    database_url: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="PostgreSQL 15 or newer; default KT_DATABASE_URL, else the embedded one.",
            show_default=False,
        ),
    ] = "",
    state: StateOption = None,
    with_parent: WithParentOption = False,
) -> None:
    """Run the control plane until SIGTERM."""
    here = program(context)
    start = ServerStart(
        listen=Address.parse(listen),
        state=here.settings(state=state).state,
        database_url=database_url or here.environ.get("KT_DATABASE_URL", ""),
        with_parent=with_parent,
        log_key_file=Path(key_file) if (key_file := here.environ.get("KT_LOG_KEY_FILE")) else None,
        vault_key=here.environ.get("KT_VAULT_KEY", ""),
    )
    raise typer.Exit(here.parts.serve(start))
