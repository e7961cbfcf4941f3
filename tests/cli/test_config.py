"""``kt config``, ``kt tokens``, ``kt gateways`` and ``kt doctor`` against a real control plane."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kintsugi.cli.in_force import Gateway, Worker, progress
from kintsugi.model.gateways import GatewayReport, WorkerReport
from tests.cli.conftest import ControlPlane, Kt

CONFIG = """\
pack: {{name: support, version: 1.0.{number}, enabled: true}}
providers:
  targets:
    - {{id: sim, provider: simulator}}
policies:
  chain: [audit-logger]
policy:
  audit-logger: {{}}
"""
WANTED = ("support", 3)


def config(number: int) -> str:
    return CONFIG.format(number=number)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy-config.yaml"
    path.write_text(config(1))
    return path


def test_apply_makes_a_version_with_its_note(kt_online: Kt, file: Path) -> None:
    ran = kt_online("config", "apply", "--file", str(file), "--note", "first")
    assert ran.code == 0, ran.err
    assert (ran.json["id"], ran.json["version"], ran.json["created"]) == ("support", 1, True)
    [listed] = kt_online("config", "list").json
    assert (listed["note"], listed["author"]) == ("first", "first admin")


def test_applying_the_same_again_makes_nothing(kt_online: Kt, file: Path) -> None:
    kt_online("config", "apply", "--file", str(file))
    again = kt_online("config", "apply", "--file", str(file))
    assert again.code == 0
    assert (again.json["version"], again.json["created"]) == (1, False)


def test_a_configuration_with_errors_changes_nothing_and_exits_3(kt_online: Kt, file: Path) -> None:
    kt_online("config", "apply", "--file", str(file))
    file.write_text(config(2).replace("audit-logger]", "audit-loger]"))
    ran = kt_online("config", "apply", "--file", str(file), "--id", "support")
    assert ran.code == 3
    assert "E001" in ran.err
    assert "audit-logger" in ran.err, "says what would be right"
    assert len(kt_online("config", "versions", "support").json) == 1


def test_a_dry_run_shows_the_difference_and_changes_nothing(kt_online: Kt, file: Path) -> None:
    kt_online("config", "apply", "--file", str(file))
    file.write_text(config(2))
    ran = kt_online("config", "apply", "--file", str(file), "--dry-run")
    assert ran.code == 0
    assert "+pack: {name: support, version: 1.0.2" in ran.json["diff"]
    assert len(kt_online("config", "versions", "support").json) == 1


def test_show_gives_the_file_back(kt_online: Kt, file: Path) -> None:
    kt_online("config", "apply", "--file", str(file))
    assert kt_online("config", "show", "support").out == config(1)
    assert kt_online("config", "show", "support", "1", "--json").json["content"] == config(1)
    missing = kt_online("config", "show", "support", "9")
    assert missing.code == 1
    assert missing.err.startswith("error: ")


def test_rollback_makes_an_earlier_content_the_newest_version(kt_online: Kt, file: Path) -> None:
    kt_online("config", "apply", "--file", str(file))
    file.write_text(config(2))
    kt_online("config", "apply", "--file", str(file))
    ran = kt_online("config", "rollback", "support", "1")
    assert (ran.json["version"], ran.json["note"]) == (3, "roll back to version 1")
    assert kt_online("config", "show", "support").out == config(1)
    diff = kt_online("config", "diff", "support", "2").json
    assert (diff["from"], diff["to"]) == (2, 3)
    assert "-pack: {name: support, version: 1.0.2" in diff["diff"]


def test_apply_waits_for_gateways_and_says_which_do_not_follow(
    kt_online: Kt, control_plane: ControlPlane, file: Path
) -> None:
    now = datetime.now(UTC)
    worker = WorkerReport("w0", 1, "support@1.0.0", "sha256:00", now)
    report = GatewayReport("gw-1", "support", "127.0.0.1:1", "0.1.0", (worker,))
    control_plane.stores.gateways.put(report, now=now)
    ran = kt_online("config", "apply", "--file", str(file), "--timeout", "0.2")
    assert ran.code == 1, "it was not in force when time was up"
    assert ran.json["not_in_force"] == {"gw-1": "runs support@1.0.0"}


def gateway(*versions: str, connected: bool = True, load_error: str = "") -> Gateway:
    workers = tuple(map(Worker, versions))
    return Gateway("gw-1", "support", connected, load_error, "2026-04-23T14:00:00Z", workers)


def test_a_gateway_counts_when_every_worker_runs_the_version() -> None:
    whole = progress([gateway("support@3", "support@3")], *WANTED, seconds=0.4)
    assert (whole.complete, whole.in_force, whole.worker_count) == (True, ("gw-1",), 2)
    half = progress([gateway("support@3", "support@2")], *WANTED, seconds=0.4)
    assert not half.complete
    assert half.missing == {"gw-1": "runs support@2, support@3"}


def test_a_gateway_without_workers_a_failing_one_and_one_that_is_away_are_told_apart() -> None:
    assert progress([gateway()], *WANTED, seconds=0).missing == {"gw-1": "runs nothing"}
    failing = progress([gateway("support@2", load_error="E001")], *WANTED, seconds=0)
    assert failing.missing == {"gw-1": "E001"}
    away = progress([gateway("support@2", connected=False)], *WANTED, seconds=0)
    assert away.complete
    assert list(away.away) == ["gw-1"]


def test_other_configurations_gateways_do_not_count() -> None:
    other = Gateway("gw-2", "billing", True, "", "", (Worker("billing@1"),))
    assert progress([other], *WANTED, seconds=0) == progress([], *WANTED, seconds=0)


def test_a_token_is_shown_once_and_can_be_revoked(kt_online: Kt) -> None:
    made = kt_online("tokens", "create", "ci", "--scope", "events:read", "--expires-in-days", "7")
    assert made.code == 0, made.err
    secret = made.json["secret"]
    assert kt_online("events", "tail", KT_API_TOKEN=secret).code == 0
    refused = kt_online("tokens", "list", KT_API_TOKEN=secret)
    assert refused.code == 1
    assert "tokens:admin" in refused.err
    assert secret not in kt_online("tokens", "list").out
    assert kt_online("tokens", "revoke", made.json["id"]).json["revoked_at"]
    gone = kt_online("events", "tail", KT_API_TOKEN=secret)
    assert gone.code == 1
    assert secret not in gone.err


def test_without_a_control_plane_the_error_says_what_to_do(kt: Kt) -> None:
    ran = kt("events", "tail", KT_API_URL="http://127.0.0.1:9")
    assert ran.code == 1
    assert ran.err.startswith("error: no control plane answers at http://127.0.0.1:9")
    assert "next: start one with `kt up`" in ran.err
    assert "Traceback" not in ran.err


def test_without_a_token_the_error_says_where_to_get_one(kt_online: Kt, tmp_path: Path) -> None:
    ran = kt_online("config", "list", KT_API_TOKEN="", KT_STATE_DIR=str(tmp_path / "other"))
    assert ran.code == 1
    assert "no token is known here" in ran.err


def test_the_doctor_says_what_is_well_and_what_was_not_attempted(kt_online: Kt) -> None:
    ran = kt_online("doctor")
    found = {finding["check"]: finding for finding in ran.json}
    assert found["python"]["outcome"] == "ok"
    assert found["control plane"]["outcome"] == "ok"
    assert found["clock"]["outcome"] == "ok"
    assert found["reconciliation"]["outcome"] == "not attempted"
    assert found["configuration"]["outcome"] == "not attempted"
    assert ran.code == 0


def test_the_doctor_fails_on_a_broken_configuration(
    kt_online: Kt, control_plane: ControlPlane
) -> None:
    (control_plane.state / "policy-config.yaml").write_text("pack: {name: x}\nnonsense: 1\n")
    ran = kt_online("doctor")
    found = {finding["check"]: finding for finding in ran.json}
    assert found["configuration"]["outcome"] == "failed"
    assert "kt policy lint" in found["configuration"]["next"]
    assert ran.code == 3


def test_the_doctor_sees_records_that_were_acknowledged_and_are_not_there(
    kt_online: Kt, control_plane: ControlPlane
) -> None:
    report = GatewayReport("gw-1", "support", "127.0.0.1:1", "0.1.0", shipped=5)
    control_plane.stores.gateways.put(report, now=datetime.now(UTC))
    found = {finding["check"]: finding for finding in kt_online("doctor").json}
    assert found["reconciliation of gw-1"]["outcome"] == "failed"
    assert kt_online("gateways", "list").json[0]["id"] == "gw-1"
    assert kt_online("gateways", "show", "gw-1").json["shipped"] == 5
