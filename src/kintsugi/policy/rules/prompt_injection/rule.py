"""Prompt injection: text that tries to take over the model's instructions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Literal, NamedTuple

import msgspec

from kintsugi.model.content import Part
from kintsugi.model.decision import Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.automata import Pattern, Sighting
from kintsugi.policy.classifier import second_look
from kintsugi.policy.classifier.model import HEADS, Classifier, Place, Scores, trained
from kintsugi.policy.classifier.second_look import SecondLook
from kintsugi.policy.folding import odd_characters
from kintsugi.policy.normalise import FOLDINGS, Layer
from kintsugi.policy.rule import (
    Detection,
    OptionInvalid,
    OptionNote,
    Rule,
    RuleKind,
    TextRuleOptions,
    parse_action,
)
from kintsugi.policy.rules.prompt_injection.languages import OTHER_LANGUAGES
from kintsugi.policy.rules.prompt_injection.signals import (
    BOUNDARY,
    DELIMITER,
    EXTRACTION,
    JAILBREAK,
    OVERRIDE,
    Signal,
)


class DetectionOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    attack_patterns: regular expressions (RE2) besides the built-in ones; each match counts as
        an attack on its own.
    classifier: ``trained``: the shipped model judges too; ``off``: wordings alone decide.
    embedding_threshold: not available yet; there is no embedding back end.
    """

    attack_patterns: tuple[str, ...] = ()
    classifier: Literal["trained", "off"] = "trained"
    embedding_threshold: float | None = None


class Encoding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    decode_base64: read base64, hex, URL, HTML and escape encodings, ROT13 and other
        disguises as well.
    normalize_unicode: read the text without invisible characters and compatibility forms too.
    detect_homoglyphs: read look-alike letters as the Latin letters that they imitate too.
    """

    decode_base64: bool = True
    normalize_unicode: bool = True
    detect_homoglyphs: bool = True


class Boundaries(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    enforce_delimiters: count text that closes the prompt's delimiters and opens a new section.
    reject_fake_boundaries: count chat-template tokens and forged role headings.
    """

    enforce_delimiters: bool = True
    reject_fake_boundaries: bool = True


