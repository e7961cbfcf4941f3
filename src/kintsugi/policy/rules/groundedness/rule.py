"""Whether what an answer says is said in what it was given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple, Self

from kintsugi.model.config import Config
from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts, Need, RemoteNeed
from kintsugi.model.verdict import Verdict
from kintsugi.policy.answers import Answer, answers
from kintsugi.policy.automata import Sighting
from kintsugi.policy.remote import answer_of, check_target, check_timeout
from kintsugi.policy.rule import (
    Detection,
    Observation,
    OptionInvalid,
    Rule,
    RuleKind,
    RuleOptions,
    parse_action,
)
from kintsugi.policy.rules.groundedness.judge import Judge, question, unsupported
from kintsugi.policy.rules.groundedness.support import Claim, Context
from kintsugi.policy.sources import sources

_UNSUPPORTED, _JUDGED, _NO_CONTEXT = (
    "groundedness.unsupported",
    "groundedness.judged_unsupported",
    "groundedness.no_context",
)
_KEY = "groundedness/judge"
_OBSERVATIONS_MAX = 100
_STATEMENTS_MAX = 100


class Options(RuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    action: verdict of an answer that does not rest on its context.
    min_groundedness: share of the sentences that must be supported.
    min_support: share of a sentence's words that one passage must have.
    check_numbers: a number that stands nowhere in the context is a finding by itself.
    context: what answers should rest on.
    require_context: an answer without any context is a finding.
    judge: a model that has the last word on sentences that words do not support.
    """

    action: str = ""
    min_groundedness: float = 0.7
    min_support: float = 0.5
    check_numbers: bool = True
    context: Literal["sources", "request"] = "sources"
    require_context: bool = False
    judge: Judge = Judge()


class TooMuchToJudge(Exception):
    """There is more context, or there are more statements, than a model may be asked about."""


class Weighed(NamedTuple):
    """One answer with its claims.

    Attributes:
        doubtful: the claims that their words do not support.
    """

    answer: Answer
    claims: list[Claim]
    doubtful: list[Claim]


