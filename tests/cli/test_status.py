"""What ``kt status`` makes of what it is told."""

from __future__ import annotations

from typing import Any

from kintsugi.cli.status import numbers, overdue, relaxed_rows

ONE: dict[str, Any] = {
    "source": "support@3",
    "path": "policy.pii-detector.mode",
    "setting": "mode: monitor",
    "state": "overdue",
    "owner": "grace",
    "expires": "2026-11-20",
    "days_left": -1,
    "gateways": ["gw-1"],
}


def test_what_is_overdue_is_said_with_who_answers_for_it() -> None:
    assert overdue(ONE) == (
        "support@3: policy.pii-detector.mode (mode: monitor) was to end on 2026-11-20; "
        "grace answers for it"
    )


def test_days_are_in_words() -> None:
    unowned = {**ONE, "state": "unowned", "expires": None, "days_left": None, "gateways": []}
    rows = list(relaxed_rows([ONE, {**ONE, "days_left": 0}, unowned]))
    assert [row[4] for row in rows] == ["overdue by 1", "0 left", "nobody answers for it"]
    assert [row[5] for row in rows] == ["gw-1", "gw-1", "none yet"]


def test_numbers_are_told_by_name_and_nothing_is_told_of_what_does_not_run() -> None:
    pids = {"server": 12, "database": None, "gateway_workers": [14, 15]}
    assert numbers(pids) == "server 12, gateway_workers 14 15"
    assert numbers({"admitted": 2, "gap": 0}) == "admitted 2, gap 0"
    assert numbers(None) == numbers({}) == ""
