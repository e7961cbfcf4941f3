"""Results to stdout, talk to stderr.

One rule for the format everywhere: ``--json`` gives JSON; a terminal gets text; a pipe gets JSON.
Whatever came from outside (prompts, model names, notes) is made harmless before a terminal sees
it: an answer with escape sequences or bidirectional controls in it must not rewrite the screen.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# C0 (less tab and newline), DEL, C1, bidirectional controls, zero-width characters, line and
# paragraph separators, the byte order mark, tags, and lone surrogates.
_HOSTILE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)


def harmless(text: str) -> str:
    """The text with everything that could steer a terminal shown as an escape instead."""
    return _HOSTILE.sub(lambda match: _escaped(match.group()), text)


def one_line(text: str, *, width_max: int = 120) -> str:
    """The text on one line, harmless and cut to a width in characters."""
    flat = harmless(" ".join(text.split()))
    return flat if len(flat) <= width_max else flat[: width_max - 1] + "…"


def json_text(value: Any, *, indent: int = 2) -> str:
    """JSON that is safe on a terminal too; ``indent`` 0 gives one line."""
    encoded = msgspec.json.encode(value)
    text = (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()
    # Such characters occur only inside strings, where an escape means the same.
    return _HOSTILE.sub(lambda match: _json_escaped(match.group()), text)


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
    """Rows under headings, made harmless; the sentence ``empty`` when there are none."""
    from rich.table import Table  # here: only text output pays for it
    from rich.text import Text

    grid = Table(
        box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold", show_edge=False
    )
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(one_line(cell(value)), style=_style(value)) for value in row))
    return grid if grid.row_count else Text(empty)


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


def _style(value: Any) -> str:
    return _STYLES.get(value, "") if isinstance(value, str) else ""


def _escaped(character: str) -> str:
    point = ord(character)
    if point <= 0xFF:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def _json_escaped(character: str) -> str:
    if character == "\t":
        return "\\t"
    point = ord(character)
    if point <= 0xFFFF:
        return f"\\u{point:04x}"
    high, low = divmod(point - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
