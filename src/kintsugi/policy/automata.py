"""All patterns of a phase in one pass, in time linear in the text whatever the patterns.

google-re2 compiles any number of patterns into one set, which tells which of them are somewhere
in a text. Only those are then run alone to learn where.

A set that runs out of memory says "nothing found", which for a guard is the worst answer. So
every set also holds a pattern that always matches: when that one is missing from an answer, the
answer is void and the patterns are run one by one, which never fails and is only slower.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import NamedTuple

import msgspec
import re2

from kintsugi.policy.normalise import Layer

# Taken only as far as texts need it. Several times the default of 8 MiB: a set that has to throw
# away its states and build them again is slow.
_SET_MEMORY_BYTES_MAX = 32 << 20
# One pattern alone may be slow without being wrong: it has another way when memory runs out.
_PATTERN_MEMORY_BYTES_MAX = 4 << 20
# Instructions per set; a larger one is split so that each stays well inside its memory.
_PROGRAM_SIZE_MAX = 60_000
_PATTERN_LENGTH_MAX = 4_096
_ALWAYS = 0


class PatternInvalid(ValueError):
    """A regular expression that cannot be used; the message says why and what to write."""

    def __init__(self, pattern: str, message: str) -> None:
        super().__init__(message)
        self.pattern = pattern


class Pattern(msgspec.Struct, frozen=True):
    """One regular expression in RE2's syntax.

    Attributes:
        name: the recogniser within the policy; becomes ``Finding.rule``.
        regex: the expression. A group named ``value`` narrows the finding to itself.
        tail: extends a match as far as it goes, such as the body of a key; must be able to match
            nothing. It never decides whether there is a match, so a streaming window need not
            hold it back.
        ignore_case: whether upper and lower case are one.
        needs: a cheaper expression that is in every text in which this one matches. Only it is
            searched for at first. For expressions with gaps of any words: looking for many of
            those at once makes an automaton of all their combinations.
        path: where the expression stands in the policy's options; empty for built-in ones.
    """

    name: str
    regex: str
    tail: str = ""
    ignore_case: bool = True
    needs: str = ""
    path: str = ""


class Span(NamedTuple):
    """Start and end (exclusive) of a match, or of its group ``value`` where it has one."""

    start: int
    end: int


class Width(NamedTuple):
    """How much text a pattern takes, in characters.

    Attributes:
        longest: of any match, without its tail; None when unbounded.
        before: from the start of a match to the start of its ``value``.
    """

    longest: int | None
    before: int | None


class Automaton:
    """The patterns of one phase, compiled.

    Raises:
        PatternInvalid: one of the patterns is not accepted; nothing else is wrong then.
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._searchers = [compile_pattern(pattern) for pattern in patterns]
        self._value_groups = [searcher.groupindex.get("value", 0) for searcher in self._searchers]
        self._confirms = [bool(pattern.needs) for pattern in patterns]
        wanted: dict[str, list[int]] = {}
        for index, pattern in enumerate(patterns):
            wanted.setdefault(_flagged(pattern.needs or pattern.regex, pattern), []).append(index)
        self._sets: list[_Set] = []
        for group in _by_size(wanted):
            self._sets.extend(_compile_sets(group))

    def search(self, data: bytes) -> list[int]:
        """Which patterns are somewhere in this text, by position, in no particular order.

        Empty for nothing: the common case, which allocates next to nothing.
        """
        found: list[int] = []
        for matcher, members in self._sets:
            hits = matcher.Match(data)
            if hits is None or _ALWAYS not in hits:  # out of memory: the answer is void
                found.extend(index for group in members for index in group if self._in(index, data))
            elif len(hits) > 1:
                for hit in hits:
                    for index in members[hit]:
                        if not self._confirms[index] or self._in(index, data):
                            found.append(index)
        return found

    def spans(self, index: int, data: bytes, start: int = 0) -> Generator[Span, bool | None, None]:
        """Where one pattern matches from a byte offset on, left to right, in bytes.

        Send False to go on inside the match that was just given, because it turned out to be
        none: the next one may begin right after its first character.

        A pattern with a ``value`` group is found at each of its starts, overlapping or not, so
        that what is found does not depend on where the search began.
        """
        searcher, value = self._searchers[index], self._value_groups[index]
        position = start
        while position <= len(data) and (match := searcher.search(data, position)) is not None:
            whole_start, whole_end = match.span()
            taken = True
            if whole_end > whole_start:
                value_start, value_end = match.span(value)
                taken = (yield Span(value_start, value_end)) is not False
            again = not taken or value or whole_end <= whole_start
            position = whole_start + 1 if again else whole_end

    def _in(self, index: int, data: bytes) -> bool:
        return self._searchers[index].search(data) is not None


