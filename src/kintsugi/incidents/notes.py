"""What people write into a timeline, and what they say about its entries."""

from __future__ import annotations

from typing import Any, Literal

from kintsugi.errors import InvalidInput
from kintsugi.incidents.commands import Act, changed, entry
from kintsugi.model.incident import Change, Entry, Incident


def noted(incident: Incident, text: str, act: Act, *, update: bool = False) -> Change:
    """Write something down, at the time when it happened.

    Args:
        update: it tells where things stand, and so meets the cadence of updates.
    """
    said = _said(text)
    told = entry(incident, "update" if update else "note", said, act)
    fields: dict[str, Any] = {"last_update_at": act.now} if update else {}
    return changed(incident, [told], act, **fields)


def annotated(incident: Incident, about: Entry, text: str, act: Act) -> Change:
    """Say something about an entry, which itself stays as it is."""
    return changed(incident, [entry(incident, "annotation", _said(text), act, about=about.id)], act)


def pinned(incident: Incident, about: Entry, act: Act, *, pin: bool) -> Change:
    """Pin an entry, so that it is not overlooked, or unpin it."""
    kind: Literal["pin", "unpin"] = "pin" if pin else "unpin"
    return changed(incident, [entry(incident, kind, kind, act, about=about.id)], act)


def _said(text: str) -> str:
    if not text.strip():
        raise InvalidInput("text: say something")
    return text.strip()
