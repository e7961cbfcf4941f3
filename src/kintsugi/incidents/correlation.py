"""What changed before an incident began, ranked by how near it was and how much more the affected
traffic has of it than the rest. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, cast

import msgspec

from kintsugi.model.reach import Traffic
from kintsugi.model.seen_parts import SeenKind
from kintsugi.model.workflow import SeenPart

ChangeKind = Literal[
    "configuration", "model", "prompt", "data_source", "tool", "containment", "deploy", "gateway"
]

#: How long before the onset a change counts; a slow effect is rarely slower.
LOOK_BACK: Final = timedelta(hours=24)
#: So many other events are compared with.
OTHERS_MAX: Final = 50_000
# Clocks of machines differ a little, and an onset is somebody's estimate.
_SLACK: Final = timedelta(minutes=2)
_LIFT_MAX: Final = 100.0
# What only traffic tells: what kind of change it is, and the words before its new state.
_STATES: Final[Mapping[SeenKind, tuple[ChangeKind, str]]] = {
    "instructions": ("prompt", " "),
    "tool_schema": ("tool", ", declared as "),
    "source_state": ("data_source", " as of "),
}
# Whoever writes the user's name into a prompt has as many prompts as users.
_STATES_MAX: Final = 10


class Candidate(msgspec.Struct, frozen=True):
    """Something that changed.

    Attributes:
        name: what it is now: ``support-prod@4``, a model's name, ``kb 2026-04``.
        told_by: what tells of it: ``configuration support-prod@4``, ``traffic`` and the like.
        value: the value of ``Traffic`` that stands for it; empty where none does.
    """

    kind: ChangeKind
    name: str
    at: datetime
    told_by: str
    by: str = ""
    value: str = ""


class Ranked(msgspec.Struct, frozen=True):
    """A change and how likely it has to do with the incident.

    Attributes:
        score: nearness (1 at the onset, a half an hour before) times the weight of the lift.
        minutes_before: the onset; negative where it came after, within the slack.
        lift: how many times more often affected traffic has it than the rest; null where traffic
            does not tell.
        affected_share, other_share: of the events, those that have it.
        why: the rank in words.
    """

    rank: int
    change: Candidate
    score: float
    minutes_before: float
    lift: float | None
    affected_share: float | None
    other_share: float | None
    why: str


def ranked(
    candidates: Iterable[Candidate],
    traffic: Sequence[Traffic],
    onset: datetime,
) -> list[Ranked]:
    """The changes of the time before the onset, the likeliest first."""
    totals = _totals(traffic)
    found = []
    for one in _once(candidates):
        before = onset - one.at
        if not -_SLACK <= before <= LOOK_BACK:
            continue
        minutes = before.total_seconds() / 60
        nearness = 1 / (1 + max(minutes, 0.0) / 60)
        shares = _shares(one, traffic, totals)
        lift = None if shares is None else _lift(*shares, totals[one.kind])
        score = nearness * (1.0 if lift is None else math.log2(1 + lift))
        affected, others = shares or (None, None)
        why = _why(minutes, lift, affected, others)
        found.append(
            Ranked(0, one, round(score, 3), round(minutes, 1), lift, affected, others, why)
        )
    found.sort(key=lambda one: (-one.score, one.minutes_before, one.change.name))
    return [msgspec.structs.replace(one, rank=place) for place, one in enumerate(found, start=1)]


def from_traffic(traffic: Iterable[Traffic], *, since: datetime) -> list[Candidate]:
    """Models, configurations and gateways that were first seen within the window rather than all
    through it."""
    kinds: dict[str, ChangeKind] = {
        "model": "model",
        "configuration": "configuration",
        "gateway": "gateway",
    }
    return [
        Candidate(
            kinds[one.dimension], one.name, one.first_at, "first seen in traffic", "", one.name
        )
        for one in traffic
        if one.dimension in kinds and one.first_at > since + _SLACK
    ]


def from_parts(workflow: str, parts: Iterable[SeenPart], *, since: datetime) -> Iterator[Candidate]:
    """What a workflow was first seen with: models, prompts, tools and data sources; and what only
    traffic tells, where it was another before: instructions, how tools are declared, as of when
    sources are."""
    states: dict[tuple[SeenKind, str], list[SeenPart]] = {}
    for part in parts:
        if part.kind in _STATES:
            states.setdefault((part.kind, part.name), []).append(part)
            continue
        value = part.name if part.kind == "model" else ""
        told_by = f"first used by workflow {workflow}"
        name = f"{part.name} {part.version}".strip()
        yield Candidate(cast("ChangeKind", part.kind), name, part.first_seen_at, told_by, "", value)
    for (kind, name), found in states.items():
        yield from _changed(workflow, kind, name, found, since=since)


def _changed(
    workflow: str, kind: SeenKind, name: str, found: list[SeenPart], *, since: datetime
) -> Iterator[Candidate]:
    found.sort(key=lambda part: part.first_seen_at)
    if sum(part.first_seen_at >= since for part in found) > _STATES_MAX:
        return  # it differs from request to request, which changes nothing
    change, words = _STATES[kind]
    for before, after in itertools.pairwise(found):
        told_by = f"traffic of workflow {workflow}; before: {before.version}"
        shown = f"{name}{words}{after.version}"
        yield Candidate(change, shown, after.first_seen_at, told_by)


def _once(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Of what several tell of, the one that was told first: a version is published before it is
    seen."""
    first: dict[tuple[str, str], Candidate] = {}
    for one in candidates:
        key = one.kind, one.name
        if key not in first or one.at < first[key].at:
            first[key] = one
    return list(first.values())


def _totals(traffic: Sequence[Traffic]) -> Mapping[str, tuple[int, int]]:
    totals: dict[str, tuple[int, int]] = {}
    for one in traffic:
        affected, others = totals.get(one.dimension, (0, 0))
        totals[one.dimension] = affected + one.affected, others + one.others
    return totals


def _shares(
    one: Candidate, traffic: Sequence[Traffic], totals: Mapping[str, tuple[int, int]]
) -> tuple[float, float] | None:
    if not one.value or one.kind not in totals:
        return None
    affected, others = totals[one.kind]
    seen = next((t for t in traffic if (t.dimension, t.name) == (one.kind, one.value)), None)
    if seen is None or not affected:
        return None
    return round(seen.affected / affected, 4), round(seen.others / others if others else 0.0, 4)


def _lift(affected: float, others: float, totals: tuple[int, int]) -> float:
    """With half an event added where there was none, so that it stays finite."""
    least = 0.5 / max(totals[1], 1)
    return round(min(affected / max(others, least), _LIFT_MAX), 2)


def _why(minutes: float, lift: float | None, affected: float | None, others: float | None) -> str:
    when = f"{minutes:.0f} min before the onset" if minutes >= 0 else "as it began"
    if lift is None or affected is None or others is None:
        return f"{when}; traffic does not tell what it touched"
    return f"{when}; {affected:.0%} of affected events have it, {others:.0%} of the others"
