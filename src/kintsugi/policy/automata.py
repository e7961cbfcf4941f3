"""All patterns of a phase at once, in time linear in the text whatever the patterns.

Patterns made of words are asked about only in texts that hold the words, see ``literals.py``. The
others, made of shapes such as groups of digits, are compiled into sets: google-re2 tells in one
pass which of them are somewhere in a text. Only those are then run alone to learn where.

A set that runs out of memory says "nothing found", which for a guard is the worst answer. So
every set also holds a pattern that always matches: when that one is missing from an answer, the
answer is void and the patterns are run one by one, which never fails and is only slower.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import re2

from kintsugi.policy.clauses import Expression, parsed, told
from kintsugi.policy.literals import Literals, Places
from kintsugi.policy.normalise import Layer

# Python's own parser of regular expressions, which no stubs describe: it knows how wide they are.
_parser: Any = importlib.import_module("re._parser")
_constants: Any = importlib.import_module("re._constants")

# Taken only as far as texts need it. Twice the default: a set that has to throw away its states
# and build them again is slow, a worker with many large sets is fat.
_SET_MEMORY_BYTES_MAX = 16 << 20
# One pattern alone may be slow without being wrong: it has another way when memory runs out.
_PATTERN_MEMORY_BYTES_MAX = 4 << 20
# Instructions per set; a larger one is split so that each stays well inside its memory.
_PROGRAM_SIZE_MAX = 60_000
# From so many patterns on that need the same, one set is quicker than each alone.
_SECOND_STAGE_MIN = 4
_PATTERN_LENGTH_MAX = 4_096
_UTF_8_BYTES_MAX = 4
# To call for a search takes as long as reading so much text.
_CALL_COSTS_BYTES = 200
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
        needs: a cheaper expression that is in every text in which this one can be a finding.
            Only it is searched for at first; patterns may share one.
        group: patterns that are searched for in one set, see ``Automaton``; the policy's name
            when empty.
        path: where the expression stands in the policy's options; empty for built-in ones.
    """

    name: str
    regex: str
    tail: str = ""
    ignore_case: bool = True
    needs: str = ""
    group: str = ""
    path: str = ""


class Span(NamedTuple):
    """Start and end (exclusive) of a match, or of its group ``value`` where it has one."""

    start: int
    end: int


class Resume(NamedTuple):
    """Instead of "no": no match, and none begins before ``at`` either.

    Without it a text of nothing but near-misses is looked at from each of its places.
    """

    at: int

    def __bool__(self) -> bool:
        return False


