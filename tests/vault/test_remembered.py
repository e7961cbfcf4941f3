"""The list of erasures outside the database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from kintsugi.model.erasure import Remembered
from kintsugi.vault.remembered import read, remember

NOON = datetime(2026, 4, 23, 12, 0, tzinfo=UTC)


def one(number: int) -> Remembered:
    return Remembered(f"id-{number}", f"user:{number}", "asked", "ana/t1", NOON)


def test_what_is_added_is_there_once(tmp_path: Path) -> None:
    file = tmp_path / "erasures.jsonl"
    assert read(file) == []
    assert remember(file, [one(1), one(2)]) == 2
    assert remember(file, [one(2), one(3)]) == 1
    assert read(file) == [one(1), one(2), one(3)]
    assert file.stat().st_mode & 0o777 == 0o600
