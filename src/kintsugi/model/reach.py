"""How far an incident reaches: what its events name, which controls judged them, and what else was
going on.

Implemented by ``store/reach.py`` on PostgreSQL and by ``store/memory_reach.py``; both pass the same
contract tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec

from kintsugi.model.span import Span

Dimension = Literal[
    "user",
    "team",
    "tenant",
    "workflow",
    "agent",
    "session",
    "model",
    "provider",
    "gateway",
    "configuration",
    "verdict",
    "policy",
    "reason_code",
]
#: Dimensions in the order of the columns that SQL groups by.
DIMENSIONS: Final[tuple[Dimension, ...]] = (
    *("user", "team", "tenant", "workflow", "agent", "session", "model", "provider"),
    *("gateway", "configuration", "verdict", "policy", "reason_code"),
)
NAMED_MAX: Final = 20
"""Of each dimension, so many values are named, the most frequent first."""


class Named(msgspec.Struct, frozen=True):
    """A value, and how many of the events name it."""

    name: str
    events: int
    first_at: datetime
    last_at: datetime


class Spread(msgspec.Struct, frozen=True):
    """Over how many values of a dimension the events are spread.

    Attributes:
        distinct: values that are named.
        unnamed: events that name none; their number is a lower bound then.
    """

    dimension: Dimension
    distinct: int
    unnamed: int
    named: tuple[Named, ...]


class Extent(msgspec.Struct, frozen=True):
    """What the events of an incident name, and since when."""

    events: int
    first_at: datetime | None
    last_at: datetime | None
    spreads: tuple[Spread, ...]

    def of(self, dimension: Dimension) -> Spread:
        """One of them."""
        return next(one for one in self.spreads if one.dimension == dimension)


class Judged(msgspec.Struct, frozen=True):
    """What one policy did in one phase, over the events of an incident.

    Attributes:
        result: the verdict that acted in the present tense, ``pass`` or ``skipped``.
    """

    policy_name: str
    phase: str
    mode: str
    outcome: str
    result: str
    events: int


class Traffic(msgspec.Struct, frozen=True):
    """How a value stands among the events of an incident and among others of a window.

    Attributes:
        affected: events of the incident, from its onset on, that name it.
        others: other events of the window that name it.
        first_at: when it was first named in the window.
    """

    dimension: Dimension
    name: str
    affected: int
    others: int
    first_at: datetime


class ReachStore(Protocol):
    """Reads how far incidents reach. An incident's events are those tied to it or to one merged
    into it, and those whose gateway had named it."""

    def extent(self, incident_id: str) -> Extent:
        """What its events name."""

    def judged(self, incident_id: str) -> list[Judged]:
        """What policies did to them, by policy, phase, mode, outcome and result."""

    def traffic(
        self,
        incident_id: str,
        *,
        since: datetime,
        until: datetime,
        onset: datetime,
        others_max: int,
    ) -> list[Traffic]:
        """Values of configuration, model, provider and gateway within a window.

        Args:
            onset: events of the incident from before it are others: what was frozen around it, to
                be safe, was not affected yet.
            others_max: so many of the other events are looked at, those nearest to the end.
        """

    def tied_among(self, incident_id: str, event_ids: Sequence[str]) -> frozenset[str]:
        """Those of these events that belong to it."""

    def changing_steps(self, trace_ids: Sequence[str], *, limit: int) -> list[Span]:
        """Steps of these traces that changed something, or whose records are named: writes, and
        tool calls that name records."""
