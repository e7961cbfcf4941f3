"""Where data may go: targets by what they promise, where they are, and what is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Self

import msgspec

from kintsugi.model.config import Config, Target
from kintsugi.model.content import ExchangeView
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts
from kintsugi.model.verdict import Verdict
from kintsugi.policy.data_classes import CLASSES, DataClass, data_classes
from kintsugi.policy.names import Names
from kintsugi.policy.reasons import REASONS
from kintsugi.policy.rule import ActionOptions, Observation, OptionInvalid, Rule, RuleKind

_NONE_LEFT = "data_routing.no_target"
_NARROWED = "data_routing.narrowed"


class Requirement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a target must be, when it applies.

    Attributes:
        data: when the exchange holds one of these classes: ``pii``, ``phi``, ``pci``, ``secret``,
            ``term``, ``internal``, ``confidential``, ``restricted``. Empty: always.
        found: when policies found one of these: reason codes or names of findings.
        teams, users, workflows, agents, models: when the caller or the model is one of these.
        regions, tags, targets: a target of one of these regions, with all of these tags, of these
            ids. Empty: any.
        zero_data_retention, no_training: a target that promises it.
        max_retention_days: a target that keeps what it is sent no longer.
    """

    data: tuple[DataClass, ...] = ()
    found: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    zero_data_retention: bool = False
    no_training: bool = False
    max_retention_days: int | None = None


class Options(ActionOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    require_zero_data_retention: targets keep nothing of any request.
    require_no_training: targets learn from no request.
    max_retention_days: targets keep requests no longer than this.
    rules: further requirements, each under its own conditions; all that apply must hold.
    on_no_compliant_provider: ``block`` when no target is left; ``warn`` flags and leaves the
        choice as it was.
    log_provider_selection: record which targets were left, also where none was taken away.
    """

    require_zero_data_retention: bool = False
    require_no_training: bool = False
    max_retention_days: int | None = None
    rules: tuple[Requirement, ...] = ()
    on_no_compliant_provider: Literal["block", "warn"] = "block"
    log_provider_selection: bool = False


class _Condition(NamedTuple):
    """A requirement with its lists ready to ask."""

    requirement: Requirement
    teams: Names
    users: Names
    workflows: Names
    agents: Names
    models: Names

    def applies(self, exchange: ExchangeView, facts: Facts, classes: frozenset[DataClass]) -> bool:
        who = facts.identity
        wanted = self.requirement
        return (
            (not wanted.data or not classes.isdisjoint(wanted.data))
            and (not wanted.found or not set(facts.found).isdisjoint(wanted.found))
            and (not self.teams or who.team_id in self.teams)
            and (not self.users or who.user_id in self.users)
            and (not self.workflows or who.workflow in self.workflows)
            and (not self.agents or who.agent_id in self.agents)
            and (not self.models or exchange.model in self.models)
        )


class RoutingRule(Rule):
    """Narrows the targets down to those that every requirement that applies accepts."""

    judges = True

    def __init__(self, options: Options) -> None:
        self._options = options
        always = Requirement(
            zero_data_retention=options.require_zero_data_retention,
            no_training=options.require_no_training,
            max_retention_days=options.max_retention_days,
        )
        self._conditions = [
            _Condition(
                one,
                Names(one.teams),
                Names(one.users),
                Names(one.workflows),
                Names(one.agents),
                Names(one.models),
            )
            for one in (always, *options.rules)
        ]
        self._targets: dict[str, Target] = {}

    def bind(self, config: Config) -> Self:
        """See ``Rule``."""
        self._targets = {target.id: target for target in config.targets}
        tags = {tag for target in config.targets for tag in target.tags}
        for at, rule in enumerate(self._options.rules):
            for field, wanted, known in (
                ("targets", rule.targets, self._targets.keys()),
                ("tags", rule.tags, tags),
            ):
                for index, word in enumerate(wanted):
                    if config.targets and word not in known:
                        raise OptionInvalid(
                            f"rules.{at}.{field}.{index}",
                            f'no target has "{word}"',
                            f"known: {', '.join(sorted(known)) or 'none'}",
                        )
        return self

    def judge(self, exchange: ExchangeView, facts: Facts) -> Sequence[Observation]:
        """See ``Rule``."""
        classes = data_classes(facts.found)
        wanted = [
            condition.requirement
            for condition in self._conditions
            if condition.applies(exchange, facts, classes)
        ]
        left = tuple(
            name
            for name in exchange.target_ids
            if all(_meets(self._targets.get(name), one) for one in wanted)
        )
        if not left and exchange.target_ids:
            warns = self._options.on_no_compliant_provider == "warn"
            return [
                Observation(
                    rule="no_target",
                    reason_code=_NONE_LEFT,
                    detail=f"none of {len(exchange.target_ids)} targets meets every requirement",
                    verdict=Verdict.FLAG if warns else None,
                )
            ]
        if len(left) == len(exchange.target_ids) and not self._options.log_provider_selection:
            return ()
        return [
            Observation(
                rule="narrowed",
                reason_code=_NARROWED,
                detail=f"left: {', '.join(left)}"[:200],
                verdict=Verdict.ALLOW,
                target_ids=left,
            )
        ]


def _meets(target: Target | None, wanted: Requirement) -> bool:
    """Whether a target is what is wanted; one that is not known is not."""
    if target is None:
        return wanted == Requirement()
    promised = target.data_policy
    days = 0 if promised.zero_data_retention else promised.retention_days
    return (
        (not wanted.regions or target.region in wanted.regions)
        and set(wanted.tags) <= set(target.tags)
        and (not wanted.targets or target.id in wanted.targets)
        and (not wanted.zero_data_retention or promised.zero_data_retention)
        and (not wanted.no_training or promised.training_opt_out)
        and (
            wanted.max_retention_days is None
            or (days is not None and days <= wanted.max_retention_days)
        )
    )


def build(options: Options, phase: Phase) -> Rule:  # noqa: ARG001
    """The rule for the route phase.

    Raises:
        OptionInvalid: a word that stands for nothing that a policy can find.
    """
    for at, rule in enumerate(options.rules):
        for index, word in enumerate(rule.found):
            if "." in word and word not in REASONS:
                raise OptionInvalid(
                    f"rules.{at}.found.{index}",
                    f'unknown reason code "{word}"',
                    f"see kt reasons; classes of data go under data: {', '.join(CLASSES)}",
                )
    return RoutingRule(options)


KIND = RuleKind(
    name="data-routing-policy",
    title="Data routing",
    options=Options,
    phases=(Phase.ROUTE,),
    default_action=Verdict.BLOCK,
    actions=(Verdict.FLAG, Verdict.ESCALATE, Verdict.BLOCK),
    reasons=(_NONE_LEFT, _NARROWED),
    detector_version=1,
    message="No provider may receive this data.",
    method="Targets' promises, regions and tags against what is required of them.",
    cost="A few microseconds per exchange.",
    limits=(
        "What a provider promises is what the configuration says it promised.",
        "Classes of data follow from what the policies of the input phase found.",
    ),
    build=build,
)
