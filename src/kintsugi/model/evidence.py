"""The lines of the table that says which evidence is held and which is missing (CONTRACT §6)."""

from __future__ import annotations

from enum import Enum

import msgspec


class State(Enum):
    """How much of one kind of evidence there is."""

    HELD = "held"
    PARTIAL = "partial"
    MISSING = "missing"
    EXPIRED = "expired under retention"  # it was here, and went away at the end of its time
    NONE_SEEN = "none seen"  # nothing tells that there was any


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the table.

    Attributes:
        key: stable: ``request``, ``prompt``, ``model`` …
        title: as CONTRACT §6 names it.
        held, missing: its parts, with how many are missing of how many where that is known.
        expired: parts that were held until the end of their time.
    """

    key: str
    title: str
    state: State
    held: tuple[str, ...]
    missing: tuple[str, ...]
    expired: tuple[str, ...] = ()
