"""Every reason code that a decision may carry, and what a person can do about it.

Codes are dotted, lower case and never change their meaning. A rule that gives a code which is not
listed here fails the tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from kintsugi.policy.diagnostics import nearest
from kintsugi.policy.standards import mapped


class Reason(msgspec.Struct, frozen=True):
    """One reason code.

    Attributes:
        policy: the kind that gives it, or ``gateway``; empty when any kind may.
        meaning: what happened, for somebody who reads the code for the first time.
        help: what to do when it is wrong, or happens too often.
        aliases: other spellings accepted on input; the code with underscores always is.
        owasp_llm, owasp_agentic, atlas: its places in the public lists; ``standards.py`` has the
            names and the editions.
        unmapped: why a list that is left empty has no place for it.
    """

    code: str
    title: str
    policy: str
    meaning: str
    help: str
    aliases: tuple[str, ...] = ()
    owasp_llm: tuple[str, ...] = ()
    owasp_agentic: tuple[str, ...] = ()
    atlas: tuple[str, ...] = ()
    unmapped: str = ""


def _registry(reasons: Iterable[Reason]) -> Mapping[str, Reason]:
    return MappingProxyType({reason.code: _placed(reason) for reason in reasons})


def _placed(reason: Reason) -> Reason:
    places = mapped(reason.code)
    return msgspec.structs.replace(
        reason,
        owasp_llm=places.llm,
        owasp_agentic=places.agentic,
        atlas=places.atlas,
        unmapped=places.none,
    )


REASONS: Mapping[str, Reason] = _registry(
    (
        Reason(
            "policy.passed",
            "Every policy passed",
            "",
            "No policy of the chain found anything that changes the answer.",
            "Nothing. If something should have been found, add a case to testing.suites and "
            "run kt policy test.",
            ("all_policies_passed",),
        ),
        Reason(
            "rule.error",
            "A rule failed",
            "",
            "A rule raised an error while it judged the text. Its on_error verdict was used, "
            "block unless the configuration says otherwise.",
            "Read the evaluation's why with kt policy explain; report it with the configuration "
            "revision. The record holds no text of the caller.",
        ),
        Reason(
            "prompt_injection.detected",
            "Prompt injection",
            "prompt-injection",
            "The request tries to override instructions, to draw out the system prompt, or to "
            "pass off its own text as the system's.",
            "Is it a false alarm? Keep the text as a case that expects allow, raise threshold, "
            "or set mode: monitor while you look at more of them.",
        ),
        Reason(
            "pii.detected",
            "Personal data",
            "pii-detector",
            "The text holds personal data such as a social security number, card, phone number "
            "or e-mail address. Each finding names the recogniser.",
            "Redaction lets the exchange go on without it. Choose recognisers and the action "
            "under policy.pii-detector.",
        ),
        Reason(
            "secrets.detected",
            "Credential",
            "secrets-detector",
            "The text holds something in the form of a live credential: a key, token, private "
            "key or password.",
            "Treat it as leaked and revoke it where it was issued. For test values, add a case "
            "that expects allow and narrow the rule.",
            ("secret_detected",),
        ),
        Reason(
            "dlp.term_matched",
            "Blocked term",
            "dlp-filter",
            "One of the configuration's blocked_terms stands in the text.",
            "Look at policy.dlp-filter.blocked_terms; with fuzzy_matching, a smaller "
            "max_distance finds fewer look-alikes.",
        ),
        Reason(
            "dlp.pattern_matched",
            "Data pattern",
            "dlp-filter",
            "One of the configuration's detect_patterns matched.",
            "Look at policy.dlp-filter.detect_patterns; make the expression narrower.",
        ),
        Reason(
            "dlp.classification_marked",
            "Classification marking",
            "dlp-filter",
            "The text carries a marking such as SECRET or INTERNAL ONLY.",
            "policy.dlp-filter.sensitivity_level says which markings count.",
        ),
        Reason(
            "safety.unsafe_content",
            "Unsafe content",
            "safety-filter",
            "A category of unsafe content, or a word of your own from block_if, was found.",
            "Choose categories under policy.safety-filter, or let the action be flag while you "
            "measure how often it is right.",
            ("content_safety", "unsafe_content"),
        ),
        Reason(
            "schema.not_json",
            "Not JSON",
            "schema-validator",
            "The answer had to be JSON and is not, or not in one way only: a key stands twice.",
            "Ask the model for JSON (response_format), or let fenced: true take it out of the "
            "words around it.",
        ),
        Reason(
            "schema.violated",
            "Wrong form",
            "schema-validator",
            "The answer is JSON and does not fit the schema. Each finding has the JSON pointer of "
            "what does not fit, and what would.",
            "Compare policy.schema-validator.schema, or the request's response_format, with what "
            "the model was told.",
        ),
        Reason(
            "moderation.flagged",
            "Moderation service objects",
            "external-moderation",
            "A moderation service gave a category a score that reaches its threshold. The finding "
            "names the category and the score.",
            "Raise the category's threshold under policy.external-moderation.thresholds, or name "
            "the categories that count.",
        ),
        Reason(
            "custom.matched",
            "Rule of your own",
            "custom",
            "An expression of policy.custom was true. The finding names the rule.",
            "Read the rule's expression under policy.custom.rules; a case with the same exchange "
            "shows what a change to it would do.",
        ),
        Reason(
            "audit.recorded",
            "Recorded",
            "audit-logger",
            "The decision and every policy's result were written to the record.",
            "Nothing.",
        ),
        Reason(
            "exchange.rejected",
            "Rejected",
            "gateway",
            "The gateway ended the exchange before any policy judged it: the request could not be "
            "read, was too large or too slow, showed no valid key or named no configured model, "
            "or the configuration was switched off. The event's error says which.",
            "Look up the error in the manual under Gateway. Repeated rejections of one caller "
            "mostly mean a wrong address, key or model name.",
        ),
        Reason(
            "exchange.interrupted",
            "Interrupted",
            "gateway",
            "The gateway stopped while the exchange was under way. The record was made at the "
            "next start from what had been admitted; no verdict was reached.",
            "Look for kills and crashes of the gateway at that time.",
        ),
    )
)

_SPELLINGS: Mapping[str, str] = MappingProxyType(
    {
        spelling: reason.code
        for reason in REASONS.values()
        for spelling in (reason.code, reason.code.replace(".", "_"), *reason.aliases)
    }
)


def parse_reason_code(text: str) -> str:
    """The canonical code of any accepted spelling.

    Raises:
        ValueError: no such code; the message names the nearest one.
    """
    spelling = text.strip().lower()
    if spelling in _SPELLINGS:
        return _SPELLINGS[spelling]
    near = nearest_reason_code(text)
    hint = f'; did you mean "{near}"?' if near else ""
    raise ValueError(f'unknown reason code "{text}"{hint}')


def nearest_reason_code(text: str) -> str:
    """The registered code that was probably meant; empty when none is near."""
    return _SPELLINGS.get(nearest(text, _SPELLINGS), "")
