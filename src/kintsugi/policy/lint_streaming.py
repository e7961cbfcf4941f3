"""Lint of the streaming mode: a policy that it cannot enforce is refused, not quietly weakened."""

from __future__ import annotations

from kintsugi.model.config import Position
from kintsugi.model.decision import Mode, Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.diagnostics import Problems
from kintsugi.policy.plan import Plan


def check_streaming(plan: Plan, problems: Problems) -> None:
    """Refuse a mode in which a policy of the chain cannot act."""
    config = plan.config
    mode = config.gateway.streaming
    if mode == "buffer" or not plan.has(Phase.OUTPUT):
        return
    if mode == "observe" and _acts_on_answers(plan):
        reason = "streaming: observe only looks on, and a policy of the chain acts on answers"
        help_text = "use streaming: window or buffer, or set action: flag or mode: monitor"
    elif mode == "window" and plan.hold_chars is None:
        reason = "streaming: window cannot enforce a policy that needs the whole answer"
        help_text = "use streaming: buffer"
    else:
        return
    at = config.positions.get("gateway.streaming", Position())
    problems.add("E023", reason, at, "gateway.streaming", help=help_text)


def _acts_on_answers(plan: Plan) -> bool:
    in_force = plan.phase(Phase.OUTPUT)
    return in_force is not None and any(
        rule.mode is Mode.ENFORCE
        and rule.action.strictness > Verdict.FLAG.strictness
        and (rule.rule.judges or rule.rule.patterns)
        for rule in in_force.rules
    )
