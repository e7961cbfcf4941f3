"""What is known of a running ``kt up``, also where one before it was killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kintsugi.cli.runfile import Up, held, is_held, read_up, up_path, write_json
from kintsugi.errors import KintsugiError


def up(pid: int) -> Up:
    return Up(pid, "http://gateway", "http://api", "file", "2026-01-01T00:00:00Z", ready=True)


def of_the_dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_an_instance_is_known_while_it_holds_its_folder(tmp_path: Path) -> None:
    with held(tmp_path):
        write_json(up_path(tmp_path), up(os.getpid()))
        assert read_up(tmp_path) == up(os.getpid())
    assert read_up(tmp_path) is None


def test_what_a_killed_one_left_is_not_taken_for_the_next(tmp_path: Path) -> None:
    write_json(up_path(tmp_path), up(os.getpid()))
    with held(tmp_path):
        assert read_up(tmp_path) is None


def test_nor_before_the_next_one_has_cleared_it_away(tmp_path: Path) -> None:
    with held(tmp_path):
        write_json(up_path(tmp_path), up(of_the_dead()))
        assert read_up(tmp_path) is None


def test_only_one_instance_holds_a_state_folder(tmp_path: Path) -> None:
    with held(tmp_path):
        assert is_held(tmp_path)
        with pytest.raises(KintsugiError, match="already"), held(tmp_path):
            pass
    assert not is_held(tmp_path)
