"""Erasures as they are remembered outside the database: one JSON line each, only ever added to.

A database that is restored from before an erasure knows nothing of it. The list does, and whatever
it holds is erased again before anything is served.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from kintsugi.durable import add_lines, read_lines
from kintsugi.model.erasure import Remembered

FILE: Final = "erasures.jsonl"
_WHAT: Final = "the list of erasures"


def read(path: Path) -> list[Remembered]:
    """What a list holds, oldest first; see ``read_lines``."""
    return read_lines(path, Remembered, what=_WHAT)


def remember(path: Path, erasures: Iterable[Remembered]) -> int:
    """Add what the list does not hold yet, on disk when this returns; how many those were.

    Raises:
        EvidenceUnavailable: the file cannot be read or written.
    """
    known = {one.id for one in read(path)}
    new = [one for one in erasures if one.id not in known]
    if new:
        add_lines(path, map(msgspec.json.encode, new), what=_WHAT)
    return len(new)
