"""How many names and parts of workflows are kept apart: callers choose what they say, so what goes
beyond is counted together. The same for every store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from kintsugi.model.seen_parts import STATE_KINDS, SeenKind, Sighting
from kintsugi.model.workflow import FURTHER, NAMES_SEEN_MAX, PARTS_SEEN_MAX


class Row(NamedTuple):
    """A part of a workflow."""

    workflow: str
    kind: SeenKind
    name: str
    version: str


class CountedRow(NamedTuple):
    """A part, and what a batch tells of it."""

    workflow: str
    kind: SeenKind
    name: str
    version: str
    first_at: datetime
    last_at: datetime
    times: int


def capped_names(
    sightings: Sequence[Sighting], known: Collection[str], *, stored: int
) -> list[Sighting]:
    """The sightings with names beyond the most that are kept put together, by name.

    Args:
        known: names among them that are stored already.
        stored: how many names are.
    """
    kept: dict[str, Sighting] = {}
    for one in sightings:
        name = one.workflow
        if name not in known and name not in kept:
            if stored >= NAMES_SEEN_MAX:
                name = FURTHER
            stored += 1
        if name == FURTHER:
            one = Sighting(FURTHER, one.first_at, one.last_at, one.events, {})
        kept[name] = _together(kept[name], one) if name in kept else one
    return sorted(kept.values(), key=lambda one: one.workflow)


def capped_parts(sightings: Iterable[Sighting], known: Collection[Row]) -> list[CountedRow]:
    """A row for each part that the sightings tell of, with those of a workflow beyond the most that
    are kept put together. Of what only traffic tells, the oldest are forgotten instead; see
    ``STATES_SEEN_MAX``."""
    counts: dict[str, int] = {}
    for row in known:
        if row.kind not in STATE_KINDS:
            counts[row.workflow] = counts.get(row.workflow, 0) + 1
    kept: dict[Row, CountedRow] = {}
    for one in sightings:
        for (kind, name, version), times in sorted(one.parts.items()):
            row = Row(one.workflow, kind, name, version)
            if row not in known and row not in kept and kind not in STATE_KINDS:
                if counts.get(one.workflow, 0) >= PARTS_SEEN_MAX:
                    row = Row(one.workflow, kind, FURTHER, "")
                counts[one.workflow] = counts.get(one.workflow, 0) + 1
            before = kept[row].times if row in kept else 0
            kept[row] = CountedRow(*row, one.first_at, one.last_at, before + times)
    return sorted(kept.values())


def _together(one: Sighting, other: Sighting) -> Sighting:
    return Sighting(
        one.workflow,
        min(one.first_at, other.first_at),
        max(one.last_at, other.last_at),
        one.events + other.events,
        one.parts,
    )
