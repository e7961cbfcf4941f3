"""Sentences with alternatives: ``{ignore|forget} {all |}previous rules``.

One line stands for as many sentences as its alternatives multiply to; a seeded choice of them is
used, so that a corpus file stays readable and a training run repeatable.
"""

from __future__ import annotations

import random
import re

_INNERMOST = re.compile(r"\{([^{}]*\|[^{}]*)\}")


def expand(line: str, chosen: random.Random) -> str:
    """One sentence of those that a line stands for."""
    while (match := _INNERMOST.search(line)) is not None:
        alternative = chosen.choice(match.group(1).split("|"))
        line = line[: match.start()] + alternative + line[match.end() :]
    return line.replace("\\n", "\n")


def count(line: str) -> int:
    """How many sentences a line stands for, alternatives within alternatives counted roughly."""
    total = 1
    while (match := _INNERMOST.search(line)) is not None:
        total *= match.group(1).count("|") + 1
        line = line[: match.start()] + line[match.end() :]
    return total


def sentences(line: str, wanted: int, chosen: random.Random) -> list[str]:
    """Up to so many different sentences of a line, never more than it stands for."""
    wanted = min(wanted, count(line))
    found: dict[str, None] = {}
    for _ in range(wanted * 4):
        found[expand(line, chosen)] = None
        if len(found) >= wanted:
            break
    return list(found)
