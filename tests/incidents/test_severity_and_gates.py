"""Severity from factors; gates by severity."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.errors import InvalidInput
from kintsugi.incidents.gates import gates_of, unmet_gates
from kintsugi.incidents.severity import DUTIES, LEVELS, ORDER, compute
from kintsugi.model.incident import Gate, Waiver
from kintsugi.model.signal import Severity
from tests.incidents.cases import FROZEN, NOON, complete, incident

FACTORS = st.dictionaries(st.sampled_from(sorted(LEVELS)), st.integers(0, 3))
KNOWN = dict.fromkeys(LEVELS, 0)


@given(FACTORS, st.sampled_from(sorted(LEVELS)))
def test_a_higher_score_never_gives_a_lower_severity(factors: dict[str, int], name: str) -> None:
    scores = [compute({**factors, name: score})[0] for score in range(4)]
    assert scores == sorted(scores, key=ORDER.index)


@given(FACTORS)
def test_the_steps_explain_every_severity(factors: dict[str, int]) -> None:
    severity, steps = compute(factors)
    assert severity in ORDER
    assert steps[0].startswith("impact")


@pytest.mark.parametrize(
    ("scores", "severity"),
    [
        ({}, "low"),
        ({"impact": 1}, "medium"),
        ({"impact": 2}, "high"),
        ({"impact": 3}, "critical"),
        ({"blast_radius": 3}, "medium"),
        ({"data_sensitivity": 3}, "medium"),
        ({"impact": 1, "data_sensitivity": 2, "exposure": 2}, "high"),
        # Fifty wrong updates over two weeks, none of them dramatic (seed 004).
        ({"impact": 1, "blast_radius": 2, "recurrence": 2}, "high"),
        ({"uncertainty": 3}, "medium"),
        ({"impact": 2, "uncertainty": 3}, "high"),
    ],
)
def test_severities_as_the_rule_gives_them(scores: dict[str, int], severity: Severity) -> None:
    assert compute({**KNOWN, **scores})[0] == severity


def test_what_nobody_scored_is_read_strictly_but_is_never_critical() -> None:
    assert compute({})[0] == "high"


@pytest.mark.parametrize("factors", [{"vibes": 1}, {"impact": 4}, {"impact": -1}])
def test_what_is_no_score_is_refused(factors: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        compute(factors)


@pytest.mark.parametrize("severity", ORDER)
def test_a_complete_incident_passes_every_gate_of_its_severity(severity: Severity) -> None:
    assert unmet_gates(complete(severity), FROZEN, now=NOON) == []


def test_higher_severities_ask_for_more() -> None:
    gates = [set(DUTIES[severity].gates) for severity in ORDER]
    assert gates[0] < gates[1] < gates[2] == gates[3]
    cadence = [DUTIES[severity].update_minutes for severity in ORDER]
    assert cadence == sorted(cadence, reverse=True)


def test_a_bare_incident_is_told_everything_that_it_lacks() -> None:
    missing = {one.where for one in unmet_gates(incident("review"), FROZEN, now=NOON)}
    assert missing == {
        *("gate.commander", "gate.roles", "gate.severity", "gate.verdicts", "gate.category"),
        *("gate.evidence", "gate.decision", "gate.cause", "gate.actions", "gate.review"),
        "gate.learning",
    }


def test_a_waiver_relaxes_a_gate_until_it_ends() -> None:
    found = complete("high")
    [learning] = [one for one in gates_of(found, FROZEN, now=NOON) if one.gate == "learning"]
    assert learning.status == "relaxed"
    assert learning.missing
    later = NOON + timedelta(days=31)
    assert [one.where for one in unmet_gates(found, FROZEN, now=later)] == ["gate.learning"]


@pytest.mark.parametrize("gate", ["actions", "review"])
def test_nothing_is_vouched_for_by_silence(gate: Gate) -> None:
    found = msgspec.structs.replace(
        complete("critical"),
        attestations=tuple(one for one in complete("critical").attestations if one.gate != gate),
    )
    assert [one.where for one in unmet_gates(found, FROZEN, now=NOON)] == [f"gate.{gate}"]
    waiver = Waiver(gate, "bo", "as agreed", NOON + timedelta(days=1), "chief/3", NOON)
    relaxed = msgspec.structs.replace(found, waivers=(*found.waivers, waiver))
    assert unmet_gates(relaxed, FROZEN, now=NOON) == []
