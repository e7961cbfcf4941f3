"""``kt evidence package`` and ``kt verify``."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyrage import x25519

from tests.cli.conftest import ControlPlane, Kt, event

NOWHERE = {"KT_API_URL": "http://127.0.0.1:1"}


@pytest.fixture
def stored(control_plane: ControlPlane) -> str:
    """The id of one of three events."""
    made = [event(number) for number in (1, 2, 3)]
    for one in made:
        control_plane.stores.events.append([one])
    return made[1].id


@pytest.mark.parametrize("kind", ["zip", "tar", "folder"])
def test_a_package_is_fetched_and_holds_without_a_control_plane(
    kt_online: Kt, stored: str, tmp_path: Path, kind: str
) -> None:
    target = tmp_path / "evidence"
    ran = kt_online(
        "evidence", "package", "--event", stored, "-o", str(target), "--format", kind, "--json"
    )
    assert ran.code == 0, ran.err
    assert ran.json["events"] == 1
    assert "kt verify" in ran.err
    (key,) = kt_online("log", "keys", "--json").json
    checked = kt_online("verify", str(target), "--key", key, "--json", **NOWHERE)
    assert checked.code == 0, checked.out
    assert checked.json["holds"] is True
    assert checked.json["recorded"].startswith("not recorded")
    unpinned = kt_online("verify", str(target), **NOWHERE)
    assert (unpinned.code, unpinned.json["holds"]) == (0, True)
    assert any("no key was pinned" in one for one in unpinned.json["not_checked"])


def test_a_damaged_package_ends_with_3_and_says_where(
    kt_online: Kt, stored: str, tmp_path: Path
) -> None:
    folder = tmp_path / "evidence"
    kt_online("evidence", "package", "--since", "1000d", "-o", str(folder), "--format", "folder")
    events = folder / "data/events.jsonl"
    events.write_bytes(events.read_bytes().replace(b"block", b"allow"))
    ran = kt_online("verify", str(folder), "--json", **NOWHERE)
    assert ran.code == 3
    found = {(one["code"], one.get("file"), one.get("line")) for one in ran.json["findings"]}
    assert ("file.changed", "data/events.jsonl", 0) in {(a, b, c or 0) for a, b, c in found}
    assert any(code == "event.altered" and line for code, _, line in found)


def test_an_encrypted_package_needs_an_identity(kt_online: Kt, stored: str, tmp_path: Path) -> None:
    identity = x25519.Identity.generate()
    file = tmp_path / "identity.txt"
    file.write_text(f"# made by age-keygen\n{identity}\n")
    target = tmp_path / "evidence.zip.age"
    recipient = str(identity.to_public())
    ran = kt_online(
        "evidence", "package", "--since", "1000d", "-o", str(target), "--recipient", recipient
    )
    assert ran.code == 0, ran.err
    closed = kt_online("verify", str(target), **NOWHERE)
    assert closed.code == 2
    assert "--identity" in closed.err
    assert kt_online("verify", str(target), "--identity", str(file), **NOWHERE).code == 0


def test_a_verification_is_recorded_where_a_control_plane_is_asked_to(
    kt_online: Kt, stored: str, tmp_path: Path
) -> None:
    target = tmp_path / "evidence.zip"
    kt_online("evidence", "package", "--event", stored, "-o", str(target))
    ran = kt_online("verify", str(target), "--record", "--reason", "audit", "--json")
    assert ran.json["recorded"].startswith("recorded in custody as")
    (entry,) = kt_online("custody", "list", "--action", "verify", "--json").json
    assert entry["object"] == f"package:{ran.json['package']}"
    assert (entry["reason"], entry["digest_after"]) == ("audit: holds", ran.json["manifest"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say what to package"),
        (("--since", "1d", "--format", "rar"), "body.format"),
        (("--since", "1d", "--format", "folder", "--recipient", "age1x"), "cannot be encrypted"),
        (("--since", "1d", "--recipient", "me"), "no recipient"),
    ],
)
def test_what_cannot_be_packaged_is_refused(
    kt_online: Kt, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    ran = kt_online("evidence", "package", "-o", str(tmp_path / "p"), *words)
    assert ran.code == 2
    assert said in ran.err


def test_what_is_no_package_is_said_plainly(kt_online: Kt, tmp_path: Path) -> None:
    assert kt_online("verify", str(tmp_path / "nothing"), **NOWHERE).code == 2
    (tmp_path / "notes.txt").write_text("hello")
    ran = kt_online("verify", str(tmp_path / "notes.txt"), **NOWHERE)
    assert ran.code == 3
    assert ran.json["findings"][0]["code"] == "archive.unreadable"
    (tmp_path / "empty").mkdir()
    assert kt_online("verify", str(tmp_path / "empty"), **NOWHERE).code == 3
