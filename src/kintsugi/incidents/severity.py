"""Severity from scored factors, and what each severity asks for.

Every factor is scored from 0 to 3; ``LEVELS`` says in words what a score means. The rule is short
enough to be argued about: impact sets the level, and what makes harm spread, last or recur raises
it. A higher score never gives a lower severity. What nobody has scored is unknown, and unknown is
read strictly, but it alone never makes an incident critical.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.model.incident import Gate, Role
from kintsugi.model.signal import Severity

ORDER: Final[tuple[Severity, ...]] = ("low", "medium", "high", "critical")
# What nobody has assessed is treated as.
UNASSESSED: Final[Severity] = "high"
SCORE_MAX: Final = 3

LEVELS: Final[Mapping[str, tuple[str, str, str, str]]] = MappingProxyType(
    {
        "impact": (
            "a quality issue, easily corrected",
            "limited business impact",
            "customer harm, money, a broken policy, a corrupted workflow",
            "safety, rights, or material legal harm",
        ),
        "blast_radius": (
            "one person or record",
            "a few, all known",
            "a whole tenant, team or workflow",
            "anyone who used it, or nobody knows who",
        ),
        "reversibility": (
            "undone at once",
            "undone with some work",
            "costly to undo, or in part only",
            "cannot be undone",
        ),
        "exposure": (
            "seen inside only",
            "a few outside, in confidence",
            "customers",
            "the public, or an authority",
        ),
        "data_sensitivity": (
            "public or trivial content",
            "internal content",
            "confidential or personal data",
            "special categories, secrets, regulated data",
        ),
        "autonomy": (
            "it drafts, a person acts",
            "it recommends, and people follow",
            "it acts within limits",
            "it acts without control",
        ),
        "recurrence": (
            "the first time, a one-off",
            "seen once before",
            "repeated, or a pattern",
            "comes back after it was fixed",
        ),
        "uncertainty": (
            "the facts are known",
            "details are open",
            "the extent is unknown",
            "neither cause nor extent is known",
        ),
    }
)
_RAISING: Final = ("reversibility", "exposure", "data_sensitivity", "autonomy", "recurrence")
_HIGH_SCORE: Final = 2


class SeverityDuties(msgspec.Struct, frozen=True):
    """What a severity asks for.

    Attributes:
        update_minutes: how often somebody tells where things stand, until it is closed.
        review_days: the review is due so long after harm stopped.
        action_days: the default due date of actions.
        roles: that have to be held.
        gates: that have to be passed to close.
    """

    update_minutes: int
    review_days: int
    action_days: int
    roles: tuple[Role, ...]
    gates: tuple[Gate, ...]


_ALWAYS: Final[tuple[Gate, ...]] = ("commander", "severity", "verdicts", "clocks", "decision")
_SERIOUS: Final[tuple[Gate, ...]] = (
    *("commander", "roles", "severity", "verdicts", "category", "evidence", "decision", "cause"),
    *("actions", "clocks", "review", "learning"),
)

# Review within one to two weeks: CoSAI, AI Incident Response Framework 1.0.
DUTIES: Final[Mapping[Severity, SeverityDuties]] = MappingProxyType(
    {
        "low": SeverityDuties(1440, 30, 30, ("commander",), _ALWAYS),
        "medium": SeverityDuties(
            240,
            14,
            14,
            ("commander", "ai_lead"),
            (*_ALWAYS, "category", "evidence", "cause", "actions", "learning"),
        ),
        "high": SeverityDuties(60, 10, 7, ("commander", "risk_owner", "ai_lead"), _SERIOUS),
        "critical": SeverityDuties(
            30, 7, 7, ("commander", "risk_owner", "ai_lead", "communications"), _SERIOUS
        ),
    }
)


def duties_of(severity: Severity | None) -> SeverityDuties:
    """What it asks for; one that nobody has assessed is treated as high."""
    return DUTIES[severity or UNASSESSED]


def compute(factors: Mapping[str, int]) -> tuple[Severity, tuple[str, ...]]:
    """The severity, and how it came about.

    Args:
        factors: 0 to 3 by name; what is left out is unknown.

    Raises:
        InvalidInput: an unknown factor, or a score that is none.
    """
    for name, score in factors.items():
        if name not in LEVELS:
            raise InvalidInput(f'there is no factor "{name}"; known: {", ".join(LEVELS)}')
        if not 0 <= score <= SCORE_MAX:
            raise InvalidInput(f"{name}: {score} is no score; use 0 to {SCORE_MAX}")
    level, steps = _base(factors)
    if factors.get("blast_radius", 0) >= _HIGH_SCORE:
        level += 1
        steps.append(f"one higher: {LEVELS['blast_radius'][factors['blast_radius']]}")
    raising = [name for name in _RAISING if factors.get(name, 0) >= _HIGH_SCORE]
    if len(raising) > 1:
        level += 1
        steps.append(f"one higher: {' and '.join(raising)} are serious")
    elif raising and level == 0:
        level = 1
        steps.append(f"not low: {LEVELS[raising[0]][factors[raising[0]]]}")
    unknown = [name for name in LEVELS if name not in factors and name != "uncertainty"]
    unsure = factors.get("uncertainty", 0) >= _HIGH_SCORE or len(unknown) > SCORE_MAX
    if unsure and level < ORDER.index("high"):
        level += 1
        steps.append("one higher: too much is unknown")
    return ORDER[min(level, len(ORDER) - 1)], tuple(steps)


def _base(factors: Mapping[str, int]) -> tuple[int, list[str]]:
    if "impact" not in factors:
        return 1, ["impact is unknown, which is read as medium"]
    level = factors["impact"]
    return level, [f"impact: {LEVELS['impact'][level]} ({ORDER[level]})"]
