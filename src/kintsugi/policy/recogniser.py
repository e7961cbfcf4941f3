"""Rules that are lists of recognisers: a pattern each, and what confirms its matches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kintsugi.model.content import Part
from kintsugi.policy.automata import Accept, Pattern, Resume, Sighting
from kintsugi.policy.redaction import Redaction
from kintsugi.policy.rule import Detection, Rule


class Recogniser(NamedTuple):
    """One thing to find.

    Attributes:
        accept: given text, start and end of a match, whether it is one; None takes all.
        score: confidence in what was accepted.
    """

    pattern: Pattern
    reason_code: str
    accept: Accept | None = None
    score: float = 1.0


class RecogniserRule(Rule):
    """Every confirmed match of every recogniser is a detection."""

    def __init__(
        self,
        recognisers: Sequence[Recogniser],
        *,
        redaction: Redaction | None = None,
        allow_list: Sequence[str] = (),
        context_chars: int = 1,
        reach_chars: int = 0,
    ) -> None:
        allowed = tuple(dict.fromkeys(value.casefold() for value in allow_list if value))
        self._recognisers = tuple(
            one._replace(accept=_unless_allowed(one.accept, allowed)) if allowed else one
            for one in recognisers
        )
        longest = max((len(value) for value in allowed), default=0)
        self.patterns = tuple(one.pattern for one in recognisers)
        self.redaction = redaction or Redaction()
        self.context_chars = max(context_chars, longest)
        self.reach_chars = max(reach_chars, longest)

    def examine(self, part: Part, sightings: Sequence[Sighting]) -> Sequence[Detection]:  # noqa: ARG002
        """Confirm what was seen."""
        return [
            found
            for sighting in sightings
            for index in sighting.patterns
            for found in self.confirmed(sighting, index)
        ]

    def confirmed(self, sighting: Sighting, index: int) -> Iterator[Detection]:
        """The matches of one recogniser that stand."""
        recogniser = self._recognisers[index]
        for start, end in sighting.spans(index, recogniser.accept):
            yield Detection(
                rule=recogniser.pattern.name,
                reason_code=recogniser.reason_code,
                layer=sighting.layer,
                start=start,
                end=end,
                score=recogniser.score,
            )


def _unless_allowed(accept: Accept | None, allowed: Sequence[str]) -> Accept:
    """Refuse what lies within an allowed value; judged by place, so that half of an allowed
    value is not a finding either."""

    def confirm(text: str, start: int, end: int) -> bool | Resume:
        if accept is not None and not (answer := accept(text, start, end)):
            return answer
        return not any(_within(text, start, end, value) for value in allowed)

    return confirm


def _within(text: str, start: int, end: int, value: str) -> bool:
    size = len(value)
    first = max(start - size, 0)
    around = text[first : start + size].lower()
    at = around.find(value)
    while at >= 0:
        if first + at <= start and end <= first + at + size:
            return True
        at = around.find(value, at + 1)
    return False


def own_patterns(
    expressions: Sequence[str], *, name: str, path: str, reason_code: str
) -> list[Recogniser]:
    """Recognisers for a list of regular expressions in the options: ``name_1`` and so on."""
    return [
        Recogniser(Pattern(f"{name}_{number}", regex, path=f"{path}.{number - 1}"), reason_code)
        for number, regex in enumerate(expressions, start=1)
    ]
