"""KPIs: what each measure is, with how many it rests on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.incidents.kpis import (
    ALL,
    DEFINITIONS,
    ENOUGH,
    By,
    KpiRecord,
    distribution,
    kpis,
    share,
)
from kintsugi.model.action import Action
from kintsugi.model.decision import Phase
from kintsugi.model.incident import Incident, IncidentLink, RoleTerm, Verdicts
from kintsugi.model.obligation import Obligation, SetAside, Submission
from kintsugi.model.oversight import Escalation, EscalationReport
from tests.incidents.cases import NOON, incident

HOUR = timedelta(hours=1)
NOW = NOON + timedelta(days=10)


def case(number: int = 0, **changes: Any) -> Incident:
    made = incident(
        "monitoring",
        id=f"019db9a0-0000-7000-8000-{number:012d}",
        first_occurred_at=NOON - number * HOUR,
        detected_at=NOON,
        outcome="incident",
        reached={
            "declared": NOON + HOUR,
            "contained": NOON + 2 * HOUR,
            "monitoring": NOON + 3 * HOUR,
        },
    )
    return msgspec.structs.replace(made, **changes)


def action(number: int, **changes: Any) -> Action:
    made = Action(
        id=f"019db9a0-0000-7000-9000-{number:012d}",
        incidents=(case().id,),
        title="Rebuild it",
        aim="prevent",
        created_at=NOON,
        created_by="ana/1",
        due_at=NOON + 48 * HOUR,
    )
    return msgspec.structs.replace(made, **changes)


def clock(**changes: Any) -> Obligation:
    made = Obligation(
        *("019db9a0-0000-7000-a000-000000000001", "gdpr_33", "GDPR", "33", 72, "hours", "DPA"),
        opened_at=NOON,
        opened_by="ana/1",
        why="yes",
        start_at=NOON,
        due_at=NOON + 72 * HOUR,
    )
    return msgspec.structs.replace(made, **changes)


def escalation(number: int, *, approved: bool) -> Escalation:
    report = EscalationReport(
        *(f"e{number}", NOON, NOON + HOUR, "", "", Phase.INPUT, "p", "r", "gw", "c@1"),
    )
    status: Any = "approved" if approved else "rejected"
    return Escalation(report, status, resolved_by="bo", resolved_at=NOON + HOUR)


def whole(records: list[KpiRecord], escalations: Any = (), *, by: By = "none") -> Any:
    return kpis(records, escalations, by=by, now=NOW)[0]


def test_times_are_told_with_their_n() -> None:
    got = whole([KpiRecord(case(number)) for number in range(10)])
    detect = got.times["time_to_detect"]
    assert (detect.n, detect.p50, detect.p90, detect.max) == (
        *(10, 4 * 3600.0, 8 * 3600.0, 9 * 3600.0),
    )
    assert got.times["time_to_acknowledge"].p50 == 3600
    assert got.times["time_to_contain"].p50 == 2 * 3600
    assert got.times["time_to_recover"].p50 == 3 * 3600
    assert set(got.times) | set(got.shares) == set(DEFINITIONS)


def test_too_few_give_no_number_and_what_cannot_be_measured_is_counted() -> None:
    records = [KpiRecord(case(number)) for number in range(ENOUGH - 1)]
    backwards = case(9, first_occurred_at=NOON + HOUR)
    got = whole([*records, KpiRecord(backwards), KpiRecord(case(8, detected_at=None))])
    detect = got.times["time_to_detect"]
    assert (detect.n, detect.p50, detect.unknown) == (ENOUGH - 1, None, 2)


def test_taking_it_up_is_triage_declaration_or_a_commander_whichever_was_first() -> None:
    commander = RoleTerm("commander", "ana", NOON + timedelta(minutes=5), "ana/1")
    got = whole([KpiRecord(case(number, roles=(commander,))) for number in range(ENOUGH)])
    assert got.times["time_to_acknowledge"].max == 300


def test_duplicates_and_what_was_none_do_not_count() -> None:
    gone = [case(1, state="merged"), case(2, outcome="quality_issue")]
    assert whole([KpiRecord(one) for one in gone]).incidents == 0


def test_shares_count_what_they_are_of() -> None:
    link = IncidentLink("recurrence_of", "x", "INC-000001", "ana/1", NOON)
    records = [
        *(KpiRecord(case(number, links=(link,))) for number in range(2)),
        *(KpiRecord(case(number, verdicts=Verdicts("over_block"))) for number in range(2, 5)),
        *(KpiRecord(case(number, verdicts=Verdicts("correct"))) for number in range(5, 7)),
        KpiRecord(case(7, outcome="near_miss", verdicts=Verdicts("not_applicable"))),
    ]
    escalations = [escalation(number, approved=number < 2) for number in range(5)]
    shares = whole(records, escalations).shares
    assert (shares["recurrence_rate"].hits, shares["recurrence_rate"].n) == (2, 7)
    assert shares["near_miss_ratio"].value == 1 / 8
    assert shares["over_block_rate"].value == 3 / 5
    assert shares["override_rate"].value == 2 / 5


def test_clocks_count_once_they_are_met_or_late() -> None:
    met = clock(submissions=(Submission(NOON + HOUR, "T-1", "ana/1"),))
    late = clock(submissions=(Submission(NOON + 99 * HOUR, "T-1", "ana/1"),))
    running = clock(due_at=NOW + HOUR)
    aside = clock(set_aside=SetAside(NOON, "ana/1", "no data"))
    record = KpiRecord(case(obligations=(met, met, met, late, clock(), running, aside)))
    compliance = whole([record]).shares["clock_compliance"]
    assert (compliance.hits, compliance.n) == (3, 5)


def test_actions_count_once_over_their_incidents() -> None:
    done = action(1, state="done", ended_at=NOON + 4 * HOUR)
    late = action(2, state="done", ended_at=NOON + 99 * HOUR)
    records = [KpiRecord(case(number), (done, late, action(3))) for number in range(ENOUGH)]
    got = whole(records)
    assert got.times["time_to_guardrail"].max == 4 * 3600
    assert (got.shares["actions_on_time"].hits, got.shares["actions_on_time"].n) == (1, 3)
    assert got.times["action_age"].n == 1


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("none", []),
        ("severity", ["unset"]),
        ("category", ["(none)", "correctness"]),
        ("workflow", ["(none)", "support"]),
        ("month", ["2026-04"]),
    ],
)
def test_groups_stand_behind_the_whole(by: By, keys: list[str]) -> None:
    records = [
        KpiRecord(case(1), (), ("support",)),
        KpiRecord(case(2, categories=("correctness",))),
    ]
    groups = kpis(records, [escalation(1, approved=True)], by=by, now=NOW)
    assert [one.key for one in groups] == [ALL, *keys]
    assert groups[0].incidents == 2


@given(st.lists(st.floats(0, 1e9) | st.none(), max_size=60))
def test_ranks_are_values_that_occurred_in_order(values: list[float | None]) -> None:
    got = distribution(values)
    assert got.n + got.unknown == len(values)
    if got.p50 is not None and got.p90 is not None and got.max is not None:
        assert got.p50 <= got.p90 <= got.max
        assert {got.p50, got.p90, got.max} <= set(values)


@given(st.lists(st.booleans(), max_size=40))
def test_a_share_has_a_value_once_there_are_enough(outcomes: list[bool]) -> None:
    got = share(outcomes)
    assert (got.value is None) is (len(outcomes) < ENOUGH)
    assert got.value is None or 0 <= got.value <= 1
