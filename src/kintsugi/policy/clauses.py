"""What an expression tells about every text that it matches in: the strings that must be there.

Everything here errs on the side of asking: what cannot be understood has no strings, and its
expression is searched for in every text.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

# Python's own parser of regular expressions, which no stubs describe.
_parser: Any = importlib.import_module("re._parser")
_constants: Any = importlib.import_module("re._constants")

# Strings that an expression may be enumerated to before it counts as having no end of them.
_STRINGS_MAX = 200
_CLASS_MAX = 6
_CLAUSES_MAX = 3
_CHARS_MAX = 12
# How rare a string must be to be worth looking for, in bits: "pw" has 12, "cost" 17. Words as
# frequent as these are not, however long: they are in nearly every text.
_BITS_MIN = 12.0
_FREQUENT = {
    *("the", "and", "you", "your", "with", "all", "not", "can", "any", "will", "new", "now", "her"),
    *("what", "give", "type", "act", "exp", "count", "account"),
}


class _Rarity(dict[str, float]):
    """Bits by character: how often each is in English text; anything else is taken for rarer."""

    def __missing__(self, sign: str) -> float:
        return 9.0 if sign < "\x80" else 8.0 if sign < "\U00010000" else 13.0


_RARITY = _Rarity(
    {
        **dict.fromkeys("0123456789", 5.0),
        **dict(
            zip(
                " etaoinsrhldcumfpgwybvk-.,'",
                (
                    *(2.6, 3.3, 3.8, 4.0, 4.0, 4.1, 4.1, 4.2, 4.3, 4.4, 4.9, 5.0, 5.4, 5.5, 5.7),
                    *(5.8, 6.0, 5.9, 6.1, 6.0, 6.3, 6.9, 7.2, 6.5, 6.0, 6.0, 6.5),
                ),
                strict=True,
            )
        ),
    }
)


Clause = frozenset[str]


class _Strings(NamedTuple):
    """What is known of a piece of an expression.

    Attributes:
        exact: everything that it can match, in one case; None when that is not few strings.
        clauses: sets of strings of each of which one is in every match.
    """

    exact: Clause | None
    clauses: tuple[Clause, ...] = ()


_ANYTHING = _Strings(None)
_EMPTY: Clause = frozenset({""})
_NOTHING = _Strings(_EMPTY)
_Node = tuple[Any, Any]
_RUN = "run"
_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT)
# Branches are read twice as deep as this, so that nesting does not multiply.
_DEPTH_MAX = 3


def clauses(*regexes: str) -> tuple[Clause, ...]:
    """Sets of strings, the rarest first, of each of which one is in ``folded`` text where all the
    expressions match, whatever their case. Empty when nothing of the kind can be told."""
    kept = {clause for regex in regexes for clause in _clauses(regex)}
    return tuple(sorted(kept, key=_share))[:_CLAUSES_MAX]


@lru_cache(maxsize=2048)  # both phases ask for the same, and a reload for nearly all of them again
def _clauses(regex: str) -> frozenset[Clause]:
    if "{," in regex or r"\Q" in regex:  # the two things that Python reads and reads otherwise
        return frozenset()
    try:
        found = _sequence(parsed(regex).data)
    except (re.error, OverflowError, RecursionError):
        return frozenset()
    return frozenset(_without_longer(one) for one in _required(found))


@lru_cache(maxsize=4)  # for the next who asks; trees are large
def parsed(regex: str) -> Any:
    """An expression in RE2's syntax as Python's own parser reads it, which knows nearly all of it.

    Raises:
        re.error: it cannot be read; so may ``OverflowError`` and ``RecursionError``.
    """
    return _parser.parse(_for_python(regex))


class Expression(NamedTuple):
    """What the literals of an expression tell.

    Attributes:
        clauses: at least one, the rarest first.
        begins: literals of which each match begins with one; None where that is not known.
        own: the rarest of the clauses that is within every match, rather than somewhere in the
            text.
    """

    clauses: tuple[Clause, ...]
    begins: Clause | None = None
    own: Clause | None = None


def told(regex: str, needs: str = "") -> Expression | None:
    """What must be in a text where an expression matches that needs another one to be there too;
    None when nothing can be told."""
    found = clauses(regex, needs)
    if not found:
        return None
    within = _clauses(regex)
    own = next((clause for clause in found if clause in within), None)
    return Expression(found, _begins(regex), own)


def _required(strings: _Strings) -> Iterator[Clause]:
    """The clauses worth looking for."""
    exact = () if strings.exact is None else (strings.exact,)
    for clause in (*exact, *strings.clauses):
        if clause and all(map(_telling, clause)):
            yield clause


def _telling(text: str) -> bool:
    return _bits(text) >= _BITS_MIN and text.strip() not in _FREQUENT


@lru_cache(maxsize=8_192)
def _bits(text: str) -> float:
    return sum(map(_RARITY.__getitem__, text[:_CHARS_MAX]))


def _share(clause: Clause) -> tuple[float, list[str]]:
    """How many places of a text hold one of these; and an order among equals."""
    return sum(2.0 ** -_bits(one) for one in clause), sorted(clause)


def _without_longer(clause: Clause) -> Clause:
    """Without the strings that another one is in, and without their far ends."""
    kept: list[str] = []
    for one in sorted({literal[:_CHARS_MAX] for literal in clause}, key=len):
        if not any(other in one for other in kept):
            kept.append(one)
    return frozenset(kept)


def _sequence(nodes: Iterable[_Node], start: Clause = _EMPTY, depth: int = 0) -> _Strings:
    """One piece after the other.

    Args:
        start: what stands before the first.
    """
    found: list[Clause] = []
    exact: Clause | None = start  # of the stretch that can still be enumerated
    whole = True
    for operation, argument in _unrolled(nodes):
        if exact is not None and operation is _constants.BRANCH and depth < _DEPTH_MAX:
            # Python's parser takes out what branches begin with; each is rarer together with it.
            branches = [_sequence(branch.data, exact, depth + 1) for branch in argument[1]]
            piece = _branches(branches)
            if piece.exact is None and piece.clauses:
                found += piece.clauses
                exact, whole = None, False
                continue
        piece = _piece(operation, argument, depth)
        joined = None
        if piece.exact is not None and exact is not None:
            joined = _joined(exact, piece.exact)
        if joined is None:
            found += [exact, *piece.clauses] if exact is not None else piece.clauses
            whole = False
            joined = piece.exact
        exact = joined
    if whole:
        return _Strings(exact)
    return _Strings(None, tuple(found) if exact is None else (*found, exact))


@lru_cache(maxsize=2048)
def _begins(regex: str) -> Clause | None:
    """Literals of which each match begins with one, where there are such and they are rare."""
    if "{," in regex or r"\Q" in regex:
        return None
    try:
        found = _beginnings(parsed(regex).data)
    except (re.error, OverflowError, RecursionError):
        return None
    if not all(map(_telling, found)):
        return None
    kept: list[str] = []
    for one in sorted({literal[:_CHARS_MAX] for literal in found}, key=len):
        if not one.startswith(tuple(kept)):
            kept.append(one)
    return frozenset(kept)


def _beginnings(nodes: Iterable[_Node]) -> dict[str, bool]:
    """What a match can begin with, and whether nothing else can follow that within the nodes."""
    found = {"": True}
    for operation, argument in _unrolled(nodes):
        if not any(found.values()):
            break
        longer: dict[str, bool] = {}
        piece = _beginnings_of_piece(operation, argument)
        for one, whole in found.items():
            for further, further_whole in piece.items() if whole else [("", False)]:
                joined = one + further
                longer[joined] = further_whole and longer.get(joined, True)
        if len(longer) > _STRINGS_MAX:
            return dict.fromkeys(found, False)
        found = longer
    return found


def _beginnings_of_piece(operation: Any, argument: Any) -> dict[str, bool]:
    if operation is _constants.SUBPATTERN:
        return _beginnings(argument[-1].data)
    if operation is _constants.BRANCH:
        found: dict[str, bool] = {}
        for branch in argument[1]:
            for one, whole in _beginnings(branch.data).items():
                found[one] = whole and found.get(one, True)
        return found
    exact = _piece(operation, argument, _DEPTH_MAX).exact
    if exact is not None:
        return dict.fromkeys(exact, True)
    if operation in _REPEATS and argument[0] > 0:
        return dict.fromkeys(_beginnings(argument[2].data), False)
    return {"": False}


def _unrolled(nodes: Iterable[_Node]) -> Iterator[_Node]:
    """The nodes: letters as runs of them; of repetitions first what is there at least, which
    belongs to what stands before."""
    run = ""
    for operation, argument in nodes:
        if operation is _constants.LITERAL:
            run += chr(argument)
            continue
        if run:
            yield _RUN, run
            run = ""
        if operation in _REPEATS and 0 < argument[0] < argument[1]:
            least, most, inner = argument
            yield operation, (least, least, inner)
            yield operation, (0, most, inner)
        else:
            yield operation, argument
    if run:
        yield _RUN, run


def _joined(first: Clause, second: Clause) -> Clause | None:
    if len(first) * len(second) > _STRINGS_MAX:
        return None
    return frozenset(one + other for one in first for other in second)


def _piece(operation: Any, argument: Any, depth: int) -> _Strings:
    if operation is _RUN:
        return _Strings(frozenset({argument.casefold()}))
    if operation is _constants.AT:
        return _NOTHING
    if operation is _constants.IN:
        return _class(argument)
    if operation is _constants.SUBPATTERN:
        return _sequence(argument[-1].data, depth=depth + 1)
    if operation is _constants.BRANCH:
        return _branches([_sequence(branch.data, depth=depth + 1) for branch in argument[1]])
    if operation in _REPEATS:
        least, most, inner = argument
        return _repeated(_sequence(inner.data, depth=depth + 1), least, most)
    return _ANYTHING


def _class(members: Sequence[tuple[Any, Any]]) -> _Strings:
    found: set[str] = set()
    for operation, argument in members:
        if operation is _constants.LITERAL:
            found.add(chr(argument).casefold())
        elif operation is _constants.RANGE and argument[1] - argument[0] < _CLASS_MAX:
            found |= {chr(code).casefold() for code in range(argument[0], argument[1] + 1)}
        else:
            return _ANYTHING
    return _Strings(frozenset(found)) if len(found) <= _CLASS_MAX else _ANYTHING


def _branches(branches: Sequence[_Strings]) -> _Strings:
    exacts = [branch.exact for branch in branches if branch.exact is not None]
    if len(exacts) == len(branches):
        union = frozenset().union(*exacts)
        if len(union) <= _STRINGS_MAX:
            return _Strings(union)
    best = [min(_required(branch), key=_share, default=None) for branch in branches]
    told = [one for one in best if one is not None]
    if len(told) < len(best):
        return _ANYTHING
    return _Strings(None, (frozenset().union(*told),))


def _repeated(inner: _Strings, least: int, most: int) -> _Strings:
    if inner.exact is not None and most <= _CLASS_MAX:
        counts: list[Clause] = [frozenset({""})]
        for _ in range(most):
            joined = _joined(counts[-1], inner.exact)
            if joined is None:
                break
            counts.append(joined)
        else:
            union = frozenset().union(*counts[least:])
            if len(union) <= _STRINGS_MAX:
                return _Strings(union)
    if least == 0:
        return _ANYTHING
    exact = () if inner.exact is None else (inner.exact,)
    return _Strings(None, (*exact, *inner.clauses))


# Of RE2's syntax that Python does not read: classes, which are no literals.
_CLASS_ESCAPE = re.compile(r"\\[pP](?:\{\^?\w+\}|\w)")
_NAMED_CLASS = re.compile(r"\[:\^?\w+:\]")
_CODE_POINT = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")
_GLOBAL_FLAGS = re.compile(r"\(\?[imsU]+\)")


def _for_python(regex: str) -> str:
    regex = _CLASS_ESCAPE.sub(r"\\w", regex)
    regex = _NAMED_CLASS.sub(r"\\w", regex)
    regex = _CODE_POINT.sub(lambda code: rf"\U{int(code.group(1), 16):08x}", regex)
    # Flags change what matches, not how much of it nor of which letters in one case. Python takes
    # them only at the start.
    return _GLOBAL_FLAGS.sub("", regex).replace("(?<", "(?P<").replace(r"\z", r"\Z")
