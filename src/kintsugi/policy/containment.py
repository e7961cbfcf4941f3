"""A containment made ready: whom it is about, and a plan that judges before the configuration's.

Levers that a kind of policy already knows are that kind with other options; the rest is here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import msgspec

from kintsugi.errors import ConfigurationInvalid, InvalidInput
from kintsugi.model.config import Config, PolicyBlock
from kintsugi.model.containment import CONTAINMENT, Containment, ContainmentScope, Lever
from kintsugi.model.content import ExchangeView, Identity, Part
from kintsugi.model.decision import Evaluation, Mode, Phase
from kintsugi.model.facts import CounterNeed, Facts, Need
from kintsugi.model.transform import Escalation, PinnedPrompt, Transform
from kintsugi.model.verdict import Verdict
from kintsugi.policy.diagnostics import Problems
from kintsugi.policy.names import Names
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import Plan, RuleInForce, build_rules, compile_plan, plan_of
from kintsugi.policy.rule import Observation, Rule, RuleKind, RuleOptions
from kintsugi.policy.rules import KINDS
from kintsugi.policy.rules.language_validator.detect import prose_of, read
from kintsugi.policy.sources import label, sources, url_key

STOPPED: Final = "containment.stopped"
REVIEWED: Final = "containment.review_required"
SOURCE: Final = "containment.source_blocked"
TOOL: Final = "containment.tool_disabled"
CHANGED: Final = "containment.request_changed"

# The field that each lever is useless without, and what to write.
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "disable-tools": ("tools",),
        "only-tools": ("tools",),
        "block-sources": ("sources",),
        "add-filter": ("terms", "patterns"),
        "rate-limit": ("requests",),
        "cap-context": ("max_context_chars", "max_output_tokens"),
        "swap-model": ("model",),
        "pin-prompt": ("prompt",),
        "pin-policy": ("config_version",),
    }
)
_LETTERS_MIN: Final = 20
_MESSAGE: Final = "This is contained until a person releases it."


class Contained:
    """A containment as a gateway holds it.

    Args:
        config: what is in force.
        config_id: what that is called, the part of ``ID@V`` before the @; its pack's id if empty.

    Attributes:
        plan: judges before the configuration's own.
        pinned: decides in place of the configuration's own; None for all levers but one.
    """

    def __init__(self, containment: Containment, config: Config, config_id: str = "") -> None:
        """Raises:
        InvalidInput: the lever lacks what it needs, has a pattern that is not accepted, or pins
            what cannot be put in force here.
        """
        self.containment = containment
        self.config = config
        self.plan = _plan(containment, config)
        self.pinned: Plan | None = None
        lever = containment.lever
        pins = lever.config_version.rpartition("@")[0]
        # A gateway that runs another configuration has nothing to pin.
        self._is_elsewhere = bool(pins) and pins != (config_id or config.pack.id)
        if lever.name == "pin-policy" and not self._is_elsewhere:
            self.pinned = _pinned(lever, config)
        scope = containment.scope
        self._wanted = [
            (name, Names((wanted,)))
            for name in ("workflow", "agent", "session", "user", "team", "tenant", "key")
            if (wanted := getattr(scope, name))
        ]
        self._model = Names((scope.model,)) if scope.model else None

    def applies(
        self, identity: Identity, *, model: str, region: str, said: Sequence[Part], now: datetime
    ) -> bool:
        """Whether it is about this exchange, at this time.

        An exchange that does not say what a scope asks for is not in that scope: a session without
        a name is nobody's session. Contain by what every exchange has, or everybody, where that
        can be left out.
        """
        containment = self.containment
        if self._is_elsewhere or not containment.in_force(now):
            return False
        if any(_who(identity, name) not in names for name, names in self._wanted):
            return False
        if self._model is not None and model not in self._model:
            return False
        scope = containment.scope
        if scope.region and scope.region.casefold() != region.casefold():
            return False
        return not scope.language or _language(said) == scope.language


def under(plan: Plan, contained: Sequence[Contained]) -> Plan:
    """A configuration's plan as it judges exchanges that are under these."""
    pin = pin_of(contained)
    plan = pin.pinned if pin is not None and pin.pinned is not None else plan
    for one in contained:
        if one.containment.lever.name == "bypass":
            plan = plan.watching(frozenset(one.containment.lever.policies))
    return plan.under(tuple(one.plan for one in contained))


def pin_of(contained: Sequence[Contained]) -> Contained | None:
    """The one whose version of the policies decides: the newest; None where none pins any."""
    return next((one for one in reversed(contained) if one.pinned is not None), None)


