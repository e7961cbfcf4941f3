"""``python -m benchmarks`` runs every benchmark there is, each as it would be run alone."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import benchmarks
import pytest
from benchmarks.__main__ import BENCHMARKS, Benchmark, command, main

FOLDER = Path(benchmarks.__file__).parent
# The first two are run by benchmarks.gateway, the third by benchmarks.replay_million.
HELPERS = {"load", "upstream", "replay_traffic"}


def test_no_benchmark_is_left_out() -> None:
    modules = {path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("__")}
    assert [benchmark.module for benchmark in BENCHMARKS] == list(
        dict.fromkeys(benchmark.module for benchmark in BENCHMARKS)
    )
    assert modules - HELPERS == {benchmark.module for benchmark in BENCHMARKS}


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.module)
def test_every_benchmark_says_how_it_is_run_and_knows_its_short_form(benchmark: Benchmark) -> None:
    module = import_module(f"benchmarks.{benchmark.module}")
    assert callable(module.main)
    assert f"python -m benchmarks.{benchmark.module}" in (module.__doc__ or "")
    source = (FOLDER / f"{benchmark.module}.py").read_text(encoding="utf-8")
    options = [word for word in (*benchmark.quick, *(benchmark.data or ())) if word[0] == "-"]
    assert all(f'"{option}"' in source for option in options)


def test_what_needs_data_runs_only_with_data() -> None:
    needy = [benchmark for benchmark in BENCHMARKS if benchmark.needs_data]
    assert [benchmark.module for benchmark in needy] == ["detectors", "minimise"]
    for one in needy:
        assert command(one, quick=True, data_dir=None) is None
        words = command(one, quick=True, data_dir=Path("sets"))
        assert words == [sys.executable, "-m", f"benchmarks.{one.module}", *one.quick, "sets"]


def test_one_that_fails_does_not_keep_the_others_from_running(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    broken, fine = Benchmark("no_such_module", "Broken"), Benchmark("__init__", "Fine")
    monkeypatch.setattr("benchmarks.__main__.BENCHMARKS", (broken, fine))
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    monkeypatch.chdir(FOLDER.parent)
    assert main() == 1
    captured = capfd.readouterr()
    assert "== Fine" in captured.out
    assert "failed: no_such_module" in captured.err
