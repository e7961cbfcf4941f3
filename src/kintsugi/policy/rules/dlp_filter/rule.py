"""Data loss prevention: your own patterns, terms and classification markings."""

from __future__ import annotations

from typing import Literal

from kintsugi.model.decision import Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.automata import Pattern
from kintsugi.policy.recogniser import Recogniser, own_patterns
from kintsugi.policy.redaction import Redaction
from kintsugi.policy.rule import Rule, RuleKind, TextRuleOptions
from kintsugi.policy.terms import FuzzyRecogniserRule, check_distance, own_terms


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


# Markings as documents carry them: in capitals or as a labelled field, not as ordinary words.
_MARKINGS = {
    "high": (
        ("top_secret", r"\bTOP[ -]SECRET\b"),
        ("secret_marking", r"(?:\bSECRET\s?//|//\s?SECRET\b|\(S(?://[A-Z]{2,8})?\)|\bNOFORN\b)"),
        ("strictly_confidential", r"\b(?:STRICTLY|HIGHLY|COMPANY)[ -]CONFIDENTIAL\b"),
        ("confidential", r"\bCONFIDENTIAL\b"),
        (
            "classification_field",
            (
                r"(?i)\b(?:classification|sensitivity|data class)\s{0,3}[:=]\s{0,3}"
                r"(?:top secret|secret|(?:strictly |highly )?confidential|restricted)\b"
            ),
        ),
        ("restricted_marking", r"\bRESTRICTED(?: DATA)?\b"),
        ("attorney_client", r"(?i)\battorney[- ]client privileged?\b"),
    ),
    "restricted": (
        ("internal_only", r"(?i)\b(?:for )?internal (?:use )?only\b"),
        (
            "do_not_distribute",
            r"(?i)\b(?:do not|not for) (?:distribute|distribution|forward|release)\b",
        ),
        ("proprietary", r"(?i)\bproprietary (?:and|&) confidential\b|\bPROPRIETARY\b"),
        ("need_to_know", r"(?i)\bneed[- ]to[- ]know(?: basis)?\b"),
        ("draft_privileged", r"(?i)\bprivileged (?:and|&) confidential\b"),
    ),
}
_LEVELS: dict[str, tuple[str, ...]] = {
    "standard": (),
    "high": ("high",),
    "restricted": ("high", "restricted"),
}
_PATTERN, _TERM, _MARKED = "dlp.pattern_matched", "dlp.term_matched", "dlp.classification_marked"


def build(options: Options, phase: Phase) -> Rule:  # noqa: ARG001
    """The rule for one phase; the same in both."""
    recognisers = own_patterns(
        options.detect_patterns, name="pattern", path="detect_patterns", reason_code=_PATTERN
    )
    check_distance(options.max_distance)
    terms, fuzzy = own_terms(
        dict(enumerate(options.blocked_terms)),
        name="term",
        path="blocked_terms",
        reason_code=_TERM,
        distance_max=options.max_distance if options.fuzzy_matching else 0,
    )
    recognisers += terms
    for level in _LEVELS[options.sensitivity_level]:
        recognisers += [
            Recogniser(Pattern(name, regex, ignore_case=False), _MARKED)
            for name, regex in _MARKINGS[level]
        ]
    return FuzzyRecogniserRule(recognisers, fuzzy, options.redaction)


KIND = RuleKind(
    name="dlp-filter",
    title="Data loss prevention",
    options=Options,
    phases=(Phase.INPUT, Phase.OUTPUT),
    default_action=Verdict.REDACT,
    actions=tuple(Verdict),
    reasons=("dlp.pattern_matched", "dlp.term_matched", "dlp.classification_marked"),
    detector_version=2,
    message="The text contains data that may not leave.",
    method="Your patterns and terms in the shared scan; fuzzy terms by Levenshtein distance.",
    cost="Part of the shared scan, whatever the number of patterns.",
    limits=("It finds what it was told to find.",),
    build=build,
    sensitive=True,
)
