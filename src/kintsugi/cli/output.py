"""Results to stdout, talk to stderr.

One rule for the format everywhere: ``--json`` gives JSON; a terminal gets text; a pipe gets JSON.
Whatever came from outside (prompts, model names, notes) is made harmless before a terminal sees
it: an answer with escape sequences or bidirectional controls in it must not rewrite the screen.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import IO, TYPE_CHECKING, Any

from kintsugi.model.harmless import harmless as harmless
from kintsugi.model.harmless import json_text as json_text
from kintsugi.model.harmless import one_line as one_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# Gets every result as a value, besides whoever gets it as text or JSON: `kt demo` runs commands in
# its own process, shows people what they print, and goes on with what they found.
watching: ContextVar[Callable[[Any], None] | None] = ContextVar("watching", default=None)


class Output:
    """Where a command's words go.

    Attributes:
        json: whether results are JSON.
    """

    def __init__(
        self,
        *,
        json: bool = False,
        stdout: IO[str] | None = None,
        stderr: IO[str] | None = None,
    ) -> None:
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr
        self.json = json or not self._stdout.isatty()

    def result(self, value: Any, text: Callable[[], RenderableType]) -> None:
        """The result: ``value`` as JSON, or what ``text`` makes of it on a terminal."""
        if watch := watching.get():
            watch(value)
        if self.json:
            self.line(json_text(value))
        else:
            self.console().print(text())

    def line(self, text: str) -> None:
        """One line of result, as it is."""
        self._stdout.write(text + "\n")
        self._stdout.flush()

    def text(self, document: str) -> None:
        """A whole document as result: byte for byte into a pipe, harmless on a terminal."""
        terminal = self._stdout.isatty()
        self._stdout.write(harmless(document) if terminal else document)
        self._stdout.flush()

    def say(self, text: str) -> None:
        """Talk: progress and explanations."""
        self._stderr.write(harmless(text) + "\n")
        self._stderr.flush()

    def console(self) -> Console:
        """Rich on stdout; honours NO_COLOR and the terminal's width."""
        from rich.console import Console  # here: only text output pays for it

        return Console(file=self._stdout, highlight=False, markup=False, emoji=False)

    def talk_console(self) -> Console:
        """Rich on stderr, for progress bars; silent when stderr is no terminal."""
        from rich.console import Console  # here: only text output pays for it

        return Console(file=self._stderr, highlight=False, markup=False, emoji=False)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str, gap: int = 2
) -> RenderableType:
    """Rows under headings, made harmless; the sentence ``empty`` when there are none.

    Times are cut to seconds; JSON has all of them.
    """
    from rich.text import Text  # here: only text output pays for it

    from kintsugi.cli.grid import Grid

    cells = [
        [Text(one_line(_seconds(cell(value))), style=_style(value)) for value in row]
        for row in rows
    ]
    return Grid(columns, cells, gap) if cells else Text(empty)


def listing(
    columns: Sequence[str], found: Iterable[Mapping[str, Any]], *, empty: str = "none"
) -> RenderableType:
    """A table of things by the names of their fields; one that a thing has not is left empty."""
    return table(columns, ([one.get(name) for name in columns] for one in found), empty=empty)


def facts(pairs: Iterable[tuple[str, Any]]) -> RenderableType:
    """Names and values, one pair a line; empty values are left out."""
    from rich.table import Table  # here: only text output pays for it
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if shown := cell(value):
            grid.add_row(name, Text(harmless(shown), style=_style(value)))
    return grid


def cell(value: Any) -> str:
    """One value as people read it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list() | tuple():
            return ", ".join(map(cell, value))
        case dict():
            return json_text(value, indent=0)
        case _:
            return str(value)


def report_error(message: str, *, next_step: str = "", stderr: IO[str] | None = None) -> None:
    """``error:`` and what to do next, in the one form that every command uses."""
    stream = stderr or sys.stderr
    stream.write(f"error: {harmless(message)}\n")
    if next_step:
        stream.write(f"  next: {harmless(next_step)}\n")
    stream.flush()


def drop_stdout() -> None:
    """Point stdout nowhere after its reader left (``kt … | head``), so that exit is quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z")
_STYLES = {
    "block": "red",
    "blocked": "red",
    "failed": "red",
    "quarantine": "red",
    "escalate": "yellow",
    "flag": "yellow",
    "redact": "yellow",
    "warning": "yellow",
    "not attempted": "dim",
    "allow": "green",
    "ok": "green",
    "done": "green",
}


def _seconds(shown: str) -> str:
    """A time as people read it in a row: 2026-11-21 22:31:27Z."""
    found = _TIME.fullmatch(shown)
    return f"{found[1]} {found[2]}Z" if found else shown


def _style(value: Any) -> str:
    return _STYLES.get(value, "") if isinstance(value, str) else ""
