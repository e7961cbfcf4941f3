"""What a rule is: its kind, its options, what it looks for and what it reports.

A rule never walks a text by itself. It names patterns; all patterns of all rules of a phase are
searched in one pass (``automata.py``), and a rule is asked only when one of its own was there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from kintsugi.model.config import FailMode
from kintsugi.model.content import Part
from kintsugi.model.decision import Phase
from kintsugi.model.verdict import Verdict

if TYPE_CHECKING:
    from kintsugi.policy.normalise import Layer

ModeWord = Literal["enforce", "monitor"]
TextPhase = Literal["input", "output"]
Marker = Literal["label", "asterisks", "partial"]

ACTIONS_AVAILABLE = (Verdict.ALLOW, Verdict.FLAG, Verdict.REDACT, Verdict.BLOCK)


class RuleOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options that every kind takes.

    Attributes:
        mode: ``enforce`` acts; ``monitor`` records what it would have done and never does more
            than flag.
        on_error: verdict when the rule itself fails. Empty: ``block``, or ``flag`` where
            ``gateway.fail_mode`` is ``allow``.
    """

    mode: ModeWord = "enforce"
    on_error: str = ""


class TextRuleOptions(RuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the kinds that read text.

    Attributes:
        action: verdict when something is found: ``allow``, ``flag``, ``redact`` or ``block``, in
            any accepted spelling. Empty: the kind's default.
        output_action: the same for answers, where it should differ from ``action``.
        phases: where the rule runs. Empty: everywhere the kind can.
    """

    action: str = ""
    output_action: str = ""
    phases: tuple[TextPhase, ...] = ()


class Redaction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a redacted span is shown.

    Attributes:
        marker_format: ``label`` writes ``[REDACTED:US_SSN]``; ``asterisks`` writes ``***``;
            ``partial`` keeps the last four characters of a span of eight or more.
        custom_markers: text to write per entity, whatever the format.
        preserve_length: make the marker as long as the span: asterisks are counted, a label is
            cut or padded with asterisks.
        include_metadata: keep offset, length and fingerprint of each span in the record. Without
            it a finding says only that and how often its rule matched.
    """

    marker_format: Marker = "label"
    custom_markers: dict[str, str] = {}
    preserve_length: bool = False
    include_metadata: bool = True


class Pattern(msgspec.Struct, frozen=True):
    """One regular expression in RE2's syntax.

    Attributes:
        name: the recogniser within the policy; becomes ``Finding.rule``.
        regex: the expression. A group named ``value`` narrows the finding to itself.
        tail: expression that extends a match as far as it goes, such as the body of a key. It
            never decides whether there is a match, so a streaming window need not hold it back.
        ignore_case: whether upper and lower case are one.
    """

    name: str
    regex: str
    tail: str = ""
    ignore_case: bool = True


class Detection(msgspec.Struct, frozen=True):
    """What a rule saw, in characters of the layer it saw it in."""

    rule: str
    reason_code: str
    layer: Layer
    start: int
    end: int
    score: float = 1.0
    detail: str = ""


class Sighting(msgspec.Struct, frozen=True):
    """A layer of a part and which of the rule's patterns are somewhere in it."""

    layer: Layer
    patterns: tuple[int, ...]


class Rule(Protocol):
    """A compiled rule for one phase.

    Attributes:
        patterns: what to look for; a ``Sighting`` refers to them by position.
        context_chars: how far before a finding the rule looks to confirm it. Streaming windows
            keep that much.
    """

    @property
    def patterns(self) -> tuple[Pattern, ...]: ...

    @property
    def context_chars(self) -> int: ...

    def reads(self, part: Part) -> bool:
        """Whether the rule looks at this kind of part at all."""

    def examine(self, part: Part, sightings: Sequence[Sighting]) -> Sequence[Detection]:
        """Judge one part in which patterns were seen, once; may raise, see ``decide``."""


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
        method, cost, limits: how it works, what it costs, what it cannot do.
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
    method: str
    cost: str
    limits: tuple[str, ...]
    build: Callable[[Any, Phase], Rule]
    notes: Callable[[Any], Sequence[OptionNote]] = no_notes
    needs_whole_text: bool = False


class OptionInvalid(Exception):
    """An option whose value cannot be used; the plan turns it into a diagnostic.

    Attributes:
        path: dotted, below the policy's own block: ``detection.attack_patterns.2``.
        help: what would be right.
    """

    def __init__(self, path: str, message: str, help: str = "") -> None:  # noqa: A002
        super().__init__(message)
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
    if verdict not in ACTIONS_AVAILABLE:
        raise OptionInvalid(
            path, f'action "{verdict.value}" is not available yet', f"use one of: {known}"
        )
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
