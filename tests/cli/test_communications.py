"""``kt communications``."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Kt


def test_a_message_is_written_and_sent_from_the_command_line(kt_online: Kt, tmp_path: Path) -> None:
    assert kt_online("incidents", "declare", "It lied").code == 0
    assert "team" in kt_online("communications", "templates").json["audiences"]
    made = kt_online(
        *("communications", "draft", "INC-1", "team", "--set", "affected_services=chat"),
        *("--unknown", "measures_taken"),
    ).json
    message = made["id"]
    fields = kt_online("communications", "show", message, "--fields").json["fields"]
    assert {one["name"] for one in fields if one["status"] == "missing"} >= {"description_plain"}
    text = tmp_path / "text.md"
    text.write_text("{reference}: we look into it.")
    edited = kt_online(
        "communications", "edit", message, "--text-file", str(text), "--next-update", "+1h"
    )
    assert edited.json["text"] == "INC-000001: we look into it."
    refused = kt_online("communications", "approve", message)
    assert (refused.code, "needs none" in refused.err) == (1, True)
    sent = kt_online("communications", "send", message, "--to", "#inc", "--channel", "chat")
    assert sent.json["state"] == "sent", sent.err
    assert len(kt_online("communications", "list", "--incident", "INC-1").json) == 1
    wrong = kt_online("communications", "publish", message, "--dry-run")
    assert (wrong.code, "write one for the public" in wrong.err) == (1, True)
    other = kt_online("communications", "draft", "INC-1", "public").json["id"]
    gone = kt_online("communications", "withdraw", other, "--reason", "not now")
    assert gone.json["state"] == "withdrawn"
    assert kt_online("communications", "edit", other, "--set", "nonsense").code == 2
