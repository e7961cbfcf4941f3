"""``kt log``."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from kintsugi.ledger.checkpoint import open_checkpoint
from kintsugi.ledger.note import VerifierKey
from kintsugi.model.proof import Proof
from kintsugi.store.memory_proofs import MemoryProofs
from tests.cli.conftest import ControlPlane, Kt, event
from tests.control_plane import NOON


@pytest.fixture
def stored(control_plane: ControlPlane) -> str:
    """The id of one of three events in the log."""
    made = [event(number) for number in (1, 2, 3)]
    for one in made:
        control_plane.stores.events.append([one])
    return made[1].id


def test_the_checkpoint_is_a_note_that_anybody_can_check(kt_online: Kt, stored: str) -> None:
    note = kt_online("log", "checkpoint").out
    keys = [VerifierKey.parse(text) for text in kt_online("log", "keys", "--json").json]
    assert open_checkpoint(note, keys)[0].size == 3


def test_an_event_is_proven_here_and_its_proof_holds_elsewhere(
    kt_online: Kt, stored: str, tmp_path: Path
) -> None:
    file = tmp_path / "proof.json"
    ran = kt_online("log", "prove", stored, "--to", str(file), "--json")
    assert ran.code == 0, ran.err
    assert ran.json["holds"] is True
    (key,) = kt_online("log", "keys", "--json").json
    nowhere = {"KT_API_URL": "http://127.0.0.1:1"}
    alone = kt_online("log", "verify", str(file), "--key", key, "--json", **nowhere)
    assert (alone.code, alone.json["what"]) == (0, stored)
    proof = msgspec.json.decode(file.read_bytes())
    proof["record"] = proof["record"].replace("block", "allow")
    file.write_bytes(msgspec.json.encode(proof))
    forged = kt_online("log", "verify", str(file), "--key", key, **nowhere)
    assert forged.code == 3
    assert "not in the tree" in forged.err


def test_a_red_green_proof_is_proven_with_both_of_its_runs_and_holds_elsewhere(
    kt_online: Kt, control_plane: ControlPlane, tmp_path: Path
) -> None:
    proofs = control_plane.stores.proofs
    kept = proofs.add(Proof("", "i", "INC-000001", NOON, "ana/1", False, (), (), ("no case",)))
    file = tmp_path / "proof.json"
    ran = kt_online("log", "prove", "prf-1", "--to", str(file), "--json")
    assert (ran.code, ran.json["what"]) == (0, kept.id), ran.err
    (key,) = kt_online("log", "keys", "--json").json
    nowhere = {"KT_API_URL": "http://127.0.0.1:1"}
    alone = kt_online("log", "verify", str(file), "--key", key, "--json", **nowhere)
    assert (alone.code, alone.json["what"]) == (0, kept.id)
    whole = file.read_text()
    file.write_text(whole.replace('\\"passed\\":false', '\\"passed\\":true', 1))
    assert file.read_text() != whole
    forged = kt_online("log", "verify", str(file), "--key", key, **nowhere)
    assert forged.code == 3
    assert "PRF-000001 is not what the log says" in forged.err
    # Somebody changed it in the database.
    changed = msgspec.structs.replace(kept, passed=True)
    assert isinstance(proofs, MemoryProofs)
    proofs._proofs[:] = [changed]
    assert kt_online("log", "prove", "PRF-1").code == 3


def test_a_leaf_is_proven_too_and_leaves_are_listed(kt_online: Kt, stored: str) -> None:
    assert kt_online("log", "prove", "--leaf", "0", "--json").json["what"] == "events"
    assert [leaf["position"] for leaf in kt_online("log", "list", "--json").json] == [2, 1, 0]
    assert [
        leaf["position"] for leaf in kt_online("log", "list", "--before", "1", "--json").json
    ] == [0]


def test_consistency_is_checked_here(kt_online: Kt, stored: str) -> None:
    found = kt_online("log", "consistency", "1", "--json").json
    assert (found["holds"], found["first"], found["second"]) == (True, 1, 3)
    assert kt_online("log", "consistency", "9").code == 2


def test_what_is_no_proof_is_told_so(kt: Kt, tmp_path: Path) -> None:
    file = tmp_path / "proof.json"
    for text in ("{", "{}", '{"record": 1}'):
        file.write_text(text)
        key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
        ran = kt("log", "verify", str(file), "--key", key)
        assert ran.code == 2, ran.err
    assert kt("log", "verify", str(file), "--key", "nonsense").code == 3


def test_a_file_is_a_witness_that_remembers(
    kt_online: Kt,
    control_plane: ControlPlane,
    stored: str,
    tmp_path: Path,
) -> None:
    file = tmp_path / "elsewhere" / "log.checkpoint"
    file.parent.mkdir()
    assert kt_online("log", "witness", "--to", str(file), "--json").json["seen before"] == "nothing"
    control_plane.stores.events.append([event(4)])
    assert kt_online("log", "rotate-key", "--json").code == 0
    again = kt_online("log", "witness", "--to", str(file), "--json").json
    # The event, and the audit of who rotated the key.
    assert (again["seen before"], again["size"]) == (3, 5)
    assert len(file.with_name("log.checkpoint.keys").read_text().splitlines()) == 2
    # Somebody goes back to a shorter log: the file has seen more.
    longer = file.read_text().replace("\n5\n", "\n6\n")
    file.write_text(longer)
    refused = kt_online("log", "witness", "--to", str(file))
    assert refused.code == 3
    assert "does not fit the note" in refused.err


def test_a_file_without_its_keys_is_told(kt_online: Kt, tmp_path: Path) -> None:
    file = tmp_path / "log.checkpoint"
    file.write_text("x")
    ran = kt_online("log", "witness", "--to", str(file))
    assert ran.code == 2
    assert "log.checkpoint.keys is missing" in ran.err


def test_an_object_store_is_a_witness_that_remembers(
    kt_online: Kt, control_plane: ControlPlane, stored: str, tmp_path: Path
) -> None:
    url = (tmp_path / "bucket").as_uri() + "/log.checkpoint"
    (tmp_path / "bucket").mkdir()
    doctor = kt_online("doctor", "--witness", url, "--json").json
    assert [one["outcome"] for one in doctor if one["check"].startswith("witness")] == [
        "not attempted"
    ]
    assert kt_online("log", "witness", "--to", url, "--json").json["seen before"] == "nothing"
    control_plane.stores.events.append([event(7)])
    assert kt_online("log", "witness", "--to", url, "--json").json["seen before"] == 3
    assert {path.name for path in (tmp_path / "bucket").iterdir()} == {
        "log.checkpoint",
        "log.checkpoint.keys",
    }
    doctor = kt_online("doctor", "--witness", url, "--json").json
    assert [one["outcome"] for one in doctor if one["check"].startswith("witness")] == ["ok"]
    control_plane.stores.log.__init__()  # type: ignore[misc]
    refused = kt_online("log", "witness", "--to", url)
    assert refused.code == 3
    assert "has 0 leaves and had 4" in refused.err
    doctor = kt_online("doctor", "--witness", url, "--json")
    assert doctor.code == 3
    [told] = [one for one in doctor.json if one["check"].startswith("witness")]
    assert (told["outcome"], "older state" in told["next"]) == ("failed", True)


def test_an_address_that_is_no_object_store_is_told_so(kt_online: Kt, stored: str) -> None:
    for url in ("nonsense://bucket/name", "s3://bucket", "file:///"):
        assert kt_online("log", "witness", "--to", url).code == 2


def test_the_doctor_computes_the_log_again(kt_online: Kt, stored: str) -> None:
    for arguments in ((), ("--full",)):
        ran = kt_online("doctor", "--json", *arguments)
        found = {one["check"]: one for one in ran.json}
        assert found["log checkpoint"]["outcome"] == "ok"
        assert (found["log"]["outcome"], "3 records" in found["log"]["detail"]) == ("ok", True)
    assert "3 of 3 leaves" in ran.err


def test_another_kintsugi_is_a_witness(
    kt_online: Kt, control_plane: ControlPlane, stored: str
) -> None:
    token = (control_plane.state / "admin-token").read_text().strip()
    ran = kt_online("log", "witness", "--to", control_plane.url, KT_WITNESS_TOKEN=token)
    assert ran.code == 0, ran.err
    assert ran.json["seen before"] == "nothing"
    assert "\u2014" in ran.json["note"]
    assert ran.json["noted at the log"] == "yes"
