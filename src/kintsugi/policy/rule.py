"""What a rule is: its kind, its options, what it looks for and what it reports.

A rule that looks for wording names patterns; all patterns of all rules of a phase are searched in
one pass (``automata.py``), and the rule examines a part only when one of its own was there. A rule
about the exchange as a whole (who asks, which tools, how much) judges it once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Self

import msgspec

from kintsugi.model.config import Config, FailMode
from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts, Need
from kintsugi.model.transform import Escalation, QuarantineScope, Transform
from kintsugi.model.verdict import Verdict
from kintsugi.policy.automata import Pattern, Sighting
from kintsugi.policy.normalise import Layer
from kintsugi.policy.redaction import Redaction

ModeWord = Literal["enforce", "monitor"]
TextPhase = Literal["input", "output"]


class RuleOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options that every kind takes.

    Attributes:
        mode: ``enforce`` acts; ``monitor`` records what it would have done and never does more
            than flag.
        on_error: verdict when the rule itself fails. Empty: ``block``, or ``flag`` where
            ``gateway.fail_mode`` is ``allow``.
        transform: what changes where the policy acts with ``transform``.
        quarantine: what is frozen where it acts with ``quarantine``.
        escalation: how a person is asked where it acts with ``escalate``.
    """

    mode: ModeWord = "enforce"
    on_error: str = ""
    transform: Transform | None = None
    quarantine: QuarantineScope = "session"
    escalation: Escalation = Escalation()


