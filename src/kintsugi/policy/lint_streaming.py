"""Lint of the streaming mode: a policy that it cannot enforce is refused, not quietly weakened."""

from __future__ import annotations

from kintsugi.model.config import Config, Position
from kintsugi.model.decision import Mode, Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.automata import width
from kintsugi.policy.diagnostics import Problems
from kintsugi.policy.lint_rules import RulesByPhase
from kintsugi.policy.plan import RuleInForce


def check_streaming(config: Config, rules: RulesByPhase, problems: Problems) -> None:
    """Refuse a mode in which a policy of the chain cannot act. Tool calls stay whole in every
    mode but ``observe``."""
    mode = config.gateway.streaming
    answers, calls = (_enforced(rules, phase) for phase in (Phase.OUTPUT, Phase.TOOL))
    if mode == "observe" and any(_acts(rule) for rule in (*answers, *calls)):
        reason = (
            "streaming: observe only looks on, and a policy of the chain acts on answers "
            "or tool calls"
        )
        help_text = "use streaming: window or buffer, or set action: flag or mode: monitor"
    elif mode == "window" and any(_needs_whole(rule) for rule in answers):
        reason = "streaming: window cannot enforce a policy that needs the whole answer"
        help_text = "use streaming: buffer"
    else:
        return
    at = config.positions.get("gateway.streaming", Position())
    problems.add("E023", reason, at, "gateway.streaming", help=help_text)


def _enforced(rules: RulesByPhase, phase: Phase) -> list[RuleInForce]:
    return [rule for rule in rules.get(phase, ()) if rule.mode is Mode.ENFORCE]


def _acts(rule: RuleInForce) -> bool:
    looks = rule.rule.judges or rule.rule.patterns
    return rule.action.strictness > Verdict.FLAG.strictness and bool(looks)


def _needs_whole(rule: RuleInForce) -> bool:
    """Whether no window is wide enough, as ``Plan.hold_chars`` has it. Patterns that come with
    the kinds all end; a test holds them to it."""
    if rule.kind.needs_whole_text or rule.rule.judges:
        return True
    own = (width(pattern) for pattern in rule.rule.patterns if pattern.path)
    return any(reach.longest is None or reach.before is None for reach in own)
