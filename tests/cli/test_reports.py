"""``kt reports``."""

from __future__ import annotations

import mailbox
from pathlib import Path

import msgspec

from tests.cli.conftest import ControlPlane, Kt, event


def test_reports_are_sent_tagged_and_listed(control_plane: ControlPlane, kt_online: Kt) -> None:
    seen = event(1)
    control_plane.stores.events.append([seen])
    sent = kt_online("reports", "send", "It lied", "--text", "about refunds", "--json").json
    assert (sent["status"], sent["incident"]) == ("joined", "INC-000001")
    words = ("reports", "tag", "correctness", "--event", seen.id, "--label", "ticket=7")
    dry = kt_online(*words, "--dry-run", "--json").json
    assert dry["would"] == "open"
    tagged = kt_online(*words, "--text", "wrong sum", "--json").json
    assert tagged["report"]["labels"] == {"ticket": "7"}
    again = kt_online(*words, "--channel", "sales", "--json").json
    assert again["incident"] == tagged["incident"] == "INC-000002"
    listed = kt_online("reports", "list", "--incident", "INC-2", "--json").json
    assert [one["report"]["channel"] for one in listed] == ["sales", "support"]
    shown = kt_online("reports", "show", sent["report"]["id"], "--json").json
    assert shown == sent
    assert kt_online("reports", "tag", "correctness").code == 2
    assert kt_online("reports", "send", "x", "--label", "ticket").code == 2


def test_mails_are_imported_once_each(kt_online: Kt, tmp_path: Path) -> None:
    file = tmp_path / "box.mbox"
    box = mailbox.mbox(file)
    for number in range(2):
        box.add(f"From: eve@example.org\nSubject: No {number}\nMessage-ID: <{number}@x>\n\nHi\n")
    box.flush()
    box.close()
    first = kt_online("reports", "import", str(file), "--json").json
    assert [one["report"]["title"] for one in first] == ["No 0", "No 1"]
    second = kt_online("reports", "import", str(file), "--json").json
    assert [one["incident"] for one in second] == [one["incident"] for one in first]
    eml = tmp_path / "one.eml"
    eml.write_bytes(b"Subject: Alone\n\nFrom here\n")
    [one] = kt_online("reports", "import", str(eml), "--json").json
    digest = one["report"]["files"][0]["digest"]
    copy = tmp_path / "copy.eml"
    ran = kt_online("reports", "file", one["report"]["id"], digest, "-o", str(copy))
    assert (ran.code, copy.read_bytes()) == (0, eml.read_bytes())
    assert kt_online("reports", "file", one["report"]["id"], digest, "-o", str(copy)).code == 2
    empty = tmp_path / "empty.eml"
    empty.touch()
    assert kt_online("reports", "import", str(empty)).code == 3


def test_sources_are_tried_before_they_are_made(kt_online: Kt, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("title: {pointer: /name}\nfingerprint: {name: {pointer: /name}}\n")
    payload = tmp_path / "payload.json"
    payload.write_bytes(msgspec.json.encode({"name": "odd"}))
    words = ("reports", "sources", "preview", str(payload))
    tried = kt_online(*words, "--kind", "generic", "--mapping", str(mapping), "--json").json
    assert [one["would"] for one in tried] == ["open"]
    made = kt_online(
        *("reports", "sources", "put", "evals", "--kind", "generic"),
        *("--mapping", str(mapping), "--signing", "sha256", "--json"),
    ).json
    assert len(made["secret"]) == 64
    payload.write_bytes(b"{}")
    lost = kt_online(*words, "--source", "evals", "--json")
    assert (lost.code, lost.json[0]["would"]) == (3, "keep unmapped")
    assert [one["name"] for one in kt_online("reports", "sources", "list", "--json").json] == [
        "evals"
    ]
    assert kt_online("reports", "sources", "show", "evals", "--json").json["secret"] == ""


def test_links_and_settling(control_plane: ControlPlane, kt_online: Kt) -> None:
    made = kt_online("reports", "links", "create", "regulator", "--days", "7", "--json").json
    assert made["address"].startswith(f"{control_plane.url}/report/by-link/")
    assert kt_online("reports", "links", "list", "--json").json[0]["state"] == "open"
    ended = kt_online("reports", "links", "revoke", made["id"], "--json").json
    assert ended["state"] == "revoked"
    sent = kt_online("reports", "send", "It lied", "--json").json["report"]["id"]
    late = kt_online("reports", "set-aside", sent, "--reason", "spam")
    assert late.code == 1
    assert "an incident has this report already" in late.err
    assert kt_online("reports", "settle", sent, "--reason", "x").code == 1
