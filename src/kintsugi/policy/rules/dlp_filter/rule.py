"""Data loss prevention: your own patterns, terms and classification markings."""

from __future__ import annotations

from typing import Literal

from kintsugi.model.decision import Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.rule import Redaction, Rule, RuleKind, TextRuleOptions


class Options(TextRuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    detect_patterns: regular expressions (RE2).
    blocked_terms: words and phrases, found as whole words without regard to case.
    fuzzy_matching: find terms with typing errors too.
    max_distance: edits (Levenshtein) allowed in a term, 0 to 8; never more than a quarter of
        its length.
    sensitivity_level: ``standard`` looks for nothing else; ``high`` also for classification
        markings such as SECRET or STRICTLY CONFIDENTIAL; ``restricted`` also for softer ones
        such as INTERNAL ONLY.
    redaction: how redacted spans are shown.
    """

    detect_patterns: tuple[str, ...] = ()
    blocked_terms: tuple[str, ...] = ()
    fuzzy_matching: bool = False
    max_distance: int = 1
    sensitivity_level: Literal["standard", "high", "restricted"] = "standard"
    redaction: Redaction = Redaction()


def _build(options: Options, phase: Phase) -> Rule:
    raise NotImplementedError


KIND = RuleKind(
    name="dlp-filter",
    title="Data loss prevention",
    options=Options,
    phases=(Phase.INPUT, Phase.OUTPUT),
    default_action=Verdict.REDACT,
    actions=(Verdict.ALLOW, Verdict.FLAG, Verdict.REDACT, Verdict.BLOCK),
    reasons=("dlp.pattern_matched", "dlp.term_matched", "dlp.classification_marked"),
    detector_version=1,
    method="Your patterns and terms in the shared scan; fuzzy terms by Levenshtein distance.",
    cost="Part of the shared scan, whatever the number of patterns.",
    limits=("It finds what it was told to find.",),
    build=_build,
)
