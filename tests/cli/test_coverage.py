"""``kt regressions coverage``: what keeps closed incidents covered, on a terminal."""

from __future__ import annotations

import pytest

from kintsugi.cli.regression_ledger import why
from tests.cli.conftest import Kt

BOUND: dict[str, object] = {"regression_id": "REG-000001", "breach": None, "loosened_by": []}
INCIDENT: dict[str, object] = {
    "state": "covered",
    "cases": [BOUND],
    "waiver": None,
    "severest": "",
    "lowered_by": "",
}


def test_a_severity_that_was_lowered_before_the_close_is_told_with_who_did_it(
    kt_online: Kt,
) -> None:
    kt_online("incidents", "declare", "A note leaked")
    for words in (
        ("override-severity", "INC-1", "high", "--reason", "it leaked"),
        ("assign", "INC-1", "commander", "ana"),
        ("contain", "INC-1", "--reason", "stopped"),
        ("judge", "INC-1", "--enforcement", "missed", "--harm", "harm"),
        ("investigate", "INC-1"),
        ("describe", "INC-1", "--decision", "stop the term"),
        ("remediate", "INC-1"),
        ("monitor", "INC-1", "--reason", "stopped"),
        ("review", "INC-1"),
        ("override-severity", "INC-1", "low", "--reason", "it was nothing"),
        ("close", "INC-1"),
    ):
        ran = kt_online("incidents", *words, "--json")
        assert ran.code == 0, ran.err
    ran = kt_online("regressions", "coverage", "--json")
    assert (ran.code, [one["state"] for one in ran.json]) == (0, ["lowered"])
    assert why(ran.json[0]).startswith("it was high; lowered by ")


@pytest.mark.parametrize(
    ("incident", "said"),
    [
        (INCIDENT, ""),
        (
            {**INCIDENT, "cases": [{**BOUND, "loosened_by": ["c-1", "c-2"]}]},
            "REG-000001: not in the scope of c-1, c-2",
        ),
        (
            {**INCIDENT, "cases": [], "waiver": {"owner": "eve", "reason": "no time"}},
            "waived by eve: no time",
        ),
    ],
)
def test_what_keeps_it_from_being_covered_is_said(incident: dict[str, object], said: str) -> None:
    assert why(incident) == said
