"""Unsafe content, by keywords."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from kintsugi.model.decision import Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.rule import OptionNote, Rule, RuleKind, TextRuleOptions

Industry = Literal[
    "general", "critical_infrastructure", "automotive", "education", "law_enforcement"
]
ModeOrIndustry = Literal[
    "enforce", "monitor", "critical_infrastructure", "automotive", "education", "law_enforcement"
]


class Options(TextRuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    mode: ``enforce`` or ``monitor``; an industry is accepted here too and means ``enforce``.
    industry: adds the categories that matter there.
    categories: look for these only. Empty: the general ones and those of the industry.
    block_if: further categories by name, or words and phrases of your own.
    fuzzy_matching, max_distance: as in dlp-filter, for your own words.
    max_age: no effect yet.
    """

    # Wider than the other kinds': documented configurations name the industry here.
    mode: ModeOrIndustry = "enforce"  # type: ignore[assignment]
    industry: Industry = "general"
    categories: tuple[str, ...] = ()
    block_if: tuple[str, ...] = ()
    fuzzy_matching: bool = False
    max_distance: int = 1
    max_age: int = 0


def _notes(options: Options) -> Sequence[OptionNote]:
    if options.max_age:
        return (OptionNote("max_age", "has no effect yet: the gateway does not know ages"),)
    return ()


def _build(options: Options, phase: Phase) -> Rule:
    raise NotImplementedError


KIND = RuleKind(
    name="safety-filter",
    title="Unsafe content",
    options=Options,
    phases=(Phase.INPUT, Phase.OUTPUT),
    default_action=Verdict.BLOCK,
    actions=(Verdict.ALLOW, Verdict.FLAG, Verdict.REDACT, Verdict.BLOCK),
    reasons=("safety.unsafe_content",),
    detector_version=1,
    message="The text contains unsafe content.",
    method="Keywords and phrases by category. Not a model: it does not understand.",
    cost="Part of the shared scan.",
    limits=("A keyword in a harmless sentence is found; harm in clean words is not.",),
    build=_build,
    notes=_notes,
)
