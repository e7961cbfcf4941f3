from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kintsugi.policy.rules as rules_package
from kintsugi.api.metrics import ApiMetrics
from kintsugi.gateway.metrics import (
    COUNTING_POLICIES,
    FAMILIES,
    WorkerMetrics,
    render,
    reset,
    settle,
)
from kintsugi.model.verdict import Verdict

ALERTS = Path(__file__).parents[2] / "deploy" / "prometheus" / "alerts.yml"


def samples(directory: Path) -> dict[str, float]:
    lines = render(directory).decode().splitlines()
    parted = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in parted}


def test_every_label_value_is_there_from_the_start(tmp_path: Path) -> None:
    WorkerMetrics(tmp_path, "w0").close()
    found = samples(tmp_path)
    for verdict in Verdict:
        assert found[f'keeptrusts_decisions_total{{decision="{verdict.past}"}}'] == 0
    assert found['kintsugi_upstream_errors_total{code="idle_timeout"}'] == 0


def test_workers_are_added_up(tmp_path: Path) -> None:
    workers = [WorkerMetrics(tmp_path, f"w{number}") for number in range(3)]
    for number, worker in enumerate(workers):
        for _ in range(number + 1):
            worker.admitted()
        worker.decided(Verdict.BLOCK, 0.0004)
        worker.answered(0.03)
        worker.set_gauge("kintsugi_event_loop_lag_seconds", number * 0.5)
    workers[1].set_gauge("kintsugi_journal_healthy", 0.0)
    found = samples(tmp_path)
    assert found["kintsugi_requests_total"] == 6
    assert found["kintsugi_in_flight_requests"] == 3
    assert found['keeptrusts_decisions_total{decision="blocked"}'] == 3
    assert found["kintsugi_event_loop_lag_seconds"] == 1.0
    assert found["kintsugi_journal_healthy"] == 0
    for worker in workers:
        worker.close()


def test_gauges_of_a_dead_process_are_gone_with_it(tmp_path: Path) -> None:
    worker = WorkerMetrics(tmp_path, "w0")
    worker.relaxed("overdue", 2)
    worker.set_gauge("kintsugi_held_answers", 3)
    worker.limit_reached("rate-limit")
    found = samples(tmp_path)
    assert found['kintsugi_relaxed_settings{state="overdue"}'] == 2
    assert found['kintsugi_relaxed_settings{state="in_time"}'] == 0
    worker.close()
    WorkerMetrics(tmp_path, "w0").close()
    found = samples(tmp_path)
    assert found['kintsugi_relaxed_settings{state="overdue"}'] == 0
    assert found["kintsugi_held_answers"] == 0
    assert found['kintsugi_limits_reached_total{policy="rate-limit"}'] == 1


def test_every_policy_that_counts_has_its_label() -> None:
    rules = Path(rules_package.__file__).parent
    counting = {
        file.parent.name.replace("_", "-")
        for file in rules.glob("*/*.py")
        if "CounterNeed(" in file.read_text(encoding="utf-8")
    }
    assert counting == set(COUNTING_POLICIES)


def test_a_histogram_adds_up_to_its_bounds(tmp_path: Path) -> None:
    worker = WorkerMetrics(tmp_path, "w0")
    for seconds in (0.0005, 0.001, 0.0011, 5.0, 5.1, 1000.0):
        worker.answered(seconds)
    found = samples(tmp_path)
    name = "keeptrusts_request_duration_seconds"
    assert found[f'{name}_bucket{{le="0.001"}}'] == 2
    assert found[f'{name}_bucket{{le="0.0025"}}'] == 3
    assert found[f'{name}_bucket{{le="5"}}'] == 4
    assert found[f'{name}_bucket{{le="6"}}'] == 5
    assert found[f'{name}_bucket{{le="+Inf"}}'] == found[f"{name}_count"] == 6
    assert found[f"{name}_sum"] == pytest.approx(1010.1026)
    worker.close()


