"""``kt policy fmt``: the canonical layout of a configuration."""

from __future__ import annotations

import sys
from difflib import unified_diff
from pathlib import Path
from typing import Annotated

import typer

from kintsugi.cli.output import Output
from kintsugi.errors import InvalidInput
from kintsugi.policy.parse import DEFAULT_FILE
from kintsugi.replay.sources import read_source

EXIT_WOULD_CHANGE = 3


def fmt(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="- reads stdin.", show_default=DEFAULT_FILE),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 3 when something would change.")
    ] = False,
    show_diff: Annotated[
        bool, typer.Option("--diff", help="Change nothing; show what would change.")
    ] = False,
) -> None:
    """Lay configurations out canonically: order of sections, indentation, spacing, blank lines.

    Comments and values stay as they are written. A file is written only when its tree, its
    comments and its revision are proven to be the same. Exit codes: 0 fine, 2 a file cannot be
    read or laid out, 3 it is no YAML, or with --check or --diff: it would change.
    """
    would_change = [_one(name, check, show_diff) for name in files or [DEFAULT_FILE]]
    if any(would_change):
        raise typer.Exit(EXIT_WOULD_CHANGE)


def _one(name: str, check: bool, show_diff: bool) -> bool:
    from kintsugi.policy.fmt import format_source  # here: only this pays for it

    source = sys.stdin.buffer.read() if name == "-" else read_source(Path(name))
    done = format_source(source, file="<stdin>" if name == "-" else name)
    output = Output()
    if show_diff:
        before, after = (text.splitlines(keepends=True) for text in (done.before, done.after))
        output.text("".join(unified_diff(before, after, name, f"{name} (formatted)")))
    if check or show_diff:
        if done.changed and not show_diff:
            output.say(f"{name} would be laid out differently")
        return done.changed
    if name == "-":
        output.text(done.after)
    elif done.changed:
        _write(Path(name), done.after)
        output.say(f"wrote {name}")
    return False


def _write(path: Path, text: str) -> None:
    """Replace a file as a whole, so that no failure leaves half of one."""
    half = path.with_name(f".{path.name}.new")
    try:
        half.write_text(text, encoding="utf-8")
        half.chmod(path.stat().st_mode)
        half.replace(path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise InvalidInput(f"{path}: {error.strerror or error}") from error
