"""``kt backup`` and ``kt restore``: everything that cannot be made again, in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kintsugi.cli.options import JsonOption, StateOption
from kintsugi.cli.output import Output, facts
from kintsugi.cli.parts import Transfer, program
from kintsugi.cli.runfile import read_up
from kintsugi.errors import KintsugiError

DatabaseOption = Annotated[
    str,
    typer.Option(
        metavar="URL",
        help="PostgreSQL to use; default KT_DATABASE_URL, else the embedded one.",
        show_default=False,
    ),
]


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Where to write; must not exist.")],
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
    state: StateOption = None,
) -> None:
    """Save the database and the state beside it, while everything runs."""
    output = Output(json=as_json)
    made = program(context).parts.backup(_transfer(context, file, database_url, state, output))
    output.result(made, lambda: facts(made.items()))


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `kt backup` wrote.", exists=True)],
    replace: Annotated[
        bool, typer.Option("--replace", help="Give up what the database holds now.")
    ] = False,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
    state: StateOption = None,
) -> None:
    """Bring a backup back into a state folder on which nothing runs."""
    output = Output(json=as_json)
    transfer = _transfer(context, file, database_url, state, output, replace=replace)
    if running := read_up(transfer.state):
        raise KintsugiError(
            f"Kintsugi runs on {transfer.state} (process {running.pid}); stop it with `kt down`"
        )
    restored = program(context).parts.restore(transfer)
    output.result(restored, lambda: facts(restored.items()))


def _transfer(
    context: typer.Context,
    file: Path,
    database_url: str,
    state: Path | None,
    output: Output,
    *,
    replace: bool = False,
) -> Transfer:
    here = program(context)
    return Transfer(
        state=here.settings(state=state).state,
        database_url=database_url or here.environ.get("KT_DATABASE_URL", ""),
        file=file,
        tell=output.say,
        replace=replace,
    )
