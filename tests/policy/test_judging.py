"""Rules about whole exchanges: asked once, after their facts, never on a part of a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import msgspec

from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Decision, Phase
from kintsugi.model.facts import Counter, CounterNeed, Facts, Need
from kintsugi.model.transform import Transform
from kintsugi.model.verdict import Verdict
from kintsugi.policy.decide import decide, needs, settlements
from kintsugi.policy.plan import Plan, compile_plan
from kintsugi.policy.rule import Observation, Rule, RuleKind, RuleOptions
from tests.policy.configs import FACTS, config_of, findings

TEXT = ExchangeView([Part("user", "text", "send 500 now", "/messages/0/content")])
AMOUNT = Observation(
    rule="amount", reason_code="made.up", path="/messages/0/content", start=5, end=8
)
ABOUT_ALL = Observation(rule="all", reason_code="made.up")


class Judge(Rule):
    judges = True

    def __init__(self, found: Sequence[Observation]) -> None:
        self.found = found

    def judge(self, exchange: ExchangeView, facts: Facts) -> Sequence[Observation]:  # noqa: ARG002
        return self.found


class Counting(Rule):
    judges = True

    def needs(self, exchange: ExchangeView, facts: Facts) -> Sequence[Need]:  # noqa: ARG002
        return [CounterNeed(key="calls", amount=1, limit=3)]

    def judge(self, exchange: ExchangeView, facts: Facts) -> Sequence[Observation]:  # noqa: ARG002
        return () if facts.counters["calls"].granted else [ABOUT_ALL]


class Failing(Rule):
    """Finds something, and then fails."""

    judges = True

    def judge(self, exchange: ExchangeView, facts: Facts) -> Iterable[Observation]:  # noqa: ARG002
        yield msgspec.structs.replace(ABOUT_ALL, verdict=Verdict.ESCALATE)
        raise RuntimeError


def _given(rule: Rule, options: RuleOptions, phase: Phase) -> Rule:
    return rule


@contextmanager
def kinds(**rules: Rule) -> Iterator[None]:
    """Kinds that are made up: each with its rule in every phase."""
    made = {
        name: RuleKind(
            name=name,
            title=name,
            options=RuleOptions,
            phases=tuple(Phase),
            default_action=Verdict.BLOCK,
            actions=tuple(Verdict),
            reasons=("made.up",),
            detector_version=1,
            message="",
            method="",
            cost="",
            limits=(),
            build=partial(_given, rule),
        )
        for name, rule in rules.items()
    }
    with (
        patch.multiple("kintsugi.policy.plan", KINDS=made),
        patch("tests.policy.configs.KINDS", made),
    ):
        yield


def plan_of(options: dict[str, Any] | None = None, **rules: Rule) -> Plan:
    with kinds(**rules):
        return compile_plan(config_of({name: options or {} for name in rules}))


def judged(plan: Plan, view: ExchangeView = TEXT, facts: Facts = FACTS) -> Decision:
    return decide(plan, Phase.INPUT, view, facts)


def test_an_observation_acts_with_the_policys_action_and_says_where() -> None:
    decision = judged(plan_of(one=Judge([AMOUNT])))
    assert (decision.verdict, decision.reason_code) == (Verdict.BLOCK, "made.up")
    (finding,) = findings(decision)
    assert (finding.path, finding.offset, finding.length) == ("/messages/0/content", 5, 3)
    assert finding.fingerprint


def test_an_observation_may_ask_for_its_own_verdict_and_the_strictest_counts() -> None:
    seen = [
        msgspec.structs.replace(ABOUT_ALL, verdict=Verdict.FLAG, score=1.0),
        msgspec.structs.replace(ABOUT_ALL, verdict=Verdict.ESCALATE, score=0.1),
    ]
    decision = judged(plan_of(one=Judge(seen)))
    assert decision.verdict is Verdict.ESCALATE
    assert decision.escalation is not None


def test_a_place_is_redacted_and_the_whole_is_not() -> None:
    seen = [msgspec.structs.replace(one, verdict=Verdict.REDACT) for one in (AMOUNT, ABOUT_ALL)]
    decision = judged(plan_of(one=Judge(seen)))
    assert [(edit.start, edit.end) for edit in decision.edits] == [(5, 8)]


def test_nothing_is_judged_before_it_is_complete() -> None:
    plan = plan_of(one=Judge([ABOUT_ALL]))
    part = msgspec.structs.replace(TEXT, complete=False)
    assert judged(plan, part).verdict is Verdict.ALLOW


def test_an_enforcing_judge_of_answers_holds_streams_to_their_end() -> None:
    assert plan_of(one=Judge([])).hold_chars is None
    assert plan_of({"mode": "monitor"}, one=Judge([])).hold_chars is not None


def test_facts_are_asked_for_once_and_reach_the_rule() -> None:
    plan = plan_of(one=Counting(), two=Counting())
    assert needs(plan, Phase.INPUT, TEXT, FACTS) == (CounterNeed(key="calls", amount=1, limit=3),)
    facts = msgspec.structs.replace(FACTS, counters={"calls": Counter(3, granted=False)})
    assert judged(plan, facts=facts).verdict is Verdict.BLOCK


def test_a_rule_whose_fact_is_missing_has_failed() -> None:
    (evaluation,) = judged(plan_of(one=Counting())).evaluations
    assert (evaluation.outcome, evaluation.why) == ("error", "KeyError")
    assert evaluation.verdict is Verdict.BLOCK


def test_a_note_is_recorded_and_leaves_the_evaluation_clear() -> None:
    note = msgspec.structs.replace(ABOUT_ALL, note=True, detail="score 0.5")
    (evaluation,) = judged(plan_of(one=Judge([note]))).evaluations
    assert (evaluation.outcome, evaluation.verdict) == ("clear", Verdict.ALLOW)
    assert [finding.detail for finding in evaluation.findings] == ["score 0.5"]
    both = judged(plan_of(one=Judge([note, ABOUT_ALL])))
    assert (both.verdict, len(both.evaluations[0].findings)) == (Verdict.BLOCK, 2)


def test_what_was_found_before_an_error_still_counts() -> None:
    (evaluation,) = judged(plan_of({"on_error": "flag"}, one=Failing())).evaluations
    assert (evaluation.outcome, evaluation.verdict) == ("error", Verdict.ESCALATE)


def test_what_is_to_change_comes_in_the_order_of_the_chain() -> None:
    change = Transform(inject_text="Be careful.")
    seen = [msgspec.structs.replace(ABOUT_ALL, verdict=Verdict.TRANSFORM)]
    options = {"transform": {"inject_text": "Be careful."}}
    decision = judged(plan_of(options, one=Judge(seen), two=Judge(seen)))
    assert decision.verdict is Verdict.TRANSFORM
    assert decision.transforms == (change, change)


def test_targets_are_narrowed_down_by_every_enforcing_policy() -> None:
    def leaves(*names: str) -> Rule:
        return Judge([msgspec.structs.replace(ABOUT_ALL, verdict=Verdict.FLAG, target_ids=names)])

    plan = plan_of(one=leaves("a", "b", "c"), two=leaves("c", "b"))
    assert judged(plan).target_ids == ("b", "c")
    watching = plan_of({"mode": "monitor"}, one=leaves("a"))
    assert judged(watching).target_ids is None


def test_a_freeze_names_its_scope() -> None:
    seen = [msgspec.structs.replace(ABOUT_ALL, verdict=Verdict.QUARANTINE)]
    assert judged(plan_of({"quarantine": "agent"}, one=Judge(seen))).quarantine == "agent"


def test_a_change_of_its_own_takes_the_place_of_the_policys() -> None:
    strip = Transform(strip_tools=("wire_*",))
    seen = [msgspec.structs.replace(ABOUT_ALL, verdict=Verdict.TRANSFORM, transform=strip)]
    assert judged(plan_of(one=Judge(seen))).transforms == (strip,)


class Settling(Counting):
    def settle(self, exchange: ExchangeView, facts: Facts) -> Mapping[str, float]:  # noqa: ARG002
        return {"calls": float(exchange.output_tokens)}


def test_what_was_really_used_is_asked_of_the_rules_that_reserved_it() -> None:
    ended = msgspec.structs.replace(TEXT, output_tokens=7)
    plan = plan_of(one=Settling(), two=Judge([]))
    assert settlements(plan, Phase.INPUT, ended, FACTS) == {"calls": 7.0}
    assert settlements(plan_of(one=Judge([])), Phase.INPUT, ended, FACTS) == {}


def test_when_to_try_again_comes_from_the_policy_that_decides() -> None:
    later = msgspec.structs.replace(ABOUT_ALL, retry_after_seconds=9.5)
    sooner = msgspec.structs.replace(ABOUT_ALL, retry_after_seconds=1.0, verdict=Verdict.FLAG)
    assert judged(plan_of(one=Judge([sooner]), two=Judge([later]))).retry_after_seconds == 9.5
