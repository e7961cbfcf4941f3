"""An incident as people read it on a terminal: what is known, in the order in which it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kintsugi.cli.output import facts

if TYPE_CHECKING:
    from rich.console import RenderableType

Line = tuple[str, Any]


def incident_page(found: Mapping[str, Any], *, into: str = "") -> RenderableType:
    """One incident; what nobody has said is left out. ``--json`` has all of it.

    Args:
        into: the one that it was merged into, as people name it.
    """
    return facts(_lines(found, into))


def _lines(found: Mapping[str, Any], into: str) -> Iterator[Line]:
    yield "incident", f"{found['reference']}  {found['title']}"
    merged = f" into {into or found['merged_into']}" if found["merged_into"] else ""
    yield "state", f"{found['state']}{merged}"
    yield "may move on by", found["moves"]
    yield "severity", _severity(found)
    yield "roles", [f"{one['role']} {one['person']}" for one in _held(found)]
    if found["state"] in ("reported", "triage"):
        yield "triage", [f"{name}: {said}" for name, said in found["triage"].items() if said]
    yield from _judged(found)
    yield "events", found["event_count"]
    yield "summary", found["summary"]
    yield "decision", found["decision"]
    for part, cause in found["cause"].items():
        yield part.replace("_", " "), f"{cause['text']} ({cause['confidence']})"
    for one in found["hypotheses"]:
        because = f": {one['reason']}" if one["reason"] else ""
        yield f"H{one['number']} {one['state']}", f"{one['text']}{because}"
    for one in found["links"]:
        yield one["kind"].replace("_", " "), one["reference"]
    for one in found["waivers"]:
        until = f"until {one['expires_at']}, {one['owner']} answers for it: {one['reason']}"
        yield f"waived: {one['gate']}", until
    yield "first occurred", found["first_occurred_at"]
    yield "detected", found["detected_at"]
    yield "reported", f"{found['reported_at']} by {found['reported_by']}"
    yield "next update due", found["update_due_at"]
    yield "review due", found["review_due_at"]
    yield "clocks owed", found["owed"] or None
    if found["visibility"] != "open":
        yield "restricted", f"others see: {found['visibility']}"
        yield "also seen by", found["people"]
    yield "id", found["id"]
    yield "version", found["version"]


def _severity(found: Mapping[str, Any]) -> str:
    override, told = found["override"], str(found["severity"] or "")
    computed = (found["assessment"] or {}).get("severity", "none")
    if override is not None:
        told += f", in place of {computed}: {override['reason']}"
    once = found["severest"]
    return told if once in (None, found["severity"], computed) else f"{told}; it was {once} once"


def _held(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in found["roles"] if one["renounced_at"] is None]


def _judged(found: Mapping[str, Any]) -> Iterator[Line]:
    verdicts = found["verdicts"]
    yield "enforcement was", verdicts["enforcement"]
    harm, caught = verdicts["harm"], verdicts["caught_by"]
    yield "harm", f"{harm}, caught by {caught}: {verdicts['caught_how']}" if caught else harm
    yield "categories", found["categories"]
    yield "labels", found["labels"]
