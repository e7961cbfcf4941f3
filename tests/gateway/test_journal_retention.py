"""Journals of a gateway without a control plane: trimmed from the front, as far as is asked."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from kintsugi.gateway.journal_retention import JournalLimits, JournalTrimmer, trim

NOW = 1_000_000.0
DAY = 86_400.0


def segment(
    journal: Path, number: int, *, days: float, worker: str = "w0", started: int = 1, size: int = 10
) -> Path:
    """A finished segment that was written to so many days ago."""
    path = journal / f"gw-1.{worker}.{started}.{number:06d}.jsonl"
    path.write_bytes(b"x" * size)
    os.utime(path, (NOW - days * DAY, NOW - days * DAY))
    return path


def left(journal: Path) -> list[str]:
    return sorted(path.name for path in journal.glob("*.jsonl"))


def trimmed(journal: Path, *, days: float = 0, size: int = 0) -> list[int]:
    return [name.segment for name in trim(journal, JournalLimits(days * DAY, size), now=NOW)]


def test_what_is_older_goes_and_the_newest_of_a_worker_stays(tmp_path: Path) -> None:
    for number in range(4):
        segment(tmp_path, number, days=9 - number)
    assert trimmed(tmp_path) == []
    assert trimmed(tmp_path, days=7) == [0, 1]
    assert trimmed(tmp_path, days=1) == [2]
    assert len(left(tmp_path)) == 1


def test_of_too_much_the_oldest_goes(tmp_path: Path) -> None:
    for number in range(4):
        segment(tmp_path, number, days=4 - number)
    segment(tmp_path, 0, days=3.5, worker="w1")
    segment(tmp_path, 1, days=0, worker="w1")
    assert trimmed(tmp_path, size=35) == [0, 0, 1]
    assert sum(path.stat().st_size for path in tmp_path.glob("*.jsonl")) == 30


def test_a_run_of_long_ago_goes_whole(tmp_path: Path) -> None:
    segment(tmp_path, 0, days=9)
    segment(tmp_path, 0, days=0, started=2)
    assert trimmed(tmp_path, days=7) == [0]


def test_what_is_still_written_stays_and_all_behind_it(tmp_path: Path) -> None:
    path = segment(tmp_path, 0, days=9)
    segment(tmp_path, 1, days=8)
    segment(tmp_path, 2, days=0)
    with path.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert trimmed(tmp_path, days=1) == []
    assert trimmed(tmp_path, days=1) == [0, 1]


def test_what_recovery_decided_stays_as_long_as_what_it_may_be_about(tmp_path: Path) -> None:
    segment(tmp_path, 0, days=8.5, worker="recovery")
    segment(tmp_path, 0, days=0, worker="recovery", started=2)
    with segment(tmp_path, 0, days=9).open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert trimmed(tmp_path, days=1) == []
    segment(tmp_path, 1, days=0)
    assert len(trimmed(tmp_path, days=1)) == 2


def test_a_folder_that_is_not_there_has_nothing_to_trim(tmp_path: Path) -> None:
    assert trimmed(tmp_path / "none", days=1) == []


def test_it_trims_as_soon_as_it_starts(tmp_path: Path) -> None:
    segment(tmp_path, 0, days=9)
    segment(tmp_path, 1, days=0)
    trimmer = JournalTrimmer(tmp_path, JournalLimits(DAY), lambda: NOW)
    trimmer.start()
    trimmer.stop()
    assert len(left(tmp_path)) == 1


@pytest.mark.parametrize("limits", [JournalLimits(1.0), JournalLimits(0.0, 1)])
def test_either_limit_is_one(limits: JournalLimits) -> None:
    assert limits.any
    assert not JournalLimits().any
