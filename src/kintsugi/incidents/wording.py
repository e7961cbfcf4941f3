"""The blameless check: words that put the blame on people, and where. Advice, never a bar."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec
from ruamel.yaml import YAML

_NAME_CHARS_MIN: Final = 2


class WordingFinding(msgspec.Struct, frozen=True):
    """One remark.

    Attributes:
        line, column: from 1, in the text that was looked at.
        instead: what to write.
    """

    line: int
    column: int
    words: str
    why: str
    instead: str


class _Advice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    words: tuple[str, ...]
    why: str
    instead: str


def check_wording(
    lines: Sequence[str], *, people: Collection[str] = (), first_line: int = 1
) -> list[WordingFinding]:
    """What the text blames, in the order of its lines.

    Args:
        people: names; a cause that names a person is looked at twice.
    """
    found = [
        WordingFinding(number, match.start() + 1, match[0], advice.why, advice.instead)
        for number, line in enumerate(lines, first_line)
        for pattern, advice in _patterns()
        for match in pattern.finditer(line)
    ]
    named = _any_of([name for name in people if len(name) >= _NAME_CHARS_MIN])
    if named is not None:
        found += [
            WordingFinding(
                number,
                match.start() + 1,
                match[0],
                "names a person",
                "name the role, the decision and what it rested on",
            )
            for number, line in enumerate(lines, first_line)
            for match in named.finditer(line)
        ]
    return sorted(found, key=lambda one: (one.line, one.column))


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], _Advice], ...]:
    file = files("kintsugi.incidents").joinpath("data", "review", "wording.yaml")
    read: Any = YAML(typ="safe", pure=True).load(file.read_text("utf-8"))
    known = msgspec.convert(read, tuple[_Advice, ...])
    return tuple((pattern, one) for one in known if (pattern := _any_of(one.words)) is not None)


def _any_of(words: Sequence[str]) -> re.Pattern[str] | None:
    if not words:
        return None
    longest_first = sorted(words, key=len, reverse=True)
    inner = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in longest_first)
    return re.compile(rf"(?<!\w)(?:{inner})(?!\w)", re.IGNORECASE)
