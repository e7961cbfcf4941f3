"""Watches for wording about protected groups, and counts how often they are spoken of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts
from kintsugi.model.verdict import Verdict
from kintsugi.policy.automata import Automaton, Pattern, Sighting, compile_pattern
from kintsugi.policy.diagnostics import nearest
from kintsugi.policy.rule import (
    Detection,
    ModeWord,
    Observation,
    OptionInvalid,
    OptionNote,
    Rule,
    RuleKind,
    TextPhase,
    TextRuleOptions,
    parse_action,
)
from kintsugi.policy.rules.bias_monitor.wording import (
    CHARACTERISTICS,
    SPOKEN_OF,
    Wording,
    anchor,
    wordings,
)

_WORDING, _MENTIONED = "bias.wording", "bias.mentioned"
_CONTEXT_CHARS = 60
_OBSERVATIONS_MAX = 100
_ALIASES = {
    "sex": "gender",
    "ethnicity": "race",
    "sexual_orientation": "orientation",
    "sexuality": "orientation",
    "national_origin": "nationality",
    "pregnancy": "family",
    "marital_status": "family",
    "faith": "religion",
    "colour": "race",
    "color": "race",
}


class Options(TextRuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    mode: ``monitor`` unless it says otherwise: wording alone is weak ground for a stop.
    phases: where the rule runs; answers only unless it says otherwise.
    protected_characteristics: watch these only; empty for all.
    threshold: how sure a pattern must be.
    """

    mode: ModeWord = "monitor"
    phases: tuple[TextPhase, ...] = ("output",)
    protected_characteristics: tuple[str, ...] = ()
    threshold: float = 0.85


def _notes(options: Options) -> Sequence[OptionNote]:
    if options.mode != "monitor":
        return ()
    return [
        OptionNote(name, "is only recorded: this policy monitors", "add mode: enforce")
        for name in ("action", "output_action")
        if _acts(getattr(options, name))
    ]


def _acts(word: str) -> bool:
    try:
        return bool(word) and Verdict.parse(word).strictness > Verdict.FLAG.strictness
    except ValueError:
        return False  # the plan says what is wrong with it


class _Searcher(NamedTuple):
    """A pattern made ready."""

    wording: Wording
    expression: Any


class BiasRule(Rule):
    """Every pattern over every text, and the number of mentions beside them."""

    judges = True

    def __init__(self, chosen: Sequence[str], threshold: float) -> None:
        self._chosen = tuple(chosen)
        # Most texts speak of no group: one pass tells which patterns need not be tried.
        self._anchors = Automaton([Pattern(name, anchor(name), group=name) for name in chosen])
        self._mentions = [_compiled(name, rf"\b(?:{CHARACTERISTICS[name]})\b") for name in chosen]
        self._searchers = [
            [
                _Searcher(one, _compiled(one.name, one.regex))
                for one in wordings(name)
                if one.score >= threshold
            ]
            for name in chosen
        ]
        self._spoken_of = _compiled("spoken_of", SPOKEN_OF)

    def judge(self, exchange: ExchangeView, facts: Facts) -> Iterator[Observation]:  # noqa: ARG002
        """Wording that reaches the threshold; and, where groups are spoken of, how often."""
        mentioned: Counter[str] = Counter()
        found = 0
        for part in exchange.parts:
            if part.kind != "text" or not part.path:
                continue
            text = part.text if part.text.isascii() else part.text.replace("’", "'")
            for index in self._anchors.search(text.encode("utf-8", "replace")):
                mentioned[self._chosen[index]] += sum(
                    1 for _ in self._mentions[index].finditer(text)
                )
                for observed in self._found(part, text, index):
                    found += 1
                    if found <= _OBSERVATIONS_MAX:
                        yield observed
        counts = " ".join(f"{name}={count}" for name, count in sorted(mentioned.items()) if count)
        if counts:
            yield Observation(
                rule="mentions",
                reason_code=_MENTIONED,
                detail=f"{counts} wording={found}",
                note=True,
            )

    def _found(self, part: Part, text: str, index: int) -> Iterator[Observation]:
        seen: set[int] = set()
        for wording, expression in self._searchers[index]:
            for match in expression.finditer(text):
                start, end = match.span()
                # The first letters too: "must" stands before "not hire".
                before = text[max(start - _CONTEXT_CHARS, 0) : start + 4]
                if start in seen or self._spoken_of.search(before):
                    continue
                seen.add(start)
                yield Observation(
                    rule=f"{wording.characteristic}.{wording.name}",
                    reason_code=_WORDING,
                    path=part.path,
                    start=start,
                    end=end,
                    score=wording.score,
                )

    def examine(self, part: Part, sightings: Sequence[Sighting]) -> Sequence[Detection]:  # noqa: ARG002
        """Never called: there are no patterns."""
        return ()


def _compiled(name: str, regex: str) -> Any:
    return compile_pattern(Pattern(name, regex))


def build(options: Options, phase: Phase) -> Rule:  # noqa: ARG001
    """The rule for one phase; the same in both.

    Raises:
        OptionInvalid: a characteristic is not known, or the threshold is out of range.
    """
    if not 0 <= options.threshold <= 1:
        raise OptionInvalid("threshold", f"{options.threshold:g} is out of range", "use 0 to 1")
    for name in ("action", "output_action"):
        parse_action(getattr(options, name), KIND, path=name)
    chosen = [_named(word, at) for at, word in enumerate(options.protected_characteristics)]
    return BiasRule(list(dict.fromkeys(chosen)) or list(CHARACTERISTICS), options.threshold)


def _named(word: str, at: int) -> str:
    name = word.strip().lower().replace("-", "_").replace(" ", "_")
    name = _ALIASES.get(name, name)
    if name not in CHARACTERISTICS:
        raise OptionInvalid(
            f"protected_characteristics.{at}",
            f'unknown characteristic "{word[:40]}"',
            f"use one of: {', '.join(CHARACTERISTICS)}",
            nearest(name, (*CHARACTERISTICS, *_ALIASES)),
        )
    return name


KIND = RuleKind(
    name="bias-monitor",
    title="Wording about protected groups",
    options=Options,
    phases=(Phase.INPUT, Phase.OUTPUT),
    default_action=Verdict.FLAG,
    actions=(Verdict.ALLOW, Verdict.FLAG, Verdict.ESCALATE, Verdict.BLOCK),
    reasons=(_WORDING, _MENTIONED),
    detector_version=1,
    message="The text makes a judgement about a protected group.",
    method="English patterns of a group and a judgement, or of a decision and a characteristic.",
    cost="25 microseconds per kilobyte of text that speaks of no group; see the page.",
    limits=("It reads wording. Unequal treatment in clean words shows only in rates.",),
    build=build,
    notes=_notes,
)
