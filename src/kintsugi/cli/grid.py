"""Rows under headings that stay readable however narrow the terminal is.

An id that is broken over two lines can be neither read nor copied. So columns shrink no further
than to their longest word; where even that is too wide, rows stand one below another.

Apart from ``output``: only what prints text pays for importing Rich.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

# Longer words are broken where there is no room for them: digests, paths.
_WORD_WIDTH_MAX = 40


class Grid:
    """A table without lines.

    Args:
        gap: columns between two columns.
    """

    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[Text]], gap: int) -> None:
        self._columns = columns
        self._rows = rows
        self._gap = gap

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """What Rich prints."""
        room = options.max_width - self._gap * (len(self._columns) - 1)
        widths = widths_within(room, self._least(), self._natural())
        if widths is None:
            yield from self._records()
            return
        grid = Table(box=None, padding=(0, self._gap, 0, 0), pad_edge=False, header_style="bold")
        for column, width in zip(self._columns, widths, strict=True):
            grid.add_column(column, width=width, overflow="fold")
        for row in self._rows:
            grid.add_row(*row)
        yield grid

    def _records(self) -> RenderResult:
        """Each row as names and values, one pair a line; empty values are left out."""
        for number, row in enumerate(self._rows):
            if number:
                yield Text("")
            grid = Table.grid(padding=(0, 2))
            grid.add_column(style="bold", no_wrap=True)
            grid.add_column(overflow="fold")
            for column, cell in zip(self._columns, row, strict=True):
                if cell:
                    grid.add_row(column, cell)
            yield grid

    def _natural(self) -> list[int]:
        return [max(text.cell_len for text in column) for column in self._by_column()]

    def _least(self) -> list[int]:
        return [
            min(_WORD_WIDTH_MAX, max(_longest_word(text) for text in column))
            for column in self._by_column()
        ]

    def _by_column(self) -> list[list[Text]]:
        cells = zip(*self._rows, strict=True)
        return [[Text(name), *column] for name, column in zip(self._columns, cells, strict=True)]


def widths_within(room: int, least: Sequence[int], natural: Sequence[int]) -> list[int] | None:
    """How wide each column is: as wide as it would like to be, or between that and the least;
    None where there is too little room for the least.

    Columns that want little get it first, so that as few as can be are broken.
    """
    spare = room - sum(least)
    if spare < 0:
        return None
    widths = list(least)
    wants = sorted((natural[at] - least[at], at) for at in range(len(widths)))
    for done, (want, at) in enumerate(wants):
        given = min(want, spare // (len(wants) - done))
        widths[at] += given
        spare -= given
    return widths


def _longest_word(text: Text) -> int:
    return max((Text(word).cell_len for word in text.plain.split()), default=1)
