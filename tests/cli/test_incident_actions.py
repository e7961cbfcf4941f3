"""``kt actions``."""

from __future__ import annotations

from tests.cli.conftest import Kt


def test_an_action_is_worked_from_the_command_line(kt_online: Kt) -> None:
    for title in ("It lied", "It lied again"):
        assert kt_online("incidents", "declare", title).code == 0
    assert kt_online("actions", "none", "INC-1", "--reason", "a drill").code == 0
    made = kt_online("actions", "add", "INC-1", "Rebuild it", "--kind", "fix", "--due", "+3d")
    action = made.json["id"]
    for words in (
        ("assign", action, "bo"),
        ("reschedule", action, "+5d", "--reason", "holidays"),
        ("link", action, "--incident", "INC-2", "--ticket", "https://tracker.example/T-1"),
        ("link", action, "--ticket", ""),
        ("done", action, "--evidence", "sha256:00"),
        ("reopen", action, "--reason", "it came back"),
    ):
        ran = kt_online("actions", *words)
        assert ran.code == 0, ran.err
    shown = kt_online("actions", "show", action).json
    assert (shown["owner"], shown["incidents"]) == ("bo", ["INC-000001", "INC-000002"])
    assert len(kt_online("actions", "list", "--incident", "INC-2", "--owner", "bo").json) == 1
    assert kt_online("actions", "list", "--in", "overdue").json == []
    assert kt_online("actions", "drop", action, "--reason", "obsolete").json["state"] == "dropped"
    refused = kt_online("actions", "drop", action, "--reason", "again")
    assert (refused.code, "it is dropped" in refused.err) == (1, True)
