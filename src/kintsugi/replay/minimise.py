"""Makes a test case as short as it can be while it still shows what it was kept for.

Delta debugging (Zeller and Hildebrandt 2002), hierarchical (Misherghi and Su 2006): whole messages,
tools and fields first, then paragraphs, lines, sentences, words and characters of what is left, and
all over again until nothing more can go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Final, TypeVar

import msgspec

from kintsugi.model.config import Case
from kintsugi.replay.case_parts import CaseParts, Path, text_chars
from kintsugi.replay.text_pieces import GRAINS, Grain

TESTS_MAX: Final = 20_000

T = TypeVar("T")
Span = tuple[int, int]
Spans = Mapping[Path, Sequence[Span]]


class Minimised(msgspec.Struct, frozen=True):
    """What is left of a case.

    Attributes:
        remainder: the case without the words of what is left: what surrounded the trigger. None
            where nothing else was there.
        tests_run: how often it was asked whether it still reproduces.
        original_chars, minimised_chars: of all texts of the input.
        complete: nothing more can go: without any one of its parts or pieces it does not
            reproduce. False where the budget was used up first.
    """

    case: Case
    remainder: Case | None
    tests_run: int
    original_chars: int
    minimised_chars: int
    complete: bool


class Progress(msgspec.Struct, frozen=True):
    """How far it is."""

    tests_run: int
    chars: int


def minimise(
    case: Case,
    reproduces: Callable[[Case], bool],
    *,
    finest: Grain = "word",
    tests_max: int = TESTS_MAX,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Minimised:
    """The shortest case found that reproduces, the same one every time.

    Args:
        reproduces: has to hold for the case as it is; what it raises ends everything.
        finest: how finely texts are cut. By characters they get shorter still, down to whatever a
            pattern happens to let pass: ``revel hidden configuration``.
        tests_max: how often ``reproduces`` may be asked.
        stop: asked before every test; ends it like a budget that is used up. A clock here makes
            the result depend on the machine.
        progress: called whenever it got shorter.

    Raises:
        ValueError: the case itself does not reproduce.
    """
    if not reproduces(case):
        raise ValueError("the case itself does not reproduce")
    search = _Search(CaseParts(case), reproduces, tests_max, stop, progress)
    try:
        search.run(finest)
    except _Spent:
        complete = False
    else:
        complete = True
    return Minimised(
        case=search.best,
        remainder=search.remainder(),
        tests_run=search.tests_run,
        original_chars=text_chars(case),
        minimised_chars=text_chars(search.best),
        complete=complete,
    )


def smallest(items: Sequence[T], holds: Callable[[Sequence[T]], bool]) -> Sequence[T]:
    """What is left of the items, in their order, when nothing more can go: first all are taken
    away, then halves, then quarters, and at last one by one until none of them can be spared.

    Args:
        holds: whether the rest is still enough; holds for all of them.
    """
    size = len(items)
    while items:
        before, start = len(items), 0
        while start < len(items):
            rest = [*items[:start], *items[start + size :]]
            if holds(rest):
                items = rest
            else:
                start += size
        if size == 1 and len(items) == before:
            break
        size = max(1, min(size // 2, len(items)))
    return items


class _Spent(Exception):
    """The budget is used up."""


class _Search:
    """What was taken away so far, and what is left."""

    def __init__(
        self,
        parts: CaseParts,
        reproduces: Callable[[Case], bool],
        tests_max: int,
        stop: Callable[[], bool],
        progress: Callable[[Progress], None],
    ) -> None:
        self._parts = parts
        self._reproduces = reproduces
        self._tests_max = tests_max
        self._stop = stop
        self._progress = progress
        self._failed: set[bytes] = set()
        self._removed: frozenset[Path] = frozenset()
        self._spans: Spans = {path: [(0, len(text))] for path, text in parts.texts.items()}
        self.tests_run = 1
        whole = parts.without((), {})
        assert whole is not None  # noqa: S101  # nothing was taken away
        self.best = whole

    def run(self, finest: Grain) -> None:
        """Take away whatever can go.

        Raises:
            _Spent: there may be more.
        """
        before = None
        while before != self.best:
            before = self.best
            for level in self._parts.levels:
                self._shorten_level([path for path in level if self._is_left(path)])
            for grain, pieces in GRAINS.items():
                self._shorten_texts(pieces)
                if grain == finest:
                    break

    def remainder(self) -> Case | None:
        """The case without the words that are left, and without what has no text then."""
        empty: set[Path] = set()
        texts = {}
        for path, text in self._parts.texts.items():
            kept = self._spans[path] if self._is_left(path) else ()
            texts[path] = _without_words(text, kept)
            if not texts[path].strip():
                empty.add(path)
        if len(empty) == len(texts):
            return None
        gone = {path for level in self._parts.levels for path in level if _only(path, texts, empty)}
        return self._parts.without(gone, texts)

    def _shorten_level(self, nodes: Sequence[Path]) -> None:
        before = self._removed

        def holds(kept: Sequence[Path]) -> bool:
            return self._attempt(before.union(nodes).difference(kept), self._spans)

        if nodes:
            smallest(nodes, holds)

    def _shorten_texts(self, cut: Callable[[str], list[str]]) -> None:
        before = self._spans
        pieces = [
            (path, span)
            for path, spans in before.items()
            if self._is_left(path)
            for span in _cut(self._parts.texts[path], spans, cut)
        ]

        def holds(kept: Sequence[tuple[Path, Span]]) -> bool:
            spans: dict[Path, list[Span]] = {path: [] for path in before}
            for path, span in kept:
                spans[path].append(span)
            return self._attempt(self._removed, spans)

        if pieces:
            smallest(pieces, holds)

    def _attempt(self, removed: frozenset[Path], spans: Spans) -> bool:
        """Whether the case still reproduces so; then it stays so."""
        texts = {path: _joined(self._parts.texts[path], kept) for path, kept in spans.items()}
        case = self._parts.without(removed, texts)
        if case is None:
            return False
        digest = sha256(msgspec.json.encode(case.input)).digest()
        if digest in self._failed:
            return False
        if self.tests_run >= self._tests_max or self._stop():
            raise _Spent
        self.tests_run += 1
        if not self._reproduces(case):
            self._failed.add(digest)
            return False
        self._removed, self._spans, self.best = removed, spans, case
        left = (len(text) for path, text in texts.items() if self._is_left(path))
        self._progress(Progress(self.tests_run, sum(left)))
        return True

    def _is_left(self, path: Path) -> bool:
        return not any(path[:end] in self._removed for end in range(1, len(path) + 1))


def _cut(text: str, spans: Sequence[Span], cut: Callable[[str], list[str]]) -> list[Span]:
    """The spans in finer pieces; those that touch are one before that. Blanks at the very end,
    left by the word that followed, are a piece of their own."""
    pieces: list[Span] = []
    for start, end in _merged(spans):
        for piece in cut(text[start:end]):
            pieces.append((start, start + len(piece)))
            start += len(piece)
    if pieces:
        start, end = pieces.pop()
        blanks = start + len(text[start:end].rstrip())
        pieces += [(a, b) for a, b in ((start, blanks), (blanks, end)) if a < b]
    return pieces


def _merged(spans: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in spans:
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def _joined(text: str, spans: Sequence[Span]) -> str:
    return "".join(text[start:end] for start, end in spans)


def _without_words(text: str, kept: Sequence[Span]) -> str:
    """The words that no kept span touches."""
    words = _cut(text, [(0, len(text))], GRAINS["word"])
    return "".join(
        text[start:end]
        for start, end in words
        if not any(start < kept_end and kept_start < end for kept_start, kept_end in kept)
    )


def _only(path: Path, texts: Mapping[Path, str], empty: set[Path]) -> bool:
    """Whether there are texts below a path and nothing is left of them."""
    below = [one for one in texts if one[: len(path)] == path]
    return bool(below) and empty.issuperset(below)
