"""A decision and everything that explains it."""

from __future__ import annotations

from enum import Enum
from typing import Literal

import msgspec

from kintsugi.model.content import Edit
from kintsugi.model.transform import Escalation, QuarantineScope, Transform
from kintsugi.model.verdict import Verdict


class Phase(Enum):
    """When a rule looks at an exchange, in order."""

    ROUTE = "route"
    INPUT = "input"
    TOOL = "tool"
    OUTPUT = "output"
    AUDIT = "audit"

    __hash__ = object.__hash__  # see ``Verdict``


class Mode(Enum):
    """Whether a rule's verdict acts (``enforce``) or is only recorded (``monitor``)."""

    ENFORCE = "enforce"
    MONITOR = "monitor"


Outcome = Literal["matched", "clear", "skipped", "error"]


class Finding(msgspec.Struct, frozen=True):
    """One thing a rule saw. Holds where it was, never the text itself.

    Attributes:
        rule: the pattern or recogniser within the policy, such as ``us_ssn``.
        path: JSON pointer of the text, see ``Part.path``; empty when about the whole exchange.
        offset, length: in characters of the original text.
        fingerprint: 16 hex digits, BLAKE2b of the matched text under ``Facts.fingerprint_key``:
            equal text, equal fingerprint.
        score: confidence in [0, 1].
        layer: how the text had to be read to see it: ``plain``, ``folded`` (look-alikes,
            zero-width), ``base64``, ``hex``, ``rot13``, ``url``; nested layers joined by ``+``.
    """

    rule: str
    reason_code: str
    verdict: Verdict
    path: str = ""
    offset: int = 0
    length: int = 0
    fingerprint: str = ""
    score: float = 1.0
    layer: str = "plain"
    detail: str = ""


class Evaluation(msgspec.Struct, frozen=True):
    """What one policy of the chain did in one phase. Every policy in force leaves one.

    Attributes:
        policy_name: kebab-case kind, as in ``policies.chain``.
        outcome: ``matched``, ``clear``, ``skipped`` or ``error``; set by the code that ran (or did
            not run) the rule.
        verdict: what the policy asked for; ``allow`` when clear or skipped. In monitor mode this
            is what it would have done.
        why: the reason for ``skipped`` or ``error``, else empty.
    """

    policy_name: str
    phase: Phase
    mode: Mode
    outcome: Outcome
    verdict: Verdict
    reason_code: str = ""
    findings: tuple[Finding, ...] = ()
    why: str = ""

    @property
    def effective(self) -> Verdict:
        """The verdict that acts: a monitoring rule never does more than flag."""
        if self.mode is Mode.MONITOR and self.verdict is not Verdict.ALLOW:
            return Verdict.FLAG
        return self.verdict


class Decision(msgspec.Struct, frozen=True):
    """The strictest effective verdict of one phase, and every policy's own result.

    Attributes:
        policy_name: the policy that set the verdict; empty on ``allow``.
        reason_code: registered code (``policy/reasons.py``); ``policy.passed`` on ``allow``.
        message: one sentence for the caller, free of the caller's content.
        edits: changes to make where the verdict lets the exchange go on, by path, left to right,
            never overlapping.
        masks: what evidence must not show: the same for every finding of personal data, secrets
            and operators' own terms, and of whatever is redacted, also where its policy only
            monitors. Attack wording stays readable, or nobody could judge the decision.
        transforms: changes to make to a request that goes on, in order of the chain.
        quarantine: what to freeze, where the verdict is ``quarantine``.
        escalation: how to ask a person, where the verdict is ``escalate``.
        target_ids: the targets that may answer; None where no policy narrowed them down.
        retry_after_seconds: when the same may pass; 0 where that is not known.
    """

    verdict: Verdict
    reason_code: str
    policy_name: str = ""
    message: str = ""
    evaluations: tuple[Evaluation, ...] = ()
    edits: tuple[Edit, ...] = ()
    masks: tuple[Edit, ...] = ()
    transforms: tuple[Transform, ...] = ()
    quarantine: QuarantineScope | None = None
    escalation: Escalation | None = None
    target_ids: tuple[str, ...] | None = None
    retry_after_seconds: float = 0.0
