"""Ids of callers as the database compares them."""

from __future__ import annotations

from uuid import UUID


def parse_uuid(text: str) -> UUID | None:
    """The id; None, which equals nothing, where the text is none."""
    try:
        return UUID(text)
    except ValueError:
        return None
