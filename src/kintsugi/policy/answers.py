"""Whole answers, as a person would read them: what one choice says, from all its parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from kintsugi.model.content import Part

_CHOICE = re.compile(r"/choices/\d+(?=/)")


class Answer(NamedTuple):
    """What one choice says.

    Attributes:
        parts: its texts in order; without reasoning, tool calls and refusals.
        text: all of them, one after the other.
    """

    parts: tuple[Part, ...]
    text: str

    def place(self, start: int, end: int) -> tuple[str, int, int]:
        """The part in which a stretch of the text begins, and where in that part it stands."""
        offset = 0
        for part, after in zip(
            self.parts, accumulate(len(p.text) for p in self.parts), strict=True
        ):
            if start < after or after == len(self.text):
                return part.path, start - offset, min(end, after) - offset
            offset = after
        return "", 0, 0


def answers(parts: Sequence[Part]) -> list[Answer]:
    """Each choice's answer; the only one where a dialect has no choices.

    A part without a path is the body of an error, or of something that could not be read: no
    answer.
    """
    choices: dict[str, list[Part]] = {}
    for part in parts:
        if part.kind == "text" and part.path and not part.path.endswith("/refusal"):
            choice = _CHOICE.match(part.path)
            choices.setdefault(choice[0] if choice else "", []).append(part)
    return [Answer(tuple(said), "".join(part.text for part in said)) for said in choices.values()]
