"""Answers cite the sources that they were given, and what they cite is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts
from kintsugi.model.verdict import Verdict
from kintsugi.policy.answers import Answer, answers
from kintsugi.policy.automata import Sighting
from kintsugi.policy.prose import content_words, sentences, without_code, words
from kintsugi.policy.rule import (
    Detection,
    Observation,
    OptionInvalid,
    OptionNote,
    Rule,
    RuleKind,
    RuleOptions,
    parse_action,
)
from kintsugi.policy.rules.citation_verifier.citations import Citation, Form, citations
from kintsugi.policy.sources import Source, sources, urls_in

_MISSING, _UNRESOLVED, _MISQUOTED, _UNSUPPORTED = (
    "citation.missing",
    "citation.unresolved",
    "citation.misquoted",
    "citation.unsupported",
)
_RUN = 3  # words that a quote and its source must have in the same order
_CLAIM_WORDS_MIN = 5
_SUPPORT_DEFAULT = 0.5
_OBSERVATIONS_MAX = 200
_SOURCES_PER_STATEMENT_MAX = 16


class OutputAction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done about an answer.

    Attributes:
        unverified_action: where a citation is missing, or its source does not say so.
        hallucination_action: where it cites what is not there, or quotes what nobody wrote.
    """

    unverified_action: str = "flag"
    hallucination_action: str = "block"


