"""The runbooks of the founding documents, run from the program that ships them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.conftest import Instance

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

KUBECTL = '#!/bin/sh\necho "kubectl $*" >> "$KUBECTL_LOG"\n'


@pytest.mark.needs("curl", "jq")
def test_the_backlog_is_told_and_noted_in_the_incident(instance: Instance) -> None:
    made = instance.kt("incidents", "declare", "Reviewers are away", "--json").json
    ran = instance.kt("runbooks", "run", "escalation-backlog", "--incident", made["reference"])
    assert (ran.code, ran.out) == (0, "OK: 0 pending escalations\n"), ran.err
    [newest, *_] = instance.kt("incidents", "timeline", made["reference"], "--json").json
    assert newest["text"] == "ran the runbook escalation-backlog: exit code 0"


@pytest.mark.needs("curl", "jq")
def test_a_configuration_is_rolled_back(instance: Instance, tmp_path: Path) -> None:
    config_id = instance.config_id
    before = instance.kt("config", "show", config_id, "1", "--json").json
    changed = tmp_path / "changed.yaml"
    changed.write_text(before["content"] + "# tightened again\n")
    applied = instance.kt("config", "apply", "--file", str(changed), "--id", config_id)
    assert applied.code == 0, applied.err
    ran = instance.kt("runbooks", "run", "policy-rollback", config_id, "1")
    Path("/tmp/rollback-config.yaml").unlink(missing_ok=True)  # the script leaves it there
    assert ran.code == 0, ran.out + ran.err
    assert "Rollback complete." in ran.out
    newest = instance.kt("config", "show", config_id, "--json").json
    assert newest["revision"] == before["revision"]


@pytest.mark.needs("curl")
def test_a_gateway_is_restarted_and_seen_to_be_healthy(
    instance: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl, log = tmp_path / "kubectl", tmp_path / "log"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    ran = instance.shell(
        f'PATH="{tmp_path}:$PATH" KUBECTL_LOG={log} KT_GATEWAY_URL={instance.gateway_url} '
        "kt runbooks run gateway-restart gw-1"
    )
    assert ran.code == 0, ran.out + ran.err
    assert "Gateway gw-1 is healthy after restart." in ran.out
    assert log.read_text().splitlines() == [
        "kubectl rollout restart deployment/kt-gateway -n platform",
        "kubectl rollout status deployment/kt-gateway -n platform --timeout=120s",
    ]


def test_a_bypass_is_asked_for_and_waits_for_another_person(instance: Instance) -> None:
    made = instance.kt("incidents", "declare", "Half of all traffic is blocked", "--json").json
    ran = instance.kt(
        *("runbooks", "run", "emergency-bypass", made["reference"], "prompt-injection"),
        *("15m", "blocks half of all traffic", "--workflow", "support"),
    )
    assert "Another person approves it" in ran.out, ran.out + ran.err
    listed = instance.kt("containments", "list", "--json", "--status", "all").json
    assert [one["lever"]["name"] for one in listed] == ["bypass"]
    usage = instance.kt("runbooks", "run", "emergency-bypass", "INC-1", "dlp-filter", "15m", "why")
    assert (usage.code, "<whose traffic>" in usage.err) == (1, True)
