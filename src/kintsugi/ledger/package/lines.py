"""Lines of a package's files, read as they come, with whatever is wrong with them told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from kintsugi.ledger.package.contents import NOT_JSON
from kintsugi.ledger.package.files import BROKEN, PackageFiles
from kintsugi.ledger.package.findings import Findings

T = TypeVar("T")
A = TypeVar("A")
E = TypeVar("E")

# So far apart may lost and added lines stand from where they belong, to be told from altered ones.
_WINDOW = 6


class NumberedLine(NamedTuple):
    """A line without its newline; numbers count from 1."""

    number: int
    text: bytes


def lines(files: PackageFiles, name: str, findings: Findings) -> Iterator[NumberedLine]:
    """The lines of a file, as far as it can be read; none where it is not there."""
    if name not in files.sizes:
        return
    number = 0
    try:
        with files.open(name) as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    findings.add("file.truncated", "ends within a line", file=name, line=number)
                yield NumberedLine(number, line.removesuffix(b"\n"))
    except BROKEN as error:
        findings.add("file.unreadable", f"cannot be read on: {error}", file=name, line=number + 1)


def decoded(
    files: PackageFiles, name: str, kind: type[T], findings: Findings
) -> Iterator[tuple[int, T]]:
    """The lines of a file as values; those that are none are told and left out."""
    decoder = msgspec.json.Decoder(kind)
    for number, text in lines(files, name, findings):
        try:
            value = decoder.decode(text)
        except NOT_JSON as error:
            findings.add("line.malformed", str(error), file=name, line=number)
        else:
            yield number, value


def document(files: PackageFiles, name: str, kind: type[T], findings: Findings) -> T | None:
    """A whole file as one value; None where it is none, which is told."""
    text = whole(files, name, findings)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except NOT_JSON as error:
        findings.add("file.malformed", str(error), file=name)
        return None


def whole(files: PackageFiles, name: str, findings: Findings) -> bytes | None:
    """A whole small file; None where it is not there or cannot be read, which is told."""
    if name not in files.sizes:
        return None  # told once, when files are compared with the manifest
    try:
        with files.open(name) as file:
            return file.read()
    except BROKEN as error:
        findings.add("file.unreadable", f"cannot be read: {error}", file=name)
        return None


class Pair(NamedTuple, Generic[A, E]):
    """What stands there and what should; None on one side where it was added or lost."""

    actual: A | None
    expected: E | None
    same: bool


def align(
    actual: Iterable[A], expected: Iterable[E], same: Callable[[A, E], bool]
) -> Iterator[Pair[Any, Any]]:
    """Go through two lists that should be the same, and find the way back after a difference.

    One line that is lost does not make all that follow wrong.
    """
    left, right = _Ahead(actual), _Ahead(expected)
    while left.fill() and right.fill():
        steps = _nearest(left.items, right.items, same)
        if steps is None:
            yield Pair(left.items.popleft(), right.items.popleft(), False)
            continue
        added, lost = steps
        for _ in range(min(added, lost)):
            yield Pair(left.items.popleft(), right.items.popleft(), False)
        for _ in range(added - lost):
            yield Pair(left.items.popleft(), None, False)
        for _ in range(lost - added):
            yield Pair(None, right.items.popleft(), False)
        yield Pair(left.items.popleft(), right.items.popleft(), True)
    while left.fill():
        yield Pair(left.items.popleft(), None, False)
    while right.fill():
        yield Pair(None, right.items.popleft(), False)


class _Ahead(Generic[T]):
    """The next few items of an iterator."""

    def __init__(self, items: Iterable[T]) -> None:
        self._rest = iter(items)
        self.items: deque[T] = deque()

    def fill(self) -> bool:
        """Whether there is anything left."""
        while len(self.items) < _WINDOW:
            try:
                self.items.append(next(self._rest))
            except StopIteration:
                break
        return bool(self.items)


def _nearest(
    left: deque[A], right: deque[E], same: Callable[[A, E], bool]
) -> tuple[int, int] | None:
    """How many of each to pass over until both agree; the fewest."""
    if same(left[0], right[0]):
        return 0, 0
    ways = [
        (first + second, first, second)
        for first, mine in enumerate(left)
        for second, theirs in enumerate(right)
        if same(mine, theirs)
    ]
    return min(ways)[1:] if ways else None
