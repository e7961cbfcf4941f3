"""What policies cost is told per policy, per phase and in proportion."""

from __future__ import annotations

from itertools import count

import pytest

from kintsugi.replay.measure import WHOLE_CHAIN, built_in_texts, measure
from tests.policy.configs import WITHOUT_OPTIONS, config_of

CHAIN = {"pii-detector": {}, "dlp-filter": {"blocked_terms": ["aurora"]}, "audit-logger": {}}


def test_every_policy_is_measured_in_every_phase_and_against_the_whole() -> None:
    ticks = count(step=1000)  # every decision takes one microsecond
    done = measure(config_of(CHAIN), None, runs=3, clock=lambda: next(ticks))
    assert [(cost.policy, cost.phase) for cost in done.costs] == [
        (policy, phase)
        for phase in ("input", "output")
        for policy in (WHOLE_CHAIN, "pii-detector", "dlp-filter")
    ]
    assert {(c.p50_microseconds, c.p99_microseconds, c.share, c.growth) for c in done.costs} == {
        (1.0, 1.0, 1.0, 1.0)
    }
    assert {cost.microseconds_per_kib for cost in done.costs} == {1.0}
    assert (done.texts, done.kib, done.runs) == (2, 2.0, 3)


def test_given_texts_have_no_growth() -> None:
    ticks = count(step=2000)
    done = measure(config_of(CHAIN), ["x" * 512], runs=1, clock=lambda: next(ticks))
    assert {cost.growth for cost in done.costs} == {None}
    assert {cost.microseconds_per_kib for cost in done.costs} == {4.0}


def test_the_built_in_texts_are_a_kibibyte_each() -> None:
    assert [len(text) for text in built_in_texts()] == [1024, 1024]


@pytest.mark.parametrize("kind", WITHOUT_OPTIONS)
def test_every_kind_that_runs_without_options_can_be_measured(kind: str) -> None:
    ticks = count(step=1000)
    done = measure(config_of({kind: {}}), ["text"], runs=1, clock=lambda: next(ticks))
    assert all(cost.p50_microseconds == 1.0 for cost in done.costs)
