"""``kt journal``: the gateway's own files, checked where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kintsugi.cli.options import JsonOption, StateOption
from kintsugi.cli.output import Output, table
from kintsugi.cli.parts import program
from kintsugi.errors import InvalidInput
from kintsugi.ledger.journal_verify import JournalDamage, VerifiedSeries, verify_journals

app = typer.Typer(help="The gateway's own files.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The gateway's own files."""


@app.command("verify")
def verify(
    context: typer.Context,
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="A journal folder; default those of --state."),
    ] = None,
    as_json: JsonOption = False,
    state: StateOption = None,
) -> None:
    """Read every journal with every sum and chain: the first damaged line, and what it hit.

    Changes nothing, and may run beside the gateway. Exit code 3 when something is damaged.
    """
    kept = program(context).settings(state=state).state
    folders = [directory] if directory else journal_folders(kept)
    if directory is not None and not directory.is_dir():
        raise InvalidInput(f"there is no folder {directory}")
    found = [series for folder in folders for series in verify_journals(folder)]
    Output(json=as_json).result(
        found,
        lambda: table(
            ("journal", "lines", "decisions", "from", "to", "live", "damage"),
            (
                (
                    *(one.series, one.lines, one.decisions, one.first_seq, one.last_seq),
                    *(one.live, "\n".join(map(in_words, one.damages)) or "none"),
                )
                for one in found
            ),
            empty="no journal here",
        ),
    )
    if any(damaged(one) for one in found):
        raise typer.Exit(3)


def journal_folders(state: Path) -> list[Path]:
    """The journal folders of every gateway of a state folder."""
    return sorted(folder for folder in state.glob("gateway/*/journal") if folder.is_dir())


def damaged(series: VerifiedSeries) -> bool:
    """Whether something is wrong that the next start does not mend by itself."""
    return any(not damage.torn for damage in series.damages)


def in_words(damage: JournalDamage) -> str:
    """One damage on one line."""
    where = f"{damage.file}:{damage.line}" if damage.line else damage.file
    lines = ""
    if damage.first_seq is not None:
        lines = f" (lines {damage.first_seq} to {damage.last_seq} of the series)"
    records = f"; records {', '.join(damage.records)}" if damage.records else ""
    mended = "; cut off at the next start" if damage.torn else ""
    return f"{where}: {damage.why}{lines}{records}{mended}"
