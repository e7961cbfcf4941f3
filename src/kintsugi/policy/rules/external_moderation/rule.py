"""Ask a moderation service, within a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self

from kintsugi.model.config import Config
from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts, Need, RemoteNeed
from kintsugi.model.verdict import Verdict
from kintsugi.policy.automata import Sighting
from kintsugi.policy.diagnostics import nearest
from kintsugi.policy.remote import answer_of, check_pointer, check_target, check_timeout
from kintsugi.policy.rule import (
    Detection,
    Observation,
    OptionInvalid,
    Rule,
    RuleKind,
    TextRuleOptions,
)
from kintsugi.policy.rules.external_moderation.providers import (
    PROVIDERS,
    Provider,
    Reply,
    scores_in,
)

_FLAGGED = "moderation.flagged"
# What a text holds is not cut short: more than this is an error of the rule.
_PIECES_MAX = 16
# Pieces overlap, so that nothing is hidden by standing across a cut.
_OVERLAP_CHARS = 200


class Options(TextRuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    target: id of the target to ask; its address and secret stand under providers.targets.
    provider: which service it is.
    endpoint: not taken: an address belongs to a target.
    path: what follows the base path of the target; empty for the service's own.
    model: for services that ask for one.
    categories: only these count; empty for all that the service knows.
    threshold: the score from which a category counts.
    thresholds: the same for single categories.
    timeout_seconds: how long to wait for each answer.
    piece_chars: longer texts are asked about in pieces.
    reply: where a webhook's answer says what.
    """

    target: str = ""
    provider: str = "webhook"
    endpoint: str = ""
    path: str = ""
    model: str = ""
    categories: tuple[str, ...] = ()
    threshold: float = 0.5
    thresholds: dict[str, float] | None = None
    timeout_seconds: float = 2.0
    piece_chars: int = 10_000
    reply: Reply | None = None


class TextTooLong(Exception):
    """There is more text than a service may be asked about."""


class ModerationRule(Rule):
    """Asks about every text of a phase, and judges by the scores."""

    judges = True

    def __init__(self, options: Options, provider: Provider, phase: Phase) -> None:
        self._options = options
        self._provider = provider
        self._reply = options.reply or provider.reply
        self._phase = phase
        self._thresholds = options.thresholds or {}
        self._categories = frozenset(options.categories)

    def bind(self, config: Config) -> Self:
        """Raises:
        OptionInvalid: the configuration has no such target.
        """
        check_target(self._options.target, config, "target")
        return self

    def needs(self, exchange: ExchangeView, facts: Facts) -> Sequence[Need]:  # noqa: ARG002
        """One question for each piece of text."""
        options = self._options
        return [
            RemoteNeed(
                key=self._key(number),
                target_id=options.target,
                path=options.path or self._provider.path,
                body=self._provider.body(piece, self._phase.value, options.model),
                timeout_seconds=options.timeout_seconds,
            )
            for number, piece in enumerate(self._pieces(exchange))
        ]

    def judge(self, exchange: ExchangeView, facts: Facts) -> Iterator[Observation]:
        """Every category whose score reaches its threshold.

        Raises:
            RemoteFailed: the service did not answer in time, or not in a way that is understood.
            TextTooLong: there is more text than may be asked about.
        """
        highest: dict[str, float] = {}
        for number, _ in enumerate(self._pieces(exchange)):
            for category, score in scores_in(
                answer_of(facts, self._key(number)), self._reply
            ).items():
                highest[category] = max(score, highest.get(category, 0.0))
        for category, score in sorted(highest.items()):
            counts = not self._categories or category in self._categories
            if counts and score >= self._thresholds.get(category, self._options.threshold):
                yield Observation(
                    rule=category, reason_code=_FLAGGED, score=score, detail=f"score {score:.3f}"
                )

    def examine(self, part: Part, sightings: Sequence[Sighting]) -> Sequence[Detection]:  # noqa: ARG002
        """Never called: there are no patterns."""
        return ()

    def _key(self, number: int) -> str:
        return f"external-moderation/{self._phase.value}/{number}"

    def _pieces(self, exchange: ExchangeView) -> list[str]:
        texts = [part.text for part in exchange.parts if part.kind in ("text", "tool_result")]
        whole = "\n\n".join(text for text in texts if text.strip())
        size = self._options.piece_chars
        step = size - _OVERLAP_CHARS
        count = max(1, -(-(len(whole) - _OVERLAP_CHARS) // step)) if whole else 0
        if count > _PIECES_MAX:
            raise TextTooLong
        return [whole[at * step : at * step + size] for at in range(count)]


def build(options: Options, phase: Phase) -> Rule:
    """The rule for one phase.

    Raises:
        OptionInvalid: it names no known service, or a number is out of range.
    """
    if options.endpoint:
        raise OptionInvalid(
            "endpoint",
            "an address cannot stand here",
            "declare it under providers.targets (id, base_url, secret_key_ref) and name target: ID",
        )
    provider = PROVIDERS.get(options.provider)
    if provider is None:
        raise OptionInvalid(
            "provider",
            f'unknown service "{options.provider}"',
            f"use one of: {', '.join(PROVIDERS)}; webhook with reply: reads any JSON",
            nearest(options.provider, PROVIDERS),
        )
    if options.reply is not None:
        check_pointer(options.reply.scores, "reply.scores")
        check_pointer(options.reply.flagged, "reply.flagged")
        if options.reply.scale <= 0:
            raise OptionInvalid("reply.scale", "must be above 0", "use 1 for scores up to 1")
    if options.path and not options.path.startswith("/"):
        raise OptionInvalid("path", f'"{options.path}" is no path', f'write "/{options.path}"')
    check_timeout(options.timeout_seconds)
    if not 1_000 <= options.piece_chars <= 1_000_000:
        raise OptionInvalid(
            "piece_chars", f"{options.piece_chars} is out of range", "use 1000 to 1000000"
        )
    for path, value in (
        ("threshold", options.threshold),
        *((f"thresholds.{name}", value) for name, value in (options.thresholds or {}).items()),
    ):
        if not 0 <= value <= 1:
            raise OptionInvalid(path, f"{value:g} is out of range", "use 0 to 1")
    return ModerationRule(options, provider, phase)


KIND = RuleKind(
    name="external-moderation",
    title="Moderation service",
    options=Options,
    phases=(Phase.INPUT, Phase.OUTPUT),
    default_action=Verdict.BLOCK,
    actions=(Verdict.ALLOW, Verdict.FLAG, Verdict.ESCALATE, Verdict.QUARANTINE, Verdict.BLOCK),
    reasons=(_FLAGGED,),
    detector_version=1,
    message="A moderation service objects to the text.",
    method="Asks a configured target, within a time; scores against thresholds.",
    cost="The time of the service, up to timeout_seconds.",
    limits=("It is as good as the service; what it said is on record for replay.",),
    build=build,
)
