"""The risk tier of a workflow: seven questions, one rule, nothing lowered by more danger."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from kintsugi.incidents.risk import framework, gaps_of, tier_of
from kintsugi.model.workflow import AreaAnswer, Part, RiskTier, Workflow

AREAS = tuple(area.id for area in framework().areas)
RANK = {tier: place for place, tier in enumerate(get_args(RiskTier))}
NOON = datetime(2026, 4, 23, 12, tzinfo=UTC)
answers = st.fixed_dictionaries({area: st.sampled_from(get_args(AreaAnswer)) for area in AREAS})


def with_higher(*areas: str) -> dict[str, AreaAnswer]:
    return {area: "higher" if area in areas else "low" for area in AREAS}


def test_the_areas_are_those_of_the_founding_document() -> None:
    assert (
        *("customer_exposure", "data_sensitivity", "autonomy", "reversibility"),
        *("business_impact", "observability", "recurrence_risk"),
    ) == AREAS
    assert "Practical Decision Framework" in framework().source


def test_tiers_as_the_manual_tells_them() -> None:
    assert tier_of(with_higher()).tier == "low"
    assert tier_of(with_higher("customer_exposure")).tier == "medium"
    assert tier_of(with_higher("autonomy", "reversibility")).tier == "medium"
    assert tier_of(with_higher("customer_exposure", "autonomy")).tier == "high"
    assert tier_of(with_higher("data_sensitivity", "autonomy", "reversibility")).tier == "critical"
    assert tier_of(with_higher(*AREAS[:1], *AREAS[4:])).tier == "high"
    assert tier_of({}).tier == "critical"


@given(answers, st.sampled_from(AREAS))
def test_more_danger_never_lowers_the_tier(given_: dict[str, AreaAnswer], area: str) -> None:
    before = tier_of({**given_, area: "low"})
    after = tier_of({**given_, area: "higher"})
    assert RANK[after.tier] >= RANK[before.tier]
    assert after.steps[-1].startswith(after.tier)


@given(answers, st.sampled_from(AREAS))
def test_what_is_unknown_counts_as_higher(given_: dict[str, AreaAnswer], area: str) -> None:
    unknown = {name: answer for name, answer in given_.items() if name != area}
    assert tier_of(unknown).tier == tier_of({**given_, area: "higher"}).tier


def test_gaps_are_told_all_at_once() -> None:
    empty = Workflow("w", "ada", "bo", NOON, "ana/1", areas={}, computed_tier="critical")
    where = [gap.where for gap in gaps_of(empty)]
    assert where == [
        *(f"areas.{area}" for area in AREAS),
        *("models", "escalation_path", "playbook"),
    ]
    whole = Workflow(
        "w",
        "ada",
        "bo",
        NOON,
        "ana/1",
        areas=with_higher(),
        models=(Part("m"),),
        escalation_path=("on-call",),
    )
    assert gaps_of(whole) == ()
