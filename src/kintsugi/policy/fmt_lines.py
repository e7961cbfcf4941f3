"""Takes comments and blank lines out of a YAML text, and weaves them into another layout of it.

A layout never changes the order of what YAML calls events: keys, values, beginnings of
collections. So a comment on a line of its own is remembered by the event that follows it, and one
at the end of a line by the event before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ruamel.yaml import YAML, events

INDENT = 2
# Names the schema; editors look for it at the top of a file.
_FOR_EDITORS = "yaml-language-server:"


class Event(NamedTuple):
    """Where a key, a value or a collection begins, and the last line of a value; from 0."""

    line: int
    column: int
    last_line: int
    is_block: bool


class Note(NamedTuple):
    """A comment, or a blank line (no text).

    Attributes:
        event: the one that follows a line of its own, or that a comment stands behind; -1 for
            the end of the file, and for what stands before everything.
        behind: whether it stands at the end of a line.
        like: event whose line it is indented like, where that is not the one that follows.
        deeper: whether it is indented one step more than that.
    """

    text: str
    event: int
    behind: bool = False
    like: int = -1
    deeper: bool = False


class Bare(NamedTuple):
    """A text without comments and blank lines, and what was taken out, in order."""

    text: str
    notes: tuple[Note, ...]


def comments(text: str) -> list[str]:
    """Every comment, in order, without blanks around it."""
    return [note.text for note in strip(text).notes if note.text]


def strip(text: str) -> Bare:
    """Take comments and blank lines out."""
    rows = text.split("\n")
    found = read_events(text)
    inside = {row for event in found for row in range(event.line + 1, event.last_line + 1)}
    hashes = _hashes(text, rows)
    kept: list[str] = []
    notes: list[Note] = []
    for number, row in enumerate(rows):
        column = hashes.get(number)
        if number in inside and column is None:
            kept.append(row)
            continue
        code = row if column is None else row[:column]
        if code.strip():
            kept.append(code if column is None else code.rstrip())
            if column is not None:
                behind = _last_before(found, number, column)
                notes.append(Note(row[column:].rstrip(), behind, behind=True))
        else:
            notes.append(_own_line(number, row, rows, found))
    return Bare("\n".join(kept) + "\n", tuple(notes))


def weave(text: str, notes: Sequence[Note]) -> str:
    """Put comments and blank lines into a text that has the same events."""
    rows = text.rstrip("\n").split("\n")
    found = read_events(text)
    above: dict[int, list[str]] = {}
    behind: dict[int, str] = {}
    for note in notes:
        if note.behind and note.event >= 0:
            event = found[note.event]
            row = event.line if event.is_block else event.last_line
            if row in behind:  # two lines became one
                above.setdefault(row, []).append(f"{_indent(rows[row])}{behind[row]}")
            behind[row] = note.text
        else:
            row = found[note.event].line if note.event >= 0 else len(rows)
            indent = ""
            if note.like >= 0:
                indent = _indent(rows[found[note.like].line]) + " " * INDENT * note.deeper
            elif row < len(rows):
                indent = _indent(rows[row])
            above.setdefault(row, []).append(f"{indent}{note.text}".rstrip())
    woven: list[str] = []
    for number, row_text in enumerate(rows):
        woven += above.get(number, [])
        woven.append(f"{row_text} {behind[number]}" if number in behind else row_text)
    return "\n".join([*woven, *above.get(len(rows), [])]) + "\n"


def arrange(text: str, sections: Sequence[str]) -> str:
    """Sections in their order, one blank line before each, at most one anywhere."""
    found = read_events(text)
    inside = {row for event in found for row in range(event.line + 1, event.last_line + 1)}
    keys = {event.line for event in found if not event.column}
    lines: list[str] = []
    heads: list[int] = []
    for number, row in enumerate(text.rstrip("\n").split("\n")):
        if number not in inside:
            if not row and (not lines or not lines[-1]):
                continue
            if number in keys:
                heads.append(len(lines))
        lines.append(row)
    return "\n".join(_in_order(lines, heads, sections)).rstrip("\n") + "\n"


def read_events(text: str) -> list[Event]:
    """Keys, values and beginnings of collections in their order; values without a character are
    left out."""
    found = []
    rows = text.split("\n")
    for event in YAML(typ="safe", pure=True).parse(text):
        start, end = event.start_mark, event.end_mark
        match event:
            case events.ScalarEvent(style=style):
                if style in ("|", ">"):
                    last = _last_line_of_block(rows, start.line, end.line)
                    found.append(Event(start.line, start.column, last, is_block=True))
                elif event.value or style:
                    found.append(Event(start.line, start.column, end.line, is_block=False))
            case events.AliasEvent() | events.CollectionStartEvent():
                found.append(Event(start.line, start.column, start.line, is_block=False))
    return found


def _last_line_of_block(rows: Sequence[str], head: int, end: int) -> int:
    """The last line of a ``|`` or ``>`` value; blank lines at its end count only for ``|+``."""
    content = range(head + 1, min(end + 1, len(rows)))
    first = next((row for row in content if rows[row].strip()), None)
    if first is None:
        return head
    depth = len(_indent(rows[first]))
    last = head
    keeps = "+" in rows[head].split("#")[0].rpartition(" ")[2]
    for row in content:
        if rows[row].strip():
            if len(_indent(rows[row])) < depth or not depth:
                break
            last = row
        elif keeps and row < len(rows) - 1:
            last = row
    return last


def _hashes(text: str, rows: Sequence[str]) -> dict[int, int]:
    """The column at which the comment of a line begins, for the lines that have one."""
    hidden: dict[int, list[tuple[int, int]]] = {}
    for event in YAML(typ="safe", pure=True).parse(text):
        if not isinstance(event, events.ScalarEvent):
            continue
        start, end = event.start_mark, event.end_mark
        if event.style in ("|", ">"):
            last = _last_line_of_block(rows, start.line, end.line)
            for row in range(start.line + 1, last + 1):
                hidden.setdefault(row, []).append((0, len(rows[row])))
            continue
        for row in range(start.line, end.line + 1):
            left = start.column if row == start.line else 0
            right = end.column if row == end.line else len(rows[row])
            hidden.setdefault(row, []).append((left, right))
    found = {}
    for number, row_text in enumerate(rows):
        for column, character in enumerate(row_text):
            if character != "#" or (column and row_text[column - 1] not in " \t"):
                continue
            if not any(left <= column < right for left, right in hidden.get(number, ())):
                found[number] = column
                break
    return found


def _own_line(number: int, row: str, rows: Sequence[str], found: Sequence[Event]) -> Note:
    text = row.strip()
    following = next((at for at, event in enumerate(found) if event.line > number), -1)
    depth = len(_indent(row))
    next_depth = len(_indent(rows[found[following].line])) if following >= 0 else 0
    if not text or depth <= next_depth:
        return Note(text, following)
    # It belongs to what stands above: often something that was commented out.
    before = [at for at, event in enumerate(found) if event.line < number]
    for at in reversed(before):
        line = rows[found[at].line]
        if len(_indent(line)) <= depth:
            first = next(other for other in before if found[other].line == found[at].line)
            opens = line.split(" #")[0].rstrip().endswith(":")
            return Note(text, following, like=first, deeper=opens and len(_indent(line)) < depth)
    return Note(text, following)


def _last_before(found: Sequence[Event], row: int, column: int) -> int:
    before = (at for at, event in enumerate(found) if (event.line, event.column) < (row, column))
    return max(before, default=-1)


def _in_order(lines: list[str], heads: list[int], sections: Sequence[str]) -> Iterator[str]:
    """The blocks of a file in the order of their sections, those that are none last."""
    starts = [_with_comments(lines, head) for head in heads]
    ends = [*starts[1:], len(lines)] if starts else []
    ranks = {name: rank for rank, name in enumerate(sections)}
    blocks = [(-1, lines[: starts[0]] if starts else lines)]
    for head, start, end in zip(heads, starts, ends, strict=True):
        name = lines[head].partition(":")[0].strip("\"' ")
        blocks.append((ranks.get(name, len(ranks)), lines[start:end]))
    for _, block in sorted(blocks, key=lambda block: block[0]):
        while block and not block[-1]:
            block = block[:-1]
        if block:
            yield from (*block, "")


def _with_comments(lines: list[str], head: int) -> int:
    """Where a block begins: at the comments right above its key. A comment that a blank line
    parts from the key belongs to what stands before it."""
    start = head
    while start and lines[start - 1].startswith("#") and _FOR_EDITORS not in lines[start - 1]:
        start -= 1
    return start


def _indent(row: str) -> str:
    return row[: len(row) - len(row.lstrip(" "))]
