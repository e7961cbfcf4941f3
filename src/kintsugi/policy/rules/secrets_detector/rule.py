"""Secrets: keys, tokens and passwords."""

from __future__ import annotations

from kintsugi.model.decision import Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.recogniser import Recogniser, RecogniserRule, own_patterns
from kintsugi.policy.redaction import Redaction
from kintsugi.policy.rule import Rule, RuleKind, TextRuleOptions
from kintsugi.policy.rules.secrets_detector.formats import (
    AUTHORIZATION_HEADER,
    COMMAND_LINE_USER,
    FORMATS,
    GOCARDLESS_TOKEN,
    OKTA_TOKEN,
    URL_CREDENTIALS,
)
from kintsugi.policy.rules.secrets_detector.generic import (
    COMMAND_CHARS,
    GENERIC_BEFORE,
    GENERIC_PASSWORD,
    GENERIC_TOKEN,
    JUDGED_CHARS,
    command_line_credential,
    credential,
    issued,
    issued_by,
    random_token,
    typed_password,
)


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


_FOUND = "secrets.detected"


def build(options: Options, phase: Phase) -> Rule:  # noqa: ARG001
    """The rule for one phase; the same in both."""
    recognisers = [Recogniser(pattern, _FOUND, issued) for pattern in FORMATS]
    recognisers += [
        Recogniser(OKTA_TOKEN, _FOUND, issued_by(r"(?<![a-z])okta|(?<![a-z])ssws")),
        Recogniser(GOCARDLESS_TOKEN, _FOUND, issued_by("gocardless")),
        Recogniser(URL_CREDENTIALS, _FOUND, credential),
        Recogniser(COMMAND_LINE_USER, _FOUND, command_line_credential),
        Recogniser(AUTHORIZATION_HEADER, _FOUND, random_token),
    ]
    recognisers += own_patterns(
        options.detect_patterns, name="pattern", path="detect_patterns", reason_code=_FOUND
    )
    if options.generic:
        recognisers += [
            Recogniser(GENERIC_TOKEN, _FOUND, random_token, score=0.8),
            Recogniser(GENERIC_BEFORE, _FOUND, random_token, score=0.7),
            Recogniser(GENERIC_PASSWORD, _FOUND, typed_password, score=0.7),
        ]
    return RecogniserRule(
        recognisers,
        redaction=options.redaction,
        allow_list=options.allow_list,
        context_chars=COMMAND_CHARS,
        reach_chars=JUDGED_CHARS,
    )


KIND = RuleKind(
    name="secrets-detector",
    title="Secrets",
    options=Options,
    phases=(Phase.INPUT, Phase.OUTPUT),
    default_action=Verdict.REDACT,
    actions=tuple(Verdict),
    reasons=("secrets.detected",),
    detector_version=4,
    message="The text contains a secret such as a key or a password.",
    method="Formats of known providers; otherwise randomness of a value behind a telling word.",
    cost="Part of the shared scan; a few microseconds more per candidate.",
    limits=("A secret without a known format and without a telling word is not found.",),
    build=build,
    sensitive=True,
)
