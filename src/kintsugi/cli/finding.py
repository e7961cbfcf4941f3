"""One thing that ``kt doctor`` looked at."""

from __future__ import annotations

from typing import Literal

import msgspec

Outcome = Literal["ok", "warning", "failed", "not attempted"]


class Finding(msgspec.Struct, frozen=True):
    """One check.

    Attributes:
        next: what to do about it; empty when there is nothing to do.
    """

    check: str
    outcome: Outcome
    detail: str
    next: str = ""
