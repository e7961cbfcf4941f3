"""``kt policy diff``: what changes in behaviour between two configurations."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import harmless
from kintsugi.errors import InvalidInput
from kintsugi.policy.parse import parse_config
from kintsugi.replay.sources import read_source

if TYPE_CHECKING:
    from kintsugi.policy.diff import Change, Difference, Direction

EXIT_DIFFERENT = 3

_VERSION = re.compile(r"(?P<id>[A-Za-z0-9][A-Za-z0-9._-]*)@(?P<version>\d+|latest)")
_SIGNS = {"added": "+", "removed": "-", "moved": "~", "changed": "~"}


@online
def diff(
    kt: Invocation,
    before: Annotated[str, typer.Argument(metavar="A", help="File, -, ID@VERSION or ID@latest.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The same; what A becomes.")],
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 3 when anything would be done differently.")
    ] = False,
) -> None:
    """Show what changes in behaviour from configuration A to B: policies, options, targets, limits.

    Each change is tightened, relaxed, or only changed where neither is certain. Comments, layout,
    order of keys, defaults that are written out and test cases are no change.
    Exit codes: 0 compared, 1 the control plane does not answer, 2 a file cannot be read, 3 one
    has errors, or with --exit-code: they differ.
    """

    from kintsugi.policy.diff import compare  # here: only this pays for it

    def source(name: str) -> bytes:
        if name == "-":
            return sys.stdin.buffer.read()
        match = _VERSION.fullmatch(name)
        if match is None or Path(name).exists():
            return read_source(Path(name))
        version = "" if match["version"] == "latest" else f"/versions/{match['version']}"
        with kt.client() as client:
            content: str = client.get(f"/v1/configurations/{match['id']}{version}")["content"]
        return content.encode()

    if before == after == "-":
        raise InvalidInput("only one of the two can be read from stdin")
    was, now = (parse_config(source(name), file=name) for name in (before, after))
    found = compare(was, now)
    kt.output.result(_as_json(found), lambda: harmless(told(found)))
    if exit_code and not found.is_empty:
        raise typer.Exit(EXIT_DIFFERENT)


def told(found: Difference) -> str:
    """The difference in words, what is relaxed first."""
    directions: tuple[Direction, ...] = ("relaxed", "tightened", "changed")
    lines = [
        line
        for direction in directions
        for change in found.changes
        if change.direction == direction
        for line in [f"{direction:<9} {_line(change)}"]
    ]
    lines += [f"note      {_line(change)}" for change in found.notes]
    if found.is_empty:
        lines.append("the same behaviour")
    else:
        lines.append(", ".join(f"{found.count(d)} {d}" for d in directions))
    return "\n".join(lines)


def _line(change: Change) -> str:
    sign = _SIGNS[change.what]
    if change.what == "added":
        return f"{sign} {change.path}: {change.after}"
    if change.what == "removed":
        return f"{sign} {change.path}: {change.before}"
    return f"{sign} {change.path}: {change.before} → {change.after}"


def _as_json(found: Difference) -> dict[str, Any]:
    directions: tuple[Direction, ...] = ("relaxed", "tightened", "changed")
    return {
        "same_behaviour": found.is_empty,
        "before": {"revision": found.before},
        "after": {"revision": found.after},
        "summary": {direction: found.count(direction) for direction in directions},
        "changes": msgspec.to_builtins(found.changes),
        "notes": msgspec.to_builtins(found.notes),
    }