class GroundednessRule(Rule):
    """Weighs every sentence; asks a model about the doubtful ones where one is configured."""

    judges = True

    def __init__(self, options: Options) -> None:
        self.action = parse_action(options.action, KIND)
        self._options = options

    def bind(self, config: Config) -> Self:
        """Raises:
        OptionInvalid: the configuration has no such target.
        """
        if self._options.judge.target:
            check_target(self._options.judge.target, config, "judge.target")
        return self

    def needs(self, exchange: ExchangeView, facts: Facts) -> Sequence[Need]:  # noqa: ARG002
        """The model's word on what words alone do not support; nothing where they do."""
        judge = self._options.judge
        if not judge.target:
            return ()
        texts = self._texts(exchange.request)
        statements = _statements(self._weighed(exchange, Context(texts)))
        if not texts or not statements:
            return ()
        if len(statements) > _STATEMENTS_MAX or sum(map(len, texts)) > judge.context_chars_max:
            raise TooMuchToJudge
        return [
            RemoteNeed(
                key=_KEY,
                target_id=judge.target,
                path=judge.path,
                body=question(judge, texts, statements),
                timeout_seconds=judge.timeout_seconds,
            )
        ]

    def judge(self, exchange: ExchangeView, facts: Facts) -> Iterator[Observation]:
        """The sentences that nothing supports, where there are too many of them.

        Raises:
            KeyError, RemoteFailed: a model was to be asked, and could not be or did not answer.
        """
        context = Context(self._texts(exchange.request))
        weighed = self._weighed(exchange, context)
        if context.empty:
            if self._options.require_context:
                for one in weighed:
                    if one.claims:
                        path = one.answer.parts[0].path
                        yield Observation(rule="context", reason_code=_NO_CONTEXT, path=path)
            return
        code = _UNSUPPORTED
        if self._options.judge.target and (statements := _statements(weighed)):
            code = _JUDGED
            no = unsupported(answer_of(facts, _KEY), len(statements))
            weighed = _as_judged(weighed, no)
        for one in weighed:
            yield from islice(self._observed(one, code), _OBSERVATIONS_MAX)

    def _observed(self, one: Weighed, code: str) -> Iterator[Observation]:
        """What is said of one answer: its unsupported sentences, where their share is too high,
        and numbers in any case."""
        if not one.claims:
            return
        share = 1 - len(one.doubtful) / len(one.claims)
        too_few = share < self._options.min_groundedness
        summary = f"{len(one.claims) - len(one.doubtful)} of {len(one.claims)} sentences supported"
        for claim in one.doubtful:
            number = code == _UNSUPPORTED and self._options.check_numbers and claim.numbers
            if not too_few and not number:
                continue
            path, start, end = one.answer.place(claim.start, claim.end)
            yield Observation(
                rule="number" if number else "sentence",
                reason_code=code,
                path=path,
                start=start,
                end=end,
                score=round(1 - claim.support, 3),
                detail=summary,
            )

    def _weighed(self, exchange: ExchangeView, context: Context) -> list[Weighed]:
        found = []
        for answer in answers(exchange.parts):
            claims = context.weigh(answer.text)
            doubtful = [claim for claim in claims if self._doubtful(claim)]
            found.append(Weighed(answer, claims, doubtful))
        return found

    def _doubtful(self, claim: Claim) -> bool:
        number = bool(self._options.check_numbers and claim.numbers)
        return number or claim.support < self._options.min_support

    def _texts(self, request: Sequence[Part]) -> list[str]:
        if self._options.context == "sources":
            return [source.text for source in sources(request)]
        return [part.text for part in request if part.kind in ("text", "tool_result")]

    def examine(self, part: Part, sightings: Sequence[Sighting]) -> Sequence[Detection]:  # noqa: ARG002
        """Never called: there are no patterns."""
        return ()


def _statements(weighed: Sequence[Weighed]) -> list[str]:
    """The doubtful sentences of all answers, in order."""
    return [one.answer.text[claim.start : claim.end] for one in weighed for claim in one.doubtful]


def _as_judged(weighed: Sequence[Weighed], no: frozenset[int]) -> list[Weighed]:
    """The same with only those doubtful that the model does not find supported either."""
    found, first = [], 0
    for one in weighed:
        doubtful = [claim for at, claim in enumerate(one.doubtful, start=first) if at in no]
        first += len(one.doubtful)
        found.append(one._replace(doubtful=doubtful))
    return found


def build(options: Options, phase: Phase) -> Rule:  # noqa: ARG001
    """The rule for answers.

    Raises:
        OptionInvalid: a share is not between 0 and 1, or the judge is not whole.
    """
    for path, value in (
        ("min_groundedness", options.min_groundedness),
        ("min_support", options.min_support),
    ):
        if not 0 <= value <= 1:
            raise OptionInvalid(path, f"{value:g} is out of range", "use 0 to 1")
    if options.judge.target:
        if not options.judge.model:
            raise OptionInvalid("judge.model", "is missing", "name the model to ask")
        check_timeout(options.judge.timeout_seconds, "judge.timeout_seconds")
    return GroundednessRule(options)


KIND = RuleKind(
    name="groundedness",
    title="Groundedness",
    options=Options,
    phases=(Phase.OUTPUT,),
    default_action=Verdict.FLAG,
    actions=(Verdict.ALLOW, Verdict.FLAG, Verdict.ESCALATE, Verdict.BLOCK),
    reasons=(_UNSUPPORTED, _JUDGED, _NO_CONTEXT),
    detector_version=1,
    message="The answer says what its sources do not.",
    method="Shared words of each sentence and one passage; optionally a model on the rest.",
    cost="Linear in request and answer; with a judge, its time.",
    limits=("Shared words are not agreement: a negation is not seen without a judge.",),
    build=build,
)
