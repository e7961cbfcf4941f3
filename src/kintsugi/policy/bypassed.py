"""What policies would have done to exchanges that a bypass let through.

While a bypass is in force, policies watch: they judge every exchange with the gateway's own engine,
on the exact content, and the event holds what each asked for. So the judgement needs no content
later, also where none was kept or it was erased.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from kintsugi.model.config import Config
from kintsugi.model.containment import Bypassed
from kintsugi.model.decision import Evaluation, Mode
from kintsugi.model.event import DecisionEvent
from kintsugi.model.verdict import Verdict

#: The configuration that an event names; None where it is not known here.
ConfigOf = Callable[[str], Config | None]


class BypassTally:
    """Counts the exchanges under one bypass.

    Args:
        policies: kinds that the bypass is about; empty for all of them.
        keep_max: how many ids of stopped exchanges to keep.
    """

    def __init__(self, policies: tuple[str, ...], config_of: ConfigOf, *, keep_max: int) -> None:
        self._policies = frozenset(policies)
        self._config_of = config_of
        self._keep_max = keep_max
        self._exchanges = 0
        self._verdicts = Counter[str]()
        self._by_policy = Counter[str]()
        self.stopped: list[str] = []

    def add(self, event: DecisionEvent) -> None:
        """Count one exchange that was under it."""
        self._exchanges += 1
        watching = self._watch_anyway(event.config_version)
        held_back = [
            evaluation
            for evaluation in event.evaluations
            if evaluation.mode is Mode.MONITOR
            and evaluation.verdict is not Verdict.ALLOW
            and self._is_about(evaluation)
            and evaluation.policy_name not in watching
        ]
        strictest = max(
            (one.verdict for one in held_back),
            key=lambda one: one.strictness,
            default=Verdict.ALLOW,
        )
        self._verdicts[strictest.value] += 1
        # Flagging is what they did anyway.
        acting = {
            one.policy_name for one in held_back if one.verdict.strictness > Verdict.FLAG.strictness
        }
        self._by_policy.update(acting)
        if acting and len(self.stopped) < self._keep_max:
            self.stopped.append(event.id)

    def result(self) -> Bypassed:
        """All of it."""
        return Bypassed(
            exchanges=self._exchanges,
            would_have=dict(sorted(self._verdicts.items())),
            by_policy=dict(self._by_policy.most_common()),
        )

    def _is_about(self, evaluation: Evaluation) -> bool:
        return not self._policies or evaluation.policy_name in self._policies

    def _watch_anyway(self, config_version: str) -> frozenset[str]:
        """Policies that only watch by the configuration itself."""
        config = self._config_of(config_version)
        if config is None:
            return frozenset()
        return frozenset(
            block.kind for block in config.chain if block.options.mode == Mode.MONITOR.value
        )