# Given the text, start and end of a match: whether it is one.
Accept = Callable[[str, int, int], bool | Resume]
AcceptBytes = Callable[[int, int], bool | Resume]


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

    One set per group of patterns, not one for all: the states of a set are built while texts come
    in, and each stands for everything that is half-way matched and everything that was matched
    before. Subjects that occur independently of each other (wordings, numbers, keys) multiply.
    Measured on a megabyte of unseen mixed text: 250 patterns in one set took 1,200 microseconds
    per kilobyte, in seven sets 60; text seen before takes 3 to 5 per set either way. A group may
    span policies where subjects go well together, as numbers and keys do.

    Patterns with the same ``needs`` form a second stage: a set of their own, asked only when what
    they need was there.

    Raises:
        PatternInvalid: one of the patterns is not accepted; nothing else is wrong then.
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._searchers = [compile_pattern(pattern) for pattern in patterns]
        self._value_groups = [searcher.groupindex.get("value", 0) for searcher in self._searchers]
        self._before: list[int | None] = []
        self._longest: list[int | None] = []
        first: dict[str, dict[str, list[int]]] = {}
        worded: list[tuple[int, Expression]] = []
        for index, pattern in enumerate(patterns):
            longest, before = width(pattern)
            self._longest.append(longest)
            self._before.append(before)
            if (expression := told(pattern.regex, pattern.needs)) is not None:
                worded.append((index, expression))
                continue
            wanted = _flagged(pattern.needs or pattern.regex, pattern)
            first.setdefault(pattern.group, {}).setdefault(wanted, []).append(index)
        self._worded = [index for index, _ in worded]
        self._literals = Literals([expression for _, expression in worded])
        self._sets: list[_Set] = []
        for group in first.values():
            stages = {
                wanted: self._stage(wanted, indices, patterns) for wanted, indices in group.items()
            }
            for part in _by_size(stages):
                self._sets.extend(_compile_sets(part))

    def search(self, data: bytes) -> list[int]:
        """Which patterns are somewhere in this text, by position, in no particular order.

        Empty for nothing: the common case, which allocates next to nothing.
        """
        found = [
            index
            for possible, places in self._literals.possible(data)
            if self._at(index := self._worded[possible], data, places)
        ]
        for matcher, stages in self._sets:
            hits = matcher.Match(data)
            if hits is None or _ALWAYS not in hits:  # out of memory: the answer is void
                found += [index for stage in stages for index in self._alone(stage, data)]
            elif len(hits) > 1:
                found += [index for hit in hits for index in self._confirmed(stages[hit], data)]
        return found

    def _stage(self, wanted: str, indices: list[int], patterns: Sequence[Pattern]) -> _Stage:
        certain = tuple(index for index in indices if not patterns[index].needs)
        doubtful = [index for index in indices if patterns[index].needs]
        seconds: list[_Set] = []
        if len(doubtful) >= _SECOND_STAGE_MIN:
            cores: dict[str, list[int]] = {}
            for index in doubtful:
                core = _flagged(patterns[index].regex, patterns[index])
                cores.setdefault(core, []).append(index)
            stages = {core: _Stage(core, tuple(same)) for core, same in cores.items()}
            for part in _by_size(stages):
                seconds.extend(_compile_sets(part))
            doubtful = []
        return _Stage(wanted, certain, tuple(doubtful), tuple(seconds))

    def _confirmed(self, stage: _Stage, data: bytes) -> list[int]:
        found = list(stage.certain)
        found += [index for index in stage.doubtful if self._in(index, data)]
        for matcher, stages in stage.seconds:
            hits = matcher.Match(data)
            if hits is None or _ALWAYS not in hits:
                found += [index for second in stages for index in self._alone(second, data)]
            else:
                found += [index for hit in hits for index in stages[hit].certain]
        return found

    def _alone(self, stage: _Stage, data: bytes) -> list[int]:
        """The same without any set."""
        indices = [*stage.certain, *stage.doubtful]
        indices += [i for _, seconds in stage.seconds for second in seconds for i in second.certain]
        return [index for index in indices if self._in(index, data)]

    def spans(
        self, index: int, data: bytes, start: int = 0, accept: AcceptBytes | None = None
    ) -> Iterator[Span]:
        """Where one pattern matches from a byte offset on, left to right, in bytes.

        Args:
            accept: given start and end of a match, tells whether it is one. Where it is not, the
                next one may begin right after its first character, or where ``Resume`` says.

        A pattern with a ``value`` group is found at each of its starts, overlapping or not, so
        that what is found does not depend on where the search began.
        """
        matcher, value = self._searchers[index]._regexp, self._value_groups[index]
        match, anchor = matcher.Match, matcher.Anchor.UNANCHORED
        position, size = start, len(data)
        while position <= size:
            groups = match(anchor, data, position, size)
            whole_start, whole_end = groups[0]
            if whole_start < 0:
                return
            position = whole_start + 1
            if whole_end <= whole_start:
                continue
            found = groups[value]
            if found[0] < 0:  # the group stands in another alternative
                found = groups[0]
            answer = accept is None or accept(*found)
            if answer:
                yield Span(*found)
                if not value:
                    position = whole_end
            elif isinstance(answer, Resume):
                position = max(answer.at, position)

    def first_possible(self, index: int, start: int) -> int:
        """Where to begin searching for values that begin at ``start`` or later, in characters."""
        before = self._before[index]
        return 0 if before is None else max(start - before, 0)

    def _at(self, index: int, data: bytes, places: Places | None) -> bool:
        """Whether a pattern is in a text, given where it can be; None for anywhere."""
        if places is None:
            return self._in(index, data)
        starts, begin = places
        if begin:
            if len(starts) * _CALL_COSTS_BYTES > len(data):
                return self._in(index, data)
            return any(_found(self._searchers[index], data, start) for start in starts)
        longest = self._longest[index]
        if longest is None:
            return self._in(index, data)
        reach = longest if data.isascii() else _UTF_8_BYTES_MAX * longest
        if len(starts) * (_CALL_COSTS_BYTES + 2 * reach) > len(data):
            return self._in(index, data)
        return any(
            _found(self._searchers[index], data, max(start - reach, 0), start + reach)
            for start in starts
        )

    def _in(self, index: int, data: bytes) -> bool:
        return _found(self._searchers[index], data, 0, len(data))


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

    def spans(self, pattern: int, accept: Accept | None = None) -> Iterator[Span]:
        """Where one of the rule's patterns matches, left to right, in characters of the layer.

        Args:
            accept: given the layer's text, start and end of a match, tells whether it is one.
                It may look as far before the start as the rule's ``context_chars``. A ``Resume``
                is in characters too.
        """
        layer = self.layer
        text, data = layer.text, layer.data
        index = self._first + pattern
        start = self._automaton.first_possible(index, self._start) if self._start else 0
        spans = self._automaton.spans
        if len(data) == len(text):
            return spans(index, data, start, accept and (lambda *span: accept(text, *span)))

        return self._spans_of_characters(index, layer.byte(start), accept)

    def _spans_of_characters(self, index: int, start: int, accept: Accept | None) -> Iterator[Span]:
        """The same for text in which characters and bytes are not one."""
        layer = self.layer
        seen = Span(0, 0)

        def accept_bytes(start: int, end: int) -> bool | Resume:
            nonlocal seen
            seen = Span(*layer.characters(start, end))
            answer = accept is None or accept(layer.text, *seen)
            if isinstance(answer, Resume):
                skipped = layer.text[seen.start : answer.at]
                return Resume(start + len(skipped.encode("utf-8", "replace")))
            return answer

        for _ in self._automaton.spans(index, layer.data, start, accept_bytes):
            yield seen