class Response(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    action: the same as ``action`` beside it, for configurations written this way.
    message: sentence for the caller when blocked.
    log_level: no effect: every decision is recorded.
    """

    action: str = ""
    message: str = ""
    log_level: str = "warn"


class Options(TextRuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    threshold: score in (0, 1] from which text counts as an attack. Lower finds more and is
        wrong more often.
    """

    threshold: float = 0.5
    detection: DetectionOptions = DetectionOptions()
    encoding: Encoding = Encoding()
    boundaries: Boundaries = Boundaries()
    response: Response = Response()


def _notes(options: Options) -> Sequence[OptionNote]:
    notes = []
    if options.detection.embedding_threshold is not None:
        notes.append(
            OptionNote(
                "detection.embedding_threshold",
                "embedding similarity is not available yet; patterns decide alone",
                "remove it, or add detection.attack_patterns",
            )
        )
    if options.response.log_level != "warn":
        notes.append(OptionNote("response.log_level", "has no effect: every decision is recorded"))
    return notes


# Signals further apart than this do not add up: a long document has a bit of everything.
_WINDOW_CHARS = 1_500
_DETECTED = "prompt_injection.detected"
# Instructions of the developer's own are no attack; what a model said before was judged then.
_JUDGED_ROLES = frozenset({"user", "tool", "function"})
_JUDGED_KINDS = frozenset({"text", "tool_result"})


class PromptInjectionRule(Rule):
    """Adds up the weights of the distinct signals that stand near each other, and what the
    classifier makes of the text: all of them are witnesses of the same thing."""

    exclusive = False  # every signal explains the verdict, also where they overlap

    def __init__(
        self,
        signals: Sequence[Signal],
        *,
        threshold: float,
        encoding: Encoding,
        classifier: Classifier | None,
        second: SecondLook | None,
    ) -> None:
        self._signals = tuple(signals)
        self._classifier = classifier
        self._second = second
        self.every_reading = classifier is not None
        self._threshold = threshold
        self._encoding = encoding
        self.patterns = tuple(
            Pattern(
                signal.name,
                signal.regex,
                needs=signal.needs,
                group=_group(signal),
                path=f"detection.{signal.name}" if signal.family == "other" else "",
            )
            for signal in signals
        )

    def reads(self, part: Part, layer: Layer) -> bool:
        """What users and tools say, in the readings that the options allow."""
        if part.role not in _JUDGED_ROLES or part.kind not in _JUDGED_KINDS:
            return False
        return all(
            self._encoding.normalize_unicode
            if step == "unicode"
            else self._encoding.detect_homoglyphs
            if step == "homoglyph"
            else self._encoding.decode_base64
            for step in layer.steps
        )

    def examine(self, part: Part, sightings: Sequence[Sighting]) -> Sequence[Detection]:
        """The signals of the densest window and what the classifier saw, if they weigh enough."""
        seen: list[Detection] = []
        weights: dict[str, float] = {}
        for sighting in sightings:
            for index in sighting.patterns:
                signal = self._signals[index]
                weights[signal.name] = signal.weight
                seen.extend(self._first(sighting, index))
        near: Sequence[Detection] = ()
        known = 0.0
        together = _sum(weights.values())
        if together >= self._threshold:  # else not even all of them, wherever they stand
            near, known = _densest(seen, weights)
        learnt = self._learnt(part, sightings) if known < _CERTAIN else []
        if learnt and seen and not near:
            near, known = _densest(seen, weights)
        score = _sum((known, *(one.score for one in learnt)))
        if score < self._threshold:
            return ()
        return [msgspec.structs.replace(one, score=score) for one in (*near, *learnt)]

    def _learnt(self, part: Part, sightings: Sequence[Sighting]) -> list[Detection]:
        """What the classifier is surest of, in whichever reading, and the request that belongs
        least where it stands; neither where they are not sure."""
        if self._classifier is None:
            return []
        place: Place = "user" if part.role == "user" and part.kind == "text" else "tool"
        best: Detection | None = None
        request: Detection | None = None
        for layer in _worth_reading([sighting.layer for sighting in sightings]):
            scores = self._classifier.score(layer.text, place)
            if place == "tool" and self._second is not None:
                found = self._request(layer, scores)
                if found is not None and (request is None or found.score > request.score):
                    request = found
                scores = self._second.doubted(scores)
            head = max(range(len(HEADS)), key=lambda number: scores[number].probability)
            sure = scores[head].probability
            if sure >= _DOUBTFUL and (best is None or sure > best.score):
                start, end = self._classifier.span(layer.text, scores[head])
                name = f"classifier_{HEADS[head]}"
                best = Detection(name, _DETECTED, layer, start, end, score=round(sure, 3))
                if sure >= _CERTAIN:
                    break
        return [one for one in (best, request) if one is not None]

    def _request(self, layer: Layer, scores: Scores) -> Detection | None:
        """The request that belongs least into a tool's result, if it stands out."""
        if self._second is None or self._classifier is None:
            return None
        found = self._second.judge(layer.text, scores, self._classifier)
        if found is None or found.probability < _DOUBTFUL:
            return None
        sure = round(found.probability, 3)
        return Detection("foreign_request", _DETECTED, layer, found.start, found.end, score=sure)

    def _first(self, sighting: Sighting, index: int) -> Iterator[Detection]:
        """The first few places of a signal: more of the same does not make it worse."""
        for start, end in islice(sighting.spans(index), _PLACES_MAX):
            name = self._signals[index].name
            yield Detection(name, _DETECTED, sighting.layer, start, end)


_PLACES_MAX = 8
# Below this the classifier says nothing: it would only add noise to what wordings say.
_DOUBTFUL = 0.2
# No window need be found that is surer still: a text full of signals is judged by its first.
_CERTAIN = 0.99


# What folding makes of these is no other word.
_TYPOGRAPHY = frozenset("“”„‟«»‘’‚‛–—−‐‑‒―…•·°€£©®™§¶×½¼¾²³¹\u00a0")


def _worth_reading(layers: Sequence[Layer]) -> Iterator[Layer]:
    """The readings in which there may be other words than in the one they were made from."""
    steps = {layer.steps for layer in layers}
    for layer in layers:
        if layer.parent is not None and layer.steps[-1] in FOLDINGS:
            further = (*layer.steps[:-1], "homoglyph")
            if layer.steps[-1] != "homoglyph" and further in steps:
                continue  # the same with look-alikes read as well comes next
            if _TYPOGRAPHY.issuperset(odd_characters(layer.parent.text)):
                continue
        yield layer


def _group(signal: Signal) -> str:
    if signal.family == "other":
        return "own attack patterns"
    return "wording with gaps" if signal.needs and signal not in OTHER_LANGUAGES else "wording"


def _sum(weights: Iterable[float]) -> float:
    """As probabilities of independent witnesses add up: never beyond 1."""
    doubt = 1.0
    for weight in weights:
        doubt *= 1.0 - weight
    return round(1.0 - doubt, 3)


class _Placed(NamedTuple):
    """A signal with its span in the original text."""

    start: int
    end: int
    weight: float
    detection: Detection


def _densest(
    seen: Sequence[Detection], weights: Mapping[str, float]
) -> tuple[Sequence[Detection], float]:
    """The detections of the window that weighs most, and how much that is."""
    placed = [
        _Placed(*one.layer.origin(one.start, one.end), weights[one.rule], one) for one in seen
    ]
    placed.sort(key=lambda one: one.start)
    best: tuple[Sequence[_Placed], float] = ((), 0.0)
    last = 0
    for first, one in enumerate(placed):
        while last < len(placed) and placed[last].start <= one.start + _WINDOW_CHARS:
            last += 1
        near = placed[first:last]
        score = _sum(_independent(near))
        if score > best[1]:
            best = (near, score)
        if score >= _CERTAIN:
            break
    return [one.detection for one in best[0]], best[1]


def _independent(near: Sequence[_Placed]) -> Iterator[float]:
    """The weights that count: of the same words only the heaviest signal, and each signal once."""
    counted: set[str] = set()
    taken: list[_Placed] = []
    for one in sorted(near, key=lambda placed: -placed.weight):
        overlaps = any(one.start < other.end and other.start < one.end for other in taken)
        if one.detection.rule not in counted and not overlaps:
            counted.add(one.detection.rule)
            taken.append(one)
            yield one.weight


def build(options: Options, phase: Phase) -> Rule:  # noqa: ARG001
    """The rule for the input phase."""
    if not 0.0 < options.threshold <= 1.0:
        raise OptionInvalid(
            "threshold", f"{options.threshold} is out of range", "use a number in (0, 1]"
        )
    signals = [*OVERRIDE, *JAILBREAK, *EXTRACTION, *OTHER_LANGUAGES]
    if options.boundaries.reject_fake_boundaries:
        signals += BOUNDARY
    if options.boundaries.enforce_delimiters:
        signals += DELIMITER
    signals += [
        Signal(f"attack_patterns.{number}", "other", 1.0, regex)
        for number, regex in enumerate(options.detection.attack_patterns)
    ]
    rule = PromptInjectionRule(
        signals,
        threshold=options.threshold,
        encoding=options.encoding,
        classifier=trained() if options.detection.classifier == "trained" else None,
        second=second_look.trained() if options.detection.classifier == "trained" else None,
    )
    rule.message = options.response.message
    if options.response.action:
        rule.action = parse_action(options.response.action, KIND, path="response.action")
        if options.action and parse_action(options.action, KIND) is not rule.action:
            raise OptionInvalid(
                "response.action",
                f'"{options.response.action}" contradicts action "{options.action}"',
                "keep one of the two",
            )
    return rule


KIND = RuleKind(
    name="prompt-injection",
    title="Prompt injection",
    options=Options,
    phases=(Phase.INPUT,),
    default_action=Verdict.BLOCK,
    actions=tuple(Verdict),
    reasons=("prompt_injection.detected",),
    detector_version=9,
    message="The text tries to change the instructions that the model works under.",
    method="Weighted patterns in several languages over the plain, folded and decoded text.",
    cost="Part of the shared scan; about 10 microseconds more for a text with signals.",
    limits=(
        "It reads wording. An attack in words that no pattern knows passes.",
        "System and developer messages are not judged.",
    ),
    build=build,
    notes=_notes,
)
