"""Unsafe content, by keywords."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from kintsugi.model.decision import Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.automata import Pattern
from kintsugi.policy.diagnostics import nearest
from kintsugi.policy.recogniser import Recogniser
from kintsugi.policy.rule import OptionInvalid, OptionNote, Rule, RuleKind, TextRuleOptions
from kintsugi.policy.rules.safety_filter.categories import CATEGORIES, GENERAL, INDUSTRY, WISH
from kintsugi.policy.terms import FuzzyRecogniserRule, check_distance, own_terms

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


_UNSAFE = "safety.unsafe_content"


def build(options: Options, phase: Phase) -> Rule:  # noqa: ARG001
    """The rule for one phase; the same in both.

    Raises:
        OptionInvalid: an unknown category, or an unusable phrase.
    """
    check_distance(options.max_distance)
    recognisers = [
        Recogniser(Pattern(category, regex, needs=_needs(regex)), _UNSAFE, score=0.6)
        for category in _chosen(options)
        for regex in CATEGORIES[category]
    ]
    phrases, fuzzy = own_terms(
        {
            place: phrase
            for place, phrase in enumerate(options.block_if)
            if _category(phrase) is None
        },
        name="block_if",
        path="block_if",
        reason_code=_UNSAFE,
        distance_max=options.max_distance if options.fuzzy_matching else 0,
    )
    return FuzzyRecogniserRule([*recognisers, *phrases], fuzzy)


def _chosen(options: Options) -> list[str]:
    """Category names without repeats, in a stable order."""
    industry = options.mode if options.mode in INDUSTRY else options.industry
    chosen = [*GENERAL, *INDUSTRY[industry]]
    if options.categories:
        chosen = [_named(word, index) for index, word in enumerate(options.categories)]
    chosen += [name for word in options.block_if if (name := _category(word)) is not None]
    return list(dict.fromkeys(chosen))


def _category(word: str) -> str | None:
    name = word.strip().lower().replace("-", "_").replace(" ", "_")
    return name if name in CATEGORIES else None


def _named(word: str, index: int) -> str:
    name = _category(word)
    if name is None:
        raise OptionInvalid(
            f"categories.{index}",
            f'unknown category "{word}"',
            f"use one of: {', '.join(sorted(CATEGORIES))}",
            nearest(word, sorted(CATEGORIES)),
        )
    return name


def _needs(regex: str) -> str:
    """Patterns that begin with a wish are looked for by their object: wishes are everywhere."""
    return regex.removeprefix(WISH)


KIND = RuleKind(
    name="safety-filter",
    title="Unsafe content",
    options=Options,
    phases=(Phase.INPUT, Phase.OUTPUT),
    default_action=Verdict.BLOCK,
    actions=tuple(Verdict),
    reasons=("safety.unsafe_content",),
    detector_version=2,
    message="The text contains unsafe content.",
    method="Keywords and phrases by category. Not a model: it does not understand.",
    cost="Part of the shared scan.",
    limits=("A keyword in a harmless sentence is found; harm in clean words is not.",),
    build=build,
    notes=_notes,
)
