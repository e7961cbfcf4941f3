"""Personal data: identifiers with a checkable form."""

from __future__ import annotations

import msgspec

from kintsugi.model.decision import Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.automata import Pattern
from kintsugi.policy.diagnostics import nearest
from kintsugi.policy.recogniser import Recogniser, RecogniserRule
from kintsugi.policy.redaction import Redaction
from kintsugi.policy.rule import OptionInvalid, Rule, RuleKind, TextRuleOptions
from kintsugi.policy.rules.pii_detector.checks import CONTEXT_CHARS, REACH_CHARS
from kintsugi.policy.rules.pii_detector.entities import ALIASES, ENTITIES


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


_FOUND = "pii.detected"


def build(options: Options, phase: Phase) -> Rule:  # noqa: ARG001
    """The rule for one phase; the same in both.

    Raises:
        OptionInvalid: the name of an entity is not known.
    """
    chosen = _chosen(options)
    recognisers = [
        Recogniser(pattern, _FOUND, entity.accept)
        for entity in ENTITIES
        if entity.name in chosen
        for pattern in entity.patterns
    ]
    for index, regex in enumerate(options.detect_patterns):
        if _entity(regex) is None:
            pattern = Pattern(f"pattern_{index + 1}", regex, path=f"detect_patterns.{index}")
            recognisers.append(Recogniser(pattern, _FOUND))
    return RecogniserRule(
        recognisers,
        redaction=_redaction(options.redaction),
        allow_list=options.allow_list,
        context_chars=CONTEXT_CHARS,
        reach_chars=REACH_CHARS,
    )


def _chosen(options: Options) -> set[str]:
    groups = {"standard"}
    groups |= {"healthcare"} if options.healthcare_mode else set()
    groups |= {"pci"} if options.pci_mode else set()
    chosen = {entity.name for entity in ENTITIES if entity.group in groups}
    if options.entities:
        chosen = {_named(name, f"entities.{at}") for at, name in enumerate(options.entities)}
    # Industry examples elsewhere list names where regular expressions belong; both work.
    chosen |= {name for word in options.detect_patterns if (name := _entity(word)) is not None}
    return chosen - {
        _named(name, f"exclude_entities.{at}") for at, name in enumerate(options.exclude_entities)
    }


_NAMES = frozenset(entity.name for entity in ENTITIES)


def _entity(word: str) -> str | None:
    name = word.strip().lower().replace("-", "_")
    name = ALIASES.get(name, name)
    return name if name in _NAMES else None


def _named(word: str, path: str) -> str:
    name = _entity(word)
    if name is None:
        raise OptionInvalid(
            path,
            f'unknown entity "{word}"',
            f"use one of: {', '.join(sorted(_NAMES))}",
            nearest(word, sorted(_NAMES | set(ALIASES))),
        )
    return name


def _redaction(redaction: Redaction) -> Redaction:
    """With the markers under the entities' own names, however they were spelt."""
    markers = {_entity(name) or name: text for name, text in redaction.custom_markers.items()}
    return msgspec.structs.replace(redaction, custom_markers=markers)


KIND = RuleKind(
    name="pii-detector",
    title="Personal data",
    options=Options,
    phases=(Phase.INPUT, Phase.OUTPUT),
    default_action=Verdict.REDACT,
    actions=tuple(Verdict),
    reasons=("pii.detected",),
    detector_version=3,
    message="The text contains personal data.",
    method="Patterns, then checksums (python-stdnum), number plans (phonenumbers) or context.",
    cost="Part of the shared scan; a few microseconds more per candidate.",
    limits=(
        "Structured identifiers only: no names, postal addresses or free descriptions.",
        "Numbers without a checksum are found only near a word that says what they are.",
    ),
    build=build,
    sensitive=True,
)
