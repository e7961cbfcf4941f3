"""Personal data: identifiers with a checkable form."""

from __future__ import annotations

from kintsugi.model.decision import Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.redaction import Redaction
from kintsugi.policy.rule import Rule, RuleKind, TextRuleOptions


class Options(TextRuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    entities: look for these only. Empty: the standard set.
    exclude_entities: do not look for these.
    healthcare_mode: also medical record numbers, health insurance ids and provider ids (NPI).
    pci_mode: also card security codes, expiry dates and cardholder names.
    detect_patterns: regular expressions (RE2) of your own, or names of entities to add.
    allow_list: values that are never reported, compared without case.
    redaction: how redacted spans are shown.
    """

    entities: tuple[str, ...] = ()
    exclude_entities: tuple[str, ...] = ()
    healthcare_mode: bool = False
    pci_mode: bool = True
    detect_patterns: tuple[str, ...] = ()
    allow_list: tuple[str, ...] = ()
    redaction: Redaction = Redaction()


def _build(options: Options, phase: Phase) -> Rule:
    raise NotImplementedError


KIND = RuleKind(
    name="pii-detector",
    title="Personal data",
    options=Options,
    phases=(Phase.INPUT, Phase.OUTPUT),
    default_action=Verdict.REDACT,
    actions=(Verdict.ALLOW, Verdict.FLAG, Verdict.REDACT, Verdict.BLOCK),
    reasons=("pii.detected",),
    detector_version=1,
    message="The text contains personal data.",
    method="Patterns, then checksums (python-stdnum), number plans (phonenumbers) or context words.",
    cost="Part of the shared scan; a few microseconds more per candidate.",
    limits=(
        "Structured identifiers only: no names, postal addresses or free descriptions.",
        "Numbers without a checksum are found only near a word that says what they are.",
    ),
    build=_build,
    sensitive=True,
)
