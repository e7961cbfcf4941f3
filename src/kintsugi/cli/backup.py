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
    with_vault_key: Annotated[
        bool,
        typer.Option(
            "--with-vault-key",
            help="Put STATE/vault-key in too: whoever has the file can then read what it holds.",
        ),
    ] = False,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
    state: StateOption = None,
) -> None:
    """Save the database and the state beside it, while everything runs.

    Recorded content is sealed in it. Keep a copy of STATE/vault-key somewhere else.
    """
    output = Output(json=as_json)
    transfer = _transfer(context, file, database_url, state, output, with_vault_key=with_vault_key)
    made = program(context).parts.backup(transfer)
    output.result(made, lambda: facts(made.items()))


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `kt backup` wrote.", exists=True)],
    replace: Annotated[
        bool, typer.Option("--replace", help="Give up what the database holds now.")
    ] = False,
    erasures: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Erasures since then, to be done again: an erasures.jsonl, kept elsewhere. The "
            "list in the state folder counts anyway.",
            exists=True,
            show_default=False,
        ),
    ] = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
    state: StateOption = None,
) -> None:
    """Bring a backup back into a state folder on which nothing runs."""
    output = Output(json=as_json)
    transfer = _transfer(
        context, file, database_url, state, output, replace=replace, erasures=erasures
    )
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
    with_vault_key: bool = False,
    erasures: Path | None = None,
) -> Transfer:
    here = program(context)
    return Transfer(
        state=here.settings(state=state).state,
        database_url=database_url or here.environ.get("KT_DATABASE_URL", ""),
        file=file,
        tell=output.say,
        replace=replace,
        with_vault_key=with_vault_key,
        erasures=erasures,
        archive_url=here.environ.get("KT_ARCHIVE_URL", ""),
    )
