"""``kt regressions export``: files where they were asked for, and what was lost on stderr."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.test_regression_exports import CONFIG, case, keep
from tests.cli.conftest import ControlPlane, Kt


@pytest.fixture
def kt(kt_online: Kt, control_plane: ControlPlane) -> Kt:
    told = kt_online("incidents", "declare", "A leak", "--json")
    keep(control_plane.stores, told.json["id"], [case("borealis"), case("hello", "allow")])
    return kt_online


def test_several_files_go_into_a_folder_and_losses_are_told(kt: Kt, tmp_path: Path) -> None:
    ran = kt("regressions", "export", "--format", "openai-evals", "-o", str(tmp_path / "out"))
    assert ran.code == 0, ran.err
    assert ran.json["cases"] == 2
    assert sorted(ran.json["files"]) == sorted(
        str(path) for path in (tmp_path / "out").rglob("*") if path.is_file()
    )
    assert (tmp_path / "out/data/kintsugi/regressions.jsonl").read_text().count("\n") == 2
    refused = kt("regressions", "export", "--format", "openai-evals")
    assert refused.code != 0
    assert "name a folder with --output" in refused.err


def test_suites_that_were_exported_are_what_kt_policy_test_runs(kt: Kt, tmp_path: Path) -> None:
    config, suites = tmp_path / "policy-config.yaml", tmp_path / "regressions.yaml"
    config.write_text(CONFIG)
    ran = kt("regressions", "export", "--format", "suites", "--output", str(suites))
    assert ran.code == 0, ran.err
    for command in ("lint", "test"):
        ran = kt("policy", command, "--file", str(config), str(suites))
        assert ran.code == 0, ran.out
    assert "2 passed" in ran.out


def test_one_file_goes_to_stdout_and_what_is_lost_to_stderr(kt: Kt) -> None:
    ran = kt("regressions", "export", "--format", "suites")
    assert ran.out.startswith("testing:\n")
    assert "lost: metadata.digest of REG-000001, REG-000002: a case has no place for it" in ran.err


def test_results_want_a_configuration_to_run_on(kt: Kt, tmp_path: Path) -> None:
    ran = kt("regressions", "export", "--format", "junit")
    assert ran.code != 0
    assert "say on what" in ran.err
    config = tmp_path / "policy-config.yaml"
    config.write_text(CONFIG)
    assert kt("config", "apply", "--file", str(config)).code == 0
    ran = kt("regressions", "export", "--format", "junit", "--with", "demo@1")
    assert 'tests="2" failures="0"' in ran.out
