"""What stands in the way of something, told all at once."""

from __future__ import annotations

import msgspec


class Blocker(msgspec.Struct, frozen=True):
    """One thing that stands in the way.

    Attributes:
        where: the field or gate it is about.
        code: stable.
        help: what to do about it.
    """

    where: str
    code: str
    message: str
    help: str = ""
