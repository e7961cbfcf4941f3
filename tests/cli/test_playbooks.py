"""``kt playbooks`` and ``kt runbooks``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Kt

OWN = """\
id: our-own
version: 1
title: Our own
applies_to: us
steps:
  - {id: call, phase: detect, title: "Call the duty officer"}
"""


def test_a_playbook_is_worked_from_the_command_line(kt_online: Kt, tmp_path: Path) -> None:
    assert kt_online("incidents", "declare", "It sent mail").code == 0
    assert len(kt_online("playbooks", "list").json) == 4
    assert kt_online("playbooks", "show", "tool-using").json["id"] == "tool-using"
    assert kt_online("playbooks", "attach", "INC-1", "tool-using").json["open"] == 14
    file = tmp_path / "own.yaml"
    file.write_text(OWN)
    assert kt_online("playbooks", "attach", "INC-1", "--file", str(file)).json["open"] == 1
    for words in (
        ("assign", "INC-1", "our-own", "call", "bo"),
        ("done", "INC-1", "our-own", "call", "--reason", "she is on her way"),
        ("skip", "INC-1", "tool-using", "undo", "--reason", "nothing was written"),
        ("reopen", "INC-1", "tool-using", "undo", "--reason", "something was"),
    ):
        ran = kt_online("playbooks", *words)
        assert ran.code == 0, ran.err
    status = {
        one["playbook"]: one["open"] for one in kt_online("playbooks", "status", "INC-1").json
    }
    assert status == {"tool-using": 14, "our-own": 0}
    file.write_text("id: [")
    assert kt_online("playbooks", "attach", "INC-1", "--file", str(file)).code == 2


def test_runbooks_are_listed_shown_and_refused_where_they_cannot_run(
    kt_online: Kt, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {one["name"] for one in kt_online("runbooks", "list", "--json").json}
    assert names >= {"gateway-restart", "policy-rollback", "emergency-bypass", "escalation-backlog"}
    assert "kubectl rollout restart" in kt_online("runbooks", "show", "gateway-restart").out
    refused = kt_online("runbooks", "run", "emergency-passthrough")
    assert (refused.code, "kt config apply" in refused.err) == (2, True)
    assert kt_online("runbooks", "run", "nothing").code == 1
    dry = kt_online(
        "runbooks", "run", "emergency-bypass", "INC-1", "dlp-filter", "why", "--dry-run"
    )
    assert (dry.code, "emergency-bypass INC-1 dlp-filter why" in dry.err) == (0, True)
    monkeypatch.setenv("PATH", "/nowhere")
    missing = kt_online("runbooks", "run", "escalation-backlog")
    assert (missing.code, "bash, curl, jq" in missing.err) == (2, True)
