"""A person looks first: at subjects, tools, amounts, workflows, findings, and samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Annotated

import msgspec

from kintsugi.model.content import ExchangeView
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts
from kintsugi.model.transform import Escalation
from kintsugi.model.verdict import Verdict
from kintsugi.policy.amounts import AMOUNT_ARGUMENTS, Amounts, AmountUnreadable
from kintsugi.policy.automata import Pattern
from kintsugi.policy.diagnostics import nearest
from kintsugi.policy.names import Names
from kintsugi.policy.reasons import parse_reason_code
from kintsugi.policy.recogniser import Recogniser, RecogniserRule
from kintsugi.policy.rule import ActionOptions, Observation, OptionInvalid, Rule, RuleKind
from kintsugi.policy.rules.human_oversight.signals import CATEGORIES
from kintsugi.policy.tool_calls import calls_in

_REQUIRED = "human_oversight.required"
_SAMPLED = "human_oversight.sampled"
_HUNDREDTHS = 10_000  # of a percent, in the hash that picks the sample


class Options(ActionOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    require_human_for: subjects of answers: ``financial_advice``, ``medical_decisions``,
        ``legal_opinions``, ``hiring_actions``, ``safety_critical``; or reason codes of other
        policies, whose findings then need a person.
    confidence_threshold: how sure a wording of a subject must be, 0 to 1.
    default_assignee: who is asked; recorded with the finding.
    timeout_seconds: how long the answer is held and an approval may be given. 0: as
        ``escalation`` says.
    tools: calls of these tools, ``*`` and ``?`` understood.
    amount_above: calls in which an amount is above this; 0 for none.
    amount_arguments: the arguments that are amounts.
    workflows, agents, models: all answers of these.
    sample_percent: so many of a hundred exchanges, picked by a hash of what was asked.
    """

    require_human_for: tuple[str, ...] = ()
    confidence_threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    default_assignee: str = ""
    timeout_seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    tools: tuple[str, ...] = ()
    amount_above: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    amount_arguments: tuple[str, ...] = AMOUNT_ARGUMENTS
    workflows: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    sample_percent: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.0

    def __post_init__(self) -> None:
        if self.timeout_seconds and self.escalation == Escalation():
            held = Escalation(
                hold_seconds=self.timeout_seconds, expires_seconds=self.timeout_seconds
            )
            msgspec.structs.force_setattr(self, "escalation", held)


class AnswerRule(RecogniserRule):
    """Answers: by what they say, whose they are, and by sample."""

    def __init__(self, options: Options, subjects: Sequence[str], codes: frozenset[str]) -> None:
        super().__init__(
            [
                Recogniser(Pattern(subject, wording.regex), _REQUIRED, score=wording.score)
                for subject in subjects
                for wording in CATEGORIES[subject]
                if wording.score >= options.confidence_threshold
            ]
        )
        self._codes = codes
        self._workflows = Names(options.workflows)
        self._agents = Names(options.agents)
        self._models = Names(options.models)
        self._sampled_below = round(options.sample_percent / 100 * _HUNDREDTHS)
        self._assignee = _assigned(options)
        self.judges = bool(
            codes or self._workflows or self._agents or self._models or self._sampled_below
        )

    def judge(self, exchange: ExchangeView, facts: Facts) -> Sequence[Observation]:
        """See ``Rule``."""
        return list(self._reasons(exchange, facts))

    def _reasons(self, exchange: ExchangeView, facts: Facts) -> Iterator[Observation]:
        who = facts.identity
        for name, holds in (
            ("finding", not self._codes.isdisjoint(facts.found)),
            ("workflow", bool(who.workflow) and who.workflow in self._workflows),
            ("agent", bool(who.agent_id) and who.agent_id in self._agents),
            ("model", exchange.model in self._models),
        ):
            if holds:
                yield Observation(rule=name, reason_code=_REQUIRED, detail=self._assignee)
        if self._sampled_below and _place(exchange, facts) < self._sampled_below:
            yield Observation(rule="sample", reason_code=_SAMPLED, detail=self._assignee)


class CallRule(Rule):
    """Tool calls: by tool and by amount."""

    judges = True

    def __init__(self, options: Options) -> None:
        self._tools = Names(options.tools, loose=True)
        self._above = options.amount_above
        self._amounts = Amounts(options.amount_arguments)
        self._assignee = _assigned(options)
        self.judges = bool(self._tools or self._above)

    def judge(self, exchange: ExchangeView, facts: Facts) -> Sequence[Observation]:  # noqa: ARG002
        """See ``Rule``."""
        seen: list[Observation] = []
        for call in calls_in(exchange.parts):
            if call.name in self._tools:
                seen.append(_asks("tool", call.path, self._assignee))
            if self._above:
                try:
                    total = self._amounts.total(call)
                except AmountUnreadable:
                    seen.append(_asks("amount_unreadable", call.path, self._assignee))
                    continue
                if total is not None and total > self._above:
                    seen.append(_asks("amount", call.path, self._assignee))
        return seen


def _asks(rule: str, path: str, detail: str) -> Observation:
    return Observation(rule=rule, reason_code=_REQUIRED, path=path, detail=detail)


def _assigned(options: Options) -> str:
    return f"for {options.default_assignee}" if options.default_assignee else ""


def _place(exchange: ExchangeView, facts: Facts) -> int:
    """Where an exchange stands between 0 and 10,000: the same for the same question of the same
    caller in the same session, so that a retry neither escapes nor is asked twice."""
    who = facts.identity
    digest = blake2b(digest_size=8)
    for text in (who.session_id, who.user_id, exchange.model, *(p.text for p in exchange.request)):
        digest.update(text.encode("utf-8", "replace"))
        digest.update(b"\0")
    return int.from_bytes(digest.digest(), "big") % _HUNDREDTHS


def build(options: Options, phase: Phase) -> Rule:
    """The rule for answers, or for tool calls.

    Raises:
        OptionInvalid: a subject that is none of ours, and no reason code either.
    """
    subjects: list[str] = []
    codes: set[str] = set()
    for at, word in enumerate(options.require_human_for):
        name = word.strip().lower().replace("-", "_")
        if name in CATEGORIES:
            subjects.append(name)
            continue
        try:
            codes.add(parse_reason_code(word))
        except ValueError:
            raise OptionInvalid(
                f"require_human_for.{at}",
                f'"{word}" is no subject and no reason code',
                f"subjects: {', '.join(CATEGORIES)}; reason codes: kt reasons",
                nearest(name, CATEGORIES),
            ) from None
    if phase is Phase.TOOL:
        return CallRule(options)
    return AnswerRule(options, list(dict.fromkeys(subjects)), frozenset(codes))


KIND = RuleKind(
    name="human-oversight",
    title="Human oversight",
    options=Options,
    phases=(Phase.TOOL, Phase.OUTPUT),
    default_action=Verdict.ESCALATE,
    actions=(Verdict.FLAG, Verdict.ESCALATE, Verdict.BLOCK),
    reasons=(_REQUIRED, _SAMPLED),
    detector_version=1,
    message="A person has to look at this first.",
    method="Wordings of five subjects; lists of tools, workflows, agents; amounts; a stable hash.",
    cost="Part of the shared scan; a hash of the request where a sample is taken.",
    limits=(
        "Subjects are told by English wording: a heuristic, not an understanding.",
        "It asks for a person; who that is, and what they see, is the control plane's business.",
    ),
    build=build,
)
