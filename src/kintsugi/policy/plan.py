"""A configuration made ready to judge: rules in order, patterns compiled, a digest of it all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from kintsugi.errors import ConfigurationInvalid
from kintsugi.model.config import Config, PolicyBlock, Position
from kintsugi.model.decision import Decision, Evaluation, Mode, Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.automata import Automaton, Pattern, PatternInvalid, compile_pattern, width
from kintsugi.policy.diagnostics import Problems
from kintsugi.policy.encodings import TRIGGERS
from kintsugi.policy.rule import (
    ActionOptions,
    OptionInvalid,
    Rule,
    RuleKind,
    RuleOptions,
    TextRuleOptions,
    parse_action,
    parse_on_error,
)
from kintsugi.policy.rules import KINDS

# Part of every revision: raised whenever the engine itself (normalisation, matching, merging)
# may judge the same text differently under the same options and detectors.
ENGINE_VERSION = 1

PASSED = "policy.passed"


class RuleInForce(msgspec.Struct, frozen=True):
    """One rule of one phase with everything that it takes to run it.

    Attributes:
        action: verdict of a match.
        on_error: verdict when the rule raises.
        first_pattern: where its patterns begin in the phase's automaton.
        clear: its evaluation when it found nothing.
    """

    kind: RuleKind
    options: RuleOptions
    rule: Rule
    mode: Mode
    action: Verdict
    on_error: Verdict
    first_pattern: int
    clear: Evaluation


class PhasePlan(msgspec.Struct, frozen=True):
    """What runs in one phase.

    Attributes:
        rules: in the order of the chain.
        automaton: every pattern of the phase; None when no rule looks for any.
        owners: for each pattern of the automaton the position of its rule; -1 for the triggers
            of encodings, which come first.
        decodes: whether encodings are taken off; not in answers, whose matches must keep to
            the lengths that a streaming window holds back.
        clear: the decision when nothing was found, ready made.
        judges: whether some rule judges exchanges as a whole.
        asks: the rules that need something counted or asked beforehand.
        readers: positions of the rules that examine every reading of every part.
    """

    rules: tuple[RuleInForce, ...]
    automaton: Automaton | None
    owners: tuple[int, ...]
    decodes: bool
    clear: Decision
    judges: bool
    asks: tuple[RuleInForce, ...]
    readers: tuple[int, ...]


class Plan(msgspec.Struct, frozen=True):
    """A compiled configuration; never changes.

    Attributes:
        revision: ``sha256:...`` of what it means: the same for another spelling of the same
            configuration, another for anything that could change a decision.
        hold_chars: how many characters at the end of an incomplete answer may still become part
            of a finding that is not to be seen yet; None when an enforcing rule needs whole
            answers. See ``decide.settled``.
        context_chars: how many characters before ``Part.start`` a window must keep, where the
            text has them. Never more than ``hold_chars``.
        claim_names: request headers that rules want to see, in lower case.
        overlays: plans that judge besides this one, each before it: containments. No part of the
            revision; they are named on the event.
    """

    config: Config
    revision: str
    hold_chars: int | None
    context_chars: int
    phases: Mapping[Phase, PhasePlan]
    claim_names: frozenset[bytes]
    overlays: tuple[Plan, ...] = ()

    def phase(self, phase: Phase) -> PhasePlan | None:
        """What runs in a phase, overlays left out; None when nothing does."""
        return self.phases.get(phase)

    def has(self, phase: Phase) -> bool:
        """Whether anything runs in a phase."""
        return phase in self.phases or any(one.has(phase) for one in self.overlays)

    def asks(self, phase: Phase) -> bool:
        """Whether some rule of a phase needs something counted or asked beforehand."""
        return bool(self.asking(phase))

    def asking(self, phase: Phase) -> frozenset[str]:
        """The policies of a phase that need something counted or asked beforehand."""
        return frozenset(rule.kind.name for in_phase in self._in(phase) for rule in in_phase.asks)

    def judges(self, phase: Phase) -> bool:
        """Whether some rule of a phase judges exchanges as a whole."""
        return any(in_phase.judges for in_phase in self._in(phase))

    def enforces(self, phase: Phase) -> bool:
        """Whether some rule of a phase does more than monitor."""
        return any(
            rule.mode is Mode.ENFORCE for in_phase in self._in(phase) for rule in in_phase.rules
        )

    def evaluations(self, phase: Phase) -> tuple[Evaluation, ...]:
        """Of a phase in which nothing was found."""
        return tuple(one for in_phase in self._in(phase) for one in in_phase.clear.evaluations)

    def foregone(self, phase: Phase) -> Decision | None:
        """What a phase decides of every exchange, where no rule of it looks at any; None where one
        does."""
        found = self._in(phase)
        if not found:
            return Decision(Verdict.ALLOW, PASSED)
        looks = found[0].automaton is not None or found[0].judges
        return None if looks or len(found) > 1 else found[0].clear

    def watching(self, kinds: frozenset[str]) -> Plan:
        """The same where policies of these kinds only watch; all of them where it is empty."""
        phases = {phase: _watching(in_phase, kinds) for phase, in_phase in self.phases.items()}
        hold_chars, context_chars = _reach(phases.get(Phase.OUTPUT))
        return msgspec.structs.replace(
            self, hold_chars=hold_chars, context_chars=context_chars, phases=phases
        )

    def under(self, overlays: tuple[Plan, ...]) -> Plan:
        """The same with other plans that judge before it."""
        held = [plan.hold_chars for plan in (self, *overlays)]
        return msgspec.structs.replace(
            self,
            hold_chars=None if None in held else max(chars or 0 for chars in held),
            context_chars=max(plan.context_chars for plan in (self, *overlays)),
            claim_names=self.claim_names.union(*(plan.claim_names for plan in overlays)),
            overlays=overlays,
        )

    def _in(self, phase: Phase) -> list[PhasePlan]:
        found = [one.phases[phase] for one in self.overlays if phase in one.phases]
        if phase in self.phases:
            found.append(self.phases[phase])
        return found


def compile_plan(config: Config) -> Plan:
    """Compile a configuration.

    Raises:
        ConfigurationInvalid: an option has a value that cannot be used, or a pattern is not
            accepted; every such place is in its ``diagnostics``.
    """
    problems = Problems(config.file)
    rules = build_rules(config, problems)
    if problems.has_errors:
        found = problems.found
        raise ConfigurationInvalid(
            f"{found[0].file}:{found[0].position.line}: {found[0].message}", found
        )
    return plan_of(config, rules)


def plan_of(config: Config, rules: Mapping[Phase, Sequence[RuleInForce]]) -> Plan:
    """The plan of rules that were built."""
    phases = {phase: _phase_plan(in_phase, phase) for phase, in_phase in rules.items()}
    hold_chars, context_chars = _reach(phases.get(Phase.OUTPUT))
    claim_names = frozenset(
        name.encode()
        for in_force in phases.values()
        for rule in in_force.rules
        for name in rule.rule.claim_names
    )
    return Plan(config, revision(config), hold_chars, context_chars, phases, claim_names)


def build_rules(
    config: Config, problems: Problems, *, built_in_patterns: bool = True
) -> dict[Phase, list[RuleInForce]]:
    """The rules of every phase in which any runs; what is wrong goes to ``problems``.

    Args:
        built_in_patterns: whether to check the patterns that come with the kinds too. A caller
            that does not go on to compile a plan can leave that to the tests.
    """
    built = {phase: _rules(config, phase, problems, built_in_patterns) for phase in Phase}
    return {phase: rules for phase, rules in built.items() if rules}


def revision(config: Config) -> str:
    """The digest of what a configuration means; see ``Plan.revision``."""
    meaning = {
        "engine": ENGINE_VERSION,
        "gateway": {
            "streaming": config.gateway.streaming,
            "fail_mode": config.gateway.fail_mode,
            "roles": {key.name: key.role for key in config.gateway.keys if key.role},
        },
        "routing": msgspec.to_builtins(config.routing),
        "targets": [msgspec.to_builtins(target) for target in config.targets],
        "chain": [
            {
                "kind": block.kind,
                "detector": KINDS[block.kind].detector_version,
                "options": msgspec.to_builtins(block.options),
            }
            for block in config.chain
        ],
    }
    if config.mcp.servers:
        meaning["mcp"] = msgspec.to_builtins(config.mcp)
    canonical = msgspec.json.encode(meaning, order="deterministic")
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"


def _rules(
    config: Config, phase: Phase, problems: Problems, built_in_patterns: bool
) -> list[RuleInForce]:
    rules: list[RuleInForce] = []
    first_pattern = len(TRIGGERS) if _decodes(phase) else 0
    for block in config.chain:
        kind = KINDS[block.kind]
        if not _runs_in(kind, block.options, phase):
            continue
        try:
            rule = _rule(config, block, kind, phase, first_pattern)
        except OptionInvalid as error:
            path = f"policy.{block.kind}.{error.path}"
            problems.add(
                "E008",
                error.message,
                _position(config, path),
                path,
                help=error.help,
                suggestion=error.suggestion,
            )
            continue
        checked = [p for p in rule.rule.patterns if p.path or built_in_patterns]
        _check_patterns(config, block, checked, problems)
        first_pattern += len(rule.rule.patterns)
        rules.append(rule)
    return rules


def _runs_in(kind: RuleKind, options: RuleOptions, phase: Phase) -> bool:
    if phase not in kind.phases:
        return False
    chosen = options.phases if isinstance(options, TextRuleOptions) else ()
    return not chosen or phase.value in chosen


def _rule(
    config: Config, block: PolicyBlock, kind: RuleKind, phase: Phase, first_pattern: int
) -> RuleInForce:
    options: Any = block.options
    action = kind.default_action
    if isinstance(options, ActionOptions):
        action = parse_action(options.action, kind)
    if isinstance(options, TextRuleOptions) and phase is Phase.OUTPUT and options.output_action:
        action = parse_action(options.output_action, kind, path="output_action")
    if action is Verdict.TRANSFORM and options.transform is None:
        raise OptionInvalid(
            "action",
            '"transform" needs to know what to change',
            "add transform: {inject_text: ..., strip_tools: [...], max_output_tokens: ...}",
        )
    if (
        action is Verdict.TRANSFORM
        and phase in (Phase.TOOL, Phase.OUTPUT)
        and options.transform is not None
        and not options.transform.confirmation
    ):
        raise OptionInvalid(
            "transform",
            "these changes are made to requests; an answer can only be given a confirmation",
            "set output_action, limit phases to [input], or add confirmation: ...",
        )
    mode = Mode.MONITOR if options.mode == Mode.MONITOR.value else Mode.ENFORCE
    built = kind.build(options, phase).bind(config)
    return RuleInForce(
        kind=kind,
        options=options,
        rule=built,
        mode=mode,
        action=built.action or action,
        on_error=parse_on_error(options.on_error, config.gateway.fail_mode),
        first_pattern=first_pattern,
        clear=Evaluation(
            policy_name=kind.name,
            phase=phase,
            mode=mode,
            outcome="clear",
            verdict=Verdict.ALLOW,
            reason_code=built.clear_reason,
        ),
    )


def _check_patterns(
    config: Config, block: PolicyBlock, patterns: Sequence[Pattern], problems: Problems
) -> None:
    for pattern in patterns:
        try:
            compile_pattern(pattern)
        except PatternInvalid as error:
            path = f"policy.{block.kind}.{pattern.path}"
            problems.add("E014", f"{error.pattern!r}: {error}", _position(config, path), path)


def _position(config: Config, path: str) -> Position:
    """The place of a path, or of the nearest thing around it that is written in the file."""
    while path and path not in config.positions:
        path = path.rpartition(".")[0]
    return config.positions.get(path, Position())


def _phase_plan(rules: Sequence[RuleInForce], phase: Phase) -> PhasePlan:
    decodes = _decodes(phase)
    patterns = list(TRIGGERS) if decodes else []
    owners = [-1] * len(patterns)
    for position, rule in enumerate(rules):
        patterns.extend(
            msgspec.structs.replace(pattern, group=pattern.group or rule.kind.name)
            for pattern in rule.rule.patterns
        )
        owners.extend([position] * len(rule.rule.patterns))
    searched = any(rule.rule.patterns for rule in rules)
    return PhasePlan(
        rules=tuple(rules),
        automaton=Automaton(patterns) if searched else None,
        owners=tuple(owners),
        decodes=decodes,
        clear=Decision(
            verdict=Verdict.ALLOW,
            reason_code=PASSED,
            evaluations=tuple(rule.clear for rule in rules),
        ),
        judges=any(rule.rule.judges for rule in rules),
        asks=_asks(rules),
        readers=tuple(at for at, rule in enumerate(rules) if rule.rule.every_reading),
    )


def _watching(in_phase: PhasePlan, kinds: frozenset[str]) -> PhasePlan:
    rules = tuple(
        msgspec.structs.replace(
            rule,
            mode=Mode.MONITOR,
            clear=msgspec.structs.replace(rule.clear, mode=Mode.MONITOR),
        )
        if not kinds or rule.kind.name in kinds
        else rule
        for rule in in_phase.rules
    )
    return msgspec.structs.replace(
        in_phase,
        rules=rules,
        clear=msgspec.structs.replace(
            in_phase.clear, evaluations=tuple(rule.clear for rule in rules)
        ),
        asks=_asks(rules),
    )


def _asks(rules: Sequence[RuleInForce]) -> tuple[RuleInForce, ...]:
    return tuple(rule for rule in rules if type(rule.rule).needs is not Rule.needs)


def _decodes(phase: Phase) -> bool:
    return phase is Phase.INPUT


def _reach(output: PhasePlan | None) -> tuple[int | None, int]:
    """``hold_chars`` and ``context_chars`` of the output phase."""
    if output is None:
        return 0, 0
    hold: int | None = 1
    context = 1  # what stands right before a match decides whether a word begins there
    for in_force in output.rules:
        context = max(context, in_force.rule.context_chars)
        hold = None if hold is None else max(hold, in_force.rule.reach_chars + 1)
        for pattern in in_force.rule.patterns:
            reach = width(pattern)
            if reach.longest is None or reach.before is None:
                if in_force.mode is Mode.ENFORCE:
                    hold = None
                continue
            context = max(context, reach.before + 1)
            # One more: what stands right after a match decides whether a word ends there.
            hold = None if hold is None else max(hold, reach.longest + 1)
        needs_whole = in_force.kind.needs_whole_text or in_force.rule.judges
        if needs_whole and in_force.mode is Mode.ENFORCE:
            hold = None
    return None if hold is None else max(hold, context), context
