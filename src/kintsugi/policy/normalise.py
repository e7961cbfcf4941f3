"""One text, read in every way that a model could read it.

The plain text is always the first layer. Where a disguise is present (invisible characters,
look-alikes, an encoding), a further layer holds the text without it. Each layer can say which
characters of the original a span of it came from; nothing is computed for that until it is asked.

A layer costs nothing unless its disguise is there: plain ASCII has no foldings, and encodings
are noticed by trigger patterns in the automaton that runs anyway.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from kintsugi.policy.folding import Table, fold, latin_table, odd_characters, unicode_table

# Both foldings are one thing to a reader of the record.
_SHOWN = {"unicode": "folded", "homoglyph": "folded"}
FOLDINGS = frozenset(_SHOWN)
# Disguises that only make sense for words: numbers and keys are not to be looked for in them.
WORD_DISGUISES = frozenset(
    {
        *("rot13", "reversed", "leet", "spaced", "mirrored", "atbash", "caesar", "flipped"),
        "morse",
    }
)


class Piece(NamedTuple):
    """Where a stretch of a layer came from, in characters.

    ``step`` 1: character by character. -1: the same, backwards. 0: only as a whole.
    """

    start: int
    end: int
    parent_start: int
    parent_end: int
    step: Literal[-1, 0, 1]


Trace = Callable[[], Sequence[Piece]]


class Layer:
    """A reading of a text.

    Attributes:
        name: ``plain``, ``folded``, ``base64`` ...; nested ones joined by ``+``.
        steps: the disguises that were taken off, in order; empty for the plain text.
        text: the reading itself.
        data: the same in UTF-8, which is what the automata read.
    """

    __slots__ = (
        "_known",
        "_pieces",
        "_starts",
        "_trace",
        "data",
        "name",
        "parent",
        "steps",
        "text",
    )

    def __init__(
        self,
        text: str,
        steps: tuple[str, ...] = (),
        parent: Layer | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.text = text
        self.data = text.encode("utf-8", "replace")  # a lone surrogate becomes "?"
        self.steps = steps
        self.name = "+".join(_SHOWN.get(step, step) for step in steps) or "plain"
        self.parent = parent
        self._trace = trace
        self._pieces: Sequence[Piece] = ()
        self._starts: list[int] = []
        self._known = (0, 0)

    @property
    def words_only(self) -> bool:
        """Whether numbers and keys in this reading mean nothing."""
        return not WORD_DISGUISES.isdisjoint(self.steps)

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original text that this span of the layer was read from.

        A span inside something that only makes sense as a whole, such as a base64 run, comes
        from all of it.
        """
        if self.parent is None:
            return start, end
        self._follow()
        last_start = max(end - 1, start)
        first = self._pieces[bisect_right(self._starts, start) - 1]
        last = self._pieces[bisect_right(self._starts, last_start) - 1]
        edges = (*_edges(first, start, start + 1), *_edges(last, last_start, end))
        return self.parent.origin(min(edges), max(edges))

    def first_from(self, offset: int) -> int:
        """The first character of the layer that came from ``offset`` of the original or later."""
        if self.parent is None or offset == 0:
            return offset
        within = self.parent.first_from(offset)
        self._follow()
        for piece in self._pieces:
            if piece.parent_end > within:
                if piece.step != 1 or piece.parent_start >= within:
                    return piece.start
                return piece.start + within - piece.parent_start
        return len(self.text)

    def characters(self, start: int, end: int) -> tuple[int, int]:
        """The characters at two offsets in ``data``, the first not after the second."""
        if len(self.data) == len(self.text):
            return start, end
        # Asked for with starts from left to right: counting goes on from the last one, so that a
        # text full of matches stays linear.
        byte, character = self._known
        if start < byte:
            byte = character = 0
        first = character + len(self.data[byte:start].decode("utf-8", "replace"))
        self._known = (start, first)
        return first, first + len(self.data[start:end].decode("utf-8", "replace"))

    def byte(self, offset: int) -> int:
        """The offset in ``data`` of a character."""
        if len(self.data) == len(self.text):
            return offset
        return len(self.text[:offset].encode("utf-8", "replace"))

    def _follow(self) -> None:
        if not self._starts and self._trace is not None:
            self._pieces = self._trace()
            self._starts = [piece.start for piece in self._pieces]


def _edges(piece: Piece, start: int, end: int) -> tuple[int, int]:
    match piece.step:
        case 1:
            shift = piece.parent_start - piece.start
            return start + shift, end + shift
        case -1:
            turn = piece.parent_end + piece.start
            return turn - end, turn - start
        case _:
            return piece.parent_start, piece.parent_end


def foldings(layer: Layer, *, removing: bool) -> list[Layer]:
    """The layer without invisible characters and compatibility forms, and, where that makes a
    difference, with look-alikes read as Latin letters too. Empty for ASCII and after a folding."""
    if len(layer.data) == len(layer.text) or not FOLDINGS.isdisjoint(layer.steps[-1:]):
        return []
    found = []
    odd = odd_characters(layer.text)
    plain = unicode_table(odd, removing=removing)
    if plain:
        found.append(_translated(layer, plain, "unicode"))
    latin = latin_table(odd, removing=removing)
    if latin != plain:
        found.append(_translated(layer, latin, "homoglyph"))
    return found


def _translated(layer: Layer, table: Table, step: str) -> Layer:
    text = layer.text
    return Layer(fold(text, table), (*layer.steps, step), layer, lambda: _trace_table(text, table))


def _trace_table(text: str, table: Table) -> list[Piece]:
    pieces: list[Piece] = []
    position = run = 0
    for index, character in enumerate(text):
        folded = table.get(character)
        if folded is None:
            continue
        if run < index:
            pieces.append(Piece(position, position + index - run, run, index, 1))
            position += index - run
        if folded:
            pieces.append(Piece(position, position + len(folded), index, index + 1, 0))
            position += len(folded)
        run = index + 1
    pieces.append(Piece(position, position + len(text) - run, run, len(text), 1))
    return pieces
