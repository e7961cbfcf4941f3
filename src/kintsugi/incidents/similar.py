"""Incidents that resemble one, and why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from kintsugi.model.incident import Incident
from kintsugi.model.incident_terms import NEWEST

#: Less in common is chance.
SCORE_MIN: Final = 2.0
SUGGESTIONS_MAX: Final = 5


class Resemblance(msgspec.Struct, frozen=True):
    """An incident by id, and what it has in common.

    Attributes:
        score: sum over the shared terms of ln(1 + 50 / n), n the incidents that have the term,
            counted up to 50: what few have weighs more. Categories and labels count twice.
        shared: the terms, the heaviest first.
    """

    incident_id: str
    score: float
    shared: tuple[str, ...]


def resembling(incident: Incident, sharing: Sequence[tuple[str, str]]) -> list[Resemblance]:
    """Those that resemble it most first, without those that it is tied to, or that somebody said
    are not similar.

    Args:
        sharing: pairs of a term and the id of an incident that has it.
    """
    told = {incident.id, incident.merged_into, *(link.incident_id for link in incident.links)}
    weights = _weights(sharing)
    shared: dict[str, set[str]] = {}
    for term, other in sharing:
        if other not in told:
            shared.setdefault(other, set()).add(term)
    found = [_resemblance(other, terms, weights) for other, terms in shared.items()]
    enough = [one for one in found if one.score >= SCORE_MIN and len(one.shared) > 1]
    return sorted(enough, key=lambda one: (-one.score, one.incident_id))


def _weights(sharing: Iterable[tuple[str, str]]) -> dict[str, float]:
    counts: dict[str, int] = {}
    for term, _ in sharing:
        counts[term] = counts.get(term, 0) + 1
    return {
        term: math.log(1 + NEWEST / count) * (1 if term.startswith("word:") else 2)
        for term, count in counts.items()
    }


def _resemblance(other: str, terms: set[str], weights: dict[str, float]) -> Resemblance:
    ordered = sorted(terms, key=lambda term: (-weights[term], term))
    return Resemblance(other, round(sum(weights[term] for term in terms), 2), tuple(ordered))