class ActionOptions(RuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the kinds that can act in more than one way.

    Attributes:
        action: verdict when something is found, in any accepted spelling; the kind's page lists
            those that it can carry out. Empty: the kind's default.
    """

    action: str = ""


class TextRuleOptions(ActionOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the kinds that read text.

    Attributes:
        output_action: the same for answers, where it should differ from ``action``.
        phases: where the rule runs. Empty: everywhere the kind can.
    """

    output_action: str = ""
    phases: tuple[TextPhase, ...] = ()


class Detection(msgspec.Struct, frozen=True):
    """What a rule saw, in characters of the layer it saw it in."""

    rule: str
    reason_code: str
    layer: Layer
    start: int
    end: int
    score: float = 1.0
    detail: str = ""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule concluded about an exchange as a whole, or about one place in it.

    Attributes:
        path, start, end: the place, in characters of the part's text; an empty path is about the
            whole exchange, and equal numbers are about the whole part.
        verdict: what is asked for; None for the policy's own action.
        target_ids: in the route phase, the targets that may answer; None leaves them.
        retry_after_seconds: when the same may pass, where that is known; 0 where it is not.
        transform: what to change where ``verdict`` is ``transform``; None for what the options
            say.
        note: only to be recorded: it allows, and leaves the evaluation clear.
    """

    rule: str
    reason_code: str
    path: str = ""
    start: int = 0
    end: int = 0
    score: float = 1.0
    detail: str = ""
    verdict: Verdict | None = None
    target_ids: tuple[str, ...] | None = None
    retry_after_seconds: float = 0.0
    transform: Transform | None = None
    note: bool = False


class Rule:
    """A compiled rule for one phase.

    Attributes:
        patterns: what to look for; a ``Sighting`` refers to them by position.
        redaction: how its findings are shown where they are redacted.
        message: one sentence for the caller when it acts; free of the caller's content.
        context_chars: how far before a finding the rule looks to confirm it. Streaming windows
            keep that much.
        reach_chars: how far after the start of a finding the rule looks, where that is further
            than the pattern itself reaches.
        every_reading: whether ``examine`` is asked about every part that the rule reads, with a
            sighting for each reading of it, also where none of its patterns was seen.
        exclusive: whether a stretch of text is only one thing, so that what lies within another
            finding is not reported again.
        clear_reason: reason code of its evaluation when it found nothing.
        action: overrules the ``action`` option, for kinds that know another place for it.
        judges: whether ``judge`` is to be asked, once for each complete exchange.
        claim_names: request headers, in lower case, that it wants to see among the facts.
    """

    patterns: tuple[Pattern, ...] = ()
    redaction: Redaction = Redaction()
    message: str = ""
    context_chars: int = 1
    reach_chars: int = 0
    every_reading: bool = False
    exclusive: bool = True
    clear_reason: str = ""
    action: Verdict | None = None
    judges: bool = False
    claim_names: tuple[str, ...] = ()

    def bind(self, config: Config) -> Self:  # noqa: ARG002
        """The rule with what it needs from the rest of the configuration: targets, keys.

        Raises:
            OptionInvalid: an option names something that the configuration does not have.
        """
        return self

    def reads(self, part: Part, layer: Layer) -> bool:  # noqa: ARG002
        """Whether the rule looks at this part, read this way."""
        return not layer.words_only

    def needs(self, exchange: ExchangeView, facts: Facts) -> Sequence[Need]:  # noqa: ARG002
        """What must be counted or asked before ``judge``; the answers are among its facts."""
        return ()

    def settle(self, exchange: ExchangeView, facts: Facts) -> Mapping[str, float]:  # noqa: ARG002
        """What was really used, by key, of the needs that settle; a key left out keeps its
        estimate. Asked once, at the end, when ``exchange`` tells the tokens."""
        return {}

    def judge(self, exchange: ExchangeView, facts: Facts) -> Iterable[Observation]:  # noqa: ARG002
        """Judge a complete exchange, where ``judges`` says so; may raise, see ``decide``. What was
        observed before an error still counts where the observations come one by one.

        For answers it is asked only once they are whole, so an enforcing rule that judges them
        keeps a stream back until its end.
        """
        return ()

    def examine(self, part: Part, sightings: Sequence[Sighting]) -> Sequence[Detection]:  # noqa: ARG002
        """Judge one part in which patterns were seen, once; may raise, see ``decide``.

        For answers, whether something is a finding may depend on nothing but the
        ``context_chars`` before it and what its own pattern covers: that is what makes a
        stream's findings the same in any chunking.
        """
        return ()


class OptionNote(msgspec.Struct, frozen=True):
    """An option that is understood and does nothing yet; ``kt policy lint`` warns about it."""

    path: str
    message: str
    help: str = ""


def no_notes(options: RuleOptions) -> Sequence[OptionNote]:  # noqa: ARG001
    """For the kinds in which every option works."""
    return ()


class RuleKind(msgspec.Struct, frozen=True):
    """One kind of policy, and the facts that its manual page states.

    Attributes:
        options: the kind's options as a struct; its defaults are the documented defaults.
        default_action: verdict of a match when the options name none.
        actions: the actions that the kind can carry out.
        reasons: every reason code that it may give, besides ``rule.error``.
        detector_version: part of the revision: raised whenever the same options may judge the
            same text differently.
        message: one sentence for the caller when it acts.
        method, cost, limits: how it works, what it costs, what it cannot do.
        sensitive: whether what it finds must not be shown in evidence: data, not wording.
        needs_whole_text: whether answers must be complete before it can judge them.
        notes: which of the options given have no effect in this release.
        build: makes the rule for one phase. Raises ``OptionInvalid`` for a value that has the
            right type and is wrong all the same.
    """

    name: str
    title: str
    options: type[RuleOptions]
    phases: tuple[Phase, ...]
    default_action: Verdict
    actions: tuple[Verdict, ...]
    reasons: tuple[str, ...]
    detector_version: int
    message: str
    method: str
    cost: str
    limits: tuple[str, ...]
    build: Callable[[Any, Phase], Rule]
    notes: Callable[[Any], Sequence[OptionNote]] = no_notes
    sensitive: bool = False
    needs_whole_text: bool = False


class OptionInvalid(ValueError):
    """An option whose value cannot be used; the plan turns it into a diagnostic.

    Attributes:
        path: dotted, below the policy's own block: ``detection.attack_patterns.2``.
        help: what would be right.
        suggestion: the word that was probably meant.
    """

    def __init__(
        self,
        path: str,
        message: str,
        help: str = "",  # noqa: A002  # the diagnostic's own word
        suggestion: str = "",
    ) -> None:
        super().__init__(message)
        self.suggestion = suggestion
        self.path = path
        self.message = message
        self.help = help


def parse_action(word: str, kind: RuleKind, *, path: str = "action") -> Verdict:
    """The verdict that an ``action`` asks for; the kind's default when empty.

    Raises:
        OptionInvalid: no verdict, or one that the kind cannot carry out in this release.
    """
    if not word:
        return kind.default_action
    known = ", ".join(verdict.value for verdict in kind.actions)
    try:
        verdict = Verdict.parse(word)
    except ValueError:
        raise OptionInvalid(path, f'unknown action "{word}"', f"use one of: {known}") from None
    if verdict not in kind.actions:
        raise OptionInvalid(
            path, f'{kind.name} cannot act with "{verdict.value}"', f"use one of: {known}"
        )
    return verdict


def parse_on_error(word: str, fail_mode: FailMode) -> Verdict:
    """The verdict of a rule that failed.

    Raises:
        OptionInvalid: not a verdict that can be given in place of a judgement.
    """
    if not word:
        return Verdict.FLAG if fail_mode == "allow" else Verdict.BLOCK
    usable = (Verdict.ALLOW, Verdict.FLAG, Verdict.BLOCK)
    help_text = "use one of: allow, flag, block"
    try:
        verdict = Verdict.parse(word)
    except ValueError:
        raise OptionInvalid("on_error", f'unknown verdict "{word}"', help_text) from None
    if verdict not in usable:
        # There is no span to redact when the rule could not find one.
        raise OptionInvalid("on_error", f'"{verdict.value}" cannot stand in', help_text)
    return verdict
