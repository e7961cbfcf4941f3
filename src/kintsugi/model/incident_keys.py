"""How people name an incident: by its id, or as INC-000042."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

_REFERENCE: Final = re.compile(r"inc-0*([0-9]{1,9})", re.IGNORECASE)


def number_in(key: str) -> int | None:
    """The number in a reference; None when it is none."""
    found = _REFERENCE.fullmatch(key.strip())
    return int(found[1]) if found else None


def uuid_in(key: str) -> UUID | None:
    """The id; None when it is none."""
    try:
        found = UUID(key)
    except ValueError:
        return None
    return found if str(found) == key.lower() else None
