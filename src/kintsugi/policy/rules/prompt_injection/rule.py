"""Prompt injection: text that tries to take over the model's instructions."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kintsugi.model.decision import Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.rule import OptionNote, Rule, RuleKind, TextRuleOptions


class Detection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    attack_patterns: regular expressions (RE2) besides the built-in ones; each match counts as
        an attack on its own.
    embedding_threshold: not available yet; there is no embedding back end.
    """

    attack_patterns: tuple[str, ...] = ()
    embedding_threshold: float | None = None


class Encoding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    decode_base64: read base64, hex, URL, HTML and escape encodings, ROT13 and other
        disguises as well.
    normalize_unicode: read the text without invisible characters and compatibility forms too.
    detect_homoglyphs: read look-alike letters as the Latin letters that they imitate too.
    """

    decode_base64: bool = True
    normalize_unicode: bool = True
    detect_homoglyphs: bool = True


class Boundaries(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    enforce_delimiters: count text that closes the prompt's delimiters and opens a new section.
    reject_fake_boundaries: count chat-template tokens and forged role headings.
    """

    enforce_delimiters: bool = True
    reject_fake_boundaries: bool = True


class Response(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    action: the same as ``action`` beside it, for configurations written this way.
    message: sentence for the caller when blocked.
    log_level: no effect: every decision is recorded.
    """

    action: str = ""
    message: str = ""
    log_level: str = "warn"


class Options(TextRuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    threshold: score in (0, 1] from which text counts as an attack. Lower finds more and is
        wrong more often.
    """

    threshold: float = 0.5
    detection: Detection = Detection()
    encoding: Encoding = Encoding()
    boundaries: Boundaries = Boundaries()
    response: Response = Response()


def _notes(options: Options) -> Sequence[OptionNote]:
    notes = []
    if options.detection.embedding_threshold is not None:
        notes.append(
            OptionNote(
                "detection.embedding_threshold",
                "embedding similarity is not available yet; patterns decide alone",
                "remove it, or add detection.attack_patterns",
            )
        )
    if options.response.log_level != "warn":
        notes.append(OptionNote("response.log_level", "has no effect: every decision is recorded"))
    return notes


def _build(options: Options, phase: Phase) -> Rule:
    raise NotImplementedError


KIND = RuleKind(
    name="prompt-injection",
    title="Prompt injection",
    options=Options,
    phases=(Phase.INPUT,),
    default_action=Verdict.BLOCK,
    actions=(Verdict.ALLOW, Verdict.FLAG, Verdict.REDACT, Verdict.BLOCK),
    reasons=("prompt_injection.detected",),
    detector_version=1,
    message="The text tries to change the instructions that the model works under.",
    method="Weighted patterns in several languages over the plain, folded and decoded text.",
    cost="Part of the shared scan; about 10 microseconds more for a text with signals.",
    limits=(
        "It reads wording. An attack in words that no pattern knows passes.",
        "System and developer messages are not judged.",
    ),
    build=_build,
    notes=_notes,
)
