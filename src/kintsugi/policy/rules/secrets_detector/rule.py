"""Secrets: keys, tokens and passwords."""

from __future__ import annotations

from kintsugi.model.decision import Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.redaction import Redaction
from kintsugi.policy.rule import Rule, RuleKind, TextRuleOptions


class Options(TextRuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    detect_patterns: regular expressions (RE2) of your own.
    allow_list: values that are never reported: published examples, test keys.
    generic: also report unknown formats by their randomness, where a word such as
        ``password`` or ``token`` stands before them.
    redaction: how redacted spans are shown.
    """

    detect_patterns: tuple[str, ...] = ()
    allow_list: tuple[str, ...] = ()
    generic: bool = True
    redaction: Redaction = Redaction()


def _build(options: Options, phase: Phase) -> Rule:
    raise NotImplementedError


KIND = RuleKind(
    name="secrets-detector",
    title="Secrets",
    options=Options,
    phases=(Phase.INPUT, Phase.OUTPUT),
    default_action=Verdict.REDACT,
    actions=(Verdict.ALLOW, Verdict.FLAG, Verdict.REDACT, Verdict.BLOCK),
    reasons=("secrets.detected",),
    detector_version=1,
    message="The text contains a secret such as a key or a password.",
    method="Formats of known providers; otherwise randomness of a value behind a telling word.",
    cost="Part of the shared scan; a few microseconds more per candidate.",
    limits=("A secret without a known format and without a telling word is not found.",),
    build=_build,
    sensitive=True,
)
