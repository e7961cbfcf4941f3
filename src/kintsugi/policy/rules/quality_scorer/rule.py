"""Scores of every answer, on record, and thresholds for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts
from kintsugi.model.verdict import Verdict
from kintsugi.policy.answers import Answer, answers
from kintsugi.policy.automata import Sighting
from kintsugi.policy.rule import (
    Detection,
    Observation,
    OptionInvalid,
    Rule,
    RuleKind,
    RuleOptions,
    parse_action,
)
from kintsugi.policy.rules.quality_scorer.scores import SCORES, Bounds, scored

_BELOW, _SCORED = "quality.below_threshold", "quality.scored"
_CHARS_MAX = 100_000_000


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The least of each score that passes; 0 lets everything pass."""

    min_aggregate: float = 0.6
    min_length: float = 0.0
    min_refusal: float = 0.0
    min_repetition: float = 0.5
    min_truncation: float = 0.0
    min_format: float = 0.0
    min_readability: float = 0.0


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each score counts in the aggregate; 0 leaves it out."""

    length: float = 1.0
    refusal: float = 1.0
    repetition: float = 1.0
    truncation: float = 1.0
    format: float = 1.0
    readability: float = 1.0


class Options(RuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    action: verdict of an answer below a threshold.
    min_output_chars, max_output_chars: the length that is wanted; 0 for no bound.
    min_sentences: how many sentences are wanted.
    thresholds: the least that passes.
    weights: what each score counts.
    """

    action: str = ""
    min_output_chars: int = 1
    max_output_chars: int = 0
    min_sentences: int = 0
    thresholds: Thresholds = Thresholds()
    weights: Weights = Weights()


class QualityRule(Rule):
    """Scores each answer, and compares."""

    judges = True
    clear_reason = _SCORED

    def __init__(self, options: Options) -> None:
        self.action = parse_action(options.action, KIND)
        self._options = options
        self._least: dict[str, float] = {
            name: getattr(options.thresholds, f"min_{name}") for name in ("aggregate", *SCORES)
        }
        self._weights: dict[str, float] = {name: getattr(options.weights, name) for name in SCORES}

    def judge(self, exchange: ExchangeView, facts: Facts) -> Iterator[Observation]:  # noqa: ARG002
        """The scores as a note, and each that is too low as a finding."""
        options = self._options
        used_up = 0 < exchange.output_tokens_max <= exchange.output_tokens
        bounds = Bounds(
            chars_min=options.min_output_chars,
            chars_max=options.max_output_chars,
            sentences_min=options.min_sentences,
            cut_off=used_up,
        )
        for answer in answers(exchange.parts):
            scores = scored(answer.text, bounds)
            yield from self._compared(answer, {"aggregate": self._aggregate(scores), **scores})

    def _aggregate(self, scores: dict[str, float]) -> float:
        total = sum(self._weights.values())
        return round(sum(self._weights[name] * score for name, score in scores.items()) / total, 3)

    def _compared(self, answer: Answer, scores: dict[str, float]) -> Iterator[Observation]:
        path = answer.parts[0].path
        detail = " ".join(f"{name}={score:.3f}" for name, score in scores.items())
        yield Observation(
            rule="scores",
            reason_code=_SCORED,
            path=path,
            score=scores["aggregate"],
            detail=detail,
            note=True,
        )
        for name, score in scores.items():
            if score < self._least[name]:
                yield Observation(
                    rule=name,
                    reason_code=_BELOW,
                    path=path,
                    score=round(1 - score, 3),
                    detail=f"{name} is {score:.3f}; at least {self._least[name]:g} is wanted",
                )

    def examine(self, part: Part, sightings: Sequence[Sighting]) -> Sequence[Detection]:  # noqa: ARG002
        """Never called: there are no patterns."""
        return ()


def build(options: Options, phase: Phase) -> Rule:  # noqa: ARG001
    """The rule for answers.

    Raises:
        OptionInvalid: a number is out of range, or every weight is 0.
    """
    for name, least in msgspec.structs.asdict(options.thresholds).items():
        if not 0 <= least <= 1:
            raise OptionInvalid(f"thresholds.{name}", f"{least:g} is out of range", "use 0 to 1")
    weights = msgspec.structs.asdict(options.weights)
    for name, weight in weights.items():
        if not 0 <= weight <= 100:
            raise OptionInvalid(f"weights.{name}", f"{weight:g} is out of range", "use 0 to 100")
    if not any(weights.values()):
        raise OptionInvalid("weights", "are all 0", "give one of them a weight")
    for name in ("min_output_chars", "max_output_chars", "min_sentences"):
        value = getattr(options, name)
        if not 0 <= value <= _CHARS_MAX:
            raise OptionInvalid(name, f"{value} is out of range", f"use 0 to {_CHARS_MAX}")
    return QualityRule(options)


KIND = RuleKind(
    name="quality-scorer",
    title="Quality of answers",
    options=Options,
    phases=(Phase.OUTPUT,),
    default_action=Verdict.FLAG,
    actions=(Verdict.ALLOW, Verdict.FLAG, Verdict.ESCALATE, Verdict.BLOCK),
    reasons=(_BELOW, _SCORED),
    detector_version=1,
    message="The answer does not have the quality that was asked for.",
    method="Six scores by looking at the text: length, refusal, repetition, truncation, format and "
    "readability; no model.",
    cost="A third of a millisecond per kilobyte; see the page.",
    limits=("None of the scores tells whether the answer is right.",),
    build=build,
)