class Sighting:
    """A layer in which patterns of one rule were seen.

    Attributes:
        layer: the reading of the text.
        patterns: which of the rule's patterns are in it, by position in ``Rule.patterns``.
    """

    __slots__ = ("_automaton", "_first", "_start", "layer", "patterns")

    def __init__(
        self,
        automaton: Automaton,
        layer: Layer,
        patterns: tuple[int, ...],
        *,
        first: int,
        start: int,
    ) -> None:
        self._automaton = automaton
        self._first = first
        self._start = start
        self.layer = layer
        self.patterns = patterns

    def spans(
        self, pattern: int, accept: Callable[[str, int, int], bool] | None = None
    ) -> Iterator[Span]:
        """Where one of the rule's patterns matches, left to right, in characters of the layer.

        Args:
            accept: given the layer's text, start and end of a match, tells whether it is one.
                It may look as far before the start as the rule's ``context_chars``.
        """
        layer = self.layer
        spans = self._automaton.spans(self._first + pattern, layer.data, layer.byte(self._start))
        answer: bool | None = None
        while True:
            try:
                found = spans.send(answer)
            except StopIteration:
                return
            start, end = layer.character(found.start), layer.character(found.end)
            answer = accept is None or accept(layer.text, start, end)
            if answer:
                yield Span(start, end)


def compile_pattern(pattern: Pattern) -> re2._Regexp:
    """One pattern on its own, with its tail.

    Raises:
        PatternInvalid: not accepted by RE2, or matches the empty text.
    """
    if len(pattern.regex) > _PATTERN_LENGTH_MAX:
        raise PatternInvalid(
            pattern.regex[:80], f"longer than {_PATTERN_LENGTH_MAX} characters; split it"
        )
    if pattern.needs:
        _compile(_flagged(pattern.needs, pattern), pattern.needs)
    _compile(pattern.regex, pattern.regex)  # alone first, so that a message shows it as written
    searcher = _compile(_flagged(pattern.regex + pattern.tail, pattern), pattern.regex)
    if searcher.search(b"") is not None:
        raise PatternInvalid(
            pattern.regex,
            "matches the empty text, so it would match everything; ask for a character",
        )
    return searcher


def width(pattern: Pattern) -> Width:
    """How long a match can be, and how far its ``value`` may stand from its start.

    Read from the expression by Python's own parser, whose syntax RE2's is nearly a part of; what
    it cannot read counts as unbounded, which is safe and only slower.
    """
    try:
        tree = _parser.parse(_for_python(pattern.regex))
    except (re.error, OverflowError, RecursionError):
        return Width(None, None)
    longest = tree.getwidth()[1]
    before = 0
    if "value" in tree.state.groupdict:
        before = _before(tree, tree.state.groupdict["value"])
    return Width(_bounded(longest), _bounded(before))


def _bounded(characters: int) -> int | None:
    return characters if characters < _constants.MAXREPEAT else None