def test_a_killed_worker_takes_no_count_with_it(tmp_path: Path) -> None:
    script = f"""
import os
from pathlib import Path
from kintsugi.gateway.metrics import WorkerMetrics
worker = WorkerMetrics(Path({str(tmp_path)!r}), "w0")
worker.admitted()
worker.admitted()
worker.add("kintsugi_fail_open_total")
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    assert samples(tmp_path)["kintsugi_requests_total"] == 2
    settle(tmp_path, "w0")
    again = WorkerMetrics(tmp_path, "w0")
    again.admitted()
    found = samples(tmp_path)
    assert found["kintsugi_requests_total"] == 3
    assert found["kintsugi_decided_total"] == 2
    assert found["kintsugi_in_flight_requests"] == 1  # the dead one has nothing in flight
    assert found["kintsugi_fail_open_total"] == 1
    again.close()


def test_a_file_of_another_layout_starts_again(tmp_path: Path) -> None:
    (tmp_path / "w0.cells").write_bytes(b"from an older release" * 100)
    (tmp_path / "w1.cells").write_bytes(b"short")
    worker = WorkerMetrics(tmp_path, "w0")
    worker.admitted()
    assert samples(tmp_path)["kintsugi_requests_total"] == 1
    worker.close()


def test_a_new_gateway_forgets_the_workers_of_the_last_one(tmp_path: Path) -> None:
    for number in range(4):
        worker = WorkerMetrics(tmp_path, f"w{number}")
        worker.admitted()
        worker.close()
    reset(tmp_path)
    WorkerMetrics(tmp_path, "w0").close()
    assert samples(tmp_path)["kintsugi_requests_total"] == 0


def test_configurations_are_told_once_each_and_escaped(tmp_path: Path) -> None:
    workers = [WorkerMetrics(tmp_path, f"w{number}") for number in range(3)]
    workers[0].set_config('a"\\b@1', "sha256:1")
    workers[1].set_config('a"\\b@1', "sha256:1")
    text = render(tmp_path).decode()
    line = 'kintsugi_config_info{config_version="a\\"\\\\b@1",revision="sha256:1"} 1\n'
    assert text.count("\nkintsugi_config_info{") == 1
    assert text.endswith(line)
    workers[2].set_config("b@" + "9" * 1000, "sha256:2")
    assert render(tmp_path).decode().count("\nkintsugi_config_info{") == 2
    for worker in workers:
        worker.close()


@pytest.mark.needs("promtool")
def test_promtool_accepts_the_exposition(tmp_path: Path) -> None:
    worker = WorkerMetrics(tmp_path, "w0")
    worker.set_config("a@1", "sha256:1")
    worker.answered(0.5)
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=render(tmp_path), capture_output=True
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
    worker.close()


@pytest.mark.needs("promtool")
def test_promtool_accepts_the_alert_rules_and_their_tests() -> None:
    for command in (("check", "rules", ALERTS), ("test", "rules", ALERTS.with_suffix(".test.yml"))):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_that_an_alert_names_is_exposed() -> None:
    named = set(re.findall(r"\b((?:kintsugi|keeptrusts)_\w+)", _expressions()))
    exposed = {family.name for family in FAMILIES} | {"kintsugi_config_info"}
    exposed |= set(re.findall(r"# TYPE (\w+) ", ApiMetrics().exposition().decode()))
    assert {name.removesuffix("_bucket") for name in named} <= exposed


def _expressions() -> str:
    """Only what stands behind ``expr``: annotations may name anything."""
    lines = ALERTS.read_text(encoding="utf-8").splitlines()
    found: list[str] = []
    depth = 0
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line.lstrip().startswith("expr:"):
            depth = indent
            found.append(line)
        elif depth and indent > depth:
            found.append(line)
        else:
            depth = 0
    return os.linesep.join(found)
