"""``kt server run``: the control plane."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kintsugi.cli.options import StateOption, WithParentOption
from kintsugi.cli.parts import Address, ServerStart, program
from kintsugi.cli.ports import listening
from kintsugi.errors import InvalidInput

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
    archive_url: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Where old months are archived: a folder, file://, s3://, gs:// or az://; default "
            "KT_ARCHIVE_URL. Credentials come from the environment.",
            show_default=False,
        ),
    ] = "",
    archive_after: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=120,
            metavar="MONTHS",
            help="Archive every month by itself that ended so many whole months ago; default "
            "KT_ARCHIVE_AFTER, else only when asked.",
            show_default=False,
        ),
    ] = None,
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
        archive_url=archive_url or here.environ.get("KT_ARCHIVE_URL", ""),
        archive_after_months=archive_after or _months(here.environ.get("KT_ARCHIVE_AFTER", "")),
    )
    with listening(start.listen, "control plane"):
        raise typer.Exit(here.parts.serve(start))


def _months(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 120):
        raise InvalidInput(f'KT_ARCHIVE_AFTER: "{text}" is no number of months from 1 to 120')
    return int(text)
