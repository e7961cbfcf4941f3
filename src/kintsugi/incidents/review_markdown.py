"""The form of a review: front matter, sections between markers, lines with anchors. Pure.

A section is ``generated``: computed whenever the review is read; or ``people``: what people wrote,
never computed. Everything that came from outside is escaped, so that it
can neither end a section nor begin a link.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, Literal

import msgspec

SectionKind = Literal["generated", "people"]

EMPTY: Final = "*Nobody has written this yet.*"
_MARKER: Final = re.compile(r"<!-- (generated|people|end): ([a-z_]+) -->")
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|&~!])")


class Section(msgspec.Struct, frozen=True):
    """A stretch between two markers.

    Attributes:
        line: of its first line, from 1; its opening marker stands before it.
    """

    kind: SectionKind
    name: str
    lines: tuple[str, ...]
    line: int = 0

    @property
    def text(self) -> str:
        """Its lines, without the empty ones around them."""
        return "\n".join(self.lines).strip()

    @property
    def digest(self) -> str:
        """Of the text; by it an import knows what was edited."""
        return digest_of(self.text)


class Document(msgspec.Struct, frozen=True):
    """A review that was read.

    Attributes:
        front: the lines of the front matter.
        problems: what is wrong with its form, each with its line.
    """

    front: tuple[str, ...]
    sections: dict[str, Section]
    problems: tuple[tuple[int, str], ...]


def plain(text: str) -> str:
    """Words of others on one line, with nothing in them that Markdown would read."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def marked(kind: SectionKind, name: str, lines: Sequence[str]) -> list[str]:
    """A section with its markers."""
    return [f"<!-- {kind}: {name} -->", *lines, f"<!-- end: {name} -->"]


def digest_of(text: str) -> str:
    """``sha256:...`` of a text."""
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def parse_review(text: str) -> Document:
    """Read a review that somebody edited. Never raises: what is wrong is in ``problems``."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    front, start = _front(lines)
    sections: dict[str, Section] = {}
    problems: list[tuple[int, str]] = []
    opened: tuple[SectionKind, str, int] | None = None
    inside: list[str] = []
    for number, line in enumerate(lines[start:], start + 1):
        marker = _MARKER.fullmatch(line.strip())
        if marker is None:
            inside.append(line)
            continue
        word, name = marker.groups()
        if word == "end":
            if opened is None or opened[1] != name:
                problems.append((number, f'"{name}" ends here and has not begun'))
            else:
                sections[name] = Section(opened[0], name, tuple(inside), opened[2])
            opened = None
            continue
        if opened is not None:
            problems.append((number, f'"{opened[1]}" has not ended before "{name}" begins'))
        if name in sections:
            problems.append((number, f'"{name}" stands here a second time'))
        kind: SectionKind = "people" if word == "people" else "generated"
        opened, inside = (kind, name, number + 1), []
    if opened is not None:
        problems.append((opened[2] - 1, f'"{opened[1]}" does not end'))
    return Document(front, sections, tuple(problems))


def _front(lines: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """The front matter, and the index of the line behind it."""
    if not lines or lines[0].strip() != "---":
        return (), 0
    for index, line in enumerate(lines[1:], 1):
        if line.strip() == "---":
            return tuple(lines[1:index]), index + 1
    return (), 0