def _before(tree: _parser.SubPattern, group: int) -> int:
    """Longest stretch in front of a group that stands on the top level or inside plain groups."""
    characters = 0
    for operation, argument in tree.data:
        if operation is _constants.SUBPATTERN:
            number, *_, inner = argument
            if number == group:
                return characters
            if group in _groups(inner):
                return characters + _before(inner, group)
        characters += _parser.SubPattern(tree.state, [(operation, argument)]).getwidth()[1]
    return int(_constants.MAXREPEAT)


def _groups(tree: _parser.SubPattern) -> set[int]:
    found = set()
    for operation, argument in tree.data:
        if operation is _constants.SUBPATTERN:
            number, *_, inner = argument
            found |= {number} | _groups(inner)
    return found


# Of RE2's syntax that Python does not read, what matters for widths: one character each.
_ONE_CHARACTER = re.compile(r"\\[pP](?:\{\^?\w+\}|\w)")
_NAMED_CLASS = re.compile(r"\[:\^?\w+:\]")
_GLOBAL_FLAGS = re.compile(r"\(\?[imsU]+\)")


def _for_python(regex: str) -> str:
    regex = _ONE_CHARACTER.sub("w", regex)
    regex = _NAMED_CLASS.sub("w", regex)
    # Flags change what matches, not how much of it; Python takes them only at the start.
    return _GLOBAL_FLAGS.sub("", regex).replace("(?<", "(?P<").replace(r"\z", r"\Z")


def _flagged(regex: str, pattern: Pattern) -> str:
    return f"(?i:{regex})" if pattern.ignore_case else f"(?:{regex})"


def _options(memory_bytes_max: int) -> re2.Options:
    options = re2.Options()
    options.max_mem = memory_bytes_max
    options.log_errors = False  # errors are raised with the pattern's place instead
    return options


_LOOKAROUND = re.compile(r"\(\?<?[=!]")
_BACK_REFERENCE = re.compile(r"\\[1-9]|\(\?P=")


def _compile(regex: str, shown: str) -> re2._Regexp:
    try:
        return re2.compile(regex, _options(_PATTERN_MEMORY_BYTES_MAX))
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise PatternInvalid(shown, _explained(shown, text)) from None


def _explained(regex: str, reason: str) -> str:
    if _LOOKAROUND.search(regex):
        return "look-ahead and look-behind are not supported; match the surroundings instead"
    if _BACK_REFERENCE.search(regex):
        return "back-references are not supported; write the alternatives out"
    return reason


# An expression and the patterns that it stands for.
_Wanted = tuple[str, list[int]]
# A set, and for each of its positions the patterns that it stands for.
_Set = tuple[re2.Set, list[list[int]]]


def _by_size(wanted: Mapping[str, list[int]]) -> Iterator[list[_Wanted]]:
    group: list[_Wanted] = []
    size = 0
    for expression, indices in wanted.items():
        program_size = _compile(expression, expression).programsize
        if group and size + program_size > _PROGRAM_SIZE_MAX:
            yield group
            group, size = [], 0
        group.append((expression, indices))
        size += program_size
    if group:
        yield group


def _compile_sets(wanted: Sequence[_Wanted]) -> list[_Set]:
    """One set, or several smaller ones when it does not fit into its memory.

    Raises:
        PatternInvalid: one expression alone does not fit.
    """
    matcher = re2.Set.SearchSet(_options(_SET_MEMORY_BYTES_MAX))
    matcher.Add("")  # the pattern that always matches: position _ALWAYS
    try:
        for expression, _ in wanted:
            matcher.Add(expression)
        matcher.Compile()
        if matcher.Match(b"") is not None:
            return [(matcher, [[], *(indices for _, indices in wanted)])]
    except re2.error:
        pass
    if len(wanted) == 1:
        raise PatternInvalid(wanted[0][0], "needs too much memory; use smaller repetitions")
    middle = len(wanted) // 2
    return [*_compile_sets(wanted[:middle]), *_compile_sets(wanted[middle:])]
