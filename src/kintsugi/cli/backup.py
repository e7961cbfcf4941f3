"""``kt backup`` and ``kt restore``: everything that cannot be made again, in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kintsugi.cli.options import JsonOption, StateOption
from kintsugi.cli.output import Output, facts
from kintsugi.cli.parts import program
from kintsugi.cli.runfile import read_up
from kintsugi.errors import InvalidInput, KintsugiError

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
    here = program(context)
    if file.exists():
        raise InvalidInput(f"{file} exists; a backup never replaces anything")
    folder = here.settings(state=state).state
    url = database_url or here.environ.get("KT_DATABASE_URL", "")
    output = Output(json=as_json)
    output.say(f"Saving {folder} ...")
    made = here.parts.backup(folder, url, file)
    output.result(made, lambda: facts(made.items()))


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `kt backup` wrote.", exists=True)],
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
    state: StateOption = None,
) -> None:
    """Bring a backup back into an empty state folder, with nothing running on it."""
    here = program(context)
    folder = here.settings(state=state).state
    if running := read_up(folder):
        raise KintsugiError(
            f"Kintsugi runs on {folder} (process {running.pid}); stop it first with `kt down`"
        )
    url = database_url or here.environ.get("KT_DATABASE_URL", "")
    output = Output(json=as_json)
    output.say(f"Restoring into {folder} ...")
    restored = here.parts.restore(folder, url, file)
    output.result(restored, lambda: facts(restored.items()))
