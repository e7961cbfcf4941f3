"""Texts in the languages that a service can answer for, and in no others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts
from kintsugi.model.verdict import Verdict
from kintsugi.policy.automata import Sighting
from kintsugi.policy.diagnostics import nearest
from kintsugi.policy.rule import (
    Detection,
    Observation,
    OptionInvalid,
    Rule,
    RuleKind,
    TextRuleOptions,
)
from kintsugi.policy.rules.language_validator.detect import Reading, prose_of, read
from kintsugi.policy.rules.language_validator.profiles import LANGUAGES

_NOT_ALLOWED, _OTHER = "language.not_allowed", "language.not_requested"
_PARAGRAPH = re.compile(r"\n\s*\n")
_OBSERVATIONS_MAX = 50


class Options(TextRuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    allowed_languages: ISO 639-1 codes; empty for all.
    same_as_request: answers must be in a language of the last user message.
    min_letters: shorter texts are not judged.
    min_confidence: by how much another language must lead the allowed ones.
    """

    allowed_languages: tuple[str, ...] = ()
    same_as_request: bool = False
    min_letters: int = 20
    min_confidence: float = 0.3


class LanguageRule(Rule):
    """Reads every paragraph, and every text as a whole, for what is short in each paragraph."""

    judges = True

    def __init__(self, options: Options, phase: Phase, allowed: frozenset[str]) -> None:
        self.judges = bool(allowed) or (options.same_as_request and phase is Phase.OUTPUT)
        self._options = options
        self._phase = phase
        self._allowed = allowed
        if self.judges:
            read("a")  # makes the profiles ready now rather than within the first request

    def judge(self, exchange: ExchangeView, facts: Facts) -> Iterator[Observation]:  # noqa: ARG002
        """Paragraphs in other languages than they should be in."""
        parts = [part for part in exchange.parts if self._is_judged(part)]
        if self._allowed:
            yield from self._foreign(parts, self._allowed, _NOT_ALLOWED)
        if self._options.same_as_request and self._phase is Phase.OUTPUT:
            asked = self._asked_in(exchange.request)
            if asked:
                yield from self._foreign(parts, asked, _OTHER)

    def _is_judged(self, part: Part) -> bool:
        said = self._phase is Phase.OUTPUT or part.role == "user"
        return part.kind == "text" and said and bool(part.path)

    def _asked_in(self, request: Sequence[Part]) -> frozenset[str]:
        """The likeliest language of the last user message, and those as good as it."""
        asked = [part for part in request if part.role == "user" and part.kind == "text"]
        if not asked:
            return frozenset()
        reading = read(prose_of(asked[-1].text))
        if reading.letters < self._options.min_letters:
            return frozenset()
        best = reading.scores.get(reading.best, 0.0)
        return frozenset(name for name, score in reading.scores.items() if score >= 0.7 * best)

    def _foreign(
        self, parts: Sequence[Part], allowed: frozenset[str], code: str
    ) -> Iterator[Observation]:
        left = _OBSERVATIONS_MAX
        for part in parts:
            prose = prose_of(part.text)
            found = False
            for start, end in _paragraphs(prose):
                reading = read(prose[start:end])
                lead = self._lead(reading, allowed)
                if lead and left:
                    left -= 1
                    found = True
                    yield _observation(reading, lead, code, part, start, end)
            if not found and left:
                reading = read(prose)
                lead = self._lead(reading, allowed)
                if lead:
                    left -= 1
                    yield _observation(reading, lead, code, part, 0, len(part.text))

    def _lead(self, reading: Reading, allowed: frozenset[str]) -> float:
        """How far an unwanted language leads; 0 where not far enough."""
        if reading.letters < self._options.min_letters:
            return 0.0
        lead = reading.lead(allowed)
        return lead if lead >= self._options.min_confidence else 0.0

    def examine(self, part: Part, sightings: Sequence[Sighting]) -> Sequence[Detection]:  # noqa: ARG002
        """Never called: there are no patterns."""
        return ()


def _observation(
    reading: Reading, lead: float, code: str, part: Part, start: int, end: int
) -> Observation:
    return Observation(
        rule=reading.best,
        reason_code=code,
        path=part.path,
        start=start,
        end=end,
        score=round(lead, 3),
    )


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for blank in _PARAGRAPH.finditer(text):
        yield start, blank.start()
        start = blank.end()
    yield start, len(text)


def build(options: Options, phase: Phase) -> Rule:
    """The rule for one phase.

    Raises:
        OptionInvalid: a language is not known, or a number is out of range.
    """
    allowed = frozenset(_code(word, index) for index, word in enumerate(options.allowed_languages))
    if not 1 <= options.min_letters <= 10_000:
        raise OptionInvalid(
            "min_letters", f"{options.min_letters} is out of range", "use 1 to 10000"
        )
    if not 0 < options.min_confidence <= 1:
        raise OptionInvalid(
            "min_confidence", f"{options.min_confidence:g} is out of range", "use 0.05 to 1"
        )
    return LanguageRule(options, phase, allowed)


def _code(word: str, index: int) -> str:
    """``de-AT`` and ``DE`` are ``de``; ``nb`` and ``nn`` are ``no``."""
    code = re.split(r"[-_]", word.strip().lower())[0]
    code = {"nb": "no", "nn": "no", "iw": "he", "ms": "id", "fil": "tl"}.get(code, code)
    if code not in LANGUAGES:
        raise OptionInvalid(
            f"allowed_languages.{index}",
            f'unknown language "{word[:40]}"',
            f"use one of: {', '.join(sorted(LANGUAGES))}",
            nearest(code, LANGUAGES),
        )
    return code


KIND = RuleKind(
    name="language-validator",
    title="Language",
    options=Options,
    phases=(Phase.INPUT, Phase.OUTPUT),
    default_action=Verdict.BLOCK,
    actions=(Verdict.ALLOW, Verdict.FLAG, Verdict.ESCALATE, Verdict.BLOCK),
    reasons=(_NOT_ALLOWED, _OTHER),
    detector_version=1,
    message="The text is in a language that this service does not take.",
    method="Scripts, then small words, endings and letters of 36 languages that share a script.",
    cost="Half a millisecond per kilobyte; see the page.",
    limits=("Single short sentences are often too little to tell related languages apart.",),
    build=build,
)