def _found(searcher: re2._Regexp, data: bytes, start: int, end: int | None = None) -> bool:
    """Whether a match begins at ``start``, or is anywhere between ``start`` and ``end``.

    Asks RE2 itself: what the wrapper makes of an answer takes longer than a short search.
    """
    matcher = searcher._regexp
    anchors = matcher.Anchor
    if end is None:
        spans = matcher.Match(anchors.ANCHOR_START, data, start, len(data))
    else:
        spans = matcher.Match(anchors.UNANCHORED, data, start, min(end, len(data)))
    return bool(spans[0][0] >= 0)


def compile_pattern(pattern: Pattern) -> re2._Regexp:
    """One pattern on its own, with its tail.

    Raises:
        PatternInvalid: not accepted by RE2, or matches the empty text.
    """
    if len(pattern.regex) > _PATTERN_LENGTH_MAX:
        raise PatternInvalid(
            pattern.regex[:80], f"longer than {_PATTERN_LENGTH_MAX} characters; split it"
        )
    return _compile_checked(pattern.regex, _flagged(f"(?:{pattern.regex}){pattern.tail}", pattern))


# Checking and both phases ask for the same patterns, and a reload for nearly all of them again.
@lru_cache(maxsize=1024)
def _compile_checked(regex: str, whole: str) -> re2._Regexp:
    _compile(regex, regex)  # alone first, so that a message shows it as written
    searcher = _compile(whole, regex)
    if searcher.search(b"") is not None:
        raise PatternInvalid(
            regex, "matches the empty text, so it would match everything; ask for a character"
        )
    return searcher


def width(pattern: Pattern) -> Width:
    """How long a match can be, and how far its ``value`` may stand from its start.

    Read from the expression by Python's own parser, whose syntax RE2's is nearly a part of; what
    it cannot read counts as unbounded, which is safe and only slower.
    """
    return _width(pattern.regex)


@lru_cache(maxsize=1024)  # asked for as often as patterns are compiled, see there
def _width(regex: str) -> Width:
    try:
        tree = parsed(regex)
    except (re.error, OverflowError, RecursionError):
        return Width(None, None)
    longest = tree.getwidth()[1]
    before = 0
    if "value" in tree.state.groupdict:
        before = _before(tree, tree.state.groupdict["value"])
    return Width(_bounded(longest), _bounded(before))


def _bounded(characters: int) -> int | None:
    return characters if characters < _constants.MAXREPEAT else None


def _before(tree: Any, group: int) -> int:
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


def _groups(tree: Any) -> set[int]:
    found = set()
    for operation, argument in tree.data:
        if operation is _constants.SUBPATTERN:
            number, *_, inner = argument
            found |= {number} | _groups(inner)
    return found


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


class _Stage(NamedTuple):
    """What one expression of a set stands for.

    Attributes:
        certain: patterns that are there when the expression is.
        doubtful: patterns that need it and must be run to know.
        seconds: the same as sets, where they are many.
    """

    wanted: str
    certain: tuple[int, ...] = ()
    doubtful: tuple[int, ...] = ()
    seconds: tuple[_Set, ...] = ()


_NO_STAGE = _Stage("")
# A set, and for each of its positions what it stands for.
_Set = tuple[re2.Set, list[_Stage]]


def _by_size(stages: Mapping[str, _Stage]) -> Iterator[list[_Stage]]:
    part: list[_Stage] = []
    size = 0
    for expression, stage in stages.items():
        program_size = _program_size(expression)
        if part and size + program_size > _PROGRAM_SIZE_MAX:
            yield part
            part, size = [], 0
        part.append(stage)
        size += program_size
    if part:
        yield part


@lru_cache(maxsize=1024)  # both phases ask for most of them
def _program_size(expression: str) -> int:
    return int(_compile(expression, expression).programsize)


def _compile_sets(stages: Sequence[_Stage]) -> list[_Set]:
    """One set, or several smaller ones when it does not fit into its memory.

    Raises:
        PatternInvalid: one expression alone does not fit.
    """
    matcher = re2.Set.SearchSet(_options(_SET_MEMORY_BYTES_MAX))
    matcher.Add("")  # the pattern that always matches: position _ALWAYS
    try:
        for stage in stages:
            matcher.Add(stage.wanted)
        matcher.Compile()
        if matcher.Match(b"") is not None:
            return [(matcher, [_NO_STAGE, *stages])]
    except re2.error:
        pass
    if len(stages) == 1:
        raise PatternInvalid(stages[0].wanted, "needs too much memory; use smaller repetitions")
    middle = len(stages) // 2
    return [*_compile_sets(stages[:middle]), *_compile_sets(stages[middle:])]