def pinned_config(kept: Config, now: Config) -> Config:
    """The policies of a kept version, and what else decides with them, amid the targets, routing,
    keys and MCP servers of what is in force: nothing that was withdrawn since comes back."""
    gateway = msgspec.structs.replace(
        now.gateway, streaming=kept.gateway.streaming, fail_mode=kept.gateway.fail_mode
    )
    return msgspec.structs.replace(
        now, chain=kept.chain, gateway=gateway, file=kept.file, positions=kept.positions
    )


def check_containment(
    lever: Lever, scope: ContainmentScope, config: Config, config_id: str = ""
) -> None:
    """Refuse what no gateway could put in force.

    Raises:
        InvalidInput: the message says what is missing or wrong.
    """
    never = datetime.fromtimestamp(0, UTC)
    Contained(Containment("", lever, scope, "", "", "", never, never), config, config_id)


def _who(identity: Identity, name: str) -> str:
    told: str = getattr(
        identity, {"workflow": "workflow", "key": "key_name"}.get(name, f"{name}_id")
    )
    return told


def _language(said: Sequence[Part]) -> str:
    """Of what the user said last; empty where that cannot be told."""
    texts = [part.text for part in said if part.role == "user" and part.kind == "text"]
    reading = read(prose_of(texts[-1])) if texts else None
    return reading.best if reading is not None and reading.letters >= _LETTERS_MIN else ""


def _plan(containment: Containment, config: Config) -> Plan:
    lever = containment.lever
    needed = _NEEDED.get(lever.name, ())
    if needed and not any(getattr(lever, field) for field in needed):
        raise InvalidInput(f"lever.{needed[0]}: {lever.name} needs {' or '.join(needed)}")
    name = f"{CONTAINMENT}{containment.id}"
    if lever.name == "bypass":
        _check_kinds(lever)
        return plan_of(config, {})
    if lever.name == "pin-policy":
        return plan_of(config, {})
    if lever.name == "add-filter":
        return _filter(name, lever, config)
    rule = _RULES[lever.name](containment)
    return plan_of(config, {phase: [_own(name, lever, rule, phase)] for phase in rule.phases})


def _pinned(lever: Lever, config: Config) -> Plan:
    try:
        kept = parse_config(lever.content, file=lever.config_version)
        return compile_plan(pinned_config(kept, config))
    except ConfigurationInvalid as error:
        raise InvalidInput(
            f"lever.config_version: {lever.config_version} cannot be put in force now: {error}"
        ) from None


def _check_kinds(lever: Lever) -> None:
    for kind in lever.policies:
        if kind not in KINDS:
            raise InvalidInput(
                f'lever.policies: "{kind}" is no kind of policy; `kt policy schema` lists them'
            )


def _filter(name: str, lever: Lever, config: Config) -> Plan:
    """The kind of policy that looks for terms, under another name."""
    kind = KINDS["dlp-filter"]
    options = {"blocked_terms": lever.terms, "detect_patterns": lever.patterns, "action": "block"}
    block = PolicyBlock(kind.name, msgspec.convert(options, kind.options))
    problems = Problems("containment")
    overlay = msgspec.structs.replace(config, chain=(block,), positions={})
    built = build_rules(overlay, problems)
    if problems.has_errors:
        raise InvalidInput("; ".join(f"lever.patterns: {one.message}" for one in problems.found))
    rules = {phase: [_renamed(rule, name) for rule in found] for phase, found in built.items()}
    return plan_of(overlay, rules)


def _renamed(rule: RuleInForce, name: str) -> RuleInForce:
    return msgspec.structs.replace(
        rule,
        kind=msgspec.structs.replace(rule.kind, name=name),
        clear=msgspec.structs.replace(rule.clear, policy_name=name),
    )


class _LeverRule(Rule):
    """Acts on everything that it is asked about: whose exchanges those are is settled before."""

    judges = True
    message = _MESSAGE
    phases: tuple[Phase, ...] = (Phase.INPUT,)
    reason_code = CHANGED

    def __init__(self, containment: Containment) -> None:
        self._containment = containment
        self._lever = containment.lever

    def judge(self, exchange: ExchangeView, facts: Facts) -> Iterator[Observation]:  # noqa: ARG002
        """See ``Rule``."""
        yield Observation(rule=self._lever.name, reason_code=self.reason_code)


class _Stop(_LeverRule):
    reason_code = STOPPED


class _Review(_LeverRule):
    phases = (Phase.OUTPUT,)
    reason_code = REVIEWED


