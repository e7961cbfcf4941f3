"""``kt kpis``."""

from __future__ import annotations

from tests.cli.conftest import Kt


def test_measures_are_shown_with_their_n(kt_online: Kt) -> None:
    assert kt_online("incidents", "declare", "It lied").code == 0
    found = kt_online("kpis", "--since", "7d", "--by", "severity").json
    assert [one["key"] for one in found["groups"]] == ["all", "unset"]
    assert found["groups"][0]["times"]["time_to_acknowledge"]["p50"] is None
    assert kt_online("kpis", "--by", "phase").code == 2
