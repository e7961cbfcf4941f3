"""The risk tier of a workflow, from answers to seven questions; the questions are data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec
from ruamel.yaml import YAML

from kintsugi.model.workflow import AreaAnswer, RiskTier, Workflow


class DecisionArea(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question.

    Attributes:
        kind: what can be harmed, how far a failure goes, or how well it is seen.
        low, higher: what each answer means.
        required: what has to be there to respond where the answer is ``higher``.
    """

    id: str
    title: str
    kind: Literal["impact", "reach", "sight"]
    low: str
    higher: str
    required: str


class DecisionFramework(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The questions with where they come from.

    Attributes:
        playbook_rule: which workflows need a playbook, in the source's words.
    """

    source: str
    retrieved_on: date
    playbook_rule: str
    areas: tuple[DecisionArea, ...]


class Tier(msgspec.Struct, frozen=True):
    """A computed tier and how it came about."""

    tier: RiskTier
    steps: tuple[str, ...]


class Gap(msgspec.Struct, frozen=True):
    """Something that a registration lacks.

    Attributes:
        where: the field.
    """

    where: str
    message: str


@cache
def framework() -> DecisionFramework:
    """The seven decision areas; loaded once."""
    file = files("kintsugi.incidents").joinpath("data", "decision_areas.yaml")
    return msgspec.convert(
        YAML(typ="safe", pure=True).load(file.read_text("utf-8")), DecisionFramework
    )


def tier_of(areas: Mapping[str, AreaAnswer]) -> Tier:
    """The tier of a workflow; what is unknown counts as higher.

    Low: nothing is higher. Critical: it acts, cannot be undone, and something can be harmed; or
    six areas are higher. High: something can be harmed and it acts or cannot be undone; or four
    areas are higher. Medium: all else. More answers of ``higher`` never lower the tier.
    """
    higher = [area for area in framework().areas if areas.get(area.id) != "low"]
    steps = [
        f"{area.title}: {'unknown, counts as higher' if area.id not in areas else area.higher}"
        for area in higher
    ]
    reach = sum(area.kind == "reach" for area in higher)
    harm = any(area.kind == "impact" for area in higher)
    tier: RiskTier
    if not higher:
        tier, why = "low", "no area is higher"
    elif harm and reach == 2:
        tier, why = "critical", "it acts, is hard to undo, and something can be harmed"
    elif len(higher) >= 6:
        tier, why = "critical", f"{len(higher)} of {len(framework().areas)} areas are higher"
    elif harm and reach:
        tier, why = "high", "something can be harmed, and it acts or is hard to undo"
    elif len(higher) >= 4:
        tier, why = "high", f"{len(higher)} of {len(framework().areas)} areas are higher"
    else:
        tier, why = "medium", f"{len(higher)} of {len(framework().areas)} areas are higher"
    return Tier(tier, (*steps, f"{tier}: {why}"))


def gaps_of(workflow: Workflow) -> tuple[Gap, ...]:
    """What the registration lacks for its tier, all at once."""
    found = [
        Gap(f"areas.{area.id}", f"{area.title} is not answered; it counts as higher")
        for area in framework().areas
        if area.id not in workflow.areas
    ]
    if not workflow.models:
        found.append(Gap("models", "no model is named"))
    if not workflow.escalation_path:
        found.append(Gap("escalation_path", "nobody is named to call"))
    if not workflow.playbook and _needs_playbook(workflow):
        found.append(Gap("playbook", f"it has none: {framework().playbook_rule}"))
    return tuple(found)


def _needs_playbook(workflow: Workflow) -> bool:
    return workflow.tier != "low" or any(
        area.kind == "impact" and workflow.areas.get(area.id) != "low" for area in framework().areas
    )
