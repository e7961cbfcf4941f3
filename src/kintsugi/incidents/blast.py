"""The blast radius of an incident: who, how many, since when, and how sure that is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from kintsugi.model.affected import Affected, AffectedKind, AffectedStatus
from kintsugi.model.event import DecisionEvent, ExchangeStatus
from kintsugi.model.freeze import Freeze
from kintsugi.model.reach import Dimension, Extent, Named
from kintsugi.model.span import Span, Step

_SHOWN: Final[tuple[tuple[str, Dimension], ...]] = (
    ("users", "user"),
    ("teams", "team"),
    ("tenants", "tenant"),
    ("workflows", "workflow"),
    ("agents", "agent"),
    ("sessions", "session"),
    ("models", "model"),
    ("providers", "provider"),
    ("gateways", "gateway"),
    ("configurations", "configuration"),
    ("verdicts", "verdict"),
    ("policies", "policy"),
)
_WHOM: Final[dict[str, str]] = {
    "users": "user",
    "teams": "team",
    "tenants": "tenant",
    "workflows": "workflow",
}


class Count(msgspec.Struct, frozen=True):
    """How many values of a kind the events name.

    Attributes:
        exact: False where it is a lower bound: ``unnamed`` events name none.
        most: the most frequent ones.
    """

    count: int
    exact: bool
    unnamed: int
    most: tuple[Named, ...]


class BlastRadius(msgspec.Struct, frozen=True):
    """How far an incident reaches, as its events tell.

    Attributes:
        first_at, last_at: of the events; ``known_since`` is the first occurrence that a person
            recorded, where that lies earlier.
        counts: by kind: ``users``, ``teams``, ``tenants``, ``workflows`` ...
        records, people: how many are affected, by status.
        exact: whether every number is one; else each is a lower bound, for these ``reasons``.
    """

    events: int
    first_at: datetime | None
    last_at: datetime | None
    known_since: datetime | None
    counts: dict[str, Count]
    records: dict[str, int]
    people: dict[str, int]
    exact: bool
    reasons: tuple[str, ...]


def blast_radius(
    extent: Extent,
    freezes: Sequence[Freeze],
    late: int,
    affected: Mapping[tuple[AffectedKind, AffectedStatus], int],
    first_occurred_at: datetime | None,
) -> BlastRadius:
    """What is known of the reach, with every reason why it may be more.

    Args:
        late: events of frozen windows that were stored after they were frozen.
    """
    counts = {}
    for name, dimension in _SHOWN:
        spread = extent.of(dimension)
        counts[name] = Count(spread.distinct, spread.unnamed == 0, spread.unnamed, spread.named)
    reasons = [
        f"{counts[name].unnamed:,} of {extent.events:,} events name no {whom}"
        for name, whom in _WHOM.items()
        if counts[name].unnamed
    ]
    if not any(one.frozen_at is not None for one in freezes):
        reasons.append("no evidence is frozen: only what was tied by hand is counted")
    if any(one.frozen_at is None and one.state != "failed" for one in freezes):
        reasons.append("a freeze is under way")
    if late:
        reasons.append(f"{late:,} events came after their window was frozen: freeze it again")
    records: dict[str, int] = {}
    people: dict[str, int] = {}
    for (kind, status), number in sorted(affected.items()):
        told = records if kind == "record" else people
        told[status] = told.get(status, 0) + number
    earlier = first_occurred_at is not None and (
        extent.first_at is None or first_occurred_at < extent.first_at
    )
    if earlier:
        reasons.append("it is said to have begun before the first of these events")
    return BlastRadius(
        events=extent.events,
        first_at=extent.first_at,
        last_at=extent.last_at,
        known_since=first_occurred_at if earlier else extent.first_at,
        counts=counts,
        records=records,
        people=people,
        exact=not reasons,
        reasons=tuple(reasons),
    )


def people_in(
    event: DecisionEvent, incident_id: str, *, found_by: str, now: datetime
) -> list[Affected]:
    """The user, the team and the tenant of an event, who may have to be told."""
    found_in = f"event:{event.id}"
    people: list[tuple[AffectedKind, str]] = [
        ("user", event.user_id),
        ("team", event.team_id),
        ("tenant", event.tenant_id),
    ]
    return [
        Affected(incident_id, kind, key, "to_tell", now, found_by, found_in=found_in)
        for kind, key in people
        if key
    ]


def call_in(
    event: DecisionEvent, incident_id: str, *, found_by: str, now: datetime
) -> Affected | None:
    """A tool call that went through a gateway to an MCP server: what it changed is not recorded,
    so the call itself stands for it until somebody looks."""
    went = event.mcp_method == "tools/call" and event.status is ExchangeStatus.ANSWERED
    if not went or event.verdict.stops:
        return None
    key = f"{event.tool_name}/event:{event.id}"
    return Affected(
        *(incident_id, "record", key, "open", now, found_by),
        system=event.tool_name,
        found_in=f"event:{event.id}",
    )


def records_in(span: Span, incident_id: str, *, found_by: str, now: datetime) -> list[Affected]:
    """The records that a step changed; the step itself where it names none."""
    known = span.attributes
    system = str(
        known.get("kintsugi.write.system")
        or known.get("gen_ai.tool.name")
        or known.get("db.system.name")
        or known.get("messaging.destination.name")
        or span.service
        or span.name
    )
    named = known.get("kintsugi.records")
    found_in = f"trace:{span.trace_id}/{span.span_id}"
    keys = [str(one) for one in named] if isinstance(named, list | tuple) else []
    if not keys and span.step is Step.WRITE:
        keys = [found_in]
    return [
        Affected(
            *(incident_id, "record", f"{system}/{key}", "open", now, found_by),
            system=system,
            found_in=found_in,
        )
        for key in keys
    ]
