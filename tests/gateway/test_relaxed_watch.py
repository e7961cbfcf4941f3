from __future__ import annotations

from datetime import date

import pytest
import structlog

from kintsugi.gateway.relaxed_watch import RelaxedWatch
from kintsugi.policy.parse import parse_config

RELAXED = """\
pack: {name: support, version: 1.0.0, enabled: true}
gateway:
  fail_mode: allow
  relaxed: {owner: ada, reason: trying it out, expires: 2026-12-31}
providers: {targets: [{id: sim, provider: simulator}]}
policies: {chain: [prompt-injection, pii-detector]}
policy:
  prompt-injection: {mode: monitor}
  pii-detector: {mode: monitor, relaxed: {owner: grace, reason: measuring, expires: 2026-11-21}}
"""
STRICT = """\
pack: {name: support, version: 1.0.0, enabled: true}
providers: {targets: [{id: sim, provider: simulator}]}
policies: {chain: [prompt-injection, pii-detector]}
policy: {prompt-injection: {}, pii-detector: {}}
"""


class Day:
    def __init__(self) -> None:
        self.today = date(2026, 11, 21)
        self.counts: dict[str, int] = {}

    def __call__(self) -> date:
        return self.today

    def count(self, state: str, settings: int) -> None:
        self.counts[state] = settings


@pytest.fixture
def day() -> Day:
    return Day()


@pytest.fixture
def watch(day: Day) -> RelaxedWatch:
    return RelaxedWatch(day.count, today=day)


def test_what_is_relaxed_is_counted_and_logged_when_it_is_loaded(
    day: Day, watch: RelaxedWatch
) -> None:
    with structlog.testing.capture_logs() as logged:
        watch.take(parse_config(RELAXED, file="f.yaml"))
        watch.look()
        watch.look()
    assert day.counts == {"in_time": 2, "overdue": 0, "unowned": 1}
    assert [(line["path"], line["state"], line["log_level"]) for line in logged] == [
        ("gateway.fail_mode", "in_time", "info"),
        ("policy.prompt-injection.mode", "unowned", "warning"),
        ("policy.pii-detector.mode", "in_time", "info"),
    ]
    assert logged[2]["owner"] == "grace"


def test_the_day_after_its_last_one_a_setting_is_overdue(day: Day, watch: RelaxedWatch) -> None:
    watch.take(parse_config(RELAXED, file="f.yaml"))
    day.today = date(2026, 11, 22)
    with structlog.testing.capture_logs() as logged:
        watch.look()
    assert day.counts == {"in_time": 1, "overdue": 1, "unowned": 1}
    assert [line["path"] for line in logged if line["state"] == "overdue"] == [
        "policy.pii-detector.mode"
    ]


def test_a_tightened_configuration_counts_nothing(day: Day, watch: RelaxedWatch) -> None:
    watch.take(parse_config(RELAXED, file="f.yaml"))
    with structlog.testing.capture_logs() as logged:
        watch.take(parse_config(STRICT, file="f.yaml"))
    assert day.counts == {"in_time": 0, "overdue": 0, "unowned": 0}
    assert logged == []
