"""``kt policy fmt`` writes, checks and shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Kt

MESSY = "policies: {chain: [dlp-filter]} # the chain\npack: {name:  p, version: 1.0.0}\n"
NEAT = "pack: {name: p, version: 1.0.0}\n\npolicies: {chain: [dlp-filter]} # the chain\n"


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "policy-config.yaml"
    path.write_text(MESSY)
    path.chmod(0o640)
    return path


def test_a_file_is_laid_out_where_it_stands(file: Path, kt: Kt) -> None:
    ran = kt("policy", "fmt")
    assert (ran.code, ran.err) == (0, "wrote policy-config.yaml\n")
    assert file.read_text() == NEAT
    assert file.stat().st_mode & 0o777 == 0o640
    assert kt("policy", "fmt").err == ""
    assert [path.name for path in file.parent.glob("*.new")] == []


def test_checking_changes_nothing_and_tells_by_its_exit_code(file: Path, kt: Kt) -> None:
    ran = kt("policy", "fmt", "--check", "policy-config.yaml")
    assert (ran.code, "differently" in ran.err) == (3, True)
    assert file.read_text() == MESSY
    file.write_text(NEAT)
    assert kt("policy", "fmt", "--check").code == 0


def test_the_difference_is_shown(file: Path, kt: Kt) -> None:
    ran = kt("policy", "fmt", "--diff")
    assert ran.code == 3
    assert "-pack: {name:  p, version: 1.0.0}" in ran.out
    assert "+pack: {name: p, version: 1.0.0}" in ran.out
    assert file.read_text() == MESSY


def test_what_cannot_be_read_is_named(file: Path, kt: Kt) -> None:
    assert kt("policy", "fmt", "none.yaml").code == 2
    file.write_text("pack: [")
    ran = kt("policy", "fmt")
    assert (ran.code, "policy-config.yaml:1" in ran.err) == (3, True)
    assert file.read_text() == "pack: ["
