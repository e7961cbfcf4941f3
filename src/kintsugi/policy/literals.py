"""Which of many expressions could be in a text, told by the words that they hold.

Most expressions hold words: a text without them need not be asked about them. Words are found by
an Aho-Corasick automaton, which is built once and costs the same for every text; the lazily built
states of a set of expressions cost most on text that is unlike what came before. In a long text
the places of the words also tell where to look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import ahocorasick_rs

from kintsugi.policy.clauses import Clause, Expression

# An expression is looked for at its literals where they are not more than this.
_STARTS_MAX = 32
# Up to here an expression is looked for in the whole text: to note the places takes as long.
_SHORT_BYTES = 1 << 11
# Matches are listed one by one, and there may be one at each place: so much text at a time.
_CHUNK_BYTES = 1 << 15
# Up to here literals are looked for by a table, in two thirds of the time; this many take 4 MiB of
# it, and all those of the built-in policies would take 60.
_TABLE_LITERALS_MAX = 2_000
_ASCII = bytes(range(128))
# From so many capitals beyond ASCII on it is quicker to fold all characters than each of these.
_FEW = 12


def folded(data: bytes) -> tuple[bytes, bool]:
    """Text as literals are written: of letters that RE2 takes for the same there is one.

    Returns:
        The text, and whether everything in it stands where it stood.
    """
    if data.isascii():
        return data.lower(), True
    beyond = set(data.translate(None, _ASCII).decode("utf-8", "replace"))
    changed = [(one.encode(), small.encode()) for one in beyond if (small := one.casefold()) != one]
    in_place = all(len(one) == len(small) for one, small in changed)
    if len(changed) > _FEW:
        return data.decode("utf-8", "replace").casefold().encode(), in_place
    text = data.lower()
    for letter, small_letter in changed:  # what a letter is folded to is folded already
        text = text.replace(letter, small_letter)
    return text, in_place


class Places(NamedTuple):
    """Where to look for an expression, in bytes.

    Attributes:
        starts: of its literals.
        begin: whether a match begins at one of them, rather than reaches over one.
    """

    starts: Sequence[int]
    begin: bool


class Literals:
    """Tells which of many expressions could be in a text, and where."""

    def __init__(self, expressions: Sequence[Expression]) -> None:
        numbers: dict[Clause, int] = {}
        # By its rarest clause what must also be there, and the expression.
        self._further: list[list[tuple[frozenset[int], int]]] = []
        for position, one in enumerate(expressions):
            rarest, *others = one.clauses
            for clause in one.clauses:
                if clause not in numbers:
                    numbers[clause] = len(numbers)
                    self._further.append([])
            rest = frozenset(numbers[clause] for clause in others)
            self._further[numbers[rarest]].append((rest, position))
        of: dict[str, list[int]] = {}
        for clause, number in numbers.items():
            for literal in sorted(clause):
                of.setdefault(literal, []).append(number)
        for one in expressions:
            for literal in sorted(one.begins or ()):
                of.setdefault(literal, [])
        self._clauses = list(of.values())
        places = {literal: place for place, literal in enumerate(of)}
        # By expression the literals to look around, and whether matches begin with them.
        self._around = [
            (
                frozenset(places[literal] for literal in one.begins or one.own or ()),
                bool(one.begins),
            )
            for one in expressions
        ]
        self._overlap = max((len(literal.encode()) for literal in of), default=1) - 1
        self._automaton = ahocorasick_rs.BytesAhoCorasick(
            [literal.encode() for literal in of],
            implementation=ahocorasick_rs.Implementation.DFA
            if len(of) <= _TABLE_LITERALS_MAX
            else ahocorasick_rs.Implementation.ContiguousNFA,
        )

    def possible(self, data: bytes) -> Iterator[tuple[int, Places | None]]:
        """The expressions that could be in this text, by position, in no particular order; with
        each where to look for it, None for everywhere."""
        text, in_place = folded(data)
        find = self._automaton.find_matches_as_indexes
        if len(text) <= _SHORT_BYTES:
            for position in self._expressions({match[0] for match in find(text, overlapping=True)}):
                yield position, None
            return
        starts: dict[int, list[int]] = {}
        for chunk_start in range(0, len(text), _CHUNK_BYTES):
            chunk = text[chunk_start : chunk_start + _CHUNK_BYTES + self._overlap]
            for literal, start, _ in find(chunk, overlapping=True):
                if literal not in starts:
                    starts[literal] = [chunk_start + start]
                elif len(known := starts[literal]) <= _STARTS_MAX:
                    known.append(chunk_start + start)
        for position in self._expressions(starts.keys()):
            literals, begin = self._around[position]
            around = [start for one in starts if one in literals for start in starts[one]]
            if around or not begin:
                few = in_place and 0 < len(around) <= _STARTS_MAX
                yield position, Places(around, begin) if few else None

    def _expressions(self, literals: Iterable[int]) -> list[int]:
        """The expressions that could be in a text with these literals."""
        of = self._clauses
        here = {clause for literal in literals for clause in of[literal]}
        return [
            expression
            for clause in here
            for rest, expression in self._further[clause]
            if rest <= here
        ]
