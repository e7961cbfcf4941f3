"""How well incidents are handled, as distributions with their n. A pure function over records.

A mean of three incidents says nothing, and a mean hides the one that took a week. So every measure
tells how many it rests on, the middle, the tenth that took longest, and the worst; below
``ENOUGH`` it says that there are not enough, instead of a number that looks like one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from math import ceil
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from kintsugi.model.action import Action
from kintsugi.model.incident import Incident
from kintsugi.model.oversight import Escalation

ENOUGH: Final = 5
By = Literal["none", "severity", "category", "workflow", "month"]
ALL: Final = "all"
_NONE: Final = "(none)"

DEFINITIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "time_to_detect": "from the first occurrence to the detection",
        "time_to_acknowledge": "from the report until somebody took it up: triage, declaration or "
        "a commander",
        "time_to_contain": "from the detection (else the report) until it was contained",
        "time_to_recover": "from the detection (else the report) until it was remediated and "
        "watched",
        "time_to_guardrail": "from the report until the first action of kind prevent was done",
        "action_age": "of actions that are open at the end of the time, since they were agreed",
        "recurrence_rate": "incidents that are a recurrence of another one",
        "near_miss_ratio": "near misses among near misses and incidents",
        "over_block_rate": "incidents in which enforcement stopped what it should not, among those "
        "judged",
        "override_rate": "escalations that a person approved against the policy, among those "
        "resolved",
        "clock_compliance": "reporting clocks met by their date, among those met or overdue",
        "actions_on_time": "actions done by their date, among those done or overdue",
    }
)


class Distribution(msgspec.Struct, frozen=True):
    """A measure in seconds. The numbers are null where ``n`` is below ``ENOUGH``.

    Attributes:
        unknown: how many it could not be measured of: a time is missing, or they lie the wrong
            way round.
    """

    n: int
    p50: float | None = None
    p90: float | None = None
    max: float | None = None
    unknown: int = 0


class Share(msgspec.Struct, frozen=True):
    """``hits`` of ``n``; ``value`` is null where ``n`` is below ``ENOUGH``."""

    hits: int
    n: int
    value: float | None = None


class KpiRecord(msgspec.Struct, frozen=True):
    """An incident with what belongs to it.

    Attributes:
        workflows: that its events came from.
    """

    incident: Incident
    actions: tuple[Action, ...] = ()
    workflows: tuple[str, ...] = ()


class KpiGroup(msgspec.Struct, frozen=True):
    """The measures of one group; ``all`` is everything together."""

    key: str
    incidents: int
    times: dict[str, Distribution]
    shares: dict[str, Share]


def kpis(
    records: Sequence[KpiRecord],
    escalations: Sequence[Escalation],
    *,
    by: By,
    now: datetime,
) -> list[KpiGroup]:
    """The measures of everything, and of each group.

    Args:
        escalations: those that were resolved in the time. They belong to no incident, so only
            ``all`` and months tell of them.
    """
    counted = [one for one in records if _counts(one.incident)]
    groups: dict[str, list[KpiRecord]] = {}
    for record in counted:
        for key in _keys(record, by):
            groups.setdefault(key, []).append(record)
    months: dict[str, list[Escalation]] = {}
    if by == "month":
        for one in escalations:
            if one.resolved_at is not None:
                months.setdefault(f"{one.resolved_at:%Y-%m}", []).append(one)
    return [
        _group(ALL, counted, escalations, now),
        *(
            _group(key, groups.get(key, []), months.get(key, []), now)
            for key in sorted({*groups, *months})
        ),
    ]


def distribution(values: Iterable[float | None]) -> Distribution:
    """Of values in seconds; None is one that could not be measured."""
    every = list(values)
    known = sorted(value for value in every if value is not None)
    unknown = len(every) - len(known)
    if len(known) < ENOUGH:
        return Distribution(len(known), unknown=unknown)
    return Distribution(
        len(known), _rank(known, 0.5), _rank(known, 0.9), known[-1], unknown=unknown
    )


def share(outcomes: Iterable[bool]) -> Share:
    """How many are true."""
    every = list(outcomes)
    hits = sum(every)
    return Share(hits, len(every), hits / len(every) if len(every) >= ENOUGH else None)


def _group(
    key: str, records: Sequence[KpiRecord], escalations: Sequence[Escalation], now: datetime
) -> KpiGroup:
    incidents = [one.incident for one in records]
    # An action of several incidents counts once.
    actions = list({one.id: one for record in records for one in record.actions}.values())
    happened = [one for one in incidents if one.outcome != "near_miss"]
    times: dict[str, list[float | None]] = {
        **{name: [measure(one) for one in incidents] for name, measure in _TIMES.items()},
        "time_to_guardrail": [_guardrail(one) for one in records],
        "action_age": [_seconds(one.created_at, now) for one in actions if one.state == "open"],
    }
    shares = {
        "recurrence_rate": [_recurs(one) for one in happened],
        "near_miss_ratio": [one.outcome == "near_miss" for one in incidents],
        "over_block_rate": [
            one.verdicts.enforcement == "over_block"
            for one in incidents
            if one.verdicts.enforcement not in (None, "not_applicable")
        ],
        "override_rate": [one.status == "approved" for one in escalations],
        "clock_compliance": [kept for one in incidents for kept in _clocks(one, now)],
        "actions_on_time": [kept for one in actions if (kept := _on_time(one, now)) is not None],
    }
    return KpiGroup(
        key,
        len(incidents),
        {name: distribution(values) for name, values in times.items()},
        {name: share(outcomes) for name, outcomes in shares.items()},
    )


def _counts(incident: Incident) -> bool:
    """Neither a duplicate nor what turned out to be none."""
    return incident.state != "merged" and incident.outcome not in (
        "not_an_incident",
        "quality_issue",
    )


def _keys(record: KpiRecord, by: By) -> tuple[str, ...]:
    match by:
        case "severity":
            return (record.incident.severity or "unset",)
        case "category":
            return record.incident.categories or (_NONE,)
        case "workflow":
            return record.workflows or (_NONE,)
        case "month":
            return (f"{record.incident.reported_at:%Y-%m}",)
        case "none":
            return ()


def _acknowledged(incident: Incident) -> float | None:
    taken = [
        incident.reached[state] for state in ("triage", "declared") if state in incident.reached
    ]
    taken += [term.assumed_at for term in incident.roles if term.role == "commander"]
    return _seconds(incident.reported_at, min(taken)) if taken else None


def _since_detection(incident: Incident, state: str) -> float | None:
    return _seconds(incident.detected_at or incident.reported_at, incident.reached.get(state))


_TIMES: Final[Mapping[str, Callable[[Incident], float | None]]] = {
    "time_to_detect": lambda one: _seconds(one.first_occurred_at, one.detected_at),
    "time_to_acknowledge": _acknowledged,
    "time_to_contain": lambda one: _since_detection(one, "contained"),
    "time_to_recover": lambda one: _since_detection(one, "monitoring"),
}


def _guardrail(record: KpiRecord) -> float | None:
    ended = [
        one.ended_at
        for one in record.actions
        if one.aim == "prevent" and one.state == "done" and one.ended_at is not None
    ]
    return _seconds(record.incident.reported_at, min(ended)) if ended else None


def _recurs(incident: Incident) -> bool:
    return any(link.kind == "recurrence_of" for link in incident.links)


def _clocks(incident: Incident, now: datetime) -> list[bool]:
    kept = []
    for clock in incident.obligations:
        if clock.set_aside is not None or clock.due_at is None:
            continue
        if clock.submissions:
            kept.append(clock.submissions[0].at <= clock.due_at)
        elif clock.due_at < now:
            kept.append(False)
    return kept


def _on_time(action: Action, now: datetime) -> bool | None:
    """None where the question does not arise, or not yet."""
    if action.due_at is None or action.state == "dropped":
        return None
    if action.state == "done":
        return action.ended_at is not None and action.ended_at <= action.due_at
    return False if action.due_at < now else None


def _seconds(since: datetime | None, until: datetime | None) -> float | None:
    if since is None or until is None or until < since:
        return None
    return (until - since).total_seconds()


def _rank(ordered: Sequence[float], share_of: float) -> float:
    """The nearest rank: a value that occurred, never one between two."""
    return ordered[ceil(share_of * len(ordered)) - 1]