class Response(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    include_verification_report: no effect: the findings are on the record.
    """

    include_verification_report: bool = False


class Options(RuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    require_sources: where the request brings sources, an answer must cite at least one.
    min_coverage: share of the statements that must carry a citation.
    require_source_match: a statement must share words with the source that it cites.
    min_groundedness: the share of words for that.
    min_confidence: share of a quote's runs of words that must stand in the request.
    quote_words_min: shorter quotes are emphasis and names, not citations.
    extract_patterns: the forms of citations to look for.
    output_action: what is done.
    response: no effect.
    """

    require_sources: bool = True
    min_coverage: float = 0.0
    require_source_match: bool = False
    min_groundedness: float | None = None
    min_confidence: float = 0.8
    quote_words_min: int = 5
    extract_patterns: tuple[Form, ...] = ("bracket", "url", "quote", "academic")
    output_action: OutputAction = OutputAction()
    response: Response = Response()


def _notes(options: Options) -> Sequence[OptionNote]:
    if options.response.include_verification_report:
        path = "response.include_verification_report"
        return (OptionNote(path, "has no effect: answers are not added to, the record has it"),)
    return ()


class CitationRule(Rule):
    """Finds citations and looks for what they cite."""

    judges = True

    def __init__(self, options: Options) -> None:
        acts = options.output_action
        self._unverified = parse_action(
            acts.unverified_action, KIND, path="output_action.unverified_action"
        )
        self._invented = parse_action(
            acts.hallucination_action, KIND, path="output_action.hallucination_action"
        )
        self.action = max(self._unverified, self._invented, key=lambda verdict: verdict.strictness)
        self._options = options

    def judge(self, exchange: ExchangeView, facts: Facts) -> Iterator[Observation]:  # noqa: ARG002
        """What is cited and not there, and what is not cited."""
        given = _Given(exchange.request)
        for answer in answers(exchange.parts):
            if answer.text.strip():
                yield from islice(self._judged(answer, given), _OBSERVATIONS_MAX)

    def _judged(self, answer: Answer, given: _Given) -> Iterator[Observation]:
        text = without_code(answer.text)
        cited = [
            one
            for one in citations(text, self._forms(answer, given), given.labels.keys())
            if one.form != "quote" or len(one.keys) >= self._options.quote_words_min
        ]
        for one in cited:
            problem = self._problem(one, given)
            if problem:
                yield self._at(answer, one.start, one.end, one.form, problem, self._invented)
        if not given.sources:
            return
        if self._options.require_sources and not cited:
            whole = f"{len(given.sources)} sources, none cited"
            yield self._about(answer, "missing", whole)
            return
        if self._options.min_coverage or self._options.require_source_match:
            yield from self._statements(answer, text, cited, given)

    def _forms(self, answer: Answer, given: _Given) -> set[Form]:
        """The forms that mean a citation here: without sources, quotation marks are for names and
        drafts; in JSON they and brackets are signs of the format."""
        forms = set(self._options.extract_patterns)
        if not given.sources:
            forms.discard("quote")
        return forms - {"quote", "bracket"} if _is_json(answer.text) else forms

    def _problem(self, one: Citation, given: _Given) -> str:
        """The reason code of what is wrong with a citation; empty when nothing is."""
        match one.form:
            case "bracket":
                return "" if one.keys[0] in given.labels else _UNRESOLVED
            case "url":
                return "" if given.names_url(one.keys[0]) else _UNRESOLVED
            case "academic":
                return "" if given.words_of_request.issuperset(one.keys) else _UNRESOLVED
            case "quote":
                share = given.share_of_runs(one.keys)
                return "" if share >= self._options.min_confidence else _MISQUOTED

    def _statements(
        self, answer: Answer, text: str, cited: Sequence[Citation], given: _Given
    ) -> Iterator[Observation]:
        """How many statements carry a citation, and whether their sources share their words."""
        claims = covered = at = 0
        ordered = sorted(cited, key=lambda one: one.start)
        minimum = self._options.min_groundedness
        minimum = _SUPPORT_DEFAULT if minimum is None else minimum
        for start, end in sentences(text):
            own: list[Citation] = []
            reach = end  # a mark right behind the full stop belongs to the sentence before it
            while at < len(ordered) and _stands_at(ordered[at], reach, text):
                own.append(ordered[at])
                reach = max(reach, ordered[at].end)
                at += 1
            said = content_words(_without(text, start, end, own))
            if len(said) < _CLAIM_WORDS_MIN or text[start:end].endswith("?"):
                continue
            claims += 1
            covered += bool(own)
            if self._options.require_source_match and own:
                share = given.share_of_words(said, own)
                if share is not None and share < minimum:
                    yield self._at(
                        answer, start, end, "source_match", _UNSUPPORTED, self._unverified, share
                    )
        if claims and covered / claims < self._options.min_coverage:
            yield self._about(answer, "coverage", f"{covered} of {claims} statements cite a source")

    def _about(self, answer: Answer, rule: str, detail: str) -> Observation:
        return Observation(
            rule=rule,
            reason_code=_MISSING,
            path=answer.parts[0].path,
            detail=detail,
            verdict=self._unverified,
        )

    def _at(
        self,
        answer: Answer,
        start: int,
        end: int,
        rule: str,
        code: str,
        verdict: Verdict,
        share: float = 1.0,
    ) -> Observation:
        path, first, last = answer.place(start, end)
        return Observation(
            rule=rule,
            reason_code=code,
            path=path,
            start=first,
            end=last,
            verdict=verdict,
            score=round(1.0 - share if share < 1 else 1.0, 3),
        )

    def examine(self, part: Part, sightings: Sequence[Sighting]) -> Sequence[Detection]:  # noqa: ARG002
        """Never called: there are no patterns."""
        return ()


class _Given:
    """What a request brought. What takes time is made when the first citation asks for it."""

    def __init__(self, request: Sequence[Part]) -> None:
        self._request = [part for part in request if part.kind in ("text", "tool_result")]
        self.sources: Sequence[Source] = sources(request)
        self.labels: dict[str, list[int]] = {}
        for index, source in enumerate(self.sources):
            for name in source.labels:
                self.labels.setdefault(name, []).append(index)
        self._words: frozenset[str] | None = None
        self._urls: frozenset[str] | None = None
        self._runs: frozenset[tuple[str, ...]] | None = None
        self._source_words: dict[int, frozenset[str]] = {}

    @property
    def words_of_request(self) -> frozenset[str]:
        """Every word of the request."""
        if self._words is None:
            self._words = frozenset(word for part in self._request for word in words(part.text))
        return self._words

    def names_url(self, key: str) -> bool:
        """Whether the request names a URL."""
        if self._urls is None:
            self._urls = frozenset(url for part in self._request for url in urls_in(part.text))
        return key in self._urls

    def share_of_runs(self, said: Sequence[str]) -> float:
        """How much of a quote stands in the request, by runs of three words."""
        if self._runs is None:
            texts = (words(part.text) for part in self._request)
            self._runs = frozenset(run for text in texts for run in _runs_of(text))
        runs = list(_runs_of(said))
        return sum(run in self._runs for run in runs) / len(runs) if runs else 1.0

    def share_of_words(self, said: Sequence[str], own: Sequence[Citation]) -> float | None:
        """How many of a statement's words are in the sources that it cites; None where what it
        cites is no source of the request, which is said already."""
        indices = dict.fromkeys(
            index
            for one in own
            if one.form == "bracket"
            for index in self.labels.get(one.keys[0], ())[:_SOURCES_PER_STATEMENT_MAX]
        )
        if not indices:
            return None
        found = [self._words_of(index) for index in list(indices)[:_SOURCES_PER_STATEMENT_MAX]]
        return sum(any(word in one for one in found) for word in said) / len(said)

    def _words_of(self, index: int) -> frozenset[str]:
        if index not in self._source_words:
            self._source_words[index] = frozenset(content_words(self.sources[index].text))
        return self._source_words[index]


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return True


def _stands_at(one: Citation, reach: int, text: str) -> bool:
    return one.start < reach or (
        one.form == "bracket" and one.start - reach <= 2 and not text[reach : one.start].strip(" ")
    )


def _runs_of(said: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return zip(*(said[at:] for at in range(_RUN)), strict=False)


def _without(text: str, start: int, end: int, own: Sequence[Citation]) -> str:
    """A sentence without the marks of its citations."""
    pieces, at = [], start
    for one in own:
        if one.form != "quote" and one.start >= at:
            pieces.append(text[at : one.start])
            at = min(one.end, end)
    return " ".join([*pieces, text[at:end]])


def build(options: Options, phase: Phase) -> Rule:  # noqa: ARG001
    """The rule for answers.

    Raises:
        OptionInvalid: a share is not between 0 and 1, or an action cannot be carried out.
    """
    for path, value in (
        ("min_coverage", options.min_coverage),
        ("min_confidence", options.min_confidence),
        ("min_groundedness", options.min_groundedness or 0.0),
    ):
        if not 0 <= value <= 1:
            raise OptionInvalid(path, f"{value:g} is out of range", "use 0 to 1")
    if not _RUN <= options.quote_words_min <= 50:
        raise OptionInvalid(
            "quote_words_min", f"{options.quote_words_min} is out of range", f"use {_RUN} to 50"
        )
    return CitationRule(options)


KIND = RuleKind(
    name="citation-verifier",
    title="Citations",
    options=Options,
    phases=(Phase.OUTPUT,),
    default_action=Verdict.FLAG,
    actions=(Verdict.ALLOW, Verdict.FLAG, Verdict.ESCALATE, Verdict.BLOCK),
    reasons=(_MISSING, _UNRESOLVED, _MISQUOTED, _UNSUPPORTED),
    detector_version=1,
    message="The answer cites what it was not given.",
    method="Citations by their written form; sources by theirs; quotes by runs of three words.",
    cost="Linear in request and answer; see the page.",
    limits=("It compares wording; it does not understand, and looks nothing up elsewhere.",),
    build=build,
    notes=_notes,
)