class _Tools(_LeverRule):
    """Tools that may not be called, or the only ones that may."""

    phases = (Phase.TOOL,)

    def __init__(self, containment: Containment) -> None:
        super().__init__(containment)
        self._only = self._lever.name == "only-tools"
        # What is refused is known in any spelling; what is allowed, to the letter.
        self._tools = Names(self._lever.tools, loose=not self._only)

    def judge(self, exchange: ExchangeView, facts: Facts) -> Iterator[Observation]:  # noqa: ARG002
        """See ``Rule``."""
        for part in exchange.parts:
            if part.kind == "tool_call" and (part.name in self._tools) is not self._only:
                yield Observation(rule=self._lever.name, reason_code=TOOL, path=part.path)


class _Sources(_LeverRule):
    """Passages and tool results that may not reach a model."""

    def __init__(self, containment: Containment) -> None:
        super().__init__(containment)
        named = self._lever.sources
        self._tools = Names(named, loose=True)
        self._labels = frozenset(label(source) for source in named)
        self._urls = tuple(url_key(source) for source in named if "://" in source)

    def judge(self, exchange: ExchangeView, facts: Facts) -> Iterator[Observation]:  # noqa: ARG002
        """See ``Rule``."""
        for part in exchange.request:
            if part.kind == "tool_result" and part.name in self._tools:
                yield Observation(rule="tool", reason_code=SOURCE, path=part.path)
        for source in sources(exchange.request):
            text = source.text.casefold()
            if not self._labels.isdisjoint(source.labels) or any(url in text for url in self._urls):
                yield Observation(rule="source", reason_code=SOURCE, path=source.path)


class _RateLimit(_LeverRule):
    """One counter for all exchanges in scope."""

    def needs(self, exchange: ExchangeView, facts: Facts) -> Sequence[Need]:  # noqa: ARG002
        """See ``Rule``."""
        return (
            CounterNeed(
                key=self._key,
                amount=1,
                limit=self._lever.requests,
                window_seconds=self._lever.window_seconds,
                keeps=True,
            ),
        )

    def judge(self, exchange: ExchangeView, facts: Facts) -> Iterator[Observation]:  # noqa: ARG002
        """See ``Rule``."""
        counter = facts.counters[self._key]
        if not counter.granted:
            yield Observation(
                rule=self._lever.name,
                reason_code="rate_limit.exceeded",
                retry_after_seconds=counter.retry_after_seconds,
            )

    @property
    def _key(self) -> str:
        return f"{CONTAINMENT}{self._containment.id}"


_RULES: Final[Mapping[str, type[_LeverRule]]] = MappingProxyType(
    {
        "stop": _Stop,
        "review": _Review,
        "disable-tools": _Tools,
        "only-tools": _Tools,
        "block-sources": _Sources,
        "rate-limit": _RateLimit,
        "cap-context": _LeverRule,
        "swap-model": _LeverRule,
        "pin-prompt": _LeverRule,
    }
)


def _own(name: str, lever: Lever, rule: Rule, phase: Phase) -> RuleInForce:
    options = RuleOptions()
    action = Verdict.BLOCK
    if lever.name == "review":
        action = Verdict.ESCALATE
        options = RuleOptions(escalation=Escalation(hold_seconds=lever.hold_seconds))
    elif lever.name in ("cap-context", "swap-model", "pin-prompt"):
        action = Verdict.TRANSFORM
        options = RuleOptions(
            transform=Transform(
                max_context_chars=lever.max_context_chars,
                max_output_tokens=lever.max_output_tokens,
                model=lever.model,
                prompt=_prompt(lever),
            )
        )
    return RuleInForce(
        kind=msgspec.structs.replace(_KIND, name=name),
        options=options,
        rule=rule,
        mode=Mode.ENFORCE,
        action=action,
        on_error=Verdict.BLOCK,
        first_pattern=0,
        clear=Evaluation(name, phase, Mode.ENFORCE, "clear", Verdict.ALLOW),
    )


def _prompt(lever: Lever) -> PinnedPrompt | None:
    if lever.name != "pin-prompt":
        return None
    return PinnedPrompt(id=lever.prompt, version=lever.prompt_version, text=lever.content)


_KIND: Final = RuleKind(
    name="containment",
    title="Containment",
    options=RuleOptions,
    phases=(Phase.INPUT, Phase.TOOL, Phase.OUTPUT),
    default_action=Verdict.BLOCK,
    actions=(Verdict.TRANSFORM, Verdict.ESCALATE, Verdict.BLOCK),
    reasons=(STOPPED, REVIEWED, SOURCE, TOOL, CHANGED),
    detector_version=1,
    message=_MESSAGE,
    method="What a person put in force.",
    cost="Nothing for exchanges out of its scope.",
    limits=(),
    build=lambda _options, _phase: Rule(),
)
