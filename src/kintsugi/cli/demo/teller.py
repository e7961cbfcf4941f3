"""How the story is told: in colour on a terminal, in plain lines everywhere else."""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from kintsugi.cli.output import harmless

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_WIDTH = 110
_HEADING_WIDTH = 78
# A list of decisions with their ids is 79 wide: on a terminal of 80 it must not be squeezed.
_INDENT, _INDENT_NARROW, _NARROW = 4, 1, 90
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class Teller:
    """Writes the story to one stream.

    Args:
        pause_seconds: how long to wait after a sentence, for whoever reads along; only on a
            terminal.
    """

    def __init__(self, stream: TextIO, *, pause_seconds: float) -> None:
        self._stream = stream
        self._rich: Console | None = None
        if stream.isatty():
            from rich.console import Console  # here: only a terminal pays for it

            self._rich = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._pause_seconds = pause_seconds if self._rich else 0.0

    @property
    def width(self) -> int:
        """So wide may be what commands print, in characters."""
        return self._whole_width - self._indent

    @property
    def _whole_width(self) -> int:
        return self._rich.width if self._rich else _PLAIN_WIDTH

    @property
    def _indent(self) -> int:
        return _INDENT_NARROW if self._whole_width < _NARROW else _INDENT

    def heading(self, title: str, number: int, count: int) -> None:
        """The title of an act, and how far the story is."""
        self._write("")
        self._write(f"── {number}/{count} {title} ".ljust(_HEADING_WIDTH, "─"), "bold yellow")

    def title(self, title: str) -> None:
        """What stands over the lines that follow."""
        self._write("")
        self._write(title, "bold yellow")

    def say(self, sentence: str) -> None:
        """What is going on and why; with time to read it."""
        self.tell(sentence)
        time.sleep(self._pause_seconds)

    def tell(self, sentence: str) -> None:
        """The same, without waiting."""
        indent = " " * (len(sentence) - len(sentence.lstrip()))
        width = self._whole_width
        self._write(textwrap.fill(sentence, width, subsequent_indent=indent), "italic")

    def command(self, who: str, line: str) -> None:
        """A command as it is typed, behind the name of who types it."""
        self._write(f"{who}$ {line}", "bold cyan")

    def output(self, lines: Sequence[str]) -> None:
        """What a command printed."""
        for line in lines:
            shown = line if self._rich else harmless(without_escapes(line))
            self._stream.write(f"{' ' * self._indent}{shown.rstrip()}\n")
        self._stream.flush()

    def result(self, name: str, value: str) -> None:
        """A line of a summary."""
        self._write(f"  {name:<34} {value}")

    def _write(self, text: str, style: str = "") -> None:
        shown = harmless(text)
        if self._rich is None:
            self._stream.write(shown + "\n")
            self._stream.flush()
        else:
            self._rich.print(shown, style=style or None, soft_wrap=True)


def without_escapes(line: str) -> str:
    """A line as it reads without colours."""
    return _ESCAPES.sub("", line)
